import { isDeepStrictEqual } from 'node:util'
import { type LlmringReceipt, llmringText, verifyLlmringReceipt } from '#billing/llmring-receipt.ts'
import { type Db, type Tx, transaction } from '#db/pool.ts'
import { addLegacyReceiptKey } from '#domain/legacy-receipt-keys.ts'
import { importLegacyReceipt, membersOfPayload } from '#domain/legacy-receipts.ts'
import { parseIsoTime } from '#lib/iso-time.ts'
import { type ImportRun, readProgress, writeProgress } from './import-run.ts'
import { sha256 } from './llmring-owners.ts'
import { type LlmringShape, tableName } from './llmring-shape.ts'
import { columnOf, momentOf, ownedRows, textOf } from './llmring-sql.ts'
import type { Tenants } from './llmring-tenants.ts'
import type { ReceiptKey } from './receipt-key-option.ts'
import { addCounts, ImportRefused } from './report.ts'
import { insertQuarantined } from './reported-batch.ts'

const RELATION = 'receipts'

export interface SourceReceipt {
  id: string
  receiptId: string
  ownerKind: string
  owner: string
  signature: string
  /** The stored time as UTC, with microseconds. */
  at: string
  tokens: Record<string, unknown>
  cost: Record<string, unknown>
  model: string
  alias: string | null
  profile: string | null
  provider: string | null
  lockDigest: string | null
  /** The whole row as JSON, without its signature and the header of its owner. */
  whole: string
  /** Which logs it was issued for, as JSON. */
  logs: string | null
}

/** SQL for pages of receipts: `$1` the zone, `$2` the last id, `$3` how many. */
export function receiptRows(shape: LlmringShape): string | undefined {
  const { receipts } = shape
  if (receipts === undefined) return undefined
  const rows = ownedRows(shape, 'receipts')
  const logs = shape.receiptLogs
    ? `(select json_agg(l order by l.log_id)::text from (select log_id, log_type, certified_at
         from ${tableName(shape, 'receipt_logs')} l where l.receipt_id = ${columnOf('u', receipts.receiptId)}) l)`
    : 'null::text'
  const id = columnOf('u', receipts.id)
  const secretColumn = `'${(receipts.header?.column ?? 'api_key_id').replaceAll("'", "''")}'`
  return `select ${id}::text as id, ${textOf('u', receipts.receiptId)} as "receiptId", ${rows.ownerKind} as "ownerKind",
      ${rows.owner} as owner, ${textOf('u', receipts.signature)} as signature,
      to_char(${momentOf('u', receipts.at, '$1::text')} at time zone 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US') as at,
      ${columnOf('u', receipts.tokens)} as tokens, ${columnOf('u', receipts.cost)} as cost, ${textOf('u', receipts.model)} as model,
      ${textOf('u', receipts.alias)} as alias, ${textOf('u', receipts.profile)} as profile, ${textOf('u', receipts.provider)} as provider,
      ${textOf('u', receipts.lockDigest)} as "lockDigest", (to_jsonb(u) - array['signature', ${secretColumn}])::text as whole, ${logs} as logs
    from ${rows.from} where $2::text is null or ${id} > $2::${receipts.id.type} order by ${id} limit $3`
}

/** Copies receipts that are not here yet, each with the exact bytes that were signed. */
export async function copyReceipts(context: {
  source: Db
  target: Db
  shape: LlmringShape
  run: ImportRun
  tenants: Tenants
  batchRows: number
}): Promise<void> {
  const { source, target, shape, run, tenants, batchRows } = context
  const sql = receiptRows(shape)
  if (sql === undefined) return
  for (;;) {
    const from = await readProgress(target, run.name, RELATION)
    const { rows } = await source.query<SourceReceipt>(sql, [run.timeZone, from.last, batchRows])
    await transaction(target, async (tx) => {
      const fresh = await notYetHere(tx, run.name, rows)
      const counts: Record<string, number> = {}
      let shiftMinutes: number | undefined
      for (const row of fresh) {
        const { outcome, shift } = await insertReceipt(tx, run.name, tenants, row, shiftMinutes)
        shiftMinutes = shift
        counts[outcome] = (counts[outcome] ?? 0) + 1
      }
      const ended = rows.length < batchRows
      await writeProgress(tx, {
        name: run.name,
        relation: RELATION,
        from,
        to: {
          pass: ended ? from.pass + 1 : from.pass,
          last: ended ? null : (rows.at(-1)?.id ?? null),
          copied: from.copied + BigInt(fresh.length),
          counts: addCounts(from.counts, counts),
        },
      })
    })
    if (rows.length < batchRows) return
  }
}

