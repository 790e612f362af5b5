import { createDeltaShape } from './delta-shape.ts'
import { isAbsent, isObject, type JsonObject, objectsOf, parseAnswerObject, textAt } from './json-values.ts'
import { encodeUsage } from './openai-answer.ts'
import { answerIdentity } from './openai-chunk.ts'
import { DONE_FRAME } from './openai-format.ts'
import type { AnswerIdentity, FrameFacts, StreamFormat, WholeFacts } from './protocol.ts'
import { rawJsonText } from './raw-json-text.ts'
import { frameData } from './sse-frames.ts'

const NONE: readonly number[] = []
const SILENT: FrameFacts = { kind: 'silent' }
const MALFORMED: FrameFacts = { kind: 'malformed' }

/** One stream of the legacy protocol. `includeUsage`: whether the client asked for the usage chunk. */
export function createCompletionsFormat({ includeUsage }: { includeUsage: boolean }): StreamFormat {
  const shape = createDeltaShape('text')
  let identity: AnswerIdentity = {}

  function inspectChunk(value: JsonObject, frame: string): FrameFacts {
    if (!isAbsent(value.error)) return { kind: 'error', error: value.error }
    const usage = isObject(value.usage) ? value.usage : undefined
    if (!Array.isArray(value.choices) && usage === undefined) return MALFORMED
    const choices = objectsOf(value.choices)
    const text = choices.map((choice) => textAt(choice, 'text')).join('')
    const finished = choices.filter((choice) => textAt(choice, 'finish_reason') !== '')
    identity = { ...answerIdentity(value), ...identity }
    if (choices.length === 1 && finished.length === 0 && usage === undefined) shape.learn(frame)
    return {
      kind: 'chunk',
      text: rawJsonText(text),
      content: text !== '',
      finished: finished.map(({ index }) => (typeof index === 'number' ? index : 0)),
      usage,
      bare: choices.length === 0,
      identity,
    }
  }

  return {
    inspect(buffer, start, end, parse) {
      const frame = buffer.toString('latin1', start, end)
      const text = parse ? undefined : shape.match(frame)?.delta
      if (text !== undefined)
        return { kind: 'chunk', text, content: text !== '', finished: NONE, usage: undefined, bare: false }
      const data = frameData(frame)
      if (data === undefined || data === '') return SILENT
      if (data.startsWith('[DONE]')) return { kind: 'done', frame: false }
      let value: unknown
      try {
        value = JSON.parse(Buffer.from(data, 'latin1').toString('utf8'))
      } catch {
        return MALFORMED
      }
      return isObject(value) ? inspectChunk(value, frame) : MALFORMED
    },

    error({ message, type, param, code }) {
      return `data: ${JSON.stringify({ error: { message, type, param, code } })}\n\n`
    },

    cut({ reason, fallback, created, choices, usage }) {
      const { id, model } = { ...fallback, ...identity }
      const chunk = (rest: JsonObject) =>
        `data: ${JSON.stringify({ id, object: 'text_completion', created, model, ...rest })}\n\n`
      const ended = Array.from({ length: choices }, (_, index) => ({
        text: '',
        index,
        logprobs: null,
        finish_reason: 'length',
      }))
      const last = chunk({ choices: ended, fluxgate: { reason } })
      return includeUsage && usage !== undefined ? last + chunk({ choices: [], usage: encodeUsage(usage) }) : last
    },

    done() {
      return DONE_FRAME
    },
  }
}

/** Reads a whole answer of the legacy protocol, or what makes it a failure in spite of its status. */
export function parseWholeCompletion(body: string): WholeFacts {
  const value = parseAnswerObject(body)
  if (value === undefined) return { fault: 'malformed' }
  if (!isAbsent(value.error)) return { fault: 'error_in_200' }
  if (!Array.isArray(value.choices)) return { fault: 'malformed' }
  if (value.choices.length === 0) return { fault: 'empty' }
  const text = objectsOf(value.choices).map((choice) => textAt(choice, 'text'))
  return { identity: answerIdentity(value), usage: value.usage, text: text.join('') }
}
