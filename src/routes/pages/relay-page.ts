import { PAGE_POLICY, pageShell } from './page-shell.ts'

/** Hands what an app was answered to that app, which listens on this machine at the port that its `state` begins with. */
export const relayPage = pageShell({
  title: 'Back to the app',
  script: 'relay.js',
  body: `<div class="card">
<h1>Back to the app</h1>
<p id="status" class="status" role="status" aria-live="polite">One moment.</p>
</div>`,
})

/** That of every page, and the reader's own machine. */
export const RELAY_POLICY = PAGE_POLICY.replace("connect-src 'self'", 'connect-src http://127.0.0.1:*')
