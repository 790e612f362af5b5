import { chmod, mkdir, mkdtemp, realpath, rm, writeFile } from 'node:fs/promises'
import { loadavg, tmpdir } from 'node:os'
import { join, resolve } from 'node:path'
import { parseArgs } from 'node:util'
import { type BenchDatabase, openBenchDatabase } from './bench-database.ts'
import { renderGoals } from './goals.ts'
import { startLoader } from './load.ts'
import { choosePlacement, describeMachine, type Machine, measureFlush, type Placement, readStolen } from './machine.ts'
import { type Results, renderMemory, renderTwo, renderWorkload } from './render-results.ts'
import { type RunOptions, runStages } from './run-stages.ts'
import { killServers, spawnServer } from './spawn-server.ts'
import { variants } from './variants.ts'
import { workloads } from './workloads.ts'

const STAGES = ['memory', 'two'] as const

const USAGE = `usage: npm run bench -- [--quick] [--only NAMES] [--variants NAMES] [--rounds N] [--window SECONDS]
                        [--json FILE] [--profile FOLDER]

Measures the gateway beside a bare proxy, the simulator itself and what else is installed, in turn, in one run.
bench/README.md says how, and how to read it.

  --quick            one short round of a few workloads, to see that everything works
  --only NAMES       of ${[...workloads.map(({ name }) => name), ...STAGES].join(', ')}
  --variants NAMES   of ${variants.map(({ name }) => name).join(', ')}
  --json FILE        writes everything that was found
  --profile FOLDER   writes a CPU profile of every server and workload; bench/profile.ts reads them
`

process.exitCode = await main(process.argv.slice(2))

async function main(args: string[]): Promise<number> {
  const options = parseOptions(args)
  if (typeof options === 'string') {
    process.stderr.write(`${options}\n\n${USAGE}`)
    return 2
  }
  const machine = describeMachine()
  const placement = choosePlacement()
  const folder = await mkdtemp(join(await realpath(tmpdir()), 'fluxgate-bench-'))
  // PostgreSQL does not run as root, and its own user must get in.
  await chmod(folder, 0o755)
  let database: BenchDatabase | undefined
  const stop = (signal: NodeJS.Signals) => {
    killServers()
    process.stderr.write(`bench: ${signal}\n`)
    void database?.close().finally(() => rm(folder, { recursive: true, force: true }).finally(() => process.exit(130)))
  }
  process.once('SIGINT', stop).once('SIGTERM', stop)
  try {
    database = await openBenchDatabase(folder)
    return await measure(options, { folder, machine, placement, database })
  } finally {
    killServers()
    await database?.close()
    await rm(folder, { recursive: true, force: true, maxRetries: 10, retryDelay: 100 })
  }
}

async function measure(
  options: RunOptions,
  stage: { folder: string; machine: Machine; placement: Placement | undefined; database: BenchDatabase },
): Promise<number> {
  const { folder, machine, placement, database } = stage
  const flush = measureFlush(folder)
  if (options.profile !== undefined) await mkdir(options.profile, { recursive: true })
  const stolenBefore = readStolen()
  say(`# fluxgate bench, ${new Date().toISOString()}`)
  say('')
  say(
    `- ${machine.cpu}, ${machine.processors} processors, ${machine.memoryGb} GB, ${machine.system}, Node ${machine.node}`,
  )
  say(
    `- ${database.description}; a page reaches its disk in ${flush.p50Ms.toFixed(2)} ms (p99 ${flush.p99Ms.toFixed(2)})`,
  )
  say(`- ${describePlacement(placement)}`)
  say(`- load average before the run: ${machine.loadBefore.toFixed(2)}`)
  say(`- ${options.rounds} rounds of ${options.windowMs} ms for each variant, in turn, the order reversed every round`)
  say('')

  const simulator = await spawnServer({
    args: ['bench/server.ts', 'simulator'],
    env: {},
    processors: placement?.others,
  })
  const loader = startLoader(placement === undefined ? {} : { cpu: placement.others })
  try {
    const found = await runStages(options, {
      folder,
      placement,
      database,
      loader,
      simulator: { url: simulator.url, pid: simulator.pid ?? -1 },
      say,
      onWorkload: (name, rows) => say(renderWorkload(name, rows)),
    })
    if (found.memory.length > 0) say(renderMemory(found.memory))
    if (found.two.length > 0) say(renderTwo(found.two))
    const stolenAfter = readStolen()
    const results: Results = {
      at: new Date().toISOString(),
      machine,
      placement: placement ?? null,
      database: database.description,
      flush,
      windowMs: options.windowMs,
      rounds: options.rounds,
      stolen:
        stolenBefore === undefined || stolenAfter === undefined
          ? null
          : (stolenAfter.stolen - stolenBefore.stolen) / (stolenAfter.all - stolenBefore.all),
      loadAfter: loadavg()[0] ?? 0,
      windows: found.windows,
      rows: found.rows,
      memory: found.memory,
      two: found.two,
      totals: found.totals.map((total) => ({
        ...total,
        deliveredNanos: total.deliveredNanos.toString(),
        recordedNanos: total.recordedNanos.toString(),
        transferredNanos: total.transferredNanos.toString(),
      })),
    }
    say(renderGoals(results))
    if (results.stolen !== null) say(`Stolen by the hypervisor during the run: ${(results.stolen * 100).toFixed(1)} %.`)
    if (options.json !== undefined) await writeFile(options.json, `${JSON.stringify(results, null, 2)}\n`)
    return closeBooks(found.totals)
  } finally {
    loader.close()
    await simulator.stop()
  }
}

