import type { IncomingHttpHeaders } from 'node:http'
import type { AuthenticatedKey, Keyring } from './keyring.ts'
import type { MemberProjects } from './members/member-projects.ts'
import { isOwnPage, type SignedIn } from './people/signed-in.ts'

/** Who may call: whoever has a key, and people who are signed in. A keyring alone is one. */
export interface Callers extends Pick<Keyring, 'peek' | 'authenticate'> {
  /** The person of a browser's cookies, for a request without a key. Undefined when there is none, or another site sent it. */
  ofCookie?(headers: IncomingHttpHeaders, method: string): Promise<AuthenticatedKey | undefined>
  /** A person who is signed in, as a member of a shared project; undefined for who is none. */
  memberOf?: MemberProjects['callerOf']
}

// As Better Auth makes them, with and without their signature; and tokens of three parts.
const SESSION_TOKEN = /^[A-Za-z0-9]{32}(\.[\w+/=%-]{20,200})?$/
const JWT = /^eyJ[\w-]+\.[\w-]+\.[\w-]+$/
const SESSION_COOKIE = /(?:^|;\s*)((?:__Secure-)?better-auth\.session_token=[^;\s]+)/

/** Keys first, from memory: whoever has one is no slower for the people. */
export function createCallers(options: {
  keyring: Keyring
  signedIn: SignedIn
  /** Whether cookies may speak for a page of this origin. */
  trusts(origin: string): boolean
  memberOf: MemberProjects['callerOf']
}): Callers {
  const { keyring, signedIn, memberOf } = options
  return {
    peek: keyring.peek,
    memberOf,

    async authenticate(secret) {
      if (SESSION_TOKEN.test(secret) || JWT.test(secret)) {
        const person = await signedIn.authenticate({ kind: 'bearer', text: secret })
        if (person !== undefined) return person
      }
      return keyring.authenticate(secret)
    },

    async ofCookie(headers, method) {
      const cookie = SESSION_COOKIE.exec(headers.cookie ?? '')?.[1]
      if (cookie === undefined || !isOwnPage(headers, method, options.trusts)) return undefined
      return signedIn.authenticate({ kind: 'cookie', text: cookie })
    },
  }
}
