import { hash } from 'node:crypto'
import { createListener } from '#db/listener.ts'
import type { Db } from '#db/pool.ts'
import { createBoundedCache } from '#lib/bounded-cache.ts'
import { AppError } from '#src/errors.ts'
import { isSecretShaped, KEY_CHANNEL } from './keys.ts'
import { type Scope, scopeSet } from './scopes.ts'

/** Who calls: everything that admission needs to know of a key. */
export interface AuthenticatedKey {
  keyId: string
  projectId: string
  walletId: bigint
  account: string
  /** What the key may do: requireScope() refuses the rest. */
  scopes: ReadonlySet<Scope>
}

export interface KeyringOptions {
  db: Db
  /** How long an answer of the database is believed. */
  ttlMs?: number
  entriesMax?: number
  /** A database that says nothing for so long is away. */
  loadMsMax?: number
  /** Revocations are not heard for a while; until then answers are believed for TTL_MS_DEAF at most. */
  onInterrupted?: (error: unknown) => void
}

// A secret that does not exist may be created in the next moment; one that exists cannot change unheard.
const TTL_MS_MISS = 1_000
const TTL_MS_DEAF = 1_000
const LOADS_MAX = 1_000

interface Load {
  result: Promise<AuthenticatedKey | undefined>
  /** The key changed while it was being read: the answer is not kept. */
  stale: boolean
}

/**
 * Checks client keys from memory, with the database behind it. A change of a key is heard through LISTEN, so a revoked key
 * is refused everywhere within a second. Secrets are neither kept nor compared: only their SHA-256.
 */
export function createKeyring(options: KeyringOptions) {
  const { db, ttlMs = 5_000, entriesMax = 10_000, loadMsMax = 5_000, onInterrupted = () => undefined } = options
  const hits = createBoundedCache<AuthenticatedKey>({ entriesMax })
  // Apart from the hits, so that a flood of guesses cannot push out the keys in use.
  const misses = createBoundedCache<true>({ entriesMax })
  const loads = new Map<string, Load>()
  let deaf = true

  function forget(digest: string): void {
    hits.delete(digest)
    misses.delete(digest)
    const load = loads.get(digest)
    if (load === undefined) return
    load.stale = true
    loads.delete(digest)
  }

  function forgetAll(): void {
    hits.clear()
    misses.clear()
    for (const load of loads.values()) load.stale = true
    loads.clear()
  }

  const firstHeard = Promise.withResolvers<void>()
  const listener = createListener({
    db,
    channel: KEY_CHANNEL,
    onMessage: forget,
    onListening() {
      forgetAll()
      deaf = false
      firstHeard.resolve()
    },
    onInterrupted(error) {
      forgetAll()
      deaf = true
      onInterrupted(error)
    },
  })

  /** One question to the database, however many callers wait for its answer. */
  function load(digest: string): Promise<AuthenticatedKey | undefined> {
    const running = loads.get(digest)
    if (running !== undefined) return running.result
    if (loads.size >= LOADS_MAX) throw new AppError('overloaded')
    const fresh: Load = { result: read(digest, () => fresh.stale), stale: false }
    loads.set(digest, fresh)
    const done = () => {
      if (loads.get(digest) === fresh) loads.delete(digest)
    }
    fresh.result.then(done, done)
    return fresh.result
  }

  async function read(digest: string, isStale: () => boolean): Promise<AuthenticatedKey | undefined> {
    const found = await findKey(db, digest, loadMsMax)
    if (isStale()) return found?.key
    if (found === undefined) {
      misses.set(digest, true, Math.min(ttlMs, TTL_MS_MISS))
      return undefined
    }
    hits.set(digest, found.key, Math.min(deaf ? TTL_MS_DEAF : ttlMs, ttlMs, found.leftMs))
    return found.key
  }

  return {
    /** The fast path: the key of this secret if it is known now. Undefined says nothing about the secret. */
    peek(secret: string): AuthenticatedKey | undefined {
      return hits.get(digestOf(secret))
    },

    /** Throws AppError: invalid_api_key; ledger_unavailable when it cannot be checked; overloaded. */
    async authenticate(secret: string): Promise<AuthenticatedKey> {
      if (!isSecretShaped(secret)) throw new AppError('invalid_api_key')
      const digest = digestOf(secret)
      const known = hits.get(digest)
      if (known !== undefined) return known
      if (misses.get(digest) === undefined) {
        const key = await load(digest)
        if (key !== undefined) return key
      }
      throw new AppError('invalid_api_key')
    },

    /** Resolves once revocations are heard for the first time. */
    listening: (): Promise<void> => firstHeard.promise,

    close: (): Promise<void> => listener.close(),
  }
}

export type Keyring = ReturnType<typeof createKeyring>

function digestOf(secret: string): string {
  return hash('sha256', secret, 'hex')
}

/** A valid key and how long it stays valid at most, by the database's clock. */
async function findKey(
  db: Db,
  digest: string,
  msMax: number,
): Promise<{ key: AuthenticatedKey; leftMs: number } | undefined> {
  const query = {
    text: `select k.id as "keyId", k.project_id as "projectId", p.wallet_id as "walletId", w.account, k.scopes,
                  (extract(epoch from k.expires_at - now()) * 1000)::float8 as "leftMs"
           from api_key k join project p on p.id = k.project_id join wallet w on w.id = p.wallet_id
           where k.hash = $1 and k.revoked_at is null and (k.expires_at is null or k.expires_at > now())`,
    values: [Buffer.from(digest, 'hex')],
    query_timeout: msMax,
  }
  const { rows } = await db
    .query<Omit<AuthenticatedKey, 'scopes'> & { scopes: Scope[]; leftMs: number | null }>(query)
    .catch((cause: unknown) => {
      // Whatever the reason: what cannot be checked is neither allowed nor called invalid.
      throw new AppError('ledger_unavailable', { cause })
    })
  const [row] = rows
  if (row === undefined) return undefined
  const { leftMs, scopes, ...key } = row
  return { key: { ...key, scopes: scopeSet(scopes) }, leftMs: leftMs ?? Number.POSITIVE_INFINITY }
}
