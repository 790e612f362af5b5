import type { LogEntry } from './log-entry.ts'

type Value<Kind extends 'text' | 'time' | 'integer' | 'nanos'> = {
  name: string
  kind: Kind
  optional: boolean
  of: (entry: LogEntry) => (Kind extends 'text' | 'time' ? string : bigint) | null
}

/**
 * One column of an export. `text` is anybody's, `time` is ISO 8601 to the microsecond, `integer` a count, and `nanos` money
 * in nano-dollars that is shown in dollars.
 */
export type ExportColumn = Value<'text'> | Value<'time'> | Value<'integer'> | Value<'nanos'>

/** The columns that llmring's client writes, in its order, and ours. docs/stats.md says what each means. */
export const exportColumns: readonly ExportColumn[] = [
  { name: 'logged_at', kind: 'time', optional: false, of: (entry) => entry.occurredAt },
  text('provider', (entry) => entry.provider),
  text('model', (entry) => entry.model),
  optional('alias', (entry) => entry.aliasName),
  optional('profile', (entry) => entry.profile),
  optional('origin', (entry) => entry.origin),
  { name: 'input_tokens', kind: 'integer', optional: false, of: (entry) => entry.inputTokens },
  { name: 'output_tokens', kind: 'integer', optional: false, of: (entry) => entry.outputTokens },
  { name: 'cost', kind: 'nanos', optional: true, of: (entry) => entry.costNanos },
  text('id', (entry) => entry.id),
  text('source', (entry) => entry.source),
  optional('project_id', (entry) => entry.projectId),
  text('key_id', (entry) => entry.keyId),
  text('model_requested', (entry) => entry.modelRequested),
  { name: 'cached_input_tokens', kind: 'integer', optional: false, of: (entry) => entry.cachedInputTokens },
  { name: 'cost_nanousd', kind: 'integer', optional: true, of: (entry) => entry.costNanos },
  text('cost_status', (entry) => entry.costStatus),
  optional('reported_cost', (entry) => entry.reportedCost),
  optional('outcome', (entry) => entry.outcome),
  { name: 'latency_ms', kind: 'integer', optional: true, of: (entry) => entry.latencyMs },
  optional('receipt_id', (entry) => entry.receiptId),
  optional('conversation_id', (entry) => entry.conversationId),
  optional('id_at_origin', (entry) => entry.idAtOrigin),
  { name: 'received_at', kind: 'time', optional: false, of: (entry) => entry.receivedAt },
  text('metadata', (entry) => entry.metadata),
]

function text(name: string, of: (entry: LogEntry) => string): ExportColumn {
  return { name, kind: 'text', optional: false, of }
}

function optional(name: string, of: (entry: LogEntry) => string | null): ExportColumn {
  return { name, kind: 'text', optional: true, of }
}
