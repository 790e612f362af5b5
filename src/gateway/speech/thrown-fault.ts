import type { TtsFault } from '#adapters/tts/adapter.ts'
import type { UpstreamFault } from '#gateway/upstream-fault.ts'

/** The fault that an adapter of speech has thrown; undefined for what is none. */
export function thrownFault(error: unknown): UpstreamFault | undefined {
  return error instanceof Error && error.name === 'TtsFault' ? (error as TtsFault).fault : undefined
}
