import {
  type FakeAnswer,
  type FakeRequest,
  fakeAudio,
  inPieces,
  jsonAnswer,
  objectOf,
  startFakeVendor,
} from './fake-vendor.ts'

export const STEPFUN_KEY = 'stepfun-key-000000000000000001'

const types: Record<string, string> = {
  mp3: 'audio/mpeg',
  wav: 'audio/wav',
  flac: 'audio/flac',
  opus: 'audio/opus',
  pcm: 'audio/pcm',
}
const known = ['model', 'input', 'voice', 'response_format', 'speed', 'volume', 'voice_label', 'instruction']
const alsoKnown = ['sample_rate', 'pronunciation_map', 'stream_format', 'markdown_filter']

/** StepFun: OpenAI's shape with members of its own. */
export function startFakeStepfun(port = 0) {
  return startFakeVendor(answer, port)
}

function answer(request: FakeRequest): FakeAnswer {
  const refusal = (status: number, message: string, type = 'request_params_invalid') =>
    jsonAnswer(status, { error: { message, type } })
  if (request.headers.authorization !== `Bearer ${STEPFUN_KEY}`)
    return refusal(401, 'Incorrect API key provided', 'invalid_api_key')
  if (request.path === '/v1/audio/system_voices' && request.method === 'GET') {
    if (request.query.get('model') !== 'step-tts-2') return refusal(400, 'model is not supported')
    return jsonAnswer(200, {
      voices: ['cixingnansheng', 'linjiameimei', 'dushexiaoyu'],
      'voices-details': {
        cixingnansheng: {
          'voice-name': '磁性男声',
          'voice-description': '男,深情厚重,有感染力',
          recommended_scene: '有声书、情感陪伴',
        },
        linjiameimei: { 'voice-name': '邻家妹妹', 'voice-description': '女,可爱亲和', recommended_scene: '视频配音' },
        dushexiaoyu: { 'voice-name': '', 'voice-description': '男,温柔亲和', recommended_scene: '口播(解说、新闻)' },
      },
    })
  }
  if (!/^\/(?:step_plan\/)?v1\/audio\/speech$/.test(request.path) || request.method !== 'POST')
    return refusal(404, 'not found')
  const body = objectOf(request.body)
  if (body === undefined) return refusal(400, 'the body is not JSON')
  for (const name of Object.keys(body))
    if (!known.includes(name) && !alsoKnown.includes(name)) return refusal(400, `${name} is not known`)
  const { model, input, voice, response_format: format = 'mp3', speed = 1, volume = 1 } = body
  if (typeof input !== 'string' || input.trim() === '') return refusal(400, 'input is required')
  if ([...input].length > 1000) return refusal(400, 'input is longer than 1000 characters')
  if (!['stepaudio-2.5-tts', 'step-tts-2', 'step-tts-mini', 'step-tts-vivid'].includes(String(model)))
    return refusal(404, 'the model does not exist', 'model_not_found')
  if (typeof voice !== 'string' || voice === '') return refusal(400, 'voice is required')
  const type = types[String(format)]
  if (type === undefined) return refusal(400, 'response_format is not supported')
  if (typeof speed !== 'number' || speed < 0.5 || speed > 2) return refusal(400, 'speed is out of range')
  if (typeof volume !== 'number' || volume < 0.1 || volume > 2) return refusal(400, 'volume is out of range')
  const newest = model === 'stepaudio-2.5-tts'
  if (newest ? 'voice_label' in body : 'instruction' in body) return refusal(400, 'not supported by this model')
  const speech = { text: input, voice, format: String(format) }
  return {
    status: 200,
    headers: { 'content-type': type, 'x-trace-id': 'stepfun-trace-1' },
    chunks: inPieces(fakeAudio('stepfun', speech)),
    speech: { ...speech, characters: [...input].length },
  }
}
