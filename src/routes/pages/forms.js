// @ts-nocheck The types of a browser are not those of this project.
import { attempt, byId, call, element, follow, followToApp, nextPage, say } from './page-tools.js'

const NAMES = { google: 'Google', github: 'GitHub', apple: 'Apple' }
const page = document.querySelector('main').dataset
const query = new URLSearchParams(location.search)
const form = document.querySelector('form')
const button = form?.querySelector('button')

/** An app asked for the sign-in. */
const forApp = query.has('client_id')

/**
 * What it asked for, as the server signed it, so that the server can answer with where it goes on. That is good for some
 * minutes; after that, whoever has signed in asks anew.
 */
function asked() {
  const signed = new Set([...query.getAll('ba_param'), 'sig'])
  if (!forApp || signed.size === 1 || Number(query.get('exp')) * 1000 < Date.now()) return {}
  return { oauth_query: new URLSearchParams([...query].filter(([name]) => signed.has(name))).toString() }
}

const given = (name) => form.elements.namedItem(name).value
/** Where the link of a mail leads: for an app, to where it goes on. */
const verified = forApp ? nextPage() : '/auth/verify-email'

/** Replaces the form by what comes next. */
function done(text) {
  form.hidden = true
  byId('social')?.replaceChildren()
  say(text, 'good')
}

const signInWith = async (provider) => {
  const answer = await call('POST', '/api/auth/sign-in/social', { provider, callbackURL: nextPage(), ...asked() })
  follow(answer?.url ?? nextPage())
}

const submits = {
  async 'sign-in'() {
    const answer = await call('POST', '/api/auth/sign-in/email', {
      email: given('email'),
      password: given('password'),
      callbackURL: verified,
      ...asked(),
    })
    if (forApp && answer?.url) followToApp(answer.url)
    else follow(nextPage())
  },
  async 'sign-up'() {
    await call('POST', '/api/auth/sign-up/email', {
      name: given('name'),
      email: given('email'),
      password: given('password'),
      callbackURL: verified,
    })
    done('Look into your mail: a link there confirms your address and finishes your account.')
  },
  async 'verify-email'() {
    await call('POST', '/api/auth/send-verification-email', { email: given('email'), callbackURL: verified })
    done('If there is an account with this address that is not confirmed, the link is on its way.')
  },
  async 'forgot-password'() {
    await call('POST', '/api/auth/request-password-reset', {
      email: given('email'),
      redirectTo: `/auth/reset-password${forApp ? location.search : ''}`,
    })
    done('If there is an account with this address, the link is on its way.')
  },
  async 'reset-password'() {
    await call('POST', '/api/auth/reset-password', { newPassword: given('password'), token: query.get('token') })
    done('Your new password holds. You can sign in with it now.')
  },
}

form?.addEventListener('submit', (event) => {
  event.preventDefault()
  void attempt(button, submits[page.page])
})

byId('magic')?.addEventListener('click', (event) =>
  attempt(event.target, async () => {
    const email = form.elements.namedItem('email')
    if (!email.reportValidity()) return
    await call('POST', '/api/auth/sign-in/magic-link', { email: email.value, callbackURL: nextPage(), ...asked() })
    done('If this address can sign in here, a link is on its way. It works for ten minutes.')
  }),
)

const providers = (page.social ?? '').split(' ').filter(Boolean)
byId('social')?.append(
  ...providers.map((id) => {
    const made = element('button', { type: 'button', className: 'quiet' }, `Continue with ${NAMES[id] ?? id}`)
    made.addEventListener('click', () => attempt(made, () => signInWith(id)))
    return made
  }),
)

// Links between the pages keep what an app has asked for, or where to go on.
for (const link of document.querySelectorAll('.links a')) link.search = location.search

if (page.page === 'sign-in' && providers.includes(query.get('provider')))
  signInWith(query.get('provider')).catch((error) => say(error.message, 'bad'))
if (page.page === 'sign-in' && query.has('error')) say('Signing in did not work. Try again, or another way.', 'bad')
if (page.page === 'verify-email' && query.has('error')) {
  say('This link was used already or is too old. Have another one sent.', 'bad')
  form.hidden = false
  byId('verified').hidden = true
}
if (page.page === 'reset-password' && !query.get('token')) {
  say('This link was used already or is too old. Ask for another one.', 'bad')
  form.hidden = true
}
