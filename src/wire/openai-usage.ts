import { type Usage, type UsageKind, usageKinds, validateUsage } from '#billing/usage.ts'

/**
 * What a provider's `usage` object says. `absent` means that nothing was reported, which is not zero; `impossible` means
 * that a number in it cannot be a count, so none of it may be charged.
 */
export type DecodedUsage =
  | { outcome: 'usage'; usage: Usage }
  | { outcome: 'absent' }
  | { outcome: 'impossible'; reason: string }

/**
 * Reads the usage of OpenAI chat completions and of everything that imitates them into disjoint kinds. Lenient about
 * shape: unknown fields are ignored and null means absent. Strict about numbers. The kinds always add up to
 * `prompt_tokens + completion_tokens`, or to `total_tokens` where that is more.
 */
export function decodeOpenaiUsage(value: unknown): DecodedUsage {
  if (value === undefined || value === null) return { outcome: 'absent' }
  if (!isObject(value)) return { outcome: 'impossible', reason: 'usage is not an object' }
  const reader: Reader = { reason: undefined }
  const reported = readReported(value, reader)
  if (reader.reason !== undefined) return { outcome: 'impossible', reason: reader.reason }
  if (reported.prompt === undefined && reported.completion === undefined) return { outcome: 'absent' }
  if (reported.prompt === undefined) return { outcome: 'impossible', reason: 'prompt_tokens is missing' }
  if (reported.completion === undefined && reported.total === undefined) {
    return { outcome: 'impossible', reason: 'completion_tokens is missing' }
  }
  const usage = disjoint(reported, reported.prompt, reported.completion ?? 0)
  const check = validateUsage(usage)
  return check.ok ? { outcome: 'usage', usage } : { outcome: 'impossible', reason: check.reason }
}

interface Reported {
  prompt: number | undefined
  completion: number | undefined
  total: number | undefined
  cacheRead: number
  cacheWrite: number
  cacheWrite1h: number
  audioInput: number
  reasoning: number
  audioOutput: number
}

/**
 * Splits the totals. Sub-counts are parts of a total and are cut to what is left of it, the cheaper kind first, so that
 * an overlap or a sub-count above its total never charges more than the total.
 *
 * The total decides what lies outside. Where `total_tokens` exceeds prompt + completion, the rest is reasoning that is
 * reported beside the completion (xAI, Gemini), or cache tokens that are reported beside the prompt (shims over
 * Anthropic) when the rest is exactly those. A total below the sum is no evidence of anything and is ignored.
 */
function disjoint(reported: Reported, prompt: number, completion: number): Usage {
  const { cacheRead, reasoning } = reported
  const cacheWrite = Math.max(reported.cacheWrite, reported.cacheWrite1h)
  const cache = cacheRead + cacheWrite
  const rest = Math.max(0, (reported.total ?? 0) - prompt - completion)
  const cacheOutside = cache > 0 && rest !== reasoning && (rest === cache || rest === cache + reasoning)
  const reasoningOutside = cacheOutside ? rest - cache : rest

  let left = cacheOutside ? prompt + cache : prompt
  const take = (part: number): number => {
    const taken = Math.min(part, left)
    left -= taken
    return taken
  }
  const read = take(cacheRead)
  const written1h = take(reported.cacheWrite1h)
  const written5m = take(cacheWrite - reported.cacheWrite1h)
  const audioInput = take(reported.audioInput)
  const input = left

  left = completion + reasoningOutside
  const thought = take(Math.max(reasoning, reasoningOutside))
  const audioOutput = take(reported.audioOutput)
  return withoutZeros({
    input,
    cache_read: read,
    cache_write_5m: written5m,
    cache_write_1h: written1h,
    output: left,
    reasoning: thought,
    audio_input: audioInput,
    audio_output: audioOutput,
  })
}

/** Input and output stay even when zero: the provider said so. */
function withoutZeros(counts: Partial<Record<UsageKind, number>>): Usage {
  const usage: Partial<Record<UsageKind, number>> = {}
  for (const kind of usageKinds) {
    const count = counts[kind]
    if (count !== undefined && (count > 0 || kind === 'input' || kind === 'output')) usage[kind] = count
  }
  return usage
}

/** Keeps the first number that cannot be a count. */
interface Reader {
  reason: string | undefined
}

/** The names under which providers report the same count. Where several are present, the largest is the informed one. */
function readReported(usage: Record<string, unknown>, reader: Reader): Reported {
  const prompt = objectAt(usage, 'prompt_tokens_details')
  const completion = objectAt(usage, 'completion_tokens_details')
  const created = objectAt(usage, 'cache_creation') // Anthropic's split by lifetime.
  const createdInDetails = objectAt(prompt, 'cache_creation') // The same inside the details: Qwen.
  const count = (from: Record<string, unknown>, key: string): number => countAt(from, key, reader) ?? 0

  const written5m = Math.max(
    count(created, 'ephemeral_5m_input_tokens'),
    count(createdInDetails, 'ephemeral_5m_input_tokens'),
  )
  const written1h = Math.max(
    count(created, 'ephemeral_1h_input_tokens'),
    count(createdInDetails, 'ephemeral_1h_input_tokens'),
  )
  return {
    prompt: countAt(usage, 'prompt_tokens', reader),
    completion: countAt(usage, 'completion_tokens', reader),
    total: countAt(usage, 'total_tokens', reader),
    cacheRead: Math.max(
      count(prompt, 'cached_tokens'), // OpenAI and most others.
      count(usage, 'cached_tokens'), // Moonshot.
      count(usage, 'prompt_cache_hit_tokens'), // DeepSeek.
      count(usage, 'cache_read_input_tokens'), // LiteLLM in front of Anthropic.
    ),
    cacheWrite: Math.max(
      written5m + written1h,
      count(prompt, 'cache_write_tokens'), // OpenAI, OpenRouter.
      count(prompt, 'cache_creation_tokens'), // LiteLLM.
      count(prompt, 'cache_creation_input_tokens'), // Qwen.
      count(usage, 'cache_creation_input_tokens'), // LiteLLM, Anthropic-compatible servers.
    ),
    cacheWrite1h: written1h,
    audioInput: count(prompt, 'audio_tokens'),
    reasoning: Math.max(count(completion, 'reasoning_tokens'), count(usage, 'reasoning_tokens')),
    audioOutput: count(completion, 'audio_tokens'),
  }
}

function countAt(from: Record<string, unknown>, key: string, reader: Reader): number | undefined {
  const value = from[key]
  if (value === undefined || value === null) return undefined
  if (typeof value === 'number' && Number.isSafeInteger(value) && value >= 0) return value + 0 // Turns -0 into 0.
  reader.reason ??= `${key} is not a count: ${typeof value === 'number' ? String(value) : typeof value}`
  return undefined
}

const nothing: Record<string, unknown> = {}

/** Details that are null, missing or of another type tell nothing. */
function objectAt(from: Record<string, unknown>, key: string): Record<string, unknown> {
  const value = from[key]
  return isObject(value) ? value : nothing
}

function isObject(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
}
