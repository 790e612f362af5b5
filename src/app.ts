import { readFile } from 'node:fs/promises'
import { createServer } from 'node:http'
import { type AddressInfo, isIPv6 } from 'node:net'
import { join } from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'
import type { Logger } from 'pino'
import { collectDefaultMetrics, Gauge, Registry } from 'prom-client'
import { createUpstreamAuth } from '#adapters/upstream-auth.ts'
import { createUpstreamHttp } from '#adapters/upstream-http.ts'
import { requireDurable, UnsafeDatabaseError } from '#db/durability.ts'
import { migrate, readMigrations } from '#db/migrate.ts'
import { createPool, type Db } from '#db/pool.ts'
import { auditLedger } from '#domain/audit.ts'
import { createCredentials } from '#domain/credentials.ts'
import { createGrants } from '#domain/grants.ts'
import { createKeyring } from '#domain/keyring.ts'
import { createKeys } from '#domain/keys.ts'
import { createLedger, type SettleOp } from '#domain/ledger.ts'
import { loadPriceBook, type PriceBook } from '#domain/price-book.ts'
import { createProjects } from '#domain/projects.ts'
import { publicReceiptKeys, registerReceiptKey } from '#domain/receipt-keys.ts'
import { createReceiptLog } from '#domain/receipt-log.ts'
import { createRefunds } from '#domain/refunds.ts'
import { EMPTY_SNAPSHOT } from '#domain/router/snapshot.ts'
import { claimSlot } from '#domain/slot.ts'
import { openSpool } from '#domain/spool.ts'
import { createStoredOutcomes } from '#domain/stored-outcomes.ts'
import { createSweeper } from '#domain/sweeper.ts'
import { createWallets } from '#domain/wallets.ts'
import { createDispatcher } from '#gateway/dispatcher.ts'
import type { Gateway } from '#gateway/gateway.ts'
import { createGatewayMetrics, createLedgerMetrics } from '#gateway/metrics.ts'
import { createOpenCalls } from '#gateway/open-calls.ts'
import { createRoutes } from '#gateway/routes.ts'
import type { Provider } from '#gateway/targets.ts'
import { type OpenSockets, watchSockets } from '#lib/open-sockets.ts'
import { createHttpApp } from '#routes/http-app.ts'
import { createInferenceRoutes } from '#routes/inference.ts'
import { createSimulator } from '#simulator/simulator.ts'
import { loadTokenizer } from '#wire/count-tokens.ts'
import type { Config } from './config.ts'
import type { Installation } from './installation.ts'

const VERSION = '0.1.0'
const TICK_MS = 200
const BATCH_MAX = 256
/** How long a stop waits for clients that have not yet read the end of their answer. */
const LAST_BYTES_MS = 5_000
const DATABASE_END_MS = 5_000
/** Slow enough to see that it streams. */
const SIM_CHUNK_MS = 20
const bundledPriceBook = fileURLToPath(new URL('../prices/price-book.json', import.meta.url))

/**
 * The one place that knows every part. Reads top to bottom: outside world, rules, hot path, HTTP. Throws Error with what to
 * do, and then leaves nothing open.
 */
