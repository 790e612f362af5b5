import { hash } from 'node:crypto'
import { type Db, type Tx, transaction } from '#db/pool.ts'
import { type Actor, recordAct } from '#domain/audit-trail.ts'
import { assert } from '#lib/assert.ts'
import { randomText } from '#lib/ids.ts'
import { AppError } from '#src/errors.ts'
import { NAME_CHARS_MAX, requirePlainText } from './plain-text.ts'
import { defaultScopes, type Scope } from './scopes.ts'

/** What may be shown of a key: never the secret, never its hash. */
export interface ApiKey {
  id: string
  projectId: string
  name: string
  /** The last four characters of the secret; nothing of one that is so short that they would give it away. */
  hint: string
  scopes: Scope[]
  /** Made by another system and brought along. */
  legacy: boolean
  createdAt: Date
  expiresAt: Date | null
  revokedAt: Date | null
  /** Late by up to a minute or two. */
  lastUsedAt: Date | null
  /** The key that replaced it. */
  rotatedTo: string | null
}

export const KEYS_PAGE_MAX = 100

/** Keys of a project that are neither revoked nor expired. */
const KEYS_LIVE_MAX = 1_000

/** How long a key that was replaced goes on working. */
export const OVERLAP_SECONDS = { default: 24 * 3600, max: 30 * 24 * 3600 }

/** Every change of a key is announced here, with the hex hash of its secret. */
export const KEY_CHANNEL = 'fluxgate_key'

const PINNED_CHARS_MIN = 24
const SECRET_CHARS_MAX = 255
/** A shorter secret shows no hint. */
const HINTED_CHARS_MIN = 16

const columns = `id, project_id as "projectId", name, hint, scopes, legacy, created_at as "createdAt",
  expires_at as "expiresAt", revoked_at as "revokedAt", last_used_at as "lastUsedAt", rotated_to as "rotatedTo"`
const isLive = 'revoked_at is null and (expires_at is null or expires_at > clock_timestamp())'

/** A pinned or imported key that cannot be used: the message says what to change. */
export class PinnedKeyError extends Error {
  override readonly name = 'PinnedKeyError'
}

