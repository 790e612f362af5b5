import type { Usage } from '#billing/usage.ts'
import { completionTokens, promptTokens } from '#billing/usage.ts'
import { isObject, parseAnswerObject } from './json-values.ts'
import { answerIdentity, generatedText } from './openai-chunk.ts'
import type { WholeFacts } from './protocol.ts'

/** Reads a whole chat answer, or what makes it a failure in spite of its status. */
export function parseWholeAnswer(body: string): WholeFacts {
  const value = parseAnswerObject(body)
  if (value === undefined) return { fault: 'malformed' }
  if (value.error !== undefined && value.error !== null) return { fault: 'error_in_200' }
  const { choices } = value
  if (!Array.isArray(choices)) return { fault: 'malformed' }
  if (choices.length === 0) return { fault: 'empty' }
  if (choices.every((choice) => isObject(choice) && choice.finish_reason === 'error')) return { fault: 'error_in_200' }
  return {
    identity: answerIdentity(value),
    usage: value.usage,
    // Seldom asked for, but a getter would give every answer a hidden class of its own, which keeps its call in memory.
    text: choices.map((choice) => (isObject(choice) ? generatedText(choice.message) : '')).join(''),
  }
}

/** OpenAI's usage object for a vector of ours. */
export function encodeUsage(usage: Usage): Record<string, unknown> {
  const prompt = promptTokens(usage)
  const completion = completionTokens(usage)
  return {
    prompt_tokens: prompt,
    completion_tokens: completion,
    total_tokens: prompt + completion,
    prompt_tokens_details: { cached_tokens: usage.cache_read ?? 0, audio_tokens: usage.audio_input ?? 0 },
    completion_tokens_details: { reasoning_tokens: usage.reasoning ?? 0, audio_tokens: usage.audio_output ?? 0 },
  }
}
