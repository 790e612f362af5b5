import {
  type FakeAnswer,
  type FakeRequest,
  fakeAudio,
  inPieces,
  jsonAnswer,
  objectOf,
  startFakeVendor,
} from './fake-vendor.ts'

export const ELEVENLABS_KEY = 'sk_elevenlabs000000000000000001'

const voices: Record<string, string> = { JBFqnCBsd6RMkjVDRZzb: 'George', EXAVITQu4vr4xnSDxMaL: 'Sarah' }
const types: Record<string, string> = { mp3: 'audio/mpeg', pcm: 'audio/pcm', opus: 'audio/opus', ulaw: 'audio/basic' }

/** ElevenLabs: the voice in the path, the format in the query, the cost in a header. */
export function startFakeElevenlabs(port = 0) {
  return startFakeVendor(answer, port)
}

function answer(request: FakeRequest): FakeAnswer {
  const refusal = (status: number, code: string, message: string) =>
    jsonAnswer(status, { detail: { status: code, message } })
  if (request.headers['xi-api-key'] !== ELEVENLABS_KEY) return refusal(401, 'invalid_api_key', 'Invalid API key')
  if (request.path === '/v1/voices' && request.method === 'GET') return jsonAnswer(200, voiceList)
  const voice = /^\/v1\/text-to-speech\/([A-Za-z0-9]+)\/stream$/.exec(request.path)?.[1]
  if (voice === undefined || request.method !== 'POST') return jsonAnswer(404, { detail: 'Not Found' })
  if (!Object.hasOwn(voices, voice))
    return refusal(404, 'voice_not_found', `A voice with the id ${voice} was not found.`)
  const format = request.query.get('output_format') ?? 'mp3_44100_128'
  const type = types[format.split('_')[0] ?? '']
  if (type === undefined || !/^[a-z0-9]+_\d+(?:_\d+)?$/.test(format))
    return jsonAnswer(422, {
      detail: [{ loc: ['query', 'output_format'], msg: 'Invalid output_format', type: 'enum' }],
    })
  const body = objectOf(request.body)
  const text = body?.text
  if (typeof text !== 'string') return jsonAnswer(422, { detail: [{ loc: ['body', 'text'], msg: 'field required' }] })
  const model = String(body?.model_id)
  if (!/^eleven_/.test(model)) return refusal(400, 'model_not_found', `A model with model ID ${model} does not exist`)
  const settings = (body?.voice_settings ?? {}) as Record<string, unknown>
  if (settings.speed !== undefined && (Number(settings.speed) < 0.7 || Number(settings.speed) > 1.2))
    return refusal(400, 'invalid_voice_settings', 'speed must be between 0.7 and 1.2')
  const speech = { text, voice, format }
  const characters = [...text].length
  const credits = /^eleven_(?:flash|turbo)_/.test(model) ? Math.ceil(characters / 2) : characters
  return {
    status: 200,
    headers: { 'content-type': type, 'request-id': 'eleven-request-1', 'character-cost': String(credits) },
    chunks: inPieces(fakeAudio('elevenlabs', speech)),
    speech: { ...speech, characters: credits },
  }
}

const voiceList = {
  voices: [
    {
      voice_id: 'JBFqnCBsd6RMkjVDRZzb',
      name: 'George',
      category: 'premade',
      labels: { accent: 'british', age: 'middle_aged', gender: 'male', language: 'en', use_case: 'narration' },
      description: 'A warm storyteller',
      preview_url: 'https://storage.example.com/george.mp3',
      high_quality_base_model_ids: ['eleven_multilingual_v2', 'eleven_flash_v2_5'],
      verified_languages: [{ language: 'en', model_id: 'eleven_flash_v2_5', accent: 'british', locale: 'en-GB' }],
    },
    {
      voice_id: 'EXAVITQu4vr4xnSDxMaL',
      name: 'Sarah',
      labels: { gender: 'female' },
      preview_url: 'javascript:alert(1)',
    },
    { name: 'without an id' },
  ],
}
