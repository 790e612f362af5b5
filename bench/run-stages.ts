import { mkdir } from 'node:fs/promises'
import { join } from 'node:path'
import type { BenchDatabase } from './bench-database.ts'
import { checkLedger, checkTotal, type LedgerTotal } from './ledger-total.ts'
import { type Loader, startLoader } from './load.ts'
import { type Placement, pin } from './machine.ts'
import { type MemoryResult, measureMemory } from './measure-memory.ts'
import { measureGateways, measureLedgers, type TwoResult } from './measure-two.ts'
import { measureWindow, type Stage, type WindowResult } from './measure-window.ts'
import { addDelivered, type DeliveredTokens, deliveredBetween, nothingDelivered, readDelivered } from './oracle.ts'
import { type SummaryRow, summarise } from './summary.ts'
import { startGateway, type VariantContext, type VariantServer, variants } from './variants.ts'
import { type Workload, workloads } from './workloads.ts'

export interface RunOptions {
  quick: boolean
  rounds: number
  windowMs: number
  /** Workloads and stages, by name. */
  only: readonly string[]
  variants: readonly string[]
  json: string | undefined
  /** A folder for CPU profiles. */
  profile: string | undefined
}

export interface RunStage {
  folder: string
  placement: Placement | undefined
  database: BenchDatabase
  loader: Loader
  simulator: { url: string; pid: number }
  say(line: string): void
  onWorkload(name: string, rows: readonly SummaryRow[]): void
}

export interface Found {
  windows: WindowResult[]
  rows: SummaryRow[]
  memory: MemoryResult[]
  two: TwoResult[]
  totals: LedgerTotal[]
}

const MEMORY_VARIANTS = ['floor', 'full']
const TWO_WINDOW_MS_MIN = 2_000
const WARM_CALLS = 20_000
const WARM_STREAMS = 800
const WARM_MS_MAX = 10_000

/** Everything that is measured, in order. Variants live through all windows; the other stages have servers of their own. */
export async function runStages(options: RunOptions, run: RunStage): Promise<Found> {
  const found: Found = { windows: [], rows: [], memory: [], two: [], totals: [] }
  const windows = workloads.filter(({ name }) => options.only.includes(name))
  if (windows.length > 0) await runWindows(options, run, found)
  if (options.only.includes('memory')) await runMemory(options, run, found)
  if (options.only.includes('two')) await runTwo(options, run, found)
  return found
}

async function runWindows(options: RunOptions, run: RunStage, found: Found): Promise<void> {
  const books = createBooks(run)
  const servers = new Map<string, VariantServer>()
  for (const variant of variants.filter(({ name }) => options.variants.includes(name))) {
    const server = await variant.start(await contextOf(options, run))
    if (server === undefined) run.say(`${variant.name} is not installed, so it is left out: bench/README.md says how\n`)
    else servers.set(variant.name, server)
  }
  const stage: Stage = {
    loader: run.loader,
    simulator: run.simulator,
    postgresPid: run.database.pid,
    keys: run.database.keys,
  }
  const warm = new Set<string>()
  for (const workload of workloads.filter(({ name }) => options.only.includes(name))) {
    const order = [...servers].filter(([name]) => workload.only?.includes(name) ?? true)
    const windows: WindowResult[] = []
    for (const [variant, server] of order) {
      const path = `${variant} ${workload.kind === 'stream' ? 'streamed' : 'whole'}`
      if (warm.has(path)) continue
      warm.add(path)
      books.add(variant, (await measureWindow(stage, warmUp(variant, server, workload))).delivered)
    }
    if (options.profile !== undefined) toggleProfiles(order)
    for (let round = 0; round < options.rounds; round += 1) {
      for (const [variant, server] of round % 2 === 0 ? order : order.toReversed()) {
        const place = { workload, variant, server, round, durationMs: options.windowMs }
        const window = await measureWindow(stage, place)
        books.add(variant, window.delivered)
        windows.push(window)
      }
    }
    if (options.profile !== undefined) toggleProfiles(order)
    const rows = summarise(windows).toSorted((a, b) => rank(a.variant) - rank(b.variant))
    found.windows.push(...windows)
    found.rows.push(...rows)
    run.onWorkload(workload.name, rows)
  }
  for (const [variant, server] of servers) found.totals.push(...(await books.close(variant, server)))
}

/** Idle time does not count in a profile, so all of them can run while the others are measured. */
function toggleProfiles(servers: readonly (readonly [string, VariantServer])[]): void {
  for (const [, { pid }] of servers) if (pid !== undefined) process.kill(pid, 'SIGUSR2')
}

