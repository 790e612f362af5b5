import { createHash } from 'node:crypto'
import type { TtsAdapter } from '#adapters/tts/adapter.ts'
import type { SpeechHttp } from '#adapters/tts/speech-http.ts'
import type { VoiceCatalogue } from '#adapters/tts/voice-catalogue.ts'
import { AppError } from '#src/errors.ts'

const TTL_MS = 3_600_000
const LIST_MS = 5_000
const LIST_BYTES_MAX = 8 * 1024 * 1024

type VoiceRows = Awaited<ReturnType<TtsAdapter['voices']>>

/** The voices of streaming speech, as unspeech lists them beside its socket; kept for an hour. */
export function createStreamingVoices(deps: { catalogue: VoiceCatalogue; http: Pick<SpeechHttp, 'send'> }) {
  async function ask(url: string): Promise<VoiceRows> {
    const response = await deps.http.send(
      { method: 'GET', url, headers: { accept: 'application/json' }, body: undefined },
      { signal: AbortSignal.timeout(LIST_MS), firstByteMs: LIST_MS },
    )
    const pieces: Buffer[] = []
    let bytes = 0
    try {
      if (response.status !== 200) throw new Error(`the list of voices answered ${response.status}`)
      response.chunks.idle(LIST_MS)
      for (let piece = await response.chunks.next(); piece !== undefined; piece = await response.chunks.next()) {
        bytes += piece.length
        if (bytes > LIST_BYTES_MAX) throw new Error('the list of voices is too long')
        pieces.push(piece)
      }
    } finally {
      response.chunks.close()
    }
    const body: unknown = JSON.parse(Buffer.concat(pieces).toString('utf8'))
    const voices = typeof body === 'object' && body !== null ? Reflect.get(body, 'voices') : undefined
    if (!Array.isArray(voices)) throw new TypeError('the list of voices has no voices')
    return voices.filter((voice) => typeof voice?.id === 'string')
  }

  return {
    /** `baseUrl`: of the socket. Throws AppError upstream_failed. */
    async list(baseUrl: string, model: string | undefined): Promise<VoiceRows> {
      const url = new URL('/api/voices', baseUrl.replace(/^ws/, 'http'))
      url.searchParams.set('provider', 'volcengine')
      if (model !== undefined) url.searchParams.set('model', model)
      const key = createHash('sha256').update(url.href).digest('hex')
      const list = { id: 'unspeech', voicesTtlMs: TTL_MS, shippedVoices: [], voices: () => ask(url.href) }
      const { voices, source } = await deps.catalogue.voices(key, list, NO_CONTEXT)
      if (source === 'shipped') throw new AppError('upstream_failed', { message: 'The voices cannot be listed now.' })
      return [...voices]
    },
  }
}

/** Nothing of a vendor's settings is needed for a list that stands open. */
const NO_CONTEXT = () => undefined as never

export type StreamingVoices = ReturnType<typeof createStreamingVoices>
