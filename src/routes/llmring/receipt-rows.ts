import { dollars, pythonTime } from '#billing/llmring-profile.ts'
import type { LogEntry } from '#billing/log-entry.ts'
import type { Receipt } from '#billing/receipt.ts'
import { completionTokens, promptTokens } from '#billing/usage.ts'
import type { CertifiedEntry } from '#domain/certificates/certified-entries.ts'

/** A log that no certificate is about, in the columns of llmring. */
export function uncertifiedRow(entry: LogEntry) {
  return {
    id: entry.log_id,
    type: 'usage' as const,
    alias: entry.alias_name ?? null,
    provider: entry.provider,
    model: entry.model,
    input_tokens: entry.input_tokens,
    output_tokens: entry.output_tokens,
    cost: entry.cost_nanousd === undefined ? null : dollars(entry.cost_nanousd),
    cost_nanousd: entry.cost_nanousd ?? null,
    cost_status: entry.cost_status,
    timestamp: pythonTime(entry.occurred_at),
  }
}

/** A log with all of its columns. Where it stands on a certificate, its leaf and path are beside it. */
export function certifiedRow({
  entry,
  metadata,
  inclusion,
}: Pick<CertifiedEntry, 'entry' | 'metadata'> & Partial<CertifiedEntry>) {
  return {
    ...uncertifiedRow(entry),
    source: 'reported' as const,
    alias_name: entry.alias_name ?? null,
    model_used: entry.model_used,
    profile: entry.profile,
    origin: entry.origin ?? null,
    id_at_origin: entry.id_at_origin ?? null,
    cached_input_tokens: entry.cached_input_tokens,
    latency_ms: entry.latency_ms ?? null,
    conversation_id: entry.conversation_id ?? null,
    metadata: metadata === null ? null : (JSON.parse(metadata) as Record<string, unknown>),
    created_at: pythonTime(entry.received_at),
    proof: inclusion === undefined ? null : { entry, inclusion },
  }
}

/** The one log of a gateway's receipt. The receipt itself is its proof. */
export function gatewayRow(receipt: Receipt) {
  const { usage, charged_nanousd } = receipt
  const at = pythonTime(receipt.issued_at)
  return {
    id: receipt.receipt_id.slice('rcp_'.length).replace(/^(.{8})(.{4})(.{4})(.{4})/, '$1-$2-$3-$4-'),
    type: 'usage' as const,
    alias: receipt.alias_name ?? null,
    provider: receipt.provider,
    model: receipt.model,
    input_tokens: promptTokens(usage),
    output_tokens: completionTokens(usage),
    cost: dollars(charged_nanousd),
    cost_nanousd: charged_nanousd,
    cost_status: 'charged',
    timestamp: at,
    source: 'gateway' as const,
    alias_name: receipt.alias_name ?? null,
    model_used: receipt.model_used,
    profile: receipt.profile ?? 'default',
    origin: receipt.origin ?? null,
    id_at_origin: null,
    cached_input_tokens: usage.cache_read ?? 0,
    latency_ms: null,
    conversation_id: null,
    metadata: {},
    created_at: at,
    proof: null,
  }
}
