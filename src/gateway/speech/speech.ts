import type { Gateway } from '../gateway.ts'
import type { AudioRoutes } from './audio-routes.ts'
import type { SpeechTarget } from './speech-target.ts'
import type { VoiceDirectory } from './voice-directory.ts'

/** What speech adds to the gateway. */
export interface Speech {
  routes: AudioRoutes<SpeechTarget>
  voices: VoiceDirectory
}

export type SpeechGateway = Gateway & { speech: Speech }