export function createKeys(deps: { db: Db }) {
  const { db } = deps
  return {
    /**
     * Makes a key. Its secret is returned here and never again. Throws AppError: body_invalid, not_found, too_many_keys.
     */
    async create(input: {
      projectId: string
      name: string
      scopes?: readonly Scope[]
      expiresAt?: Date
      by?: Actor
    }): Promise<{ key: ApiKey; secret: string }> {
      requirePlainText(input.name, 'name', NAME_CHARS_MAX)
      const secret = newSecret()
      const key = await transaction(db, async (tx) => {
        await inTurn(tx)
        // The project of a person who has left takes no keys any more.
        const { rows } = await tx.query(
          'select 1 from project where id = $1 and (user_id is not null or not personal)',
          [input.projectId],
        )
        if (rows.length === 0) throw new AppError('not_found', { message: 'No project has this id.' })
        await requireFuture(tx, input.expiresAt)
        await requireRoom(tx, input.projectId)
        const { by, ...key } = input
        const made = await insertKey(tx, { ...key, secret })
        if (by !== undefined && made !== undefined)
          await recordAct(tx, { ...by, action: 'key.create', subject: made.id, after: shown(made) })
        return made
      })
      assert(key !== undefined, 'a fresh secret is unique')
      return { key, secret }
    },

    /**
     * Makes a key with a secret that the operator chose; the same secret again finds the same key. Throws PinnedKeyError
     * when it is weak, revoked, or another project's.
     */
    async pin(input: { projectId: string; name: string; secret: string }): Promise<ApiKey> {
      if (input.secret.length < PINNED_CHARS_MIN || !isSecretShaped(input.secret))
        throw new PinnedKeyError(
          `a pinned key must be ${PINNED_CHARS_MIN} to ${SECRET_CHARS_MAX} visible ASCII characters`,
        )
      const key = await transaction(db, (tx) => insertOrFind(tx, input))
      if (key.revokedAt !== null)
        throw new PinnedKeyError(`the pinned key was revoked at ${key.revokedAt.toISOString()}: choose another one`)
      return key
    },

    /** The keys of a project, oldest first, at most `limit` after the key `after`. Throws AppError not_found. */
    async list(
      projectId: string,
      page: { after?: string; limit: number },
    ): Promise<{ keys: ApiKey[]; hasMore: boolean }> {
      assert(page.limit >= 1 && page.limit <= KEYS_PAGE_MAX, 'a page has 1 to KEYS_PAGE_MAX keys')
      const { rows: projects } = await db.query('select 1 from project where id = $1', [projectId])
      if (projects.length === 0) throw new AppError('not_found', { message: 'No project has this id.' })
      const { rows } = await db.query<ApiKey>(
        `select ${columns} from api_key
         where project_id = $1
           and ($2::text is null or (created_at, id) > (select a.created_at, a.id from api_key a where a.id = $2))
         order by created_at, id limit $3`,
        [projectId, page.after ?? null, page.limit + 1],
      )
      return { keys: rows.slice(0, page.limit), hasMore: rows.length > page.limit }
    },

    /** Of any project, or only of `projectId`. Throws AppError not_found. */
    get: (id: string, projectId?: string): Promise<ApiKey> => findKey(db, id, projectId),

    /**
     * Replaces a key: a new one of the same project, name and scopes, whose secret is returned here and never again, while
     * the old one works on for `overlapSeconds` and then expires. Without `expiresAt` the new key lives as long as the old
     * one was made for. Of two rotations at once one wins. Throws AppError: not_found, key_not_rotatable, too_many_keys,
     * body_invalid.
     */
    async rotate(
      id: string,
      options: { projectId?: string; overlapSeconds?: number; expiresAt?: Date | null; by?: Actor },
    ): Promise<{ key: ApiKey; secret: string; replaced: ApiKey }> {
      const { overlapSeconds = OVERLAP_SECONDS.default } = options
      assert(overlapSeconds >= 0 && overlapSeconds <= OVERLAP_SECONDS.max, 'an overlap is 0 to OVERLAP_SECONDS.max')
      const secret = newSecret()
      return transaction(db, async (tx) => {
        await inTurn(tx)
        const old = await findKey(tx, id, options.projectId)
        await requireRotatable(tx, old)
        await requireFuture(tx, options.expiresAt)
        await requireRoom(tx, old.projectId)
        const lifeMs = old.expiresAt === null ? undefined : old.expiresAt.getTime() - old.createdAt.getTime()
        const asLong = lifeMs === undefined ? null : new Date(Date.now() + lifeMs)
        const key = await insertKey(tx, {
          ...{ projectId: old.projectId, name: old.name, scopes: old.scopes, secret },
          expiresAt: options.expiresAt === undefined ? asLong : options.expiresAt,
        })
        assert(key !== undefined, 'a fresh secret is unique')
        // What limited the old one limits the new one.
        await tx.query(
          'update api_key n set allowed_models = o.allowed_models, user_id = o.user_id from api_key o where n.id = $1 and o.id = $2',
          [key.id, id],
        )
        const { rows } = await tx.query<ApiKey>(
          `update api_key set rotated_to = $2,
             expires_at = least(expires_at, clock_timestamp() + make_interval(secs => $3)) where id = $1 returning ${columns}`,
          [id, key.id, overlapSeconds],
        )
        const [replaced] = rows
        assert(replaced !== undefined, 'the key was there a moment ago')
        if (options.by !== undefined)
          await recordAct(tx, {
            ...options.by,
            action: 'key.rotate',
            subject: id,
            before: shown(old),
            after: shown(key),
          })
        return { key, secret, replaced }
      })
    },

    /**
     * Ends a key for good, everywhere within a second. Repeating it changes nothing. Throws AppError not_found, also for a
     * key of another project than `projectId`.
     */
    async revoke(id: string, options: { projectId?: string; by?: Actor } = {}): Promise<ApiKey> {
      return transaction(db, async (tx) => {
        await inTurn(tx)
        const before = await findKey(tx, id, options.projectId)
        if (before.revokedAt !== null) return before
        const { rows } = await tx.query<ApiKey>(
          `update api_key set revoked_at = now() where id = $1 returning ${columns}`,
          [id],
        )
        const key = found(rows)
        if (options.by !== undefined)
          await recordAct(tx, {
            ...options.by,
            action: 'key.revoke',
            subject: id,
            before: shown(before),
            after: shown(key),
          })
        return key
      })
    },
  }
}

export type Keys = ReturnType<typeof createKeys>

/**
 * Brings along a key of another system, so that what its clients send goes on authenticating: its secret, 1 to 255 visible
 * ASCII characters, or the SHA-256 of it. Only the hash is stored. The same key again is found as it is now: one that was
 * revoked here stays so. Keep the transaction short: changes of keys wait for each other. Throws PinnedKeyError, without
 * the secret, when it cannot be a key or is another project's.
 */
export async function importLegacyKey(
  tx: Tx,
  input: { projectId: string; name: string; id?: string } & ({ secret: string } | { sha256: Buffer }),
): Promise<ApiKey> {
  requirePlainText(input.name, 'name', NAME_CHARS_MAX)
  if ('sha256' in input) {
    assert(input.sha256.length === 32, 'a SHA-256 has 32 bytes')
    return insertOrFind(tx, { ...input, legacy: true })
  }
  const secret = input.secret.trim()
  if (!isSecretShaped(secret))
    throw new PinnedKeyError(`a key must be 1 to ${SECRET_CHARS_MAX} visible ASCII characters to be sent in a header`)
  return insertOrFind(tx, { ...input, secret, legacy: true })
}

