import { findModel } from './models.ts'
import type { Form, FormFile } from './multipart.ts'
import type { CallRequest } from './protocol.ts'
import { badRequest, type Refusal } from './refusal.ts'
import { parseSwitches, type Switches } from './switches.ts'
import { countTokens } from './tokens.ts'

const formats = ['json', 'text', 'srt', 'verbose_json', 'vtt'] as const
export type TranscriptFormat = (typeof formats)[number]

/** A request to write down what is said in a file. */
export interface TranscriptionRequest extends CallRequest {
  format: TranscriptFormat
  billsTokens: boolean
  /** How long the sound is. */
  seconds: number
  language: string
  task: 'transcribe' | 'translate'
  words: boolean
}

/** What a file of unknown format is taken for: 128 kbit/s. */
const BYTES_PER_SECOND = 16_000
const WAV_HEADER_BYTES = 44
/** Of sound, for each second. */
export const AUDIO_TOKENS_PER_SECOND = 10

/** Reads a form into a request of this task, or gives the refusal that OpenAI would answer with. */
export function parseTranscriptionRequest(
  { fields, file, sim: given }: Form & { sim?: unknown },
  task: TranscriptionRequest['task'],
): TranscriptionRequest | Refusal {
  const asked = fields.get('model') ?? ''
  if (asked === '') return badRequest('You must provide a model parameter.', 'model')
  const found = findModel(asked, 'transcription')
  if ('status' in found) return found
  if (file === undefined) return badRequest("'file' is missing.", 'file')
  if (file.bytes === 0) return badRequest('The audio file is empty.', 'file')
  const billsTokens = found.model === 'gpt-sim-transcribe'
  const asFormat = fields.get('response_format') ?? 'json'
  const format = formats.find((name) => name === asFormat)
  if (format === undefined || (billsTokens && format !== 'json'))
    return badRequest(`response_format '${asFormat}' is not supported by this model.`, 'response_format')
  const parsed = parseSwitches(given)
  if ('problem' in parsed) return badRequest(parsed.problem, parsed.param)

  const sim = parsed.switches
  const seconds = secondsOf(file, sim)
  const textTokens = countTokens(fields.get('prompt') ?? '')
  return {
    model: found.model,
    modelAsked: asked,
    // As with the model that it is called after, seconds are billed for a whole text only.
    stream: billsTokens && fields.get('stream') === 'true',
    hasStreamOptions: false,
    promptTokens: billsTokens ? textTokens + Math.ceil(seconds * AUDIO_TOKENS_PER_SECOND) : 0,
    lastRole: '',
    format,
    billsTokens,
    seconds,
    language: task === 'translate' ? 'english' : (fields.get('language') ?? 'english'),
    task,
    words: fields.get('timestamp_granularities[]') === 'word',
    sim,
  }
}

/** A WAV file says itself how fast it runs; anything else is measured by its size. */
function secondsOf({ bytes, head }: FormFile, sim: Switches): number {
  if (sim.seconds !== undefined) return sim.seconds
  const isWav = head.length >= WAV_HEADER_BYTES && head.toString('latin1', 0, 4) === 'RIFF'
  const bytesPerSecond = isWav ? head.readUInt32LE(28) : 0
  if (bytesPerSecond === 0) return bytes / BYTES_PER_SECOND
  return (bytes - WAV_HEADER_BYTES) / bytesPerSecond
}
