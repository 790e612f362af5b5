import { type Db, type Tx, transaction } from '#db/pool.ts'
import { type ImportRun, readProgress, writeProgress } from './import-run.ts'
import { findPayload, type LegacyKey, legacyKey, type SignedMembers } from './legacy-payload.ts'
import { sha256 } from './llmring-owners.ts'
import { type LlmringShape, tableName } from './llmring-shape.ts'
import { columnOf, momentOf, ownedRows, textOf } from './llmring-sql.ts'
import type { Tenants } from './llmring-tenants.ts'
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

export interface LegacyReceipt {
  payload: string
  keyId: string | null
  unsigned: string
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

/** Copies receipts that are not here yet. Returns how many rows were looked at. */
export async function copyReceipts(context: {
  source: Db
  target: Db
  shape: LlmringShape
  run: ImportRun
  tenants: Tenants
  keys: readonly LegacyKey[]
  batchRows: number
}): Promise<void> {
  const { source, target, shape, run, tenants, keys, batchRows } = context
  const sql = receiptRows(shape)
  if (sql === undefined) return
  for (;;) {
    const from = await readProgress(target, run.name, RELATION)
    const { rows } = await source.query<SourceReceipt>(sql, [run.timeZone, from.last, batchRows])
    await transaction(target, async (tx) => {
      const fresh = await notYetHere(tx, run.name, rows)
      const counts: Record<string, number> = {}
      for (const row of fresh) {
        const outcome = await insertReceipt(tx, run.name, tenants, keys, row)
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
  keys: readonly LegacyKey[],
  row: SourceReceipt,
): Promise<string> {
  const projectId = tenants.projectOf(row.ownerKind, sha256(row.owner))
  const receipt = legacyReceipt(name, row, keys)
  const { rowCount } = await tx.query(
    `insert into legacy_receipt (receipt_id, project_id, payload, signature, key_id, unsigned, alias_name, model_used, issued_at)
     select $1, $2, $3, $4, $5, $6, $7, $8, $9::timestamp at time zone 'UTC'
     where $2::text is not null and not exists (select from legacy_receipt where receipt_id = $1)`,
    [
      row.receiptId,
      projectId ?? null,
      receipt.payload,
      row.signature,
      receipt.keyId,
      receipt.unsigned,
      row.alias,
      row.model,
      row.at,
    ],
  )
  if (rowCount === 1) return receipt.keyId === null ? 'without_a_known_key' : 'verified'
  const reason = projectId === undefined ? 'owner_unknown' : 'id_taken'
  await insertQuarantined(tx, { importName: name, relation: RELATION }, [
    {
      sourceId: row.id,
      reason,
      projectId: projectId ?? null,
      input: null,
      output: null,
      cost: null,
      row: { payload: receipt.payload, signature: row.signature },
    },
  ])
  return reason
}

/** What is stored of a receipt: the signed text, and beside it everything that was never signed, but for who owned it. */
export function legacyReceipt(name: string, row: SourceReceipt, keys: readonly LegacyKey[]): LegacyReceipt {
  const { payload, keyId } = findPayload(signedMembers(row), row.at, row.signature, keys)
  const unsigned = {
    imported_from: name,
    source_id: row.id,
    ...(JSON.parse(row.whole) as Record<string, unknown>),
    ...(row.logs !== null && { logs: JSON.parse(row.logs) as unknown }),
  }
  return { payload, keyId, unsigned: JSON.stringify(unsigned) }
}

function signedMembers(row: SourceReceipt): SignedMembers {
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
export async function addLegacyKeys(db: Db, keys: readonly LegacyKey[]): Promise<void> {
  for (const { keyId, publicKey } of keys) {
    await db.query('insert into legacy_receipt_key (key_id, public_key) values ($1, $2) on conflict do nothing', [
      keyId,
      publicKey,
    ])
    const { rowCount } = await db.query('select from legacy_receipt_key where public_key = $1', [publicKey])
    if (rowCount === 0)
      throw new ImportRefused(`the key id ${keyId} stands for another key already: name this one KEYID=KEY`)
  }
}

/** Every public key that an import was given so far. */
export async function knownLegacyKeys(db: Db): Promise<LegacyKey[]> {
  const { rows } = await db.query<{ keyId: string; publicKey: Buffer }>(
    'select key_id as "keyId", public_key as "publicKey" from legacy_receipt_key order by key_id',
  )
  return rows.map(({ keyId, publicKey }) => legacyKey(keyId, publicKey))
}
