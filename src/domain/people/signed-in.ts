import { hash } from 'node:crypto'
import type { IncomingHttpHeaders } from 'node:http'
import type { AuthenticatedKey } from '#domain/keyring.ts'
import { scopeSet, scopes } from '#domain/scopes.ts'
import { createBoundedCache } from '#lib/bounded-cache.ts'
import { AppError } from '#src/errors.ts'
import type { PersonalProjects } from './personal-project.ts'
import type { Users } from './users.ts'

/** What usage and receipts call the key of a call that a person made without one. */
export const SESSION_KEY_ID = 'session'

/** How long a session is believed that nobody has asked about: signing out, a ban and a deletion are felt within a second. */
const BELIEVED_MS = 900
const LOADS_MAX = 1_000
const CREDENTIAL_CHARS_MAX = 4_096

/** How a person shows who it is, other than by a key: a bearer token, or the cookies of a browser. */
export type Credential = { kind: 'bearer'; text: string } | { kind: 'cookie'; text: string }

export interface SignedInOptions {
  users: Users
  personalProjects: PersonalProjects
  /** The user of a session or a token; undefined when it is none, or over. Rejects when that cannot be told. */
  findUserId(credential: Credential): Promise<string | undefined>
  entriesMax?: number
}

type Answer = AuthenticatedKey | undefined

/** Makes the caller of a session what the caller of a key is: somebody with a project, a wallet and scopes. */
export function createSignedIn(options: SignedInOptions) {
  const { users, personalProjects, findUserId } = options
  const known = createBoundedCache<{ answer: Answer }>({ entriesMax: options.entriesMax ?? 10_000 })
  const loads = new Map<string, Promise<Answer>>()

  async function read(credential: Credential): Promise<Answer> {
    const userId = await findUserId(credential)
    if (userId === undefined) return undefined
    const user = await users.find(userId)
    if (user === undefined) return undefined
    if (user.banned) throw new AppError('forbidden', { message: 'This account is suspended.' })
    const project = await personalProjects.open(user).catch((error: unknown) => {
      // Left since the session was found.
      if (error instanceof AppError && error.code === 'not_found') return undefined
      throw error
    })
    if (project === undefined) return undefined
    return { ...project, keyId: SESSION_KEY_ID, scopes: scopeSet(scopes), personal: true, userId, signedIn: true }
  }

  return {
    /** Undefined when this is no living session. Throws AppError: forbidden for who is banned; ledger_unavailable; overloaded. */
    async authenticate(credential: Credential): Promise<Answer> {
      if (credential.text.length > CREDENTIAL_CHARS_MAX) return undefined
      const digest = hash('sha256', `${credential.kind} ${credential.text}`, 'hex')
      const hit = known.get(digest)
      if (hit !== undefined) return hit.answer
      const running = loads.get(digest)
      if (running !== undefined) return running
      if (loads.size >= LOADS_MAX) throw new AppError('overloaded')
      const askedAt = performance.now()
      const load = read(credential)
        .then((answer) => {
          known.set(digest, { answer }, askedAt + BELIEVED_MS - performance.now())
          return answer
        })
        .catch((cause: unknown) => {
          // Whatever the reason: who cannot be checked is neither let in nor called a stranger.
          throw cause instanceof AppError ? cause : new AppError('ledger_unavailable', { cause })
        })
        .finally(() => loads.delete(digest))
      loads.set(digest, load)
      return load
    },
  }
}

export type SignedIn = ReturnType<typeof createSignedIn>

/**
 * Whether a browser sent this request for a page of ours: then its cookies speak for the person. Without a word from the
 * browser only questions are taken, which change nothing.
 */
export function isOwnPage(headers: IncomingHttpHeaders, method: string, trusted: (origin: string) => boolean): boolean {
  const { origin } = headers
  if (origin !== undefined) return trusted(origin)
  const site = headers['sec-fetch-site']
  if (site !== undefined) return site === 'same-origin' || site === 'none'
  return method === 'GET' || method === 'HEAD'
}
