import { hash } from 'node:crypto'
import type { Db } from '#db/pool.ts'
import { createBoundedCache } from '#lib/bounded-cache.ts'
import { AppError } from '#src/errors.ts'
import { limitsOf, type ModelLimits } from './allowed-models.ts'
import { BELIEVED_MS, createKeyFeed } from './key-feed.ts'
import { createKeyUse } from './key-use.ts'
import { isSecretShaped } from './keys.ts'
import { type CallerLimits, callerLimits } from './limits/rate-limit.ts'
import { type Scope, scopeSet } from './scopes.ts'

/** Who calls: everything that admission needs to know of a key. */
export interface AuthenticatedKey extends ModelLimits, CallerLimits {
  keyId: string
  projectId: string
  walletId: bigint
  account: string
  /** What the key may do: requireScope() refuses the rest. */
  scopes: ReadonlySet<Scope>
  /** The project is one person's: its wallet is that person's balance. */
  personal: boolean
  /** Whose key it is: of a personal project that person's, in a shared one a member's or nobody's. */
  userId: string | null
  /** There is no key: the person has a session, or a token of another issuer. */
  signedIn?: true
}

export interface KeyringOptions {
  db: Db
  /** How long a key is believed that nobody says has changed. */
  ttlMs?: number
  entriesMax?: number
  /** A database that says nothing for so long is away. */
  loadMsMax?: number
  /** How often the last use of a key is written at most. */
  useEveryMs?: number
  /** Revocations are not heard for a while; until then keys are believed for less than a second. */
  onInterrupted?: (error: unknown) => void
  /** The last use of some keys could not be written. */
  onUseLost?: (error: unknown) => void
}

// A secret that does not exist may be created in the next moment; one that exists cannot change unheard.
const TTL_MS_MISS = 1_000
const LOADS_MAX = 1_000

interface Hit {
  key: AuthenticatedKey
  /** When the database was asked, by performance.now(). */
  askedAt: number
}

interface Load {
  result: Promise<AuthenticatedKey | undefined>
  /** The key changed while it was being read: the answer is not kept. */
  stale: boolean
}

/**
 * Checks client keys from memory, with the database behind it. A revoked key is refused everywhere within a second: changes
 * are heard, and what is in memory is believed only while the database keeps saying that all of them were. Secrets are
 * neither kept nor compared: only their SHA-256.
 */
export function createKeyring(options: KeyringOptions) {
  const { db, ttlMs = 60_000, entriesMax = 10_000, loadMsMax = 5_000, useEveryMs, onUseLost } = options
  const hits = createBoundedCache<Hit>({ entriesMax })
  // Apart from the hits, so that a flood of guesses cannot push out the keys in use.
  const misses = createBoundedCache<true>({ entriesMax })
  const loads = new Map<string, Load>()
  const use = createKeyUse({
    db,
    ...(useEveryMs !== undefined && { everyMs: useEveryMs }),
    ...(onUseLost !== undefined && { onError: onUseLost }),
  })

  const feed = createKeyFeed({
    db,
    onChanged(digest) {
      hits.delete(digest)
      misses.delete(digest)
      const load = loads.get(digest)
      if (load === undefined) return
      load.stale = true
      loads.delete(digest)
    },
    onUnknown() {
      hits.clear()
      misses.clear()
      for (const load of loads.values()) load.stale = true
      loads.clear()
    },
    onInterrupted: options.onInterrupted ?? (() => undefined),
  })

  function known(digest: string): AuthenticatedKey | undefined {
    const hit = hits.get(digest)
    if (hit === undefined) return undefined
    const now = performance.now()
    if (now >= feed.believedUntil() && now >= hit.askedAt + BELIEVED_MS) return undefined
    use.note(hit.key.keyId, now)
    return hit.key
  }

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
    const askedAt = performance.now()
    const found = await findKey(db, digest, loadMsMax)
    if (found === undefined) {
      if (!isStale()) misses.set(digest, true, Math.min(ttlMs, TTL_MS_MISS))
      return undefined
    }
    if (!isStale()) hits.set(digest, { key: found.key, askedAt }, Math.min(ttlMs, found.leftMs))
    use.note(found.key.keyId, askedAt)
    return found.key
  }

  return {
    /** The fast path: the key of this secret if it is known now. Undefined says nothing about the secret. */
    peek: (secret: string): AuthenticatedKey | undefined => known(digestOf(secret)),

    /** Throws AppError: invalid_api_key; ledger_unavailable when it cannot be checked; overloaded. */
    async authenticate(secret: string): Promise<AuthenticatedKey> {
      if (!isSecretShaped(secret)) throw new AppError('invalid_api_key')
      const digest = digestOf(secret)
      const hit = known(digest)
      if (hit !== undefined) return hit
      if (misses.get(digest) === undefined) {
        const key = await load(digest)
        if (key !== undefined) return key
      }
      throw new AppError('invalid_api_key')
    },

    /** Resolves once revocations are heard for the first time. */
    listening: (): Promise<void> => feed.listening(),

    async close(): Promise<void> {
      await Promise.all([feed.close(), use.close()])
    },
  }
}

export type Keyring = ReturnType<typeof createKeyring>

function digestOf(secret: string): string {
  return hash('sha256', secret, 'hex')
}

interface Row extends Omit<AuthenticatedKey, 'scopes' | 'allowedModels' | 'rateLimits'> {
  scopes: Scope[]
  leftMs: number | null
  projectModels: string[] | null
  keyModels: string[] | null
  projectRates: string | null
  keyRates: string | null
}

/** A valid key and how long it stays valid at most, by the database's clock. */
async function findKey(
  db: Db,
  digest: string,
  msMax: number,
): Promise<{ key: AuthenticatedKey; leftMs: number } | undefined> {
  const query = {
    text: `select k.id as "keyId", k.project_id as "projectId", p.wallet_id as "walletId", w.account, k.scopes,
                  p.personal, coalesce(p.user_id, k.user_id) as "userId",
                  p.allowed_models as "projectModels", k.allowed_models as "keyModels",
                  p.rate_limits as "projectRates", k.rate_limits as "keyRates",
                  (extract(epoch from k.expires_at - now()) * 1000)::float8 as "leftMs"
           from api_key k join project p on p.id = k.project_id join wallet w on w.id = p.wallet_id
           where k.hash = $1 and k.revoked_at is null and (k.expires_at is null or k.expires_at > now())
             and not exists (select from auth_user u where u.id = coalesce(p.user_id, k.user_id)
                             and u.banned and (u.ban_expires_at is null or u.ban_expires_at > now()))`,
    values: [Buffer.from(digest, 'hex')],
    query_timeout: msMax,
  }
  const { rows } = await db.query<Row>(query).catch((cause: unknown) => {
    // Whatever the reason: what cannot be checked is neither allowed nor called invalid.
    throw new AppError('ledger_unavailable', { cause })
  })
  const [row] = rows
  if (row === undefined) return undefined
  const { leftMs, scopes, projectModels, keyModels, projectRates, keyRates, ...key } = row
  return {
    key: {
      ...key,
      scopes: scopeSet(scopes),
      ...limitsOf(projectModels, keyModels),
      ...callerLimits(projectRates, keyRates),
    },
    leftMs: leftMs ?? Number.POSITIVE_INFINITY,
  }
}
