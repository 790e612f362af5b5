import { hash } from 'node:crypto'
import { type Db, type Tx, transaction } from '#db/pool.ts'
import { assert } from '#lib/assert.ts'
import { randomText } from '#lib/ids.ts'
import { AppError } from '#src/errors.ts'
import { NAME_CHARS_MAX, requirePlainText } from './plain-text.ts'

/** What may be shown of a key: never the secret, never its hash. */
export interface ApiKey {
  id: string
  projectId: string
  name: string
  /** The last four characters of the secret. */
  hint: string
  createdAt: Date
  expiresAt: Date | null
  revokedAt: Date | null
}

export const KEYS_PAGE_MAX = 100

/** Every change of a key is announced here, with the hex hash of its secret. */
export const KEY_CHANNEL = 'fluxgate_key'

const PINNED_CHARS_MIN = 24
const SECRET_CHARS_MAX = 255

const columns = `id, project_id as "projectId", name, hint, created_at as "createdAt", expires_at as "expiresAt",
  revoked_at as "revokedAt"`

/** A pinned key that cannot be used: the message says what to change. */
export class PinnedKeyError extends Error {
  override readonly name = 'PinnedKeyError'
}

export function createKeys(deps: { db: Db }) {
  const { db } = deps
  return {
    /** Makes a key. Its secret is returned here and never again. Throws AppError: body_invalid, not_found. */
    async create(input: {
      projectId: string
      name: string
      expiresAt?: Date
    }): Promise<{ key: ApiKey; secret: string }> {
      requirePlainText(input.name, 'name', NAME_CHARS_MAX)
      const secret = `fg_key_${randomText(40)}`
      const key = await transaction(db, async (tx) => {
        const { rows } = await tx.query<{ late: boolean }>(
          'select coalesce($2::timestamptz <= now(), false) as late from project where id = $1',
          [input.projectId, input.expiresAt ?? null],
        )
        if (rows[0] === undefined) throw new AppError('not_found', { message: 'No project has this id.' })
        if (rows[0].late)
          throw new AppError('body_invalid', { message: "'expires_at' must be in the future.", param: 'expires_at' })
        return insertKey(tx, { ...input, secret })
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
      return transaction(db, async (tx) => {
        const inserted = await insertKey(tx, input)
        if (inserted !== undefined) return inserted
        const { rows } = await tx.query<ApiKey>(`select ${columns} from api_key where hash = $1`, [
          hashSecret(input.secret),
        ])
        const [key] = rows
        assert(key !== undefined, 'a key that was not inserted exists')
        if (key.projectId !== input.projectId)
          throw new PinnedKeyError(`the pinned key belongs to another project, ${key.projectId}: choose another one`)
        if (key.revokedAt !== null)
          throw new PinnedKeyError(`the pinned key was revoked at ${key.revokedAt.toISOString()}: choose another one`)
        return key
      })
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

    /** Ends a key for good, everywhere within a second. Repeating it changes nothing. Throws AppError not_found. */
    async revoke(id: string): Promise<ApiKey> {
      return transaction(db, async (tx) => {
        const { rows } = await tx.query<ApiKey & { hash: Buffer }>(
          `update api_key set revoked_at = coalesce(revoked_at, now()) where id = $1 returning ${columns}, hash`,
          [id],
        )
        const [row] = rows
        if (row === undefined) throw new AppError('not_found', { message: 'No key has this id.' })
        const { hash: digest, ...key } = row
        await announce(tx, digest)
        return key
      })
    },
  }
}

export type Keys = ReturnType<typeof createKeys>

/** What the database stores of a secret. */
function hashSecret(secret: string): Buffer {
  return hash('sha256', secret, 'buffer')
}

/** Whether a text could be a secret at all: 1 to 255 visible ASCII characters. */
export function isSecretShaped(text: string): boolean {
  return text.length <= SECRET_CHARS_MAX && /^[!-~]+$/.test(text)
}

/** Undefined when a key with this secret exists. */
async function insertKey(
  tx: Tx,
  input: { projectId: string; name: string; secret: string; expiresAt?: Date },
): Promise<ApiKey | undefined> {
  const digest = hashSecret(input.secret)
  const { rows } = await tx.query<ApiKey>(
    `insert into api_key (id, project_id, name, hash, hint, expires_at) values ($1, $2, $3, $4, $5, $6)
     on conflict (hash) do nothing returning ${columns}`,
    [`key_${randomText(20)}`, input.projectId, input.name, digest, input.secret.slice(-4), input.expiresAt ?? null],
  )
  const [key] = rows
  // Somebody may have tried the secret before it existed, and remembers that it does not.
  if (key !== undefined) await announce(tx, digest)
  return key
}

/** Delivered when the transaction commits, to every process that listens. */
async function announce(tx: Tx, digest: Buffer): Promise<void> {
  await tx.query('select pg_notify($1, $2)', [KEY_CHANNEL, digest.toString('hex')])
}
