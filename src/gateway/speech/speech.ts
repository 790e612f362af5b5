import type { SpeechLine, SpeechLineHandler } from '#adapters/tts/speech-dial.ts'
import type { SpeechHttp } from '#adapters/tts/speech-http.ts'
import type { Gateway } from '#gateway/gateway.ts'
import type { AudioRoutes } from './audio-routes.ts'
import type { LiveTarget } from './live-target.ts'
import type { SpeechTarget } from './speech-target.ts'
import type { createStreamRoute } from './stream-target.ts'
import type { StreamingVoices } from './streaming-voices.ts'
import type { TranscriptionTarget } from './transcription-target.ts'
import type { VoiceDirectory } from './voice-directory.ts'

/** What speech adds to the gateway. */
export interface Speech {
  routes: AudioRoutes<SpeechTarget>
  voices: VoiceDirectory
  streamingVoices: StreamingVoices
  transcriptions: AudioRoutes<TranscriptionTarget>
  translations: AudioRoutes<TranscriptionTarget>
  /** Heard while it is spoken. */
  live: AudioRoutes<LiveTarget>
  /** Sends forms to upstreams. */
  http: Pick<SpeechHttp, 'send'>
  stream: ReturnType<typeof createStreamRoute>
  /** Opens a WebSocket to a vendor. */
  dial: (to: { url: string; headers: Record<string, string> }, handler: SpeechLineHandler) => SpeechLine
  /** The longest file. */
  uploadBytesMax: number
}

export type SpeechGateway = Gateway & { speech: Speech }
