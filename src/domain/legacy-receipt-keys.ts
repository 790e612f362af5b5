import { hash } from 'node:crypto'
import type { Db, Tx } from '#db/pool.ts'

/** More than one installation ever had. */
const LEGACY_KEYS_MAX = 100
const PUBLIC_KEY_BYTES = 32

/** A public key of llmring-server whose receipts were taken over. */
export interface LegacyReceiptKey {
  keyId: string
  publicKey: Buffer<ArrayBuffer>
}

/** Makes a public key of llmring-server known, under its own name or the one that llmring gives. Returns the name. */
export async function addLegacyReceiptKey(tx: Tx, publicKey: Uint8Array, keyId?: string): Promise<string> {
  if (publicKey.byteLength !== PUBLIC_KEY_BYTES) throw new RangeError(`a public key is ${PUBLIC_KEY_BYTES} bytes`)
  const text = Buffer.from(publicKey).toString('base64url')
  const name = keyId ?? `key_${hash('sha256', text, 'hex').slice(0, 16)}`
  const { rows: known } = await tx.query<{ key_id: string; same: boolean }>(
    'select key_id, public_key = $2 as same from legacy_receipt_key where key_id = $1 or public_key = $2',
    [name, Buffer.from(publicKey)],
  )
  const same = known.find((row) => row.same)
  if (same !== undefined) return same.key_id
  if (known.length > 0) throw new Error(`another key is named ${name} already`)
  const { rows } = await tx.query<{ n: bigint }>('select count(*) as n from legacy_receipt_key')
  if (Number(rows[0]?.n) >= LEGACY_KEYS_MAX) throw new Error(`there are ${LEGACY_KEYS_MAX} keys of llmring already`)
  await tx.query('insert into legacy_receipt_key (key_id, public_key) values ($1, $2)', [name, Buffer.from(publicKey)])
  return name
}

/** In the order in which they were added. */
export async function readLegacyReceiptKeys(db: Db | Tx): Promise<LegacyReceiptKey[]> {
  const { rows } = await db.query<LegacyReceiptKey>(
    'select key_id as "keyId", public_key as "publicKey" from legacy_receipt_key order by added_at, key_id limit $1',
    [LEGACY_KEYS_MAX],
  )
  return rows
}
