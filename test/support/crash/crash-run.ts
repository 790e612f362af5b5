import { readFile } from 'node:fs/promises'
import { setTimeout as delay } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'
import { loadPriceBook } from '#domain/price-book.ts'
import { assert } from '#lib/assert.ts'
import { findProcessesIn } from '#lib/find-process.ts'
import {
  createDataDir,
  postmasterPid,
  removeDataDir,
  signalIfAlive,
  spawnGateway,
} from '#test/support/gateway-process.ts'
import { createOperator } from '#test/support/operator.ts'
import { createRandom, type Random } from '#test/support/random.ts'
import { startSimulator } from '#test/support/simulator-process.ts'
import { loadTokenizer } from '#wire/count-tokens.ts'
import { startLoad } from './load.ts'
import { type Evidence, type Reconciliation, reconcile } from './reconcile.ts'

const ROOT = fileURLToPath(new URL('../../..', import.meta.url))
const CLIENTS = 16
const RICH_NANOS = 2_000_000_000_000n
const POOR_NANOS = 60_000_000n
const READY_MS_MAX = 60_000
const CALM_MS_MAX = 60_000
/** How long a gateway may take to come to the point where it is to die. */
const POINT_MS_MAX = 2_500
const SHORT_LIFE_MS_MAX = 1_500
/** Long enough for a stream to outgrow its first tranches. */
const LONG_LIFE_MS_MAX = 6_000

export interface CrashOptions {
  seed: number
  kills: number
  victim: 'gateway' | 'postgres' | 'both'
  msMax: number
  say: (line: string) => void
}

export interface CrashReport extends Reconciliation {
  /** By what was killed and where. */
  kills: Map<string, number>
  killed: number
  tookMs: number
  calls: number
  acknowledged: number
  outcomes: Map<string, number>
  refusals: Map<string, number>
  slowestRecoveryMs: number
}

/** One gateway process of many. `dies` names the point at which it kills itself. */
interface Life {
  process: ReturnType<typeof spawnGateway>
  dies: string | undefined
}

/**
 * Runs a gateway under load and kills it, or its database, again and again, at moments that the seed decides. Resolves to
 * what clients, upstream and books say in the end.
 */
export async function runCrash(options: CrashOptions): Promise<CrashReport> {
  const startedAt = performance.now()
  const random = createRandom(options.seed)
  await loadTokenizer()
  const dataDir = await createDataDir()
  const simulator = await startSimulator()
  const world = createWorld({ ...options, random, dataDir, simulatorUrl: simulator.url })
  try {
    await world.begin()
    const operator = createOperator(world.url)
    const projects: { name: string; id: string; key: string; granted: bigint }[] = []
    for (const [name, granted] of Object.entries({ rich: RICH_NANOS, richer: RICH_NANOS, poor: POOR_NANOS }))
      projects.push({ name, granted, ...(await operator.createProject(name, granted)) })
    const [first, ...rest] = projects.map(({ key }) => key)
    assert(first !== undefined, 'there is a project')

    const load = startLoad({ url: world.url, keys: [first, ...rest], clients: CLIENTS, random: random.fork() })
    const mayGoOn = () => world.killed < options.kills && performance.now() - startedAt < options.msMax
    while (mayGoOn() && load.failures.length === 0) await world.kill()
    await load.stop()
    await world.calm(async () => {
      const wallets = await Promise.all(projects.map(({ id }) => operator.wallet(id)))
      return wallets.every(({ held }) => held === 0n) && (await simulator.open()) === 0
    })

    const evidence = await gather({ operator, simulator, projects, clients: load.records })
    const found = reconcile(evidence)
    const amiss = await world.end()
    found.rules.push({
      rule: 'the last gateway stops and owes nothing',
      checked: 1,
      bad: amiss.length,
      examples: amiss,
    })
    return {
      ...found,
      kills: world.kills,
      killed: world.killed,
      tookMs: performance.now() - startedAt,
      calls: evidence.oracle.length,
      acknowledged: load.records.filter((record) => record.acknowledged !== undefined).length,
      outcomes: countBy(evidence.receipts, ({ outcome }) => outcome),
      refusals: load.refusals,
      slowestRecoveryMs: world.slowestRecoveryMs,
    }
  } finally {
    await world.abandon()
    await simulator.close()
    await removeDataDir(dataDir)
  }
}

