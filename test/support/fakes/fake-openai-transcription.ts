import { openaiRefusal } from './fake-openai-audio.ts'
import { type FakeAnswer, type FakeRequest, jsonAnswer } from './fake-vendor.ts'

const FILE_BYTES_MAX = 25 * 1024 * 1024
/** 16 kHz, 16 bit, mono: what every file is taken for. */
const BYTES_PER_SECOND = 32_000
const fileNames = /\.(?:flac|mp3|mp4|mpeg|mpga|m4a|ogg|wav|webm)$/i
const fields = new Set([
  'file',
  'model',
  'language',
  'prompt',
  'response_format',
  'temperature',
  'stream',
  'timestamp_granularities[]',
  'include[]',
  'chunking_strategy',
])

/** Hears in every file how long it is. Whisper is billed by the second, its successors by the token. */
export async function transcribe(request: FakeRequest, translating: boolean): Promise<FakeAnswer> {
  const type = request.headers['content-type'] ?? ''
  if (!/^multipart\/form-data; *boundary=/i.test(type)) return openaiRefusal(400, 'multipart/form-data is expected')
  let form: FormData
  try {
    form = await new Response(new Uint8Array(request.body), { headers: { 'content-type': type } }).formData()
  } catch {
    return openaiRefusal(400, 'Could not parse multipart form')
  }
  for (const name of form.keys()) if (!fields.has(name)) return openaiRefusal(400, `Unrecognized field ${name}`, name)
  const file = form.get('file')
  if (!(file instanceof File)) return openaiRefusal(400, 'file is required', 'file')
  if (!fileNames.test(file.name)) return openaiRefusal(400, `Unrecognized file format: ${file.name}`, 'file')
  if (file.size === 0) return openaiRefusal(400, 'The audio file is empty', 'file')
  if (file.size > FILE_BYTES_MAX) return openaiRefusal(413, 'Maximum content size limit (26214400) exceeded')
  const model = String(form.get('model'))
  const whisper = model === 'whisper-1'
  if (!whisper && !/^gpt-4o(?:-mini)?-transcribe$/.test(model))
    return openaiRefusal(404, `The model \`${model}\` does not exist`, null, 'model_not_found')
  if (translating && !whisper) return openaiRefusal(400, 'translations need whisper-1', 'model')
  const format = String(form.get('response_format') ?? 'json')
  const formats = whisper ? ['json', 'text', 'srt', 'verbose_json', 'vtt'] : ['json', 'text']
  if (!formats.includes(format))
    return openaiRefusal(400, `response_format '${format}' is not compatible with model '${model}'`, 'response_format')
  const granularities = form.getAll('timestamp_granularities[]').map(String)
  if (granularities.length > 0 && format !== 'verbose_json')
    return openaiRefusal(400, 'timestamp_granularities needs verbose_json', 'timestamp_granularities')
  const stream = form.get('stream') === 'true'
  if (stream && whisper) return openaiRefusal(400, 'Streaming is not supported for whisper-1', 'stream')

  const seconds = Math.ceil(file.size / BYTES_PER_SECOND)
  const text = `${translating ? 'Translated' : 'Heard'} ${seconds} seconds of ${file.name}.`
  const words = text.split(' ')
  const usage = whisper
    ? { type: 'duration', seconds }
    : {
        type: 'tokens',
        input_tokens: seconds * 10 + 2,
        input_token_details: { text_tokens: 2, audio_tokens: seconds * 10 },
        output_tokens: words.length,
        total_tokens: seconds * 10 + 2 + words.length,
      }
  const speech = { text, voice: '', format, characters: seconds }
  if (stream) {
    const events = [
      ...words.map((word, index) => ({ type: 'transcript.text.delta', delta: index === 0 ? word : ` ${word}` })),
      { type: 'transcript.text.done', text, usage },
    ]
    return {
      status: 200,
      headers: { 'content-type': 'text/event-stream' },
      chunks: events.map((event) => Buffer.from(`data: ${JSON.stringify(event)}\n\n`)),
      speech,
    }
  }
  return { ...rendered(format, { text, seconds, usage, translating, words, granularities }), speech }
}

function rendered(
  format: string,
  heard: {
    text: string
    seconds: number
    usage: object
    translating: boolean
    words: string[]
    granularities: string[]
  },
): FakeAnswer {
  const { text, seconds, usage, words, granularities } = heard
  const plain = (type: string, body: string): FakeAnswer => ({
    status: 200,
    headers: { 'content-type': type },
    chunks: [Buffer.from(body)],
  })
  const time = (separator: string) =>
    `00:00:00${separator}000 --> 00:00:${String(seconds).padStart(2, '0')}${separator}000`
  if (format === 'text') return plain('text/plain; charset=utf-8', `${text}\n`)
  if (format === 'srt') return plain('text/plain; charset=utf-8', `1\n${time(',')}\n${text}\n\n`)
  if (format === 'vtt') return plain('text/vtt; charset=utf-8', `WEBVTT\n\n${time('.')}\n${text}\n\n`)
  if (format === 'json') return jsonAnswer(200, { text, usage })
  return jsonAnswer(200, {
    task: heard.translating ? 'translate' : 'transcribe',
    language: 'english',
    duration: seconds,
    text,
    usage,
    segments: [{ id: 0, seek: 0, start: 0, end: seconds, text, tokens: [1, 2], temperature: 0, avg_logprob: -0.1 }],
    ...(granularities.includes('word') && {
      words: words.map((word, index) => ({ word, start: index / words.length, end: (index + 1) / words.length })),
    }),
  })
}