async function notYetHere(tx: Tx, name: string, rows: readonly SourceReceipt[]): Promise<SourceReceipt[]> {
  const { rows: here } = await tx.query<{ id: string }>(
    `select q.source_id as id from import_quarantine q where q.import = $1 and q.relation = $2 and q.source_id = any ($3::text[])
     union all
     select (unsigned::jsonb ->> 'source_id') from legacy_receipt
     where receipt_id = any ($4::text[]) and unsigned::jsonb ->> 'imported_from' = $1`,
    [name, RELATION, rows.map(({ id }) => id), rows.map(({ receiptId }) => receiptId)],
  )
  const known = new Set(here.map(({ id }) => id))
  return rows.filter(({ id }) => !known.has(id))
}

async function insertReceipt(
  tx: Tx,
  name: string,
  tenants: Tenants,
  row: SourceReceipt,
  shiftMinutes: number | undefined,
): Promise<{ outcome: string; shift?: number }> {
  const projectId = tenants.projectOf(row.ownerKind, sha256(row.owner))
  const timestamp = `${row.at}+00:00`
  const setAside = async (reason: string) => {
    const { id, receiptId, signature, at, tokens, cost, model, alias, profile, provider, lockDigest } = row
    const kept = { receiptId, signature, at, tokens, cost, model, alias, profile, provider, lockDigest }
    const figures = { input: null, output: null, cost: null }
    await insertQuarantined(tx, { importName: name, relation: RELATION }, [
      { sourceId: id, reason, projectId: projectId ?? null, ...figures, row: kept },
    ])
    return { outcome: reason }
  }
  if (projectId === undefined) return setAside('owner_unknown')
  if (parseIsoTime(timestamp) === undefined) return setAside('time_out_of_range')
  const {
    status,
    keyId,
    shiftMinutes: shift,
  } = await importLegacyReceipt(tx, {
    projectId,
    receipt: { ...signedMembers(row), timestamp },
    signature: row.signature,
    unsigned: {
      imported_from: name,
      source_id: row.id,
      ...(JSON.parse(row.whole) as Record<string, unknown>),
      ...(row.logs !== null && { logs: JSON.parse(row.logs) as unknown }),
    },
    shiftMinutes,
  })
  if (status === 'differs') return setAside('id_taken')
  return { outcome: keyId === null ? 'without_a_known_key' : 'verified', shift }
}

/** A receipt as it is kept here. */
export interface StoredReceipt {
  payload: string
  signature: string
  keyId: string | null
}

/** Whether a kept receipt says what the source says, in the one form of it that could be signed; the time may be of another zone. */
export function saysTheSame(row: SourceReceipt, stored: StoredReceipt): boolean {
  const { timestamp, ...members } = membersOfPayload(stored.payload)
  return (
    isDeepStrictEqual(members, signedMembers(row)) &&
    llmringText({ ...members, timestamp }) === stored.payload &&
    stored.signature === row.signature
  )
}

/** Whether the key that it names signed it, by the verifier that customers use. */
export async function isSigned(db: Db | Tx, stored: StoredReceipt): Promise<boolean> {
  const { rows } = await db.query<{ key_id: string; public_key: Buffer }>(
    'select key_id, public_key from legacy_receipt_key where key_id = $1',
    [stored.keyId],
  )
  const keys = rows.map(({ key_id, public_key }) => ({
    key_id,
    public_key: new Uint8Array(public_key),
    revoked: false,
  }))
  return (await verifyLlmringReceipt(membersOfPayload(stored.payload), stored.signature, keys)).valid
}

function signedMembers(row: SourceReceipt): Omit<LlmringReceipt, 'timestamp'> {
  const [input, output] = [numberOf(row.tokens.input), numberOf(row.tokens.output)]
  return {
    receipt_id: row.receiptId,
    alias: row.alias ?? '',
    profile: row.profile ?? 'default',
    lock_digest: row.lockDigest ?? '',
    provider: row.provider ?? 'unknown',
    model: row.model,
    prompt_tokens: input,
    completion_tokens: output,
    total_tokens: input + output,
    input_cost: numberOf(row.cost.input),
    output_cost: numberOf(row.cost.output),
    total_cost: numberOf(row.cost.total ?? row.cost.amount),
  }
}

function numberOf(value: unknown): number {
  return typeof value === 'number' && Number.isFinite(value)
    ? value
    : Number(typeof value === 'string' ? value : 0) || 0
}

/** Keeps public keys of the old server. Throws ImportRefused when an id stands for another key already. */
export async function addReceiptKeys(db: Db, keys: readonly ReceiptKey[]): Promise<void> {
  for (const { publicKey, keyId } of keys) {
    try {
      await transaction(db, (tx) => addLegacyReceiptKey(tx, publicKey, keyId))
    } catch (cause) {
      throw new ImportRefused(`--receipt-public-key: ${cause instanceof Error ? cause.message : String(cause)}`, {
        cause,
      })
    }
  }
}
