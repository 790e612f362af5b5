import type { RequestProblem } from './text-request.ts'

/** One field of a form that is no file, in the order in which they came. */
export interface FormField {
  name: string
  value: string
}

/** What the gateway must know of a request for a transcription; its fields pass through as they are. */
export interface TranscriptionRequest {
  model: string | undefined
  format: string
  stream: boolean
  /** UTF-8 bytes of text that the model reads beside the audio. */
  promptBytes: number
}

const MODEL_CHARS_MAX = 255
const formats: readonly string[] = ['json', 'text', 'srt', 'verbose_json', 'vtt', 'diarized_json']

/** The small fields of the form. */
export function parseTranscriptionFields(fields: readonly FormField[]): TranscriptionRequest | RequestProblem {
  const model = single(fields, 'model')
  const format = single(fields, 'response_format')
  const stream = single(fields, 'stream')
  for (const [path, value] of [
    ['model', model],
    ['response_format', format],
    ['stream', stream],
  ] as const)
    if (value === null) return { path, message: 'stands twice' }
  if (model && (model.length > MODEL_CHARS_MAX || /\p{Cc}|\p{Cs}/u.test(model)))
    return { path: 'model', message: 'is not the name of a model' }
  if (format && !formats.includes(format))
    return { path: 'response_format', message: `must be one of ${formats.join(', ')}` }
  if (stream && stream !== 'true' && stream !== 'false') return { path: 'stream', message: 'must be true or false' }
  const read = fields.filter(({ name }) => name === 'prompt' || name === 'language' || name === 'known_speaker_names[]')
  return {
    model: model === undefined || model === '' || model === 'auto' || model === null ? undefined : model,
    format: format || 'json',
    stream: stream === 'true',
    promptBytes: read.reduce((sum, { value }) => sum + Buffer.byteLength(value), 0),
  }
}

/** Null: it stands twice. */
function single(fields: readonly FormField[], name: string): string | undefined | null {
  const [first, ...more] = fields.filter((field) => field.name === name)
  return more.length > 0 ? null : first?.value
}