export async function createApp(config: Config, installation: Installation, log: Logger) {
  // Closed from the last to the first, by close() or when a later part cannot be opened.
  await using opened = new AsyncDisposableStack()
  const registry = new Registry()
  collectDefaultMetrics({ register: registry })
  const ledgerMetrics = createLedgerMetrics(registry)

  // The outside world.
  const db = createPool({ connection: installation.connection, poolMax: 10 }, (error) =>
    log.warn({ err: error }, 'an idle database connection broke'),
  )
  opened.defer(() => endPool(db))
  await requireDurable(db).catch((error: unknown) => {
    throw error instanceof UnsafeDatabaseError ? error : unusable(error, config)
  })
  const { applied } = await migrate(db, await readMigrations())
  if (applied.length > 0) log.info({ applied }, 'migrated the database')
  await registerReceiptKey(db, installation.signer)
  const upstream = createUpstreamHttp({
    connectionsMax: config.UPSTREAM_CONNECTIONS_MAX,
    connectTimeoutMs: config.CONNECT_TIMEOUT_MS,
  })
  opened.defer(() => upstream.close())
  const simulator =
    config.FLUXGATE_SIM_URL === undefined ? createSimulator({ oracleCalls: 1_000, chunkMs: SIM_CHUNK_MS }) : undefined
  opened.defer(async () => simulator?.close())
  const simulatorUrl = (await simulator?.listen({}))?.url ?? config.FLUXGATE_SIM_URL ?? ''

  // The rules.
  const spool = await openSpool(join(config.DATA_DIR, 'spool.jsonl'))
  opened.defer(() => spool.close())
  if (spool.torn > 0) log.warn({ lines: spool.torn }, 'the spool ends in lines that were never flushed')
  const slot = await claimSlot({
    db,
    instance: installation.instance,
    leaseMs: config.SLOT_LEASE_MS,
    onLost: (lease) => log.error({ slot: lease.slot }, 'this process was taken for dead; it claims a new slot'),
    onError: (error) => log.warn({ err: error }, 'the heartbeat failed'),
  })
  opened.defer(() => slot.release().catch((error: unknown) => log.warn({ err: error }, 'the slot was not released')))
  const ledger = createLedger({
    connection: installation.connection,
    slot,
    signer: installation.signer,
    holdTtlMs: config.HOLD_TTL_MS,
    batchMax: BATCH_MAX,
    queueMax: config.LEDGER_QUEUE_MAX,
    reserveGiveUpMs: config.RESERVE_WAIT_MS,
    onCommit(lane, ops, tookMs) {
      ledgerMetrics.batchSize.observe({ lane }, ops)
      ledgerMetrics.commit.observe({ lane }, tookMs / 1000)
    },
    onOutage(lane, error) {
      ledgerMetrics.outages.inc({ lane })
      log.warn({ lane, err: error }, 'the ledger is away; trying again')
    },
    onSettleOutage: (ops) =>
      void spool.append(ops).catch((error: unknown) => log.error({ err: error }, 'the spool cannot be written')),
  })
  opened.defer(() => ledger.close())
  const settle = async (op: SettleOp) => {
    const result = await ledger.settle(op)
    spool.settled(op.requestId)
    return result
  }
  await Promise.all(
    spool.left.map(async (op) => {
      const fields = { receipt: op.requestId }
      try {
        const { status } = await settle(op)
        const level = status === 'settled' || status === 'already' ? 'info' : 'error'
        log[level]({ ...fields, status }, 'settled from the spool')
      } catch (error) {
        // One settlement that the database refuses must not keep all others from being served.
        log.error({ ...fields, err: error }, 'a settlement of the spool is refused; it stays there')
      }
    }),
  )
  const outcomes = createStoredOutcomes({ db })
  const sweeper = createSweeper({
    db,
    outcomes,
    ledger: { settle, isRunning: ledger.isRunning },
    slot,
    leaseMs: config.SLOT_LEASE_MS,
    log: config.RECEIPT_LOG_ORIGIN,
    onSwept(holds) {
      ledgerMetrics.swept.inc(holds)
      log.warn({ holds }, 'settled holds of a gateway that is gone')
    },
    onError: (error) => log.warn({ err: error }, 'the sweep failed'),
  })
  opened.defer(() => sweeper.close())
  const projects = createProjects({ db })
  const keys = createKeys({ db })
  const grants = createGrants({ db, slot })
  const priceBook = loadPriceBook(await readFile(config.PRICE_BOOK ?? bundledPriceBook))
  await loadTokenizer()

  // The hot path.
  const keyring = createKeyring({
    db,
    onInterrupted: (error) => log.warn({ err: error }, 'revocations are not heard for a moment'),
  })
  opened.defer(() => keyring.close())
  const openCalls = createOpenCalls({
    callsMax: config.OPEN_CALLS_MAX,
    bodyBytesMax: config.OPEN_BODY_BYTES_MAX,
    tickMs: TICK_MS,
    onBroken: (error) => log.error({ err: error }, 'a call broke'),
  })
  const providers: Provider[] = [
    { name: 'sim', preset: 'sim', baseUrl: `${simulatorUrl}/v1`, params: {}, apiKey: undefined },
    ...config.providers,
  ]
  warnOfUnpriced(providers, priceBook, log)
  const credentials = createCredentials({
    keys: installation.envelopeKeys,
    onUndecryptable: ({ modelName, keyEntryId, reason, first }) => {
      if (first) log.error({ model: modelName, key: keyEntryId, reason }, 'a provider key does not open; it is skipped')
    },
  })
  const upstreamAuth = createUpstreamAuth({
    timeoutMs: config.CONNECT_TIMEOUT_MS,
    googleTokenUrl: config.GOOGLE_TOKEN_URL,
    azureAuthorityHost: config.AZURE_AUTHORITY_HOST,
  })
  opened.defer(() => upstreamAuth.close())
  const timeouts = {
    firstByteMs: config.FIRST_BYTE_TIMEOUT_MS,
    idleMs: config.IDLE_TIMEOUT_MS,
    totalMs: config.TOTAL_TIMEOUT_MS,
  }
  const gateway: Gateway = {
    keyring,
    routes: createRoutes({
      providers,
      priceBook,
      snapshot: () => EMPTY_SNAPSHOT,
      credentials,
      auth: upstreamAuth,
      timeouts: { ...timeouts, chainMs: undefined },
    }),
    dispatcher: createDispatcher(),
    ledger,
    spool,
    outcomes,
    upstream,
    openCalls,
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
    receiptLog: config.RECEIPT_LOG_ORIGIN,
    log,
  }

  // HTTP: inference on plain node:http, everything else on Fastify, in one server.
  const inference = createInferenceRoutes(gateway, { modelsCreatedAt: createdAt(priceBook.version) })
  const audit = createAuditor(db, registry)
  let stopping = false
  let sockets: OpenSockets | undefined
  const http = createHttpApp({
    adminKey: installation.adminKey,
    keyring,
    projects,
    keys,
    grants,
    refunds: createRefunds({ db, slot }),
    wallets: createWallets({ db }),
    receiptLog: createReceiptLog({ db }),
    receiptKeys: () => publicReceiptKeys(db),
    audit,
    readiness: async () => (stopping ? { ok: false, checks: { gateway: 'stopping' } } : checkReadiness(db)),
    metrics: registry,
    version: VERSION,
    fluxNanousd: BigInt(config.FLUX_NANOUSD),
    log,
    serverFactory(handler) {
      const server = createServer(
        { maxHeaderSize: 32 * 1024, requestTimeout: 120_000, keepAliveTimeout: 65_000 },
        (req, res) => {
          if (!inference(req, res)) handler(req, res)
        },
      )
      server.maxHeadersCount = 0 // Counted by the routes, which say so; node would drop headers silently.
      sockets = watchSockets(server)
      return server
    },
  })
  opened.defer(async () => {
    await sockets?.flushed(LAST_BYTES_MS)
    const late = setTimeout(() => http.server.closeAllConnections(), LAST_BYTES_MS)
    await http.close()
    clearTimeout(late)
  })

  const parts = opened.move()
  return {
    projects,
    keys,
    grants,

    openCalls: () => openCalls.size,

    /** Ends the calls that a running close() waits for. */
    cut: () => openCalls.cut(),

    async listen(): Promise<string> {
      await http.listen({ host: config.HOST, port: config.PORT })
      const { address, port } = http.server.address() as AddressInfo
      return `http://${isIPv6(address) ? `[${address}]` : address}:${port}`
    },

    /**
     * Stops in the order of the money: new calls are refused, running ones come to their end or are cut at the deadline,
     * everything is settled, clients take in what was written, and then the connections are closed.
     */
    async close(deadlineMs = config.SHUTDOWN_MS): Promise<void> {
      stopping = true
      await openCalls.drain(deadlineMs)
      await parts.disposeAsync()
    },
  }
}

