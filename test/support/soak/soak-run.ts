import { createSimulator } from '#simulator/simulator.ts'
import { startDurableDatabase } from '#test/support/durable-database.ts'
import { createDataDir, type GatewayProcess, removeDataDir, startGateway } from '#test/support/gateway-process.ts'
import { createOperator } from '#test/support/operator.ts'
import { createRandom } from '#test/support/random.ts'
import { createSoakAdmin } from './soak-admin.ts'
import { checkSoak, rule, type SoakRule, sumRules } from './soak-check.ts'
import { createSoakConfig } from './soak-config.ts'
import { startSoakLoad } from './soak-load.ts'

const SIMULATORS = 3
const WORKERS = 16
const PROJECTS = 4
const RICH_NANOS = 1_000_000_000_000n
const PAGE = 1_000

export interface SoakOptions {
  seed: number
  /** Gateway processes on one database. */
  gateways: number
  /** Writes in a round; calls are made between them, and the books are compared after each round. */
  writesPerRound: number
  /** Asked before every round. */
  goesOn: (rounds: number) => boolean
  /** Models that nobody asks for: what a snapshot weighs. */
  idleModels: number
  /** What a gateway's heap may hold: one that kept old snapshots would not live long. */
  heapMegabytesMax: number
  say: (line: string) => void
}

export interface SoakReport {
  rules: SoakRule[]
  calls: number
  versions: number
  /** Calls that needed more than one upstream. */
  fallbacks: number
  /** How many versions calls were served with. */
  versionsServed: number
}

/** Writes one router config after the other, good and bad, under calls without pause, and compares everything in the end. */
export async function runSoak(options: SoakOptions): Promise<SoakReport> {
  const { say } = options
  await using stack = new AsyncDisposableStack()
  const random = createRandom(options.seed)
  const simulators = await Promise.all(
    Array.from({ length: SIMULATORS }, async () => {
      const simulator = createSimulator()
      stack.defer(() => simulator.close())
      return { oracle: simulator.oracle, url: (await simulator.listen()).url }
    }),
  )
  const database = await startDurableDatabase()
  stack.defer(() => database.close())
  const gateways: GatewayProcess[] = []
  for (let n = 0; n < options.gateways; n += 1) gateways.push(await startOne(stack, options, database.url))
  const [first, ...rest] = gateways.map(({ url }) => url)
  if (first === undefined) throw new Error('a soak needs a gateway')
  const urls = [first, ...rest] as const
  const operator = createOperator(() => first)
  const config = createSoakConfig({
    baseURLs: simulators.map(({ url }) => url),
    random,
    idleModels: options.idleModels,
  })
  const admin = createSoakAdmin({ urls: [...urls], config, random })
  await admin.begin()

  const rounds: SoakRule[][] = []
  const served = new Set<number>()
  let [calls, fallbacks, writes] = [0, 0, 0]
  for (let n = 0; options.goesOn(n); n += 1) {
    for (const { oracle } of simulators) oracle.reset()
    const projects = await Promise.all(
      Array.from({ length: PROJECTS }, (_, at) => operator.createProject(`round ${n}, ${at}`, RICH_NANOS)),
    )
    const load = startSoakLoad({ urls, keys: projects.map(({ key }) => key), workers: WORKERS })
    try {
      for (let write = 0; write < options.writesPerRound; write += 1) {
        await admin.act(writes)
        await load.madeMore()
        writes += 1
      }
    } finally {
      await load.stop()
    }
    const books = await Promise.all(projects.map(({ key }) => operator.receipts(key)))
    const wallets = await Promise.all(projects.map(({ id }) => operator.wallet(id)))
    const receipts = books.flatMap((book) => book.receipts)
    const seen = Map.groupBy(
      simulators.flatMap(({ oracle }) => allCalls(oracle)),
      ({ clientRequestId }) => clientRequestId ?? '',
    )
    const { versions, fluxRates } = admin
    const audit = await operator.audit()
    rounds.push([
      ...checkSoak({ calls: load.calls, receipts, seen, versions, fluxRates }),
      rule('every receipt verifies, and the numbers have no hole', books, ({ problems }) => problems[0]),
      rule('nothing is held when all is done', wallets, ({ held }) =>
        held === 0n ? undefined : `${held} nano-dollars`,
      ),
      { rule: 'the books balance', checked: audit.checked, bad: audit.bad.length, examples: audit.bad },
      { rule: 'every write was answered as it must', ...admin.answers() },
      rule('a gateway logs nothing worse than a warning', gateways, ({ log }) => worst(log())),
    ])
    calls += load.calls.length
    fallbacks += receipts.filter(({ attempts }) => attempts > 1).length
    for (const { config_version } of receipts) served.add(config_version ?? 0)
    say(`round ${n + 1}: ${load.calls.length} calls, ${admin.versions.size} versions; ${await memory(urls)}`)
    if (rounds.at(-1)?.some(({ bad }) => bad > 0)) break
  }
  return { rules: sumRules(rounds), calls, versions: admin.versions.size, fallbacks, versionsServed: served.size }
}

async function startOne(stack: AsyncDisposableStack, options: SoakOptions, databaseUrl: string) {
  const dataDir = await createDataDir()
  stack.defer(() => removeDataDir(dataDir))
  const gateway = await startGateway({
    dataDir,
    nodeArgs: [`--max-old-space-size=${options.heapMegabytesMax}`],
    env: { DATABASE_URL: databaseUrl, LOG_LEVEL: 'warn' },
  })
  stack.defer(async () => {
    gateway.kill('SIGTERM')
    await gateway.exited
  })
  return gateway
}

function allCalls(oracle: ReturnType<typeof createSimulator>['oracle']) {
  const all = []
  for (let after = 0; ; ) {
    const page = oracle.calls({ after, limit: PAGE })
    all.push(...page)
    if (page.length < PAGE) return all
    after = page.at(-1)?.sequence ?? after
  }
}

const ERROR_LEVEL = 50

function worst(lines: readonly Record<string, unknown>[]): string | undefined {
  const found = lines.find(({ level }) => Number(level) >= ERROR_LEVEL)
  return found && JSON.stringify(found)
}

async function memory(urls: readonly string[]): Promise<string> {
  const texts = await Promise.all(urls.map(async (url) => (await fetch(`${url}/metrics`)).text()))
  const heaps = texts.map((text) => Number(/^nodejs_heap_size_used_bytes (\S+)$/m.exec(text)?.[1]))
  return `heap ${heaps.map((bytes) => `${Math.round(bytes / 1_048_576)} MB`).join(', ')}`
}
