import { createGuardedFetch } from '#adapters/guarded-fetch.ts'
import type { SpeechFormat } from '#wire/speech-format.ts'
import type { TtsAdapter } from './adapter.ts'
import type { FaultOfStatus } from './read-failure.ts'
import { createSpeechHttp } from './speech-http.ts'
import { createTtsAdapter } from './tts-adapter.ts'

export interface TtsAdaptersOptions {
  /** The vendors, by the id that a router config names. */
  formats: ReadonlyMap<string, SpeechFormat>
  faultOfStatus: FaultOfStatus
  connectionsMax: number
  connectTimeoutMs: number
  /** Hosts, with their subdomains, behind which vendors may put audio. */
  linkHostSuffixes: readonly string[]
  /** `host:port` that such links may lead to over plain http, for tests. */
  linkInsecureHosts: readonly string[]
}

/** Where Alibaba puts what it has spoken. */
export const LINK_HOST_SUFFIXES: readonly string[] = ['aliyuncs.com']

/** All vendors over one set of connections. */
export function createTtsAdapters(options: TtsAdaptersOptions) {
  const { connectionsMax, connectTimeoutMs } = options
  const http = createSpeechHttp({ connectionsMax, connectTimeoutMs })
  const guarded = createGuardedFetch({
    hostSuffixes: options.linkHostSuffixes,
    insecureHosts: options.linkInsecureHosts,
    connectTimeoutMs,
    connectionsMax,
  })
  const adapters: ReadonlyMap<string, TtsAdapter> = new Map(
    [...options.formats].map(([id, format]) => [
      id,
      createTtsAdapter(format, { http, guarded, faultOfStatus: options.faultOfStatus }),
    ]),
  )
  return {
    adapters,
    async close(): Promise<void> {
      await Promise.all([http.close(), guarded.close()])
    },
  }
}