/** Whether a text could be a secret at all: 1 to 255 visible ASCII characters. */
export function isSecretShaped(text: string): boolean {
  return text.length <= SECRET_CHARS_MAX && /^[!-~]+$/.test(text)
}

function newSecret(): string {
  return `fg_key_${randomText(40)}`
}

function shown({ id, projectId, name, scopes, expiresAt, revokedAt }: ApiKey) {
  return { id, project_id: projectId, name, scopes, expires_at: expiresAt, revoked_at: revokedAt }
}

/** Changes of keys commit one after the other, so that what is checked here still holds when it is written. */
async function inTurn(tx: Tx): Promise<void> {
  await tx.query(`select pg_advisory_xact_lock(hashtextextended(current_schema() || '.key_change', 0))`)
}

async function findKey(db: Db | Tx, id: string, projectId: string | undefined): Promise<ApiKey> {
  const { rows } = await db.query<ApiKey>(
    `select ${columns} from api_key where id = $1 and ($2::text is null or project_id = $2)`,
    [id, projectId ?? null],
  )
  return found(rows)
}

function found(rows: ApiKey[]): ApiKey {
  const [key] = rows
  if (key === undefined) throw new AppError('not_found', { message: 'No key has this id.' })
  return key
}

/** By the database's clock, which decides when a key expires. */
async function requireFuture(tx: Tx, expiresAt: Date | null | undefined): Promise<void> {
  const { rows } = await tx.query<{ late: boolean }>(
    'select coalesce($1::timestamptz <= clock_timestamp(), false) as late',
    [expiresAt ?? null],
  )
  if (rows[0]?.late === true)
    throw new AppError('body_invalid', { message: "'expires_at' must be in the future.", param: 'expires_at' })
}

async function requireRoom(tx: Tx, projectId: string): Promise<void> {
  const { rows } = await tx.query<{ full: boolean }>(
    `select count(*) >= $2 as full from api_key where project_id = $1 and ${isLive}`,
    [projectId, KEYS_LIVE_MAX],
  )
  if (rows[0]?.full === true) throw new AppError('too_many_keys')
}

async function requireRotatable(tx: Tx, key: ApiKey): Promise<void> {
  const refuse = (message: string) => new AppError('key_not_rotatable', { message })
  if (key.rotatedTo !== null) throw refuse(`This key was rotated already, to ${key.rotatedTo}.`)
  if (key.revokedAt !== null) throw refuse('This key was revoked: create a new one.')
  const { rows } = await tx.query(`select 1 from api_key where id = $1 and ${isLive}`, [key.id])
  if (rows.length === 0) throw refuse('This key has expired: create a new one.')
}

interface NewKey {
  /** Chosen before, because records name it already. */
  id?: string
  projectId: string
  name: string
  scopes?: readonly Scope[]
  expiresAt?: Date | null
  legacy?: boolean
}

/** What the database stores of a secret. */
function storedOf(input: { secret: string } | { sha256: Buffer }): { digest: Buffer; hint: string } {
  if ('sha256' in input) return { digest: input.sha256, hint: '' }
  const { secret } = input
  return {
    digest: hash('sha256', secret, 'buffer'),
    hint: secret.length < HINTED_CHARS_MIN ? '' : secret.slice(-4),
  }
}

/** Undefined when a key with this secret exists. */
async function insertKey(
  tx: Tx,
  input: NewKey & ({ secret: string } | { sha256: Buffer }),
): Promise<ApiKey | undefined> {
  const { digest, hint } = storedOf(input)
  const { rows } = await tx.query<ApiKey>(
    `insert into api_key (id, project_id, name, hash, hint, scopes, expires_at, legacy)
     values ($1, $2, $3, $4, $5, $6, $7, $8) on conflict (hash) do nothing returning ${columns}`,
    [
      ...[input.id ?? `key_${randomText(20)}`, input.projectId, input.name, digest, hint],
      ...[input.scopes ?? defaultScopes, input.expiresAt ?? null, input.legacy ?? false],
    ],
  )
  return rows[0]
}

async function insertOrFind(tx: Tx, input: NewKey & ({ secret: string } | { sha256: Buffer })): Promise<ApiKey> {
  const inserted = await insertKey(tx, input)
  if (inserted !== undefined) return inserted
  const { rows } = await tx.query<ApiKey>(`select ${columns} from api_key where hash = $1`, [storedOf(input).digest])
  const [key] = rows
  assert(key !== undefined, 'a key that was not inserted exists')
  if (key.projectId !== input.projectId)
    throw new PinnedKeyError(`the ${what(input)} key belongs to another project, ${key.projectId}: choose another one`)
  return key
}

function what(input: NewKey): string {
  return input.legacy === true ? 'imported' : 'pinned'
}