/** The gateway and its database, and the hand that kills them. */
function createWorld(options: CrashOptions & { random: Random; dataDir: string; simulatorUrl: string }) {
  const { random, dataDir, say } = options
  const kills = new Map<string, number>()
  let killed = 0
  let slowestRecoveryMs = 0
  let url = 'http://127.0.0.1:9'
  let life: Life | undefined

  function spawn(dies?: string): Life {
    return {
      dies,
      process: spawnGateway({
        dataDir,
        ...(dies !== undefined && { nodeArgs: ['--import', `${ROOT}/tools/crash-failpoints.ts`] }),
        env: {
          FLUXGATE_SIM_URL: options.simulatorUrl,
          SLOT_LEASE_MS: '500',
          HOLD_TTL_MS: '1000',
          RESERVE_WAIT_MS: '1000',
          SETTLE_WAIT_MS: '10000',
          SHUTDOWN_MS: '500',
          WELCOME_GRANT_USD: '0',
          LOG_LEVEL: 'warn',
          ...(dies !== undefined && { FLUXGATE_CRASH_AT: dies }),
        },
      }),
    }
  }

  function count(what: string): void {
    killed += 1
    kills.set(what, (kills.get(what) ?? 0) + 1)
    if (killed % 25 === 0) say(`${killed} kills`)
  }

  /** Starts gateways until one is ready. Some are killed while they start, or die at the point that is set for them. */
  async function live(dies?: string): Promise<void> {
    const downAt = performance.now()
    let next = dies
    for (;;) {
      life = spawn(next)
      const mayBeKilled = options.victim !== 'postgres' && killed > 0 && random.chance(0.15)
      const patience = mayBeKilled ? random.integer(50, 1_500) : READY_MS_MAX
      const what = await Promise.race([
        life.process.ready,
        life.process.exited,
        delay(patience, undefined, { ref: false }),
      ])
      if (typeof what === 'string') {
        url = what
        break
      }
      if (what === undefined && !mayBeKilled) throw new Error(`a gateway was not ready within ${READY_MS_MAX} ms`)
      if (what === undefined) life.process.kill('SIGKILL')
      const exit = await life.process.exited
      if (exit.signal !== 'SIGKILL')
        throw new Error(`a gateway did not start (${exit.code ?? exit.signal}): ${exit.err}`)
      count(what === undefined ? 'gateway, while it starts' : `gateway, ${next}`)
      next = undefined
    }
    await untilReady(downAt)
  }

  async function untilReady(since: number): Promise<void> {
    while (!(await createOperator(() => url).ready())) {
      if (performance.now() - since > READY_MS_MAX) throw new Error(`not ready again after ${READY_MS_MAX} ms`)
      await delay(20)
    }
    slowestRecoveryMs = Math.max(slowestRecoveryMs, performance.now() - since)
  }

  /** Waits for the death of a gateway that kills itself, and helps when it does not come to its point. */
  async function death(at: string, msMax: number): Promise<void> {
    assert(life !== undefined, 'somebody lives')
    const { process } = life
    const late = delay(msMax, undefined, { ref: false })
    const exit = await Promise.race([process.exited, late])
    if (exit === undefined) process.kill('SIGKILL')
    const { code, signal, err } = await process.exited
    if (signal !== 'SIGKILL') throw new Error(`a gateway ended by itself (${code ?? signal}): ${err}`)
    count(exit === undefined ? 'gateway, at a random instant' : `gateway, ${at}`)
  }

  /** Mostly short, so that recoveries meet half-done work. */
  function livesFor(): number {
    return random.chance(0.8)
      ? random.integer(0, SHORT_LIFE_MS_MAX)
      : random.integer(SHORT_LIFE_MS_MAX, LONG_LIFE_MS_MAX)
  }

  /** Mostly the whole server at once; else one of its processes, or its own way to stop without a checkpoint. */
  async function killPostgres(): Promise<void> {
    const pid = await postmasterPid(dataDir)
    if (pid === undefined) return
    const way = random.next()
    const others = way < 0.75 ? [] : await findProcessesIn(`${dataDir}/postgres`)
    const backend = others.find((found) => found.pid !== pid)
    if (way >= 0.9 && signalIfAlive(pid, 'SIGQUIT')) count('postgres, stopped at once')
    else if (backend !== undefined && signalIfAlive(backend.pid, 'SIGKILL')) count('a process of postgres')
    else if (signalIfAlive(pid, 'SIGKILL')) count('postgres')
  }

  async function killGateway(): Promise<void> {
    await delay(livesFor())
    if (life?.dies === undefined) {
      life?.process.kill('SIGKILL')
      await death('at a random instant', READY_MS_MAX)
      return
    }
    if (life.dies.startsWith('spool')) await killPostgres()
    if (life.dies.startsWith('release')) life.process.kill('SIGINT')
    await death(life.dies, POINT_MS_MAX)
  }

  async function killBoth(): Promise<void> {
    await delay(livesFor())
    const gatewayFirst = random.chance(0.5)
    const between = random.integer(0, 400)
    if (!gatewayFirst) await killPostgres()
    if (!gatewayFirst) await delay(between)
    life?.process.kill('SIGKILL')
    await death('with postgres', READY_MS_MAX)
    if (gatewayFirst) await killPostgres()
  }

  return {
    url: () => url,
    kills,
    get killed() {
      return killed
    },
    get slowestRecoveryMs() {
      return slowestRecoveryMs
    },

    /** The first start of all: also the creation of the database and its migration may be killed. */
    async begin(): Promise<void> {
      if (options.victim !== 'postgres' && random.chance(0.5)) {
        const { process } = spawn()
        await delay(random.integer(0, SHORT_LIFE_MS_MAX))
        process.kill('SIGKILL')
        await process.exited
        count('gateway, while it creates the database')
      }
      await live(options.victim === 'postgres' ? undefined : 'migrate:sent:1')
      slowestRecoveryMs = 0
    },

    async kill(): Promise<void> {
      const victim =
        options.victim === 'both' ? random.pick(['gateway', 'gateway', 'postgres', 'both']) : options.victim
      const next = options.victim === 'postgres' || random.chance(0.4) ? undefined : pickPoint(random)
      if (victim === 'gateway' || (victim === 'both' && life?.dies !== undefined)) {
        await killGateway()
        await live(next)
      } else if (victim === 'postgres') {
        await delay(livesFor())
        await killPostgres()
        if (life?.dies === undefined) await untilReady(performance.now())
        else {
          await death(life.dies, POINT_MS_MAX)
          await live(next)
        }
      } else {
        await killBoth()
        await live(next)
      }
    },

    /** A last life without any death, until nothing is under way. */
    async calm(isCalm: () => Promise<boolean>): Promise<void> {
      if (life?.dies !== undefined) {
        life.process.kill('SIGKILL')
        await life.process.exited
        life = spawn()
        url = String(await life.process.ready)
      }
      const deadline = performance.now() + CALM_MS_MAX
      while (!(await isCalm().catch(() => false)) && performance.now() < deadline) await delay(100)
    },

    /** Stops the last gateway as an operator does. Resolves to what went wrong. */
    async end(): Promise<string[]> {
      life?.process.kill('SIGTERM')
      const exit = await life?.process.exited
      const spool = await readFile(`${dataDir}/spool.jsonl`, 'utf8')
      return [
        ...(exit?.code === 0 ? [] : [`it ended with ${exit?.code ?? exit?.signal}: ${exit?.err}`]),
        ...(spool === '' ? [] : [`its spool holds ${spool.length} characters`]),
      ]
    },

    async abandon(): Promise<void> {
      life?.process.kill('SIGKILL')
      await life?.process.exited
    },
  }
}

