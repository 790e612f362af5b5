import { encodeLogEntry, LOG_ENTRY_VERSION, type LogEntry } from '#billing/log-entry.ts'
import { leafHash } from '#billing/merkle.ts'
import { compareEntries } from '#billing/summarize-entries.ts'
import { isUsageKind, type Usage } from '#billing/usage.ts'
import type { Db, Tx } from '#db/pool.ts'
import { assert } from '#lib/assert.ts'

/** Rows of one question. Between two of them others get their turn of the event loop. */
const CHUNK_ROWS = 1_000

interface Row {
  log_id: string
  account: string
  project_key: string
  key_id: string
  occurred_at: string
  received_at: string
  provider: string
  model: string
  alias_name: string | null
  profile: string
  origin: string | null
  id_at_origin: string | null
  input_tokens: bigint
  output_tokens: bigint
  cached_input_tokens: bigint
  usage: string
  latency_ms: bigint | null
  cost: bigint | null
  cost_status: string
  price_book: string | null
  reported_cost: string | null
  metadata_hash: string | null
  conversation_id: string | null
  imported_from: string | null
}

export interface CertifiableEntry {
  entry: LogEntry
  /** Hash of its canonical text. */
  leaf: Buffer
}

/** The entries of these logs, each of which has to exist, in the order of their leaves. */
export async function readEntries(db: Db | Tx, ids: readonly string[]): Promise<CertifiableEntry[]> {
  const entries: CertifiableEntry[] = []
  for (let at = 0; at < ids.length; at += CHUNK_ROWS) {
    const { rows } = await db.query<Row>(
      `select r.id as log_id, w.account, r.project_id as project_key, r.key_id,
              to_char(r.occurred_at at time zone 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"') as occurred_at,
              to_char(r.received_at at time zone 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"') as received_at,
              r.provider, r.model, r.alias_name, r.profile, r.origin, r.id_at_origin,
              r.input_tokens, r.output_tokens, r.cached_input_tokens, r.usage, r.latency_ms, r.cost, r.cost_status,
              r.price_book, trim_scale(r.reported_cost)::text as reported_cost, r.conversation_id, r.imported_from,
              case when r.metadata <> '{}' then encode(sha256(convert_to(r.metadata, 'UTF8')), 'hex') end as metadata_hash
       from reported_log r join wallet w on w.id = r.wallet_id where r.id = any ($1::uuid[])`,
      [ids.slice(at, at + CHUNK_ROWS)],
    )
    for (const row of rows) {
      const entry = toEntry(row)
      entries.push({ entry, leaf: leafHash(encodeLogEntry(entry)) })
    }
  }
  assert(entries.length === ids.length, 'a log that was selected exists')
  return entries.sort((left, right) => compareEntries(left.entry, right.entry))
}

function toEntry(row: Row): LogEntry {
  return {
    v: LOG_ENTRY_VERSION,
    source: 'reported',
    log_id: row.log_id,
    account: row.account,
    project_key: row.project_key,
    key_id: row.key_id,
    occurred_at: row.occurred_at,
    received_at: row.received_at,
    provider: row.provider,
    model: row.model,
    model_used: row.model,
    profile: row.profile,
    input_tokens: Number(row.input_tokens),
    output_tokens: Number(row.output_tokens),
    cached_input_tokens: Number(row.cached_input_tokens),
    usage: toUsage(row.usage),
    cost_status: row.cost_status,
    ...(row.alias_name !== null && { alias_name: row.alias_name }),
    ...(row.origin !== null && { origin: row.origin }),
    ...(row.id_at_origin !== null && { id_at_origin: row.id_at_origin }),
    ...(row.latency_ms !== null && { latency_ms: Number(row.latency_ms) }),
    ...(row.cost !== null && { cost_nanousd: row.cost.toString() }),
    ...(row.price_book !== null && { price_book: row.price_book }),
    ...(row.reported_cost !== null && { reported_cost: row.reported_cost }),
    ...(row.metadata_hash !== null && { metadata_digest: `sha256:${row.metadata_hash}` }),
    ...(row.conversation_id !== null && { conversation_id: row.conversation_id }),
    ...(row.imported_from !== null && { imported_from: row.imported_from }),
  }
}

/** Kinds without units are not stated. */
function toUsage(text: string): Usage {
  const stored = JSON.parse(text) as Record<string, unknown>
  const kinds = Object.entries(stored).filter(([kind, units]) => isUsageKind(kind) && Number(units) > 0)
  return Object.fromEntries(kinds) as Usage
}