export type App = Awaited<ReturnType<typeof createApp>>

/** A query into a silent network never gives its connection back, and the pool would wait for it. */
async function endPool(db: Db): Promise<void> {
  const patience = new AbortController()
  const late = delay(DATABASE_END_MS, undefined, { signal: patience.signal }).catch(() => undefined)
  await Promise.race([db.end(), late])
  patience.abort()
}

/** Says what a person can mend; the driver's own words alone do not. */
function unusable(cause: unknown, config: Config): Error {
  const causes = cause instanceof AggregateError ? cause.errors : [cause]
  const words = causes.map((one) => (one instanceof Error ? one.message : String(one))).join('; ')
  const hint = config.embedded ? '' : ' Check that PostgreSQL runs and that DATABASE_URL is right.'
  return new Error(`The database cannot be used: ${words}.${hint}`, { cause })
}

/** Readiness is the database's: a provider that is down is a matter of its calls. */
async function checkReadiness(db: Db): Promise<{ ok: boolean; checks: Record<string, string> }> {
  try {
    await db.query({ text: 'select 1', query_timeout: 2_000 } as { text: string })
    return { ok: true, checks: { database: 'ok' } }
  } catch {
    return { ok: false, checks: { database: 'unreachable' } }
  }
}

/** Otherwise the first to find out would be a client. */
function warnOfUnpriced(providers: readonly Provider[], priceBook: PriceBook, log: Logger): void {
  const priced = new Set(priceBook.models().map(({ provider }) => provider))
  const names = providers.map(({ name }) => name)
  const unpriced = names.filter((name) => !priced.has(name) && priceBook.find(name, '*') === undefined)
  if (unpriced.length === 0) return
  const meaning = 'their models answer pricing_missing until PRICE_BOOK names a book with their prices'
  log.warn({ providers: unpriced }, `the price book has no price for these providers: ${meaning}`)
}

function createAuditor(db: Db, registry: Registry) {
  let lastAt = 0
  let bad = 0
  new Gauge({
    name: 'fluxgate_audit_age_seconds',
    help: 'Since the last audit of the ledger by this process; -1 before the first.',
    registers: [registry],
    collect() {
      this.set(lastAt === 0 ? -1 : (Date.now() - lastAt) / 1000)
    },
  })
  new Gauge({
    name: 'fluxgate_audit_bad_rows',
    help: 'Rows that break an invariant, as of the last audit. Anything but 0 is an emergency.',
    registers: [registry],
    collect() {
      this.set(bad)
    },
  })
  return async () => {
    const report = await auditLedger(db)
    lastAt = Date.now()
    bad = report.invariants.reduce((sum, invariant) => sum + invariant.bad, 0)
    return report
  }
}

/** The book's own date stands in for the models' dates, which nobody publishes in one place. Unix seconds. */
function createdAt(version: string): number {
  const date = Date.parse(version.slice(0, 10))
  return Number.isNaN(date) ? 0 : Math.floor(date / 1000)
}
