import type { Logger } from 'pino'
import type { UpstreamHttp } from '#adapters/upstream-http.ts'
import type { Callers } from '#domain/callers.ts'
import type { CredentialAlarms } from '#domain/credential-alarms.ts'
import type { Ledger } from '#domain/ledger.ts'
import type { RateLimits } from '#domain/limits/rate-limits.ts'
import type { Capture } from '#domain/people/product-event.ts'
import type { Spool } from '#domain/spool.ts'
import type { StoredOutcomes } from '#domain/stored-outcomes.ts'
import type { Dispatcher } from './dispatcher.ts'
import type { GatewayMetrics } from './metrics.ts'
import type { OpenCalls } from './open-calls.ts'
import type { Routes } from './routes.ts'

interface GatewayLimits {
  bodyBytesMax: number
  /** One frame of an upstream's stream. */
  frameBytesMax: number
  /** The whole body of an upstream's answer that is not streamed. */
  answerBytesMax: number
  headersMax: number
}

interface GatewayTimeouts {
  firstByteMs: number
  idleMs: number
  /** From the client's request to the end of its answer. */
  totalMs: number
  /** A stream that is silent for this long gets a comment, so that proxies keep it open. */
  keepAliveMs: number
  /** A client that reads nothing for this long has left. */
  clientStallMs: number
  /** How long a complete answer waits for a database that is away. */
  settleWaitMs: number
}

/** What a client that hangs up leaves behind, and what a provider's failure half-way costs: docs/who-pays.md. */
interface GatewayPolicy {
  clientAbort: 'abort' | 'drain'
  upstreamError: 'delivered' | 'free'
}

/** Everything the hot path uses. Wired once, in src/app.ts. */
export interface Gateway {
  keyring: Callers
  routes: Routes
  dispatcher: Dispatcher
  ledger: Ledger
  spool: Spool
  outcomes: StoredOutcomes
  upstream: UpstreamHttp
  /** Operators hear of credentials that providers refuse. */
  alarms: Pick<CredentialAlarms, 'note'>
  openCalls: OpenCalls
  rateLimits: RateLimits
  limits: GatewayLimits
  timeouts: GatewayTimeouts
  policy: GatewayPolicy
  metrics: GatewayMetrics
  /** Says of a budget what a client may be told that passes it. Never rejects. */
  describeBudget(id: bigint, floor: bigint): Promise<{ message?: string }>
  /** Is told of people's calls, where the operator counts them. */
  capture?: Capture | undefined
  /** Origin of the log that receipts name. */
  receiptLog: string
  log: Logger
}
