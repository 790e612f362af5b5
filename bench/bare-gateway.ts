import { readFile } from 'node:fs/promises'
import { createServer, type Server } from 'node:http'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { pino } from 'pino'
import { Registry } from 'prom-client'
import { createUpstreamHttp } from '#adapters/upstream-http.ts'
import { createPool } from '#db/pool.ts'
import { createKeyring } from '#domain/keyring.ts'
import { createLedger, type Ledger } from '#domain/ledger.ts'
import { loadPriceBook } from '#domain/price-book.ts'
import { EMPTY_SNAPSHOT } from '#domain/router/snapshot.ts'
import { claimSlot } from '#domain/slot.ts'
import { openSpool } from '#domain/spool.ts'
import { createStoredOutcomes } from '#domain/stored-outcomes.ts'
import { createDispatcher } from '#gateway/dispatcher.ts'
import { createGatewayMetrics, createLedgerMetrics } from '#gateway/metrics.ts'
import { createOpenCalls } from '#gateway/open-calls.ts'
import { createRoutes } from '#gateway/routes.ts'
import { utcMillis } from '#lib/utc-millis.ts'
import { createInferenceRoutes } from '#routes/inference.ts'
import type { Config } from '#src/config.ts'
import { loadTokenizer } from '#wire/count-tokens.ts'
import { createMemoryLedger } from './memory-ledger.ts'

const BATCH_MAX = 256
const TICK_MS = 200
const NO_SIGNATURE = Buffer.alloc(64)
const priceBookPath = fileURLToPath(new URL('../prices/price-book.json', import.meta.url))

/**
 * The gateway's own inference routes, wired as src/app.ts wires them, with parts left out: `auth` admits and settles in
 * memory, `ledger` holds and settles in the database but signs nothing. Logs and metrics are written as in production.
 */
export async function createBareGateway(
  mode: 'auth' | 'ledger',
  config: Config,
): Promise<{ server: Server; chargedNanos: () => bigint }> {
  const log = pino(
    { level: config.LOG_LEVEL, base: null, timestamp: () => `,"time":"${utcMillis(Date.now())}"` },
    pino.destination({ dest: '/dev/null', sync: false, minLength: 4_096, periodicFlush: 100 }),
  )
  const registry = new Registry()
  const connection = { connectionString: config.DATABASE_URL ?? '' }
  const db = createPool({ connection, poolMax: 10 }, (error) => log.warn({ err: error }, 'a connection broke'))
  const memory = createMemoryLedger()
  const ledger = mode === 'auth' ? memory : await createUnsignedLedger(config, connection, db, registry)
  const spool = await openSpool(join(config.DATA_DIR, 'spool.jsonl'))
  const openCalls = createOpenCalls({
    callsMax: config.OPEN_CALLS_MAX,
    bodyBytesMax: config.OPEN_BODY_BYTES_MAX,
    tickMs: TICK_MS,
    onBroken: (error) => {
      throw error
    },
  })
  const priceBook = loadPriceBook(await readFile(priceBookPath))
  await loadTokenizer()
  const timeouts = {
    firstByteMs: config.FIRST_BYTE_TIMEOUT_MS,
    idleMs: config.IDLE_TIMEOUT_MS,
    totalMs: config.TOTAL_TIMEOUT_MS,
  }
  const routes = createRoutes({
    providers: [
      { name: 'sim', preset: 'sim', baseUrl: `${config.FLUXGATE_SIM_URL}/v1`, params: {}, apiKey: undefined },
    ],
    priceBook,
    snapshot: () => EMPTY_SNAPSHOT,
    credentials: { open: () => undefined },
    auth: { headersFor: () => ({}), rejected: () => undefined },
    timeouts: { ...timeouts, chainMs: undefined },
  })
  const inference = createInferenceRoutes(
    {
      keyring: createKeyring({ db }),
      describeBudget: async () => ({}),
      routes,
      dispatcher: createDispatcher({ cooldownMs: 2_000, cooldownMsMax: 300_000 }),
      ledger,
      spool,
      outcomes: createStoredOutcomes({ db }),
      upstream: createUpstreamHttp({
        connectionsMax: config.UPSTREAM_CONNECTIONS_MAX,
        connectTimeoutMs: config.CONNECT_TIMEOUT_MS,
      }),
      openCalls,
      rateLimits: { enter: () => undefined },
      alarms: { note: () => undefined },
      limits: {
        bodyBytesMax: config.BODY_BYTES_MAX,
        frameBytesMax: config.FRAME_BYTES_MAX,
        answerBytesMax: config.ANSWER_BYTES_MAX,
        headersMax: config.HEADERS_MAX,
      },
      timeouts: {
        firstByteMs: config.FIRST_BYTE_TIMEOUT_MS,
        idleMs: config.IDLE_TIMEOUT_MS,
        totalMs: config.TOTAL_TIMEOUT_MS,
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
    },
    { modelsCreatedAt: 0 },
  )
  const server = createServer({ maxHeaderSize: 32 * 1024, keepAliveTimeout: 65_000 }, (req, res) => {
    if (!inference(req, res)) res.writeHead(404).end()
  })
  server.maxHeadersCount = 0
  return { server, chargedNanos: memory.chargedNanos }
}

async function createUnsignedLedger(
  config: Config,
  connection: { connectionString: string },
  db: ReturnType<typeof createPool>,
  registry: Registry,
): Promise<Ledger> {
  const metrics = createLedgerMetrics(registry)
  const warn = (error: unknown) => process.stderr.write(`bench: ${String(error)}\n`)
  const slot = await claimSlot({
    db,
    instance: `bench-${process.pid}`,
    leaseMs: config.SLOT_LEASE_MS,
    onLost: () => warn('the slot was lost'),
    onError: warn,
  })
  return createLedger({
    connection,
    slot,
    signer: { keyId: 'none', sign: () => NO_SIGNATURE },
    holdTtlMs: config.HOLD_TTL_MS,
    batchMax: BATCH_MAX,
    queueMax: config.LEDGER_QUEUE_MAX,
    reserveGiveUpMs: config.RESERVE_WAIT_MS,
    onCommit(lane, ops, tookMs) {
      metrics.batchSize.observe({ lane }, ops)
      metrics.commit.observe({ lane }, tookMs / 1000)
    },
    onOutage: (_lane, error) => warn(error),
    onSettleOutage: () => warn('settlements wait'),
  })
}
