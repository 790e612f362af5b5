import { createUpstreamAuth } from '#adapters/upstream-auth.ts'
import { createUpstreamHttp } from '#adapters/upstream-http.ts'
import type { Db } from '#db/pool.ts'
import { createBudgetWords } from '#domain/budgets/budget-words.ts'
import { createCallers } from '#domain/callers.ts'
import type { CredentialAlarms } from '#domain/credential-alarms.ts'
import { createKeyring } from '#domain/keyring.ts'
import type { RateLimits } from '#domain/limits/rate-limits.ts'
import type { Capture } from '#domain/people/product-event.ts'
import type { PriceBook } from '#domain/price-book.ts'
import { createDispatcher } from '#gateway/dispatcher.ts'
import { createGatewayMetrics } from '#gateway/metrics.ts'
import { createOpenCalls } from '#gateway/open-calls.ts'
import { createRoutes } from '#gateway/routes.ts'
import type { SpeechGateway } from '#gateway/speech/speech.ts'
import type { Provider } from '#gateway/targets.ts'
import { createSimulator } from '#simulator/simulator.ts'
import type { openLedger } from './open-ledger.ts'
import type { openPeople } from './open-people.ts'
import type { openRouter } from './open-router.ts'
import { openSpeech } from './open-speech.ts'
import type { Parts } from './parts.ts'

const TICK_MS = 200
/** Slow enough to see that it streams. */
const SIM_CHUNK_MS = 20

interface Below {
  db: Db
  priceBook: PriceBook
  books: Awaited<ReturnType<typeof openLedger>>
  router: Awaited<ReturnType<typeof openRouter>>
  people: Pick<ReturnType<typeof openPeople>, 'signedIn' | 'trusts' | 'memberProjects'>
  capture?: Capture | undefined
  alarms: CredentialAlarms
  rateLimits: RateLimits
}

/** The hot path and what it reaches: providers, the simulator, client keys. */
export async function openGateway(
  parts: Parts,
  { db, priceBook, books, router, people, capture, alarms, rateLimits }: Below,
): Promise<SpeechGateway> {
  const { config, log, registry, opened } = parts
  const upstream = createUpstreamHttp({
    connectionsMax: config.UPSTREAM_CONNECTIONS_MAX,
    connectTimeoutMs: config.CONNECT_TIMEOUT_MS,
  })
  opened.defer(() => upstream.close())
  const upstreamAuth = createUpstreamAuth({
    timeoutMs: config.CONNECT_TIMEOUT_MS,
    googleTokenUrl: config.GOOGLE_TOKEN_URL,
    azureAuthorityHost: config.AZURE_AUTHORITY_HOST,
  })
  opened.defer(() => upstreamAuth.close())
  const keyring = createKeyring({
    db,
    onInterrupted: (error) => log.warn({ err: error }, 'revocations are not heard for a moment'),
    onUseLost: (error) => log.warn({ err: error }, 'when keys were last used could not be written yet'),
  })
  opened.defer(() => keyring.close())
  const { signedIn, trusts } = people
  const openCalls = createOpenCalls({
    callsMax: config.OPEN_CALLS_MAX,
    bodyBytesMax: config.OPEN_BODY_BYTES_MAX,
    tickMs: TICK_MS,
    onBroken: (error) => log.error({ err: error }, 'a call broke'),
  })
  const simulatorUrl = await openSimulator(parts)
  const providers: Provider[] = [
    { name: 'sim', preset: 'sim', baseUrl: `${simulatorUrl}/v1`, params: {}, apiKey: undefined },
    ...config.providers,
  ]
  warnOfUnpriced(providers, priceBook, log)
  const timeouts = {
    firstByteMs: config.FIRST_BYTE_TIMEOUT_MS,
    idleMs: config.IDLE_TIMEOUT_MS,
    totalMs: config.TOTAL_TIMEOUT_MS,
  }
  const { ledger, spool, outcomes } = books
  const routing = {
    providers,
    priceBook,
    snapshot: router.feed.snapshot,
    credentials: router.credentials,
    auth: upstreamAuth,
    timeouts: { ...timeouts, chainMs: undefined },
  }
  const routes = createRoutes(routing)
  return {
    keyring:
      signedIn === undefined
        ? keyring
        : createCallers({ keyring, signedIn, trusts, memberOf: people.memberProjects.callerOf }),
    routes,
    speech: openSpeech(parts, { ...routing, models: routes.models }),
    dispatcher: createDispatcher({
      cooldownMs: config.UPSTREAM_COOLDOWN_MS,
      cooldownMsMax: config.UPSTREAM_COOLDOWN_MS_MAX,
    }),
    ledger,
    spool,
    outcomes,
    upstream,
    alarms,
    openCalls,
    rateLimits,
    limits: {
      bodyBytesMax: config.BODY_BYTES_MAX,
      frameBytesMax: config.FRAME_BYTES_MAX,
      answerBytesMax: config.ANSWER_BYTES_MAX,
      headersMax: config.HEADERS_MAX,
    },
    timeouts: {
      ...timeouts,
      keepAliveMs: config.KEEPALIVE_MS,
      clientStallMs: config.CLIENT_STALL_TIMEOUT_MS,
      settleWaitMs: config.SETTLE_WAIT_MS,
    },
    policy: { clientAbort: config.CLIENT_ABORT_POLICY, upstreamError: config.UPSTREAM_ERROR_POLICY },
    metrics: createGatewayMetrics(registry, {
      openCalls: () => openCalls.size,
      laneDepth: () => ledger.depth,
      spooled: () => spool.size,
    }),
    describeBudget: createBudgetWords({ db }).describe,
    capture,
    receiptLog: config.RECEIPT_LOG_ORIGIN,
    log,
  }
}

/** Where `sim/*` is served: by a simulator of our own, unless another one is named. */
async function openSimulator({ config, opened }: Parts): Promise<string> {
  if (config.FLUXGATE_SIM_URL !== undefined) return config.FLUXGATE_SIM_URL
  const simulator = createSimulator({ oracleCalls: 1_000, chunkMs: SIM_CHUNK_MS })
  opened.defer(() => simulator.close())
  return (await simulator.listen({})).url
}

/** Otherwise the first to find out would be a client. */
function warnOfUnpriced(providers: readonly Provider[], priceBook: PriceBook, log: Parts['log']): void {
  const priced = new Set(priceBook.models().map(({ provider }) => provider))
  const names = providers.map(({ name }) => name)
  const unpriced = names.filter((name) => !priced.has(name) && priceBook.find(name, '*') === undefined)
  if (unpriced.length === 0) return
  const meaning = 'their models answer pricing_missing until PRICE_BOOK names a book with their prices'
  log.warn({ providers: unpriced }, `the price book has no price for these providers: ${meaning}`)
}
