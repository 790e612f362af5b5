import { mkdtemp, readFile, rm } from 'node:fs/promises'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { Registry } from 'prom-client'
import { createReceiptSigner } from '#adapters/receipt-signer.ts'
import { createUpstreamHttp } from '#adapters/upstream-http.ts'
import { completePrice } from '#billing/price.ts'
import { pricedTarget } from '#domain/call-context.ts'
import { createGrants } from '#domain/grants.ts'
import { createKeyring } from '#domain/keyring.ts'
import { createKeys } from '#domain/keys.ts'
import { createLedger } from '#domain/ledger.ts'
import { loadPriceBook } from '#domain/price-book.ts'
import { createProjects } from '#domain/projects.ts'
import { registerReceiptKey } from '#domain/receipt-keys.ts'
import { EMPTY_SNAPSHOT } from '#domain/router/snapshot.ts'
import { claimSlot } from '#domain/slot.ts'
import { openSpool } from '#domain/spool.ts'
import { createStoredOutcomes } from '#domain/stored-outcomes.ts'
import { createDispatcher } from '#gateway/dispatcher.ts'
import type { Gateway } from '#gateway/gateway.ts'
import { createGatewayMetrics } from '#gateway/metrics.ts'
import { createOpenCalls } from '#gateway/open-calls.ts'
import { createRoutes, type Route } from '#gateway/routes.ts'
import type { Target } from '#gateway/target.ts'
import { createInferenceRoutes } from '#routes/inference.ts'
import { createTestDatabase } from '#test/support/database.ts'
import { createTestClient } from '#test/support/gateway.ts'
import { createLogSink } from '#test/support/log-sink.ts'
import { createTestProjects } from '#test/support/test-projects.ts'
import { loadTokenizer } from '#wire/count-tokens.ts'

/** One nano-dollar a token: a charge then is the number of tokens. */
const PRICE = completePrice({ lines: { input: 1_000n, output: 1_000n } })

/**
 * The hot path over targets of the test's own: `two/model` is served by the upstreams in the order given, each as a
 * provider `first`, `second`, … with a model of the same name.
 */
export async function createTwoTargets(
  upstreams: readonly [string, ...string[]],
  options: { timeouts?: Partial<Gateway['timeouts']> } = {},
) {
  const database = await createTestDatabase({ poolMax: 4 })
  const { db, connection } = database
  const dir = await mkdtemp(join(tmpdir(), 'fluxgate-targets-'))
  const { log } = createLogSink()
  const signer = createReceiptSigner(Buffer.alloc(32, 9))
  await registerReceiptKey(db, signer)
  await loadTokenizer()
  const spool = await openSpool(join(dir, 'spool.jsonl'))
  const onError = (error: unknown) => log.error({ err: error }, 'a test gateway met an error')
  const slot = await claimSlot({ db, instance: 'two-targets', leaseMs: 15_000, onLost: () => undefined, onError })
  const ledger = createLedger({
    connection,
    slot,
    signer,
    holdTtlMs: 60_000,
    batchMax: 64,
    queueMax: 1_000,
    reserveGiveUpMs: 3_000,
    onCommit: () => undefined,
    onOutage: (_lane, error) => onError(error),
    onSettleOutage: () => undefined,
  })
  const keyring = createKeyring({ db })
  const upstream = createUpstreamHttp({ connectionsMax: 64, connectTimeoutMs: 1_000 })
  const openCalls = createOpenCalls({
    callsMax: 1_000,
    bodyBytesMax: 1_000_000_000,
    tickMs: 50,
    onBroken: (error) => {
      throw error
    },
  })
  const book = loadPriceBook(await readFile('prices/price-book.json'))

  const timeouts = { firstByteMs: 400, idleMs: 400, totalMs: 5_000, chainMs: undefined, ...options.timeouts }
  const targets = upstreams.map((url, index): Target => {
    const provider = { name: 'sim', preset: 'sim', baseUrl: `${url}/v1`, params: {}, apiKey: undefined }
    const [target] = createRoutes({
      providers: [provider],
      priceBook: book,
      snapshot: () => EMPTY_SNAPSHOT,
      credentials: { open: () => undefined },
      auth: { headersFor: () => ({}), rejected: () => undefined },
      timeouts,
    }).resolve('sim/echo', 'chat').targets
    const name = ['first', 'second', 'third'][index] ?? `number-${index + 1}`
    const priced = pricedTarget({ provider: name, model: 'echo', price: PRICE, book: book.digest })
    return { ...target, priced }
  })
  const [first, ...rest] = targets
  if (first === undefined) throw new Error('there is at least one target')
  const route: Omit<Route, 'model' | 'label'> = {
    configVersion: undefined,
    targets: [first, ...rest],
    excluded: [],
    groups: [{ strategy: 'ordered' }],
    timeouts,
    hedgeAfterMs: undefined,
    maxTokens: undefined,
    maxConcurrency: undefined,
  }
  const gateway: Gateway = {
    keyring,
    describeBudget: async () => ({}),
    routes: {
      resolve: (model) => ({ ...route, model, label: model }),
      models: () => [],
    },
    // Forgets after each call what failed: the tests of health have a gateway of their own.
    get dispatcher() {
      return createDispatcher({ cooldownMs: 2_000, cooldownMsMax: 300_000 })
    },
    ledger,
    spool,
    outcomes: createStoredOutcomes({ db }),
    upstream,
    openCalls,
    rateLimits: { enter: () => undefined },
    alarms: { note: () => undefined },
    limits: { bodyBytesMax: 1_000_000, frameBytesMax: 100_000, answerBytesMax: 1_000_000, headersMax: 100 },
    timeouts: {
      ...timeouts,
      keepAliveMs: 10_000,
      clientStallMs: 5_000,
      settleWaitMs: 5_000,
      ...options.timeouts,
    },
    policy: { clientAbort: 'abort', upstreamError: 'delivered' },
    metrics: createGatewayMetrics(new Registry(), { openCalls: () => 0, laneDepth: () => ({}), spooled: () => 0 }),
    receiptLog: 'test/1',
    log,
  }
  const inference = createInferenceRoutes(gateway, { modelsCreatedAt: 0 })
  const server = createServer((req, res) => {
    if (!inference(req, res)) res.writeHead(404).end()
  })
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  const { port } = server.address() as AddressInfo

  return {
    ...createTestProjects({
      db,
      projects: createProjects({ db }),
      keys: createKeys({ db }),
      grants: createGrants({ db, slot }),
    }),
    ...createTestClient(`http://127.0.0.1:${port}`),
    openCalls,
    alarms: { note: () => undefined },

    async close(): Promise<void> {
      await openCalls.drain(0)
      await new Promise((resolve) => server.close(resolve))
      await ledger.close()
      await spool.close()
      await slot.release()
      await keyring.close()
      await upstream.close()
      await database.close()
      await rm(dir, { recursive: true, force: true })
    },
  }
}

export type TwoTargets = Awaited<ReturnType<typeof createTwoTargets>>
