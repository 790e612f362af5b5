// @ts-nocheck The types of a browser are not those of this project.
const WORDS = {
  INVALID_EMAIL_OR_PASSWORD: 'This address and this password do not belong together.',
  EMAIL_NOT_VERIFIED: 'This address is not confirmed yet. We have sent you the link again: look into your mail.',
  INVALID_TOKEN: 'This link was used already or is too old.',
  TOKEN_EXPIRED: 'This link was used already or is too old.',
  PASSWORD_TOO_SHORT: 'The password is too short: at least 8 characters.',
  PASSWORD_TOO_LONG: 'The password is too long: at most 128 characters.',
  BANNED_USER: 'This account is suspended.',
  SESSION_EXPIRED: 'For this you have to have signed in lately: sign out, and in again.',
  STRIPE_NOT_CONFIGURED: 'Nothing can be bought here.',
}

export const byId = (id) => document.getElementById(id)

/** Everything that comes from elsewhere is put in as text, never as markup. */
export function element(name, properties, ...children) {
  const made = Object.assign(document.createElement(name), properties)
  made.append(...children)
  return made
}

/** Calls this server. Throws Error with words for people, `status` and `code`. */
export async function call(method, path, body) {
  let response
  try {
    response = await fetch(path, {
      method,
      headers: { accept: 'application/json', ...(body && { 'content-type': 'application/json' }) },
      ...(body && { body: JSON.stringify(body) }),
      signal: AbortSignal.timeout(30_000),
    })
  } catch {
    throw new Error('The server cannot be reached. Try again in a moment.')
  }
  const answer = await response.json().catch(() => null)
  if (response.ok) return answer
  const told = typeof answer?.error === 'object' ? answer.error : answer
  const code = told?.code ?? (typeof told?.error === 'string' ? told.error : undefined)
  const words =
    response.status === 429 ? 'Too many tries. Wait a minute, and try again.' : (WORDS[code] ?? told?.message)
  throw Object.assign(new Error(words ?? `The server answered ${response.status}.`), { status: response.status, code })
}

export function say(text, kind = '') {
  const status = byId('status')
  status.className = `status ${kind}`
  status.textContent = text
}

/** Runs what a person has asked for, once at a time, and says what went wrong. */
export async function attempt(button, work) {
  if (button.disabled) return
  button.disabled = true
  say('')
  try {
    await work()
  } catch (error) {
    say(error.message, 'bad')
  } finally {
    button.disabled = false
  }
}

/** Where to go on after signing in: a page of this server, never of another. */
export function nextPage() {
  const query = new URLSearchParams(location.search)
  // An app that asked for the sign-in: it goes on where it was.
  if (query.has('client_id')) {
    const ours = [...query.keys()].filter((name) => name.startsWith('ba_'))
    // Who comes from here has just signed in, which is what these two ask for.
    for (const name of ['provider', 'prompt', 'max_age', 'sig', 'exp', ...ours]) query.delete(name)
    return `/api/auth/oauth2/authorize?${query}`
  }
  const next = query.get('next') ?? ''
  return /^\/(?![/\\])[^\\\s]*$/.test(next) ? next : '/account'
}

const isLocal = ({ hostname }) => /^(localhost|127\.\d+\.\d+\.\d+|\[::1\])$/.test(hostname)

/** Follows an address that the server named: of its own, over https, or from this machine to this machine. */
export function follow(address) {
  const url = new URL(address, location.href)
  const isNear = url.protocol === 'http:' && isLocal(url) && isLocal(location)
  if (url.origin !== location.origin && url.protocol !== 'https:' && !isNear)
    throw new Error('The server named no page to go to.')
  location.assign(url)
}

/** Goes back to an app, which may be one of this machine with a scheme of its own; the server knows its addresses. */
export function followToApp(address) {
  const url = new URL(address, location.href)
  if (['javascript:', 'data:', 'blob:', 'vbscript:'].includes(url.protocol))
    throw new Error('The server named no page to go to.')
  location.assign(url)
}
