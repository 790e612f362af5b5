// The readers of usage that the gateway itself counts by.
import type { Usage } from '../../../../src/billing/usage.ts'
import { decodeMessagesUsage, mergeMessagesUsage } from '../../../../src/wire/anthropic-usage.ts'
import { type DecodedUsage, decodeOpenaiUsage } from '../../../../src/wire/openai-usage.ts'
import { decodeResponsesUsage } from '../../../../src/wire/responses-usage.ts'

/**
 * The usage that an answer reports, in disjoint kinds: of OpenAI's chat completions and responses, and of Anthropic's messages, whole
 * answers or their `usage` objects. Undefined where nothing is reported, or nothing that can be a count.
 */
export function usageOf(answer: unknown): Usage | undefined {
  const reported = isObject(answer) && 'usage' in answer ? answer.usage : answer
  if (!isObject(reported)) return undefined
  const decoded = decode(reported)
  return decoded.outcome === 'usage' ? decoded.usage : undefined
}

/** `prompt_tokens` is chat's; messages count what was cached beside `input_tokens`, responses within. */
function decode(usage: Record<string, unknown>): DecodedUsage {
  if (usage.prompt_tokens !== undefined) return decodeOpenaiUsage(usage)
  const isMessages =
    usage.cache_read_input_tokens !== undefined ||
    usage.cache_creation_input_tokens !== undefined ||
    usage.total_tokens === undefined
  return isMessages ? decodeMessagesUsage(usage) : decodeResponsesUsage(usage)
}

/** Reads a stream of any of the three as it passes by. */
export interface StreamReader {
  read(chunk: unknown): void
  /** What is known so far. */
  usage(): Usage | undefined
  model(): string | undefined
  id(): string | undefined
}

export function readStream(): StreamReader {
  let reported: unknown
  let model: string | undefined
  let id: string | undefined

  /** The answer itself stands in the chunk, or in its `message` or `response`. */
  function read(chunk: unknown): void {
    if (!isObject(chunk)) return
    for (const answer of [chunk, chunk.message, chunk.response]) {
      if (!isObject(answer)) continue
      if (typeof answer.model === 'string') model ??= answer.model
      if (typeof answer.id === 'string') id ??= answer.id
      reported = mergeMessagesUsage(reported, answer.usage)
    }
  }

  return { read, usage: () => usageOf({ usage: reported }), model: () => model, id: () => id }
}

function isObject(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
}
