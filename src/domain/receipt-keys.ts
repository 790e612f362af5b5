import { RECEIPT_KEYS_MAX, type ReceiptKey, type ReceiptKeys } from '#billing/receipt-keys.ts'
import { type Db, type Tx, transaction } from '#db/pool.ts'
import { assert } from '#lib/assert.ts'
import { AppError } from '#src/errors.ts'
import { recordAct } from './audit-trail.ts'
import { REASON_CHARS_MAX, requirePlainText } from './plain-text.ts'

/**
 * Receipts carry the clock of a gateway, keys that of the database, and after a rotation the calls of the old process are
 * still settled for a while: a key is valid this much longer on both sides.
 */
const KEY_MARGIN = '1 hour'

interface Row {
  key_id: string
  public_key: Buffer
  not_before: Date
  not_after: Date | null
  revoked_at: Date | null
}

/** A signing key that must not be used. */
export class ReceiptKeyError extends Error {
  override readonly name = 'ReceiptKeyError'
}

/**
 * Publishes the key that this process signs with, and retires the others. A key that returns becomes active again. Safe
 * when many processes start at once: one key is active afterwards. Throws ReceiptKeyError for a revoked key.
 */
export async function registerReceiptKey(db: Db, key: { keyId: string; publicKey: Buffer }): Promise<void> {
  await transaction(db, async (tx) => {
    await tx.query(`select pg_advisory_xact_lock(hashtext('fluxgate receipt_key'))`)
    const { rowCount } = await tx.query(
      `insert into receipt_key as k (key_id, public_key, not_before) values ($1, $2, now() - $3::interval)
       on conflict (key_id) do update set not_after = null where k.revoked_at is null and k.public_key = excluded.public_key`,
      [key.keyId, key.publicKey, KEY_MARGIN],
    )
    if (rowCount === 0)
      throw new ReceiptKeyError(`the receipt signing key ${key.keyId} was revoked: configure another one`)
    await tx.query(
      `update receipt_key set not_after = now() + $2::interval where key_id <> $1 and not_after is null and revoked_at is null`,
      [key.keyId, KEY_MARGIN],
    )
  })
}

/** Every key that ever signed, so that old receipts keep verifying; the current one first. */
export async function publicReceiptKeys(db: Db | Tx): Promise<ReceiptKeys> {
  const { rows } = await db.query<Row>(
    `select key_id, public_key, not_before, not_after, revoked_at from receipt_key
     order by not_after is null and revoked_at is null desc, not_before desc, key_id limit $1`,
    [RECEIPT_KEYS_MAX],
  )
  const keys = rows.map(toReceiptKey)
  const [current] = keys
  assert(current?.status === 'active', 'a gateway registers its receipt key before it serves')
  return { current_key_id: current.key_id, keys }
}

/** A key as the operator sees it. */
export interface ListedReceiptKey extends ReceiptKey {
  revoked_reason?: string
}

/** The keys with the reasons that only the operator is told; none on a database where no gateway has run. */
export async function listReceiptKeys(db: Db): Promise<ListedReceiptKey[]> {
  const { rows } = await db.query<Row & { revoked_reason: string | null }>(
    `select key_id, public_key, not_before, not_after, revoked_at, revoked_reason from receipt_key
     order by not_after is null and revoked_at is null desc, not_before desc, key_id limit $1`,
    [RECEIPT_KEYS_MAX],
  )
  return rows.map((row) => ({
    ...toReceiptKey(row),
    ...(row.revoked_reason !== null && { revoked_reason: row.revoked_reason }),
  }))
}

/**
 * Ends a key for good: what it signed is not good any more, but for what witnesses of the log had seen before. Safe to repeat:
 * the first time counts. Throws AppError not_found, body_invalid for the reason, and receipt_key_in_use.
 */
export async function revokeReceiptKey(db: Db, keyId: string, reason: string): Promise<ListedReceiptKey> {
  requirePlainText(reason, 'reason', REASON_CHARS_MAX)
  return transaction(db, async (tx) => {
    await tx.query(`select pg_advisory_xact_lock(hashtext('fluxgate receipt_key'))`)
    const { rows } = await tx.query<Row & { revoked_reason: string | null }>(
      'select key_id, public_key, not_before, not_after, revoked_at, revoked_reason from receipt_key where key_id = $1',
      [keyId],
    )
    const [row] = rows
    if (row === undefined) throw new AppError('not_found', { message: 'No receipt key has this id.' })
    if (row.revoked_at === null && row.not_after === null)
      throw new AppError('receipt_key_in_use', {
        message: 'Gateways sign with this key: start them with another one first, as receipt-key rotate says.',
      })
    const { rows: revoked } = await tx.query<Row & { revoked_reason: string }>(
      `update receipt_key set revoked_at = coalesce(revoked_at, date_trunc('milliseconds', clock_timestamp())),
              revoked_reason = coalesce(revoked_reason, $2) where key_id = $1
       returning key_id, public_key, not_before, not_after, revoked_at, revoked_reason`,
      [keyId, reason],
    )
    const [key] = revoked
    assert(key !== undefined, 'a key that is locked stays')
    if (row.revoked_at === null)
      await recordAct(tx, { actor: 'cli', action: 'receipt_key.revoke', subject: keyId, after: { reason } })
    return { ...toReceiptKey(key), revoked_reason: key.revoked_reason }
  })
}

function toReceiptKey(row: Row): ReceiptKey {
  return {
    key_id: row.key_id,
    public_key: row.public_key.toString('base64url'),
    algorithm: 'Ed25519',
    format: 'base64url',
    not_before: row.not_before.toISOString(),
    ...(row.not_after && { not_after: row.not_after.toISOString() }),
    status: row.revoked_at !== null ? 'revoked' : row.not_after !== null ? 'retired' : 'active',
    ...(row.revoked_at && { revoked_at: row.revoked_at.toISOString() }),
  }
}
