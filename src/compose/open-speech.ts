import { createNlsTokens } from '#adapters/asr/nls-token.ts'
import { dialSpeech } from '#adapters/tts/speech-dial.ts'
import { createSpeechHttp } from '#adapters/tts/speech-http.ts'
import { createTtsAdapters, LINK_HOST_SUFFIXES } from '#adapters/tts/tts-adapters.ts'
import { createVoiceCatalogue } from '#adapters/tts/voice-catalogue.ts'
import type { ListedModel, RoutesDeps } from '#gateway/routes.ts'
import { createAudioRoutes } from '#gateway/speech/audio-routes.ts'
import { createLiveTargets } from '#gateway/speech/live-target.ts'
import type { Speech } from '#gateway/speech/speech.ts'
import { createSpeechTargets } from '#gateway/speech/speech-target.ts'
import { createStreamRoute } from '#gateway/speech/stream-target.ts'
import { createStreamingVoices } from '#gateway/speech/streaming-voices.ts'
import { createTranscriptionTargets } from '#gateway/speech/transcription-target.ts'
import { createVoiceDirectory } from '#gateway/speech/voice-directory.ts'
import { faultOfStatus } from '#gateway/upstream-fault.ts'
import { speechFormats } from '#wire/speech-formats.ts'
import type { Parts } from './parts.ts'

const VOICE_LISTS_MAX = 1_000
const VOICE_LIST_RETRY_MS = 60_000
const VOICE_LIST_MS = 10_000
const VOICE_LIST_BYTES_MAX = 16 * 1024 * 1024

/** Speech: the vendors, what is configured of them, and their voices. */
export function openSpeech(
  { config, log, opened }: Parts,
  routing: RoutesDeps & { models: () => readonly ListedModel[] },
): Speech {
  const tts = createTtsAdapters({
    formats: speechFormats,
    faultOfStatus,
    connectionsMax: config.UPSTREAM_CONNECTIONS_MAX,
    connectTimeoutMs: config.CONNECT_TIMEOUT_MS,
    linkHostSuffixes: LINK_HOST_SUFFIXES,
    linkInsecureHosts: config.SPEECH_LINK_HOSTS ?? [],
  })
  opened.defer(() => tts.close())
  const targets = createSpeechTargets({
    ...routing,
    adapters: tts.adapters,
    bookDigest: routing.priceBook.digest,
  })
  const http = createSpeechHttp({
    connectionsMax: config.UPSTREAM_CONNECTIONS_MAX,
    connectTimeoutMs: config.CONNECT_TIMEOUT_MS,
  })
  opened.defer(() => http.close())
  const hearing = (protocol: 'transcriptions' | 'translations') =>
    createAudioRoutes({
      ...routing,
      ...createTranscriptionTargets({ ...routing, protocol, bookDigest: routing.priceBook.digest }),
      surface: 'asr',
    })
  const live = createLiveTargets({ ...routing, tokens: createNlsTokens({ http }) })
  const catalogue = createVoiceCatalogue({
    entriesMax: VOICE_LISTS_MAX,
    retryAfterMs: VOICE_LIST_RETRY_MS,
    onFailure: (adapter, error) => log.warn({ adapter, err: error }, 'a list of voices could not be loaded'),
  })
  return {
    routes: createAudioRoutes({ ...routing, ...targets, surface: 'tts' }),
    voices: createVoiceDirectory({ catalogue, listMs: VOICE_LIST_MS, listBytesMax: VOICE_LIST_BYTES_MAX }),
    streamingVoices: createStreamingVoices({ catalogue, http }),
    transcriptions: hearing('transcriptions'),
    translations: hearing('translations'),
    live: createAudioRoutes({ ...routing, ...live, surface: 'asr' }),
    http,
    stream: createStreamRoute(routing),
    dial: (to, handler) => dialSpeech({ ...to, connectTimeoutMs: config.CONNECT_TIMEOUT_MS }, handler),
    uploadBytesMax: config.UPLOAD_BYTES_MAX,
  }
}
