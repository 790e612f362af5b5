import { completionTokens, promptTokens, type Usage, validateUsage } from '../../../../src/billing/usage.ts'
import { FluxgateError } from '../errors.ts'
import { uuidV7 } from './uuid-v7.ts'

/** What the gateway accepts of one entry. */
const TEXT_CHARS_MAX = 255
const ENTRY_BYTES_MAX = 64 * 1024

/** One call to a model that did not pass through the gateway. It is counted, and never charged. */
export interface UsageEntry {
  provider: string
  /** As the provider knows it. */
  model: string
  /** What the call used, in disjoint kinds, as `usageOf` reads it off an answer. Empty where nobody knows. */
  usage: Usage
  /** The alias that the call was made under. */
  aliasName?: string | undefined
  profile?: string | undefined
  /** Which program or part of it called. */
  origin?: string | undefined
  /** The call's id there: the provider's id of the answer, if nothing else. */
  idAtOrigin?: string | undefined
  latencyMs?: number | undefined
  /** In dollars, by the caller's own reckoning. The gateway keeps it beside the cost by its own price book. */
  cost?: number | undefined
  metadata?: Readonly<Record<string, unknown>> | undefined
  /** When the call was made; now, unless said otherwise. */
  occurredAt?: Date | undefined
  /** The same key twice is one entry. A UUIDv7 of its own, unless said otherwise. */
  idempotencyKey?: string | undefined
}

/** An entry as it is sent: one line of JSON. */
export interface EncodedEntry {
  json: string
  bytes: number
}

/** Throws FluxgateError `entry_invalid` for what the gateway would refuse, so that it is known at once. */
export function encodeEntry(entry: UsageEntry, nowMs: number): EncodedEntry {
  const { provider, model, usage, metadata } = entry
  if (provider === '' || model === '') throw invalid('provider and model must be named')
  for (const text of [provider, model]) checkText('provider and model', text)
  for (const text of [entry.aliasName, entry.profile, entry.origin, entry.idAtOrigin])
    if (text !== undefined) checkText('a label', text)
  const { idempotencyKey } = entry
  if (idempotencyKey !== undefined && !/^[!-~]{1,255}$/.test(idempotencyKey))
    throw invalid('idempotencyKey must be 1 to 255 visible ASCII characters')
  const check = validateUsage(usage)
  if (!check.ok) throw invalid(check.reason)
  const { latencyMs, cost, occurredAt } = entry
  if (latencyMs !== undefined && !(latencyMs >= 0 && latencyMs < 2 ** 31)) throw invalid('latencyMs is not a duration')
  if (cost !== undefined && !(Number.isFinite(cost) && cost >= 0)) throw invalid('cost is not an amount of dollars')
  const at = occurredAt?.getTime() ?? nowMs
  if (!Number.isFinite(at)) throw invalid('occurredAt is not a time')
  const json = stringify({
    provider,
    model,
    ...wireUsage(usage),
    alias_name: entry.aliasName || undefined,
    profile: entry.profile || undefined,
    origin: entry.origin || undefined,
    id_at_origin: entry.idAtOrigin || undefined,
    latency_ms: latencyMs === undefined ? undefined : Math.round(latencyMs),
    cost,
    metadata,
    occurred_at: new Date(at).toISOString(),
    idempotency_key: idempotencyKey ?? uuidV7(at),
  })
  const bytes = new TextEncoder().encode(json).byteLength
  if (bytes > ENTRY_BYTES_MAX) throw invalid(`an entry has at most ${ENTRY_BYTES_MAX} bytes; this one has ${bytes}`)
  return { json, bytes }
}

function checkText(what: string, text: unknown): void {
  if (typeof text !== 'string' || !text.isWellFormed() || text.includes('\0') || [...text].length > TEXT_CHARS_MAX)
    throw invalid(`${what} must be text of at most ${TEXT_CHARS_MAX} characters`)
}

/** llmring counts the whole prompt and the whole answer, and says how much of them was what. Parts that are 0 are left out. */
function wireUsage(usage: Usage): Record<string, number | undefined> {
  return {
    input_tokens: promptTokens(usage),
    output_tokens: completionTokens(usage),
    cached_input_tokens: usage.cache_read ?? 0,
    cache_write_5m_tokens: usage.cache_write_5m || undefined,
    cache_write_1h_tokens: usage.cache_write_1h || undefined,
    audio_input_tokens: usage.audio_input || undefined,
    reasoning_tokens: usage.reasoning || undefined,
    audio_output_tokens: usage.audio_output || undefined,
    characters: usage.characters || undefined,
    seconds: usage.seconds || undefined,
    calls: usage.calls || undefined,
  }
}

function stringify(value: unknown): string {
  try {
    return JSON.stringify(value)
  } catch (cause) {
    throw new FluxgateError('entry_invalid', 'the metadata cannot be written as JSON', { cause })
  }
}

function invalid(message: string): FluxgateError {
  return new FluxgateError('entry_invalid', message)
}
