import type { Form } from './multipart.ts'
import { openai } from './openai-vendor.ts'
import { pieces } from './pieces.ts'
import { type Answer, type Chunk, type ErrorPlace, eventStream, jsonBody, type Protocol } from './protocol.ts'
import { renderTranscript } from './transcript-render.ts'
import { composeTranscript } from './transcript-text.ts'
import {
  AUDIO_TOKENS_PER_SECOND,
  parseTranscriptionRequest,
  type TranscriptFormat,
  type TranscriptionRequest,
} from './transcription-request.ts'
import { claimedUsage, promptUsage } from './usage.ts'

export interface TranscriptionAnswer extends Answer {
  format: TranscriptFormat
  text: string
  /** Exact; the usage has whole ones. */
  secondsHeard: number
  request: TranscriptionRequest
}

/** OpenAI's transcriptions. `transcribe` bills started seconds of sound, `gpt-sim-transcribe` tokens of sound and text. */
export const transcriptions = protocolOf('transcribe')

/** OpenAI's translations into English. */
export const translations = protocolOf('translate')

const typeOfText = { contentType: 'text/plain; charset=utf-8', events: false, encoding: 'utf8' } as const

function protocolOf(task: TranscriptionRequest['task']): Protocol<TranscriptionRequest, TranscriptionAnswer> {
  return {
    name: 'transcription',
    idPrefix: 'transcript-',
    vendor: openai,
    parse: (form) => parseTranscriptionRequest(form as Form, task),
    compose,
    carriage({ stream, format, sim }) {
      if (stream) return eventStream
      const isJson = format === 'json' || format === 'verbose_json'
      return isJson || sim.error_in_200 === true || sim.error_after !== undefined ? jsonBody : typeOfText
    },
    body: renderBody,
    chunks: renderChunks,
    failedBody: errorText,
    errorFrame: (place) => ({ data: errorText(place) }),
    brokenFrame: { data: '{"type":"transcript.text.del' },
  }
}

function errorText({ refusal, identity }: ErrorPlace<TranscriptionAnswer>): string {
  return openai.errorBody(refusal, identity.requestId)
}

function compose(request: TranscriptionRequest): TranscriptionAnswer {
  const { stream, format, billsTokens, seconds, sim } = request
  const { text, tokens } = composeTranscript(seconds, sim)
  const usage = promptUsage(request.promptTokens, sim)
  usage.completion = tokens
  if (billsTokens) usage.audioPrompt = Math.min(Math.ceil(seconds * AUDIO_TOKENS_PER_SECOND), usage.prompt)
  else usage.seconds = Math.ceil(seconds)
  return { kind: 'answer', stream, usage, format, text, secondsHeard: seconds, request, sim }
}

function renderBody(answer: TranscriptionAnswer, _identity: unknown, extra: string): string {
  const usage = usageOf(answer)
  return renderTranscript(answer, usage, extra)
}

function* renderChunks(answer: TranscriptionAnswer): Generator<Chunk, void, undefined> {
  const { text, sim } = answer
  for (const { json, tokens } of pieces(text, sim.chunk_tokens ?? 1)) {
    const data = `{"type":"transcript.text.delta","delta":${json},"logprobs":[]}`
    yield { data, tokens, reasoning: 0, part: 'content' }
  }
  const usage = usageOf(answer)
  const done = { type: 'transcript.text.done', text, logprobs: [], ...(usage !== undefined && { usage }) }
  yield { data: JSON.stringify(done), tokens: 0, reasoning: 0, part: 'mark' }
}

/** What the model says that it used: seconds, or tokens. */
function usageOf({ usage, request, sim }: TranscriptionAnswer): Record<string, unknown> | undefined {
  if (sim.usage === 'none') return undefined
  const { prompt, audioPrompt, completion, seconds } = claimedUsage(usage, sim.usage)
  if (!request.billsTokens) return { type: 'duration', seconds }
  return {
    type: 'tokens',
    input_tokens: prompt,
    input_token_details: { text_tokens: prompt - audioPrompt, audio_tokens: audioPrompt },
    output_tokens: completion,
    total_tokens: prompt + completion,
  }
}