/** The last line: the ledger's total is the simulator's own. Returns the exit code. */
function closeBooks(totals: Awaited<ReturnType<typeof runStages>>['totals']): number {
  const bad = totals.filter(({ agrees }) => !agrees)
  for (const total of bad) {
    say(
      `MISMATCH ${total.variant}: delivered ${total.deliveredNanos}, recorded ${total.recordedNanos}, ` +
        `transferred ${total.transferredNanos} nano-dollars; ${total.auditBad ?? 0} bad rows in the audit`,
    )
  }
  const calls = totals.reduce((sum, total) => sum + total.calls, 0)
  const charged = totals.reduce((sum, total) => sum + total.recordedNanos, 0n)
  const delivered = totals.reduce((sum, total) => sum + total.deliveredNanos, 0n)
  const verdict = bad.length === 0 ? 'equal to the nano-dollar' : 'NOT EQUAL'
  say(`ledger total ${charged}, simulator's own total ${delivered} nano-dollars over ${calls} calls: ${verdict}`)
  return bad.length === 0 ? 0 : 1
}

function describePlacement(placement: Placement | undefined): string {
  if (placement === undefined) return 'nothing is pinned: no taskset, or one processor'
  return (
    `pinned: the variant under test to processor ${placement.gateway}; ` +
    `PostgreSQL, the simulator and the load generator to processor ${placement.others}`
  )
}

/** Checked options, or what is wrong with them. */
function parseOptions(args: string[]): RunOptions | string {
  let values: ReturnType<typeof parse>
  try {
    values = parse(args)
  } catch (error) {
    return error instanceof Error ? error.message : String(error)
  }
  if (values.help === true) return 'fluxgate bench'
  const quick = values.quick === true
  const rounds = Number(values.rounds ?? (quick ? 1 : 5))
  const windowMs = Number(values.window ?? (quick ? 1 : 2)) * 1000
  if (!Number.isInteger(rounds) || rounds < 1 || rounds > 100) return '--rounds must be 1 to 100'
  if (!(windowMs >= 200 && windowMs <= 60_000)) return '--window must be 0.2 to 60 seconds'
  const allStages = [...workloads.filter(({ slow }) => !quick || slow !== true).map(({ name }) => name), ...STAGES]
  const only = values.only?.split(',') ?? (quick ? allStages.filter((name) => name !== 'two') : allStages)
  const chosen = values.variants?.split(',') ?? variants.map(({ name }) => name)
  const unknown = [
    ...only.filter((name) => ![...workloads.map((known) => known.name), ...STAGES].includes(name)),
    ...chosen.filter((name) => !variants.some((known) => known.name === name)),
  ]
  if (unknown.length > 0) return `nothing is called ${unknown.join(', ')}`
  const profile = values.profile === undefined ? undefined : resolve(values.profile)
  return { quick, rounds, windowMs, only, variants: chosen, json: values.json, profile }
}

function parse(args: string[]) {
  const { values } = parseArgs({
    args,
    options: {
      quick: { type: 'boolean' },
      only: { type: 'string' },
      variants: { type: 'string' },
      rounds: { type: 'string' },
      window: { type: 'string' },
      json: { type: 'string' },
      profile: { type: 'string' },
      help: { type: 'boolean' },
    },
  })
  return values
}

function say(line: string): void {
  process.stdout.write(`${line}\n`)
}
