import {
  type FakeAnswer,
  type FakeRequest,
  fakeAudio,
  inPieces,
  jsonAnswer,
  objectOf,
  startFakeVendor,
} from './fake-vendor.ts'

export const DASHSCOPE_KEY = 'sk-dashscope0000000000000001'

const types: Record<string, string> = { mp3: 'audio/mpeg', wav: 'audio/wav', pcm: 'audio/pcm', opus: 'audio/ogg' }

/**
 * DashScope: the order goes to one host, the audio is fetched from another. The address of the audio can be changed, for
 * links to where nobody should go.
 */
export async function startFakeDashscope(port = 0, storePort = 0) {
  const stored = new Map<string, { audio: Buffer; type: string }>()
  const store = await startFakeVendor((request) => storeAnswer(request), storePort)
  let link: ((path: string) => string) | undefined
  let orders = 0

  function storeAnswer(request: FakeRequest): FakeAnswer {
    // A signed link is all that is needed; a key that is sent here has leaked.
    if (request.headers.authorization !== undefined) return jsonAnswer(400, { Code: 'InvalidArgument' })
    const file = stored.get(request.path)
    if (request.method !== 'GET' || file === undefined) return jsonAnswer(404, { Code: 'NoSuchKey' })
    return {
      status: 200,
      headers: { 'content-type': file.type, 'content-length': String(file.audio.length) },
      chunks: inPieces(file.audio),
    }
  }

  function orderAnswer(request: FakeRequest): FakeAnswer {
    const requestId = `dashscope-request-${orders + 1}`
    const refusal = (status: number, code: string, message: string) =>
      jsonAnswer(status, { code, message, request_id: requestId })
    if (request.path !== '/api/v1/services/audio/tts/SpeechSynthesizer' || request.method !== 'POST')
      return refusal(404, 'NotFound', 'no such service')
    if (request.headers.authorization !== `Bearer ${DASHSCOPE_KEY}`)
      return refusal(401, 'InvalidApiKey', 'Invalid API-key provided.')
    const body = objectOf(request.body)
    const input = body?.input as Record<string, unknown> | undefined
    if (typeof body?.model !== 'string' || typeof input !== 'object' || input === null)
      return refusal(400, 'InvalidParameter', 'model and input are required')
    const { text, voice, format = 'mp3', ...settings } = input
    if (typeof text !== 'string' || text.trim() === '') return refusal(400, 'InvalidParameter', 'input.text is empty')
    if (typeof voice !== 'string') return refusal(400, 'InvalidParameter', 'input.voice is required')
    if (voice.endsWith('_v2') && body.model !== 'cosyvoice-v2')
      return refusal(400, 'InvalidParameter', `[tts:]Engine return error code: 418, voice ${voice}`)
    const type = types[String(format)]
    if (type === undefined) return refusal(400, 'InvalidParameter', 'input.format is not supported')
    for (const name of Object.keys(settings))
      if (!['sample_rate', 'volume', 'rate', 'pitch', 'instruction'].includes(name))
        return refusal(400, 'InvalidParameter', `input.${name} is not known`)
    orders += 1
    const speech = { text, voice, format: String(format) }
    const path = `/prod/${orders}.${format}`
    stored.set(path, { audio: fakeAudio('dashscope', speech), type })
    const characters = [...text].reduce((sum, character) => sum + (/\p{Script=Han}/u.test(character) ? 2 : 1), 0)
    return {
      ...jsonAnswer(200, {
        request_id: requestId,
        output: {
          finish_reason: 'stop',
          audio: {
            data: '',
            url: link === undefined ? `${store.url}${path}?Expires=1&Signature=x` : link(path),
            id: `audio_${orders}`,
            expires_at: 2_000_000_000,
          },
        },
        usage: { characters },
      }),
      speech: { ...speech, characters },
    }
  }

  const orderDesk = await startFakeVendor(orderAnswer, port)
  return {
    ...orderDesk,
    /** The second host, with its own failures. */
    store,
    /** From now on the audio is said to be there. */
    linkTo(next: (path: string) => string): void {
      link = next
    },
    async close(): Promise<void> {
      await Promise.all([orderDesk.close(), store.close()])
    },
  }
}
