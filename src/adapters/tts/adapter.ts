import type { Usage } from '#billing/usage.ts'
import type { UpstreamFault } from '#gateway/upstream-fault.ts'
import type { SpeechCount, SpeechInput, SpeechRefusal, Voice } from '#wire/speech-format.ts'

/** One vendor's speech. */
export interface TtsAdapter {
  readonly id: string
  /** Names of audio formats that a client may ask for. */
  readonly formats: readonly string[]
  readonly defaultVoice: string | undefined
  /** What there is without asking the vendor. */
  readonly shippedVoices: readonly Voice[]
  /** For how long a live list of voices is good; undefined where the vendor lists none. */
  readonly voicesTtlMs: number | undefined

  /** Whether this vendor can say it at all; the same answer that speak() would throw, without a key and without a call. */
  check(input: SpeechInput, params: TtsContext['params'], baseUrl: string): SpeechRefusal | undefined
  /** Members of the request that this vendor has no place for, as the answer will name them. */
  drops(input: SpeechInput, params: TtsContext['params'], baseUrl: string): readonly string[]
  /** What it will be billed for, for the hold; settle by what the answer reports, where it does. */
  count(input: SpeechInput, params: TtsContext['params']): SpeechCount
  /**
   * Resolves when the first byte of audio is there, so that until then another target may be asked. Throws TtsFault, or
   * `signal.reason` when the caller gave up.
   */
  speak(input: SpeechInput, context: TtsContext): Promise<TtsAnswer>
  /** The vendor's live list. Throws like speak(), and where voicesTtlMs is undefined. */
  voices(context: TtsContext): Promise<Voice[]>
}

export interface TtsContext {
  /** The credential in clear text. */
  key: string
  /** Empty: the vendor's own address, by its params. */
  baseUrl: string
  /** `adapterParams` of the upstream. */
  params: Readonly<Record<string, unknown>>
  /** Extra headers of the upstream; they replace the adapter's own of the same name. */
  headers: Readonly<Record<string, string>>
  /** The caller's: aborting it ends the call at the vendor, also in the middle of the audio. */
  signal: AbortSignal
  limits: TtsLimits
  /** Hears that the request is being written to a connection: from then on the vendor may bill it. */
  onSent?: () => void
}

interface TtsLimits {
  audioBytesMax: number
  /** From the call to the first byte of audio, over all requests that it takes. */
  firstByteMs: number
  /** Between two pieces of audio, while the reader waits for one. */
  idleMs: number
}

export interface TtsAnswer {
  contentType: string
  /**
   * Read once, at the reader's pace: while nothing is asked for, nothing is read from the vendor. Leaving the loop closes the
   * connection. Throws like speak().
   */
  body: AsyncIterable<Buffer>
  /** For an answer that nobody reads. */
  discard(): void
  /** What the vendor says it bills; ask when the body has been read to its end. Undefined: nothing was said. */
  usage(): Usage | undefined
  upstreamRequestId: string | undefined
  /** Members of the request that this vendor has no place for. */
  dropped: readonly string[]
}

/** A call that failed, and whose fault it is: for `caller` no other target is asked. */
export class TtsFault extends Error {
  override readonly name = 'TtsFault'
  readonly fault: UpstreamFault

  constructor(fault: UpstreamFault) {
    super(`${fault.class}: ${fault.code}`, { cause: fault.cause })
    this.fault = fault
  }
}
