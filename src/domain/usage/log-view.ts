import type { LogEntry } from './log-entry.ts'

const NANOS_PER_USD = 1e9

/**
 * An entry as llmring's clients read it, and what llmring does not have. `cost` is a number for them to format, and 0
 * where nobody knows: `cost_nanousd` is null then, and `cost_status` says why.
 */
export function logEntryView(entry: LogEntry) {
  return {
    id: entry.id,
    logged_at: entry.occurredAt,
    provider: entry.provider,
    model: entry.model,
    alias: entry.aliasName,
    profile: entry.profile,
    origin: entry.origin,
    input_tokens: Number(entry.inputTokens),
    output_tokens: Number(entry.outputTokens),
    cached_input_tokens: Number(entry.cachedInputTokens),
    cost: Number(entry.costNanos ?? 0n) / NANOS_PER_USD,
    metadata: JSON.parse(entry.metadata) as unknown,
    conversation_id: entry.conversationId,
    id_at_origin: entry.idAtOrigin,
    alias_name: entry.aliasName,
    source: entry.source,
    cost_nanousd: entry.costNanos?.toString() ?? null,
    cost_status: entry.costStatus,
    reported_cost: entry.reportedCost,
    receipt_id: entry.receiptId,
    project_id: entry.projectId,
    key_id: entry.keyId,
    received_at: entry.receivedAt,
    outcome: entry.outcome,
    model_requested: entry.modelRequested,
    latency_ms: entry.latencyMs === null ? null : Number(entry.latencyMs),
  }
}