/** So many calls that the code is compiled, pools are full and plans are made; a server that is slow gets less of them. */
function warmUp(variant: string, server: VariantServer, workload: Workload) {
  const closed: Workload = workload.rate === undefined ? workload : { ...workload, rate: undefined }
  const count = workload.kind === 'stream' ? WARM_STREAMS : WARM_CALLS
  return { workload: closed, variant, server, round: -1, durationMs: WARM_MS_MAX, count }
}

async function runMemory(options: RunOptions, run: RunStage, found: Found): Promise<void> {
  const books = createBooks(run)
  for (const name of MEMORY_VARIANTS.filter((variant) => options.variants.includes(variant))) {
    const context = await contextOf({ ...options, profile: undefined }, run, 'memory_')
    const server = await variants.find((variant) => variant.name === name)?.start(context)
    if (server === undefined) continue
    await books.during(name, async () => {
      found.memory.push(await measureMemory(name, server, { loader: run.loader, keys: run.database.keys }))
    })
    found.totals.push(...(await books.close(name, server)))
  }
}

/** Nothing is pinned here: what counts is what two processes do with the whole machine. */
async function runTwo(options: RunOptions, run: RunStage, found: Found): Promise<void> {
  const { database, placement, simulator } = run
  const everywhere = placement?.everywhere
  const durationMs = Math.max(options.windowMs, TWO_WINDOW_MS_MIN)
  const loaders = [0, 1].map(() => startLoader(everywhere === undefined ? {} : { cpu: everywhere }))
  if (everywhere !== undefined) for (const pid of [simulator.pid, database.pid ?? simulator.pid]) pin(pid, everywhere)
  const settleOnly = await database.create('two_ledgers')
  const context = { ...(await contextOf({ ...options, profile: undefined }, run, 'two_')), processors: everywhere }
  const first = await startGateway('one', context)
  const second = await startGateway('other', context, first.databaseUrl)
  const books = createBooks(run)
  const shared = { postgresPid: database.pid, keys: database.keys, loaders }
  for (let round = -1; round < options.rounds; round += 1) {
    for (const processes of round % 2 === 0 ? [1, 2] : [2, 1]) {
      const place = { processes, round, durationMs, processors: everywhere }
      const ledgers = await measureLedgers({ ...shared, databaseUrl: settleOnly }, place)
      const servers = [first, second].slice(0, processes)
      await books.during('two gateways', async () => {
        const gateways = await measureGateways({ ...shared, databaseUrl: first.databaseUrl }, { ...place, servers })
        if (round >= 0) found.two.push(ledgers, gateways)
      })
    }
  }
  await second.stop()
  found.totals.push(...(await books.close('two gateways', first)))
  for (const loader of loaders) loader.close()
  if (placement !== undefined)
    for (const pid of [simulator.pid, database.pid ?? simulator.pid]) pin(pid, placement.others)
}

/** What the simulator delivered to each variant, to be compared with the variant's books when its server has ended. */
function createBooks(run: RunStage) {
  const delivered = new Map<string, DeliveredTokens>()

  function add(variant: string, tokens: DeliveredTokens): void {
    delivered.set(variant, addDelivered(delivered.get(variant) ?? nothingDelivered, tokens))
  }

  return {
    add,

    async during(variant: string, work: () => Promise<void>): Promise<void> {
      const before = await readDelivered(run.simulator.url)
      await work()
      add(variant, deliveredBetween(before, await readDelivered(run.simulator.url)))
    },

    async close(variant: string, server: VariantServer): Promise<LedgerTotal[]> {
      const { chargedNanos } = await server.stop()
      const tokens = delivered.get(variant) ?? nothingDelivered
      if (typeof chargedNanos === 'string' && server.databaseUrl === undefined) {
        return variant === 'auth' ? [await checkTotal(variant, BigInt(chargedNanos), tokens)] : []
      }
      if (server.databaseUrl === undefined) return []
      // Where receipts were left out, the audit would find every one of them missing.
      return [await checkLedger(variant, server.databaseUrl, tokens, { audit: variant !== 'ledger' })]
    },
  }
}

async function contextOf(options: RunOptions, run: RunStage, prefix = ''): Promise<VariantContext> {
  const folder = prefix === '' ? run.folder : join(run.folder, prefix)
  await mkdir(folder, { recursive: true })
  return {
    simulatorUrl: run.simulator.url,
    createDatabase: (name) => run.database.create(prefix + name),
    folder,
    processors: run.placement?.gateway,
    profile: options.profile,
  }
}

function rank(variant: string): number {
  return variants.findIndex(({ name }) => name === variant)
}
