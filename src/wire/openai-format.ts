import { encodeUsage } from './openai-answer.ts'
import { inspectFrame } from './openai-chunk.ts'
import type { AnswerIdentity, StreamFormat } from './protocol.ts'

export const DONE_FRAME = 'data: [DONE]\n\n'

/** One stream of chat completions. `includeUsage`: whether the client asked for the usage chunk. */
export function createChatFormat(options: { includeUsage: boolean }): StreamFormat {
  const shape = { head: '', tail: '' }
  let identity: AnswerIdentity = {}

  return {
    inspect(buffer, start, end, parse) {
      const facts = inspectFrame(buffer, start, end, shape, parse)
      if (facts.kind === 'chunk' && facts.identity !== undefined) identity = { ...facts.identity, ...identity }
      return facts
    },

    error({ message, type, param, code }) {
      return `data: ${JSON.stringify({ error: { message, type, param, code } })}\n\n`
    },

    cut({ reason, fallback, created, choices, usage }) {
      const { id, model } = { ...fallback, ...identity }
      const chunk = (rest: Record<string, unknown>) =>
        `data: ${JSON.stringify({ id, object: 'chat.completion.chunk', created, model, ...rest })}\n\n`
      const ended = Array.from({ length: choices }, (_, index) => ({ index, delta: {}, finish_reason: 'length' }))
      const last = chunk({ choices: ended, fluxgate: { reason } })
      return options.includeUsage && usage !== undefined
        ? last + chunk({ choices: [], usage: encodeUsage(usage) })
        : last
    },

    done() {
      return DONE_FRAME
    },
  }
}