/** A point of `tools/crash-failpoints.ts`. Often the first or second time, so that it lies in the midst of a recovery. */
function pickPoint(random: Random): string {
  const [name, moments, most] = random.pick<readonly [string, readonly [string, ...string[]], number]>([
    ['reserve', ['before', 'sent', 'answered'], 40],
    ['settle', ['before', 'sent', 'answered'], 40],
    ['settle', ['before', 'sent', 'answered'], 40],
    ['extend', ['before', 'sent', 'answered'], 8],
    ['claim', ['before', 'sent', 'answered'], 1],
    ['sweep', ['sent', 'answered'], 2],
    ['release', ['before', 'sent', 'answered'], 1],
    ['spool', ['torn', 'written', 'flushed'], 2],
  ])
  return `${name}:${random.pick(moments)}:${random.chance(0.3) ? 1 : random.integer(1, most)}`
}

async function gather(known: {
  operator: ReturnType<typeof createOperator>
  simulator: { calls(): Promise<Evidence['oracle'][number][]> }
  projects: readonly { name: string; id: string; key: string; granted: bigint }[]
  clients: Evidence['clients']
}): Promise<Evidence> {
  const { operator, simulator, projects, clients } = known
  const book = loadPriceBook(await readFile(`${ROOT}/prices/price-book.json`))
  const receipts: Evidence['receipts'][number][] = []
  const receiptProblems: string[] = []
  const wallets: Evidence['wallets'][number][] = []
  for (const { id, key, name, granted } of projects) {
    const found = await operator.receipts(key)
    receipts.push(...found.receipts)
    receiptProblems.push(...found.problems)
    const { posted, held } = await operator.wallet(id)
    const charged = found.receipts.reduce((sum, receipt) => sum + BigInt(receipt.charged_nanousd), 0n)
    wallets.push({ name, granted, posted, held, charged })
  }
  return {
    clients,
    oracle: await simulator.calls(),
    receipts,
    receiptProblems,
    audit: await operator.audit(),
    wallets,
    linesOf(model) {
      const entry = book.find('sim', model)
      assert(entry !== undefined, `the price book has sim/${model}`)
      return entry.price.lines
    },
  }
}

function countBy<T>(list: readonly T[], nameOf: (one: T) => string): Map<string, number> {
  return new Map([...Map.groupBy(list, nameOf)].map(([name, group]) => [name, group.length]))
}
