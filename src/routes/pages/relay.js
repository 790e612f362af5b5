// @ts-nocheck The types of a browser are not those of this project.
import { say } from './page-tools.js'

const answer = new URLSearchParams(location.search)
const [, port, state = ''] = /^(\d{1,5}):(.*)$/s.exec(answer.get('state') ?? '') ?? []
// The code is for the app alone, not for whoever looks at the address or the history.
history.replaceState(null, '', location.pathname)

if (port === undefined || Number(port) < 1 || Number(port) > 65_535)
  say('This is no answer that an app has asked for.', 'bad')
else {
  answer.set('state', state)
  // The app need not name this page as one that may read its answer: it is enough that it was reached.
  fetch(`http://127.0.0.1:${port}/callback?${answer}`, { mode: 'no-cors', signal: AbortSignal.timeout(10_000) }).then(
    () =>
      answer.has('error')
        ? say('Signing in did not work. Go back to the app, and try again.', 'bad')
        : say('You are signed in. You can close this page, and go back to the app.', 'good'),
    () => say('The app does not answer. Go back to it, and try again.', 'bad'),
  )
}
