import { type Usage, type UsageKind, usageKinds, validateUsage } from '#billing/usage.ts'
import { isAbsent, isObject, type JsonObject, nameOf, objectsOf } from './json-values.ts'
import type { NeutralUsage } from './neutral.ts'
import { neutralUsage } from './neutral-usage.ts'
import type { DecodedUsage } from './openai-usage.ts'

/**
 * Reads the usage of a message into disjoint kinds. `input_tokens` excludes what was cached, `output_tokens` includes
 * thinking. Lenient about shape: unknown fields are ignored and null means absent. Strict about numbers, and about what
 * was consumed at prices that are not the model's: none of that may be charged as if it were tokens.
 */
export function decodeMessagesUsage(value: unknown): DecodedUsage {
  if (isAbsent(value)) return { outcome: 'absent' }
  if (!isObject(value)) return { outcome: 'impossible', reason: 'usage is not an object' }
  const reader: Reader = { reason: undefined }
  const input = countAt(value, 'input_tokens', reader)
  const output = countAt(value, 'output_tokens', reader)
  const kinds = readKinds(value, input ?? 0, output ?? 0, reader)
  // What a server-side compaction consumes stands in no total.
  for (const iteration of objectsOf(value.iterations)) {
    if (iteration.type !== 'compaction') continue
    const own = {
      input: countAt(iteration, 'input_tokens', reader),
      output: countAt(iteration, 'output_tokens', reader),
    }
    const extra = readKinds(iteration, own.input ?? 0, own.output ?? 0, reader)
    for (const kind of usageKinds) if (extra[kind] !== undefined) kinds[kind] = (kinds[kind] ?? 0) + extra[kind]
  }
  const reason = reader.reason ?? billedOtherwise(value)
  if (reason !== undefined) return { outcome: 'impossible', reason }
  if (input === undefined && output === undefined) return { outcome: 'absent' }
  if (input === undefined) return { outcome: 'impossible', reason: 'input_tokens is missing' }
  if (output === undefined) return { outcome: 'impossible', reason: 'output_tokens is missing' }
  const usage = withoutZeros(kinds)
  const check = validateUsage(usage)
  return check.ok ? { outcome: 'usage', usage } : { outcome: 'impossible', reason: check.reason }
}

/**
 * The usage so far. `message_start` gives a placeholder and the split of what was cached, each `message_delta` cumulative
 * totals, of which null ones say nothing.
 */
export function mergeMessagesUsage(before: unknown, after: unknown): unknown {
  if (!isObject(after)) return isAbsent(after) ? before : after
  if (!isObject(before)) return after
  return { ...before, ...Object.fromEntries(Object.entries(after).filter(([, value]) => value !== null)) }
}

/** The usage object of a message for a vector of ours. */
export function encodeMessagesUsage(usage: Usage): JsonObject {
  return messagesUsageObject(neutralUsage(usage))
}

/** The usage object of a message for what another protocol reported. */
export function messagesUsageObject(usage: NeutralUsage): JsonObject {
  const { input, cacheRead, cacheWrite5m, cacheWrite1h, output, reasoning } = usage
  return {
    input_tokens: Math.max(0, input - cacheRead - cacheWrite5m - cacheWrite1h),
    cache_creation_input_tokens: cacheWrite5m + cacheWrite1h,
    cache_read_input_tokens: cacheRead,
    cache_creation: { ephemeral_5m_input_tokens: cacheWrite5m, ephemeral_1h_input_tokens: cacheWrite1h },
    output_tokens: output,
    ...(reasoning > 0 && { output_tokens_details: { thinking_tokens: reasoning } }),
  }
}

type Kinds = Partial<Record<UsageKind, number>>

/** What the split by lifetime leaves of the total was written for five minutes: older servers know nothing else. */
function readKinds(usage: JsonObject, input: number, output: number, reader: Reader): Kinds {
  const created = isObject(usage.cache_creation) ? usage.cache_creation : {}
  const written5m = countAt(created, 'ephemeral_5m_input_tokens', reader) ?? 0
  const written1h = countAt(created, 'ephemeral_1h_input_tokens', reader) ?? 0
  const written = Math.max(countAt(usage, 'cache_creation_input_tokens', reader) ?? 0, written5m + written1h)
  const details = isObject(usage.output_tokens_details) ? usage.output_tokens_details : {}
  const reasoning = Math.min(countAt(details, 'thinking_tokens', reader) ?? 0, output)
  return {
    input,
    cache_read: countAt(usage, 'cache_read_input_tokens', reader) ?? 0,
    cache_write_5m: written - written1h,
    cache_write_1h: written1h,
    output: output - reasoning,
    reasoning,
  }
}

/** Server tools that cost nothing beside the tokens they cause. */
const freeTools = new Set(['web_fetch_requests', 'tool_search_requests'])

function billedOtherwise(usage: JsonObject): string | undefined {
  const tools = isObject(usage.server_tool_use) ? usage.server_tool_use : {}
  for (const [name, count] of Object.entries(tools))
    if (!freeTools.has(name) && count !== 0 && !isAbsent(count)) return `${name} are billed apart from tokens`
  for (const { type } of objectsOf(usage.iterations))
    if (type !== 'message' && type !== 'compaction') return `an iteration is one of another model: ${nameOf(type)}`
  return undefined
}

/** Keeps the first number that cannot be a count. */
interface Reader {
  reason: string | undefined
}

function countAt(from: JsonObject, key: string, reader: Reader): number | undefined {
  const value = from[key]
  if (isAbsent(value)) return undefined
  if (typeof value === 'number' && Number.isSafeInteger(value) && value >= 0) return value + 0 // Turns -0 into 0.
  reader.reason ??= `${key} is not a count: ${typeof value === 'number' ? String(value) : typeof value}`
  return undefined
}

/** Input and output stay even when zero: the provider said so. */
function withoutZeros(kinds: Kinds): Usage {
  const usage: Kinds = {}
  for (const kind of usageKinds) {
    const count = kinds[kind]
    if (count !== undefined && (count > 0 || kind === 'input' || kind === 'output')) usage[kind] = count
  }
  return usage
}
