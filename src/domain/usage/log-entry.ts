import { outcomeNumbers } from '#billing/outcome.ts'
import type { UsageOrigin } from './usage-filter.ts'

/** One call, as either table keeps it. */
export interface LogEntry {
  /** UUID with dashes. */
  id: string
  source: UsageOrigin
  /** ISO 8601, UTC, to the microsecond. */
  occurredAt: string
  receivedAt: string
  projectId: string | null
  keyId: string
  provider: string
  /** What served the call; where that is not known, what was asked for. */
  model: string
  modelRequested: string
  aliasName: string | null
  profile: string | null
  origin: string | null
  idAtOrigin: string | null
  conversationId: string | null
  inputTokens: bigint
  outputTokens: bigint
  cachedInputTokens: bigint
  /** What the wallet was charged; of reported usage what the price book says, or null where nobody knows. */
  costNanos: bigint | null
  costStatus: string
  /** Dollars, as the client reckoned. */
  reportedCost: string | null
  outcome: string | null
  latencyMs: bigint | null
  /** Of the receipt of a call, or of the certificate that vouches for a report. */
  receiptId: string | null
  /** JSON. */
  metadata: string
}

/** A row of the statements below. Times are PostgreSQL's own text, which unlike Date keeps microseconds. */
export interface LogRow extends Omit<LogEntry, 'source' | 'outcome'> {
  source: number
  outcome: number | null
}

// The same columns of both tables, in one order. A string in JSON has its quotes escaped, so the text ',"usage":{' stands
// in a receipt only where its usage begins, and ends with the next brace.
export const logColumns: Readonly<Record<UsageOrigin, string>> = {
  gateway: `l.request_id as id, 1 as source, l.settled_at as at, l.settled_at as received, l.project_id, l.key_id, l.provider,
    coalesce(l.model_used, l.model) as model, l.model as model_requested, l.alias_name, l.profile, l.origin,
    null as id_at_origin, null::uuid as conversation_id, l.input_tokens, l.output_tokens,
    coalesce(substring(split_part(split_part(l.receipt, ',"usage":{', 2), '}', 1) from '"cache_read":([0-9]+)')::bigint, 0) as cached,
    l.charged as cost, 'charged' as cost_status, null::numeric as reported_cost, l.outcome,
    greatest(0, round(extract(epoch from l.settled_at - l.started_at) * 1000))::bigint as latency_ms, '{}' as metadata`,
  reported: `l.id, 2 as source, l.occurred_at as at, l.received_at as received, l.project_id, l.key_id, l.provider,
    l.model, l.model as model_requested, l.alias_name, l.profile, l.origin,
    l.id_at_origin, l.conversation_id, l.input_tokens, l.output_tokens, l.cached_input_tokens as cached,
    l.cost, l.cost_status, l.reported_cost, null::smallint as outcome, l.latency_ms, l.metadata`,
}

/** What a LogRow is made of, from rows `e` of those columns and `c` of certified_log. */
export const entryColumns = `e.id, e.source, e.at::text as "occurredAt", e.received::text as "receivedAt",
  e.project_id as "projectId", e.key_id as "keyId", e.provider, e.model, e.model_requested as "modelRequested",
  e.alias_name as "aliasName", e.profile, e.origin, e.id_at_origin as "idAtOrigin", e.conversation_id as "conversationId",
  e.input_tokens as "inputTokens", e.output_tokens as "outputTokens", e.cached as "cachedInputTokens", e.cost as "costNanos",
  e.cost_status as "costStatus", e.reported_cost as "reportedCost", e.outcome, e.latency_ms as "latencyMs",
  c.document_id as "receiptId", e.metadata`

const outcomeNames = new Map<number, string>(Object.entries(outcomeNumbers).map(([name, number]) => [number, name]))

export function toLogEntry(row: LogRow): LogEntry {
  const isCall = row.source === 1
  return {
    ...row,
    source: isCall ? 'gateway' : 'reported',
    occurredAt: isoOf(row.occurredAt),
    receivedAt: isoOf(row.receivedAt),
    outcome: row.outcome === null ? null : (outcomeNames.get(row.outcome) ?? null),
    receiptId: isCall ? `rcp_${row.id.replaceAll('-', '')}` : row.receiptId,
  }
}

/** `2026-11-22 01:41:15.5+00`, with as many places as it needs, as `2026-11-22T01:41:15.500000Z`. */
function isoOf(text: string): string {
  const [seconds = '', fraction = ''] = text.slice(11, -3).split('.')
  return `${text.slice(0, 10)}T${seconds}.${fraction.padEnd(6, '0')}Z`
}
