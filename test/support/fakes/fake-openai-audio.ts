import { transcribe } from './fake-openai-transcription.ts'
import {
  type FakeAnswer,
  type FakeRequest,
  fakeAudio,
  inPieces,
  jsonAnswer,
  objectOf,
  startFakeVendor,
} from './fake-vendor.ts'

export const OPENAI_KEY = 'sk-openai0000000000000000000001'

const types: Record<string, string> = {
  mp3: 'audio/mpeg',
  opus: 'audio/opus',
  aac: 'audio/aac',
  flac: 'audio/flac',
  wav: 'audio/wav',
  pcm: 'audio/pcm',
}
const known = ['model', 'input', 'voice', 'speed', 'response_format', 'instructions', 'stream_format', 'extra_body']

/** OpenAI's audio: speech as bytes or events, transcriptions and translations in every format. */
export function startFakeOpenaiAudio(port = 0) {
  return startFakeVendor(answer, port)
}

/** The error object of OpenAI. */
export function openaiRefusal(
  status: number,
  message: string,
  param: string | null = null,
  code: string | null = null,
) {
  return jsonAnswer(
    status,
    { error: { message, type: status === 401 ? 'invalid_request_error' : 'invalid_request_error', param, code } },
    { 'x-request-id': 'req_fake' },
  )
}

async function answer(request: FakeRequest): Promise<FakeAnswer> {
  if (request.headers.authorization !== `Bearer ${OPENAI_KEY}`)
    return openaiRefusal(401, `Incorrect API key provided: ${request.headers.authorization}`, null, 'invalid_api_key')
  if (request.method !== 'POST') return openaiRefusal(405, 'Method not allowed')
  if (request.path === '/v1/audio/speech') return speak(request)
  if (request.path === '/v1/audio/transcriptions' || request.path === '/v1/audio/translations')
    return await transcribe(request, request.path.endsWith('translations'))
  return openaiRefusal(404, `Invalid URL (POST ${request.path})`)
}

function speak(request: FakeRequest): FakeAnswer {
  if (!/^application\/json\b/.test(request.headers['content-type'] ?? '')) return openaiRefusal(415, 'JSON is expected')
  const body = objectOf(request.body)
  if (body === undefined) return openaiRefusal(400, 'the body is not JSON')
  for (const name of Object.keys(body))
    if (!known.includes(name)) return openaiRefusal(400, `Unrecognized request argument supplied: ${name}`, name)
  const { model, input, response_format: format = 'mp3', speed = 1, stream_format: stream = 'audio' } = body
  const voice = typeof body.voice === 'object' ? (body.voice as { id?: unknown } | null)?.id : body.voice
  if (typeof input !== 'string' || input === '') return openaiRefusal(400, 'input is required', 'input')
  if ([...input].length > 4096) return openaiRefusal(400, 'String should have at most 4096 characters', 'input')
  if (typeof model !== 'string') return openaiRefusal(400, 'you must provide a model parameter')
  if (!/^(?:tts-1(?:-hd)?|gpt-4o-mini-tts|[a-z]+\/[\w.-]+)$/.test(model))
    return openaiRefusal(404, `The model \`${model}\` does not exist`, null, 'model_not_found')
  if (typeof voice !== 'string') return openaiRefusal(400, 'voice is required', 'voice')
  const type = types[String(format)]
  if (type === undefined) return openaiRefusal(400, 'response_format is not supported', 'response_format')
  if (typeof speed !== 'number' || speed < 0.25 || speed > 4)
    return openaiRefusal(400, 'speed is out of range', 'speed')
  if (stream === 'sse' && model.startsWith('tts-1')) return openaiRefusal(400, 'sse is not supported', 'stream_format')

  const speech = { text: input, voice, format: String(format) }
  const pieces = inPieces(fakeAudio('openai', speech))
  const characters = [...input].length
  if (stream !== 'sse')
    return {
      status: 200,
      headers: { 'content-type': type, 'x-request-id': 'req_fake', 'transfer-encoding': 'chunked' },
      chunks: pieces,
      speech: { ...speech, characters },
    }
  const done = {
    type: 'speech.audio.done',
    usage: { input_tokens: characters, output_tokens: characters * 3, total_tokens: characters * 4 },
  }
  const events = [
    ...pieces.map((piece) => ({ type: 'speech.audio.delta', audio: piece.toString('base64') })),
    done,
  ].map((event) => Buffer.from(`data: ${JSON.stringify(event)}\n\n`))
  return {
    status: 200,
    headers: { 'content-type': 'text/event-stream; charset=utf-8', 'x-request-id': 'req_fake' },
    chunks: events,
    speech: { ...speech, characters },
  }
}
