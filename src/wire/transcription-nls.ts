/** Alibaba's streaming speech recognition (NLS) over WebSocket: JSON commands and events, audio as binary. */

const NAMESPACE = 'SpeechTranscriber'
const SUCCESS = 20_000_000

/** Names of one session. Ids are 32 hex digits. */
export interface NlsSession {
  appkey: string
  taskId: string
}

export function nlsCommand(
  session: NlsSession,
  name: 'StartTranscription' | 'StopTranscription',
  messageId: string,
  payload?: Readonly<Record<string, unknown>>,
): string {
  const header = { message_id: messageId, task_id: session.taskId, namespace: NAMESPACE, name, appkey: session.appkey }
  return JSON.stringify({ header, ...(payload && { payload }) })
}

/** What the audio is, and how sentences are told. `options` are the operator's. */
export function nlsStartPayload(options: Readonly<Record<string, unknown>>): Record<string, unknown> {
  return {
    enable_intermediate_result: true,
    enable_punctuation_prediction: true,
    enable_inverse_text_normalization: true,
    ...options,
    format: 'pcm',
    sample_rate: 16_000,
  }
}

/** What an event says. `text` is a whole sentence so far. */
export type NlsEvent =
  | { kind: 'started' | 'completed' | 'other' }
  | { kind: 'changed' | 'sentence'; text: string }
  | { kind: 'failed'; status: number }

export function readNlsEvent(text: string): NlsEvent {
  let value: unknown
  try {
    value = JSON.parse(text)
  } catch {
    return { kind: 'failed', status: 0 }
  }
  const { header, payload } = objectOf(value)
  const { name, status } = objectOf(header)
  const { result } = objectOf(payload)
  if (name === 'TaskFailed' || (typeof status === 'number' && status !== SUCCESS))
    return { kind: 'failed', status: typeof status === 'number' ? status : 0 }
  if (name === 'TranscriptionStarted') return { kind: 'started' }
  if (name === 'TranscriptionCompleted') return { kind: 'completed' }
  if (name === 'TranscriptionResultChanged' && typeof result === 'string') return { kind: 'changed', text: result }
  if (name === 'SentenceEnd' && typeof result === 'string') return { kind: 'sentence', text: result }
  return { kind: 'other' }
}

/** By the vendor's table: 403-like codes are a token's, 429-like ones a limit's, 41-ish ones the audio's. */
export function nlsFaultClass(status: number): 'credential' | 'target' | 'caller' | 'provider' {
  if (status === 40_000_001) return 'credential'
  if (status === 40_000_005) return 'target'
  if (status === 40_000_003 || (status >= 41_000_000 && status < 42_000_000)) return 'caller'
  return 'provider'
}

/** The text that a stream of events has come to, and what is new of it. A sentence may still change until it ends. */
export function createNlsText() {
  let ended = ''
  return {
    /** The new text of a sentence that has ended, or undefined. */
    push(event: NlsEvent): string | undefined {
      if (event.kind !== 'sentence' || event.text === '') return undefined
      ended += event.text
      return event.text
    },
    text: () => ended,
  }
}

function objectOf(value: unknown): Record<string, unknown> {
  return typeof value === 'object' && value !== null ? (value as Record<string, unknown>) : {}
}
