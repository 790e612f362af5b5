import { type FakeAnswer, type FakeRequest, fakeAudio, jsonAnswer, objectOf, startFakeVendor } from './fake-vendor.ts'

export const VOLCENGINE_TOKEN = 'volcengine-token-000000000001'
export const VOLCENGINE_APPID = '4242424242'

/** Volcengine's first version: a code of its own in every answer, audio in base64. */
export function startFakeVolcengine(port = 0) {
  const seen = new Set<string>()

  function answer(request: FakeRequest): FakeAnswer {
    const body = objectOf(request.body)
    const part = (name: string) => (body?.[name] ?? {}) as Record<string, unknown>
    const reqid = String(part('request').reqid)
    const complaint = (status: number, code: number, message: string) =>
      jsonAnswer(status, { reqid, code, operation: 'query', message, sequence: -1 }, { 'x-tt-logid': 'volc-log-1' })
    if (request.path !== '/api/v1/tts' || request.method !== 'POST') return complaint(404, 3001, 'no such path')
    if (!/^Bearer; ?(?=\S)/.test(request.headers.authorization ?? ''))
      return complaint(400, 3001, 'extract request: the header Authorization is malformed')
    const token = request.headers.authorization?.replace(/^Bearer; ?/, '')
    if (token !== VOLCENGINE_TOKEN || part('app').appid !== VOLCENGINE_APPID)
      return complaint(401, 3001, 'authenticate request: load grant: requested grant not found')
    if (!part('app').token || !part('user').uid) return complaint(400, 3001, 'app.token and user.uid are required')
    if (part('app').cluster !== 'volcano_tts') return complaint(400, 3031, 'Init Engine Instance failed')
    const { text, operation } = part('request')
    const { voice_type: voice, encoding, speed_ratio: speed } = part('audio')
    if (operation !== 'query') return complaint(400, 3001, 'unsupported operation')
    if (!/^[0-9a-f-]{36}$/.test(reqid)) return complaint(400, 3001, 'reqid is required')
    if (seen.has(reqid)) return complaint(400, 3006, 'reqid has been used')
    seen.add(reqid)
    if (typeof text !== 'string' || !/[\p{L}\p{N}]/u.test(text)) return complaint(200, 3011, 'illegal input text!')
    if (Buffer.byteLength(text) > 1024) return complaint(200, 3010, 'the text is too long')
    if (typeof voice !== 'string' || !/^(?:BV|zh_|en_|multi_|S_)/.test(voice))
      return complaint(200, 3050, 'the voice does not exist')
    if (!['mp3', 'wav', 'pcm', 'ogg_opus'].includes(String(encoding))) return complaint(400, 3001, 'bad encoding')
    if (typeof speed !== 'number' || speed < 0.2 || speed > 3) return complaint(400, 3001, 'bad speed_ratio')
    const speech = { text, voice, format: String(encoding) }
    return {
      ...jsonAnswer(
        200,
        {
          reqid,
          code: 3000,
          operation: 'query',
          message: 'Success',
          sequence: -1,
          data: fakeAudio('volcengine', speech).toString('base64'),
          addition: { duration: '1960' },
        },
        { 'x-tt-logid': 'volc-log-1' },
      ),
      speech: { ...speech, characters: [...text].length },
    }
  }

  return startFakeVendor(answer, port)
}
