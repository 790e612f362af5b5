import { pageShell } from './page-shell.ts'

const STATUS = '<p id="status" class="status" role="status" aria-live="polite"></p>'
const email =
  '<label>E-mail address<input name="email" type="email" autocomplete="email" required maxlength="254"></label>'
const password = (label: string, kind: 'current' | 'new') =>
  `<label>${label}<input name="password" type="password" autocomplete="${kind}-password" required${
    kind === 'new' ? ' minlength="8"' : ''
  } maxlength="128"></label>`
const link = (path: string, text: string) => `<a href="/auth/${path}">${text}</a>`

/** The pages of signing in, by their names below /auth/. */
export function signInPages(social: readonly string[]): Record<string, string> {
  const form = (name: string, title: string, fields: string[], button: string, more = '') =>
    pageShell({
      title,
      script: 'forms.js',
      data: ` data-page="${name}" data-social="${social.join(' ')}"`,
      body: `<div class="card">
<h1>${title}</h1>
${STATUS}
${more}
<form${name === 'verify-email' ? ' hidden' : ''}>
${fields.join('\n')}
<button type="submit">${button}</button>
${name === 'sign-in' ? '<p class="hint">Or without a password:</p>\n<button id="magic" type="button" class="quiet">Send me a link</button>' : ''}
</form>
</div>
<p class="links">${linksOf[name] ?? ''}</p>`,
    })
  const buttons = '<div id="social" class="social"></div>'
  return {
    'sign-in': form('sign-in', 'Sign in', [email, password('Password', 'current')], 'Sign in', buttons),
    'sign-up': form(
      'sign-up',
      'Create an account',
      [
        '<label>Name<input name="name" autocomplete="name" required maxlength="100"></label>',
        email,
        password('Password, at least 8 characters', 'new'),
      ],
      'Create account',
      buttons,
    ),
    'verify-email': form(
      'verify-email',
      'Your e-mail address',
      [email],
      'Send another link',
      '<div id="verified"><p>Your address is confirmed.</p><p><a class="button" href="/account">Go to your account</a></p></div>',
    ),
    'forgot-password': form('forgot-password', 'A new password', [email], 'Send me a link'),
    'reset-password': form(
      'reset-password',
      'Choose a new password',
      [password('New password, at least 8 characters', 'new')],
      'Save',
    ),
    'account-deleted': pageShell({
      title: 'Account deleted',
      body: `<div class="card"><h1>Your account is deleted</h1>
<p>Your keys work no more, and your personal data is erased. Receipts that you have kept can still be <a href="/verify">verified</a>.</p></div>`,
    }),
  }
}

const linksOf: Record<string, string> = {
  'sign-in': link('sign-up', 'Create an account') + link('forgot-password', 'Forgot your password?'),
  'sign-up': link('sign-in', 'You have an account? Sign in'),
  'verify-email': link('sign-in', 'Sign in'),
  'forgot-password': link('sign-in', 'Back to signing in'),
  'reset-password': link('sign-in', 'Sign in') + link('forgot-password', 'Ask for another link'),
}
