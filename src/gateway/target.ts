import type { PricedTarget } from '#domain/call-context.ts'
import type { Protocol } from '#wire/protocol.ts'
import type { Candidate } from './dispatch/candidate.ts'

/** An API key that is opened for the moment of its use. */
export interface TargetCredential {
  /** First 8 hex digits of the key's SHA-256: what logs and receipts call it. */
  id8: string
  /** Throws AppError decrypt_failed. */
  use<T>(read: (key: string) => T): T
}

/** One upstream under one credential that could serve a call, whatever the call is about. */
export interface CallTarget extends Candidate {
  priced: PricedTarget
  credential: TargetCredential | undefined
  /** Of one attempt, to its first byte. */
  firstByteMs: number | undefined
}

/** One that answers with text: where to send it, what it may cost, how far it may go. */
export interface Target extends CallTarget {
  /** What it is spoken to in. */
  protocol: Protocol
  origin: string
  path: string
  /** Where a prompt of the messages protocol is counted; undefined where the provider does not count. */
  countPath: string | undefined
  /** Without the credential. */
  headers: Readonly<Record<string, string>>
  /** The credential's, made anew for each attempt: no key stays in memory longer than that. */
  authorize(body: string): Record<string, string> | Promise<Record<string, string>>
  /** The provider refused the credential: a token that was fetched with it is not used again. */
  rejected(): void
  maxOutputTokens: number
  /** Whether the provider itself enforces maxOutputTokens. */
  outputLimitKnown: boolean
  /** Tokens that the client never sees: progress cannot be watched, so the worst case is held. */
  hiddenReasoning: boolean
  /** What this provider calls the limit on the answer of a chat. */
  maxTokensMember: 'max_completion_tokens' | 'max_tokens'
  /** Cleared when the upstream refuses `stream_options`; its usage is then counted here. */
  streamOptions: boolean
}

/** What the target is sent as its credential: ours, and for no client to see. Undefined where there is none. */
export function withCredential<T>(target: CallTarget | undefined, read: (key: string | undefined) => T): T {
  const { credential } = target ?? {}
  if (credential === undefined) return read(undefined)
  return credential.use(read)
}
