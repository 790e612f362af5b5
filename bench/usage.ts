// What /api/v1/stats, /api/v1/logs and the export cost with little and with much in the log.
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import { Agent, request } from 'undici'
import { type BenchDatabase, openBenchDatabase } from './bench-database.ts'
import { generateUsage, RARE_ALIAS, SERIES_PER_KIND } from './generate-usage.ts'
import { describeMachine } from './machine.ts'
import { readCpuMs, readFamilyCpuMs, readRssBytes } from './process-cost.ts'
import { renderTable } from './render-results.ts'
import { killServers } from './spawn-server.ts'
import { startGateway, type VariantServer } from './variants.ts'

const USAGE = `usage: npm run bench:usage [-- LOGS ...] [--rounds N]

Fills a database for each number of LOGS (100000 and 1000000 by default), starts a gateway on each, and asks all of them the
same, in turns. N rounds, 5 by default.
`

const REQUESTS_A_ROUND = 20
const WARM_REQUESTS = 30
const SAMPLE_MS = 50
const agent = new Agent({ headersTimeout: 120_000, bodyTimeout: 600_000 })

interface Stage {
  logs: number
  server: VariantServer
  key: string
  cells: number
}

interface Cost {
  gatewayMs: number
  postgresMs: number
  wallMs: number
}

/** The questions; those with a cursor get it from the page before. */
const questions: { name: string; path: (stage: Stage) => string | Promise<string> }[] = [
  { name: '/stats over 30 days', path: () => '/api/v1/stats' },
  { name: '/stats by week, Kathmandu', path: () => '/api/v1/stats?group_by=week&tz=Asia/Kathmandu' },
  { name: '/stats of one alias', path: () => '/api/v1/stats?alias=summarizer' },
  { name: '/logs, first page of 50', path: () => '/api/v1/logs' },
  { name: '/logs, a page of 50 in the middle', path: (stage) => middlePage(stage) },
  { name: '/logs, offset 9,950', path: () => '/api/v1/logs?offset=9950' },
  { name: '/logs, 50 of one alias in three', path: () => '/api/v1/logs?alias=chat' },
  { name: '/logs, 50 of one in 10,000', path: () => `/api/v1/logs?alias=${RARE_ALIAS}` },
]

process.exitCode = await main(process.argv.slice(2))

async function main(args: string[]): Promise<number> {
  const at = args.indexOf('--rounds')
  const rounds = at < 0 ? 5 : Number(args.splice(at, 2)[1])
  const sizes = args.length === 0 ? [100_000, 1_000_000] : args.map(Number)
  if (![rounds, ...sizes].every((number) => Number.isInteger(number) && number > 0 && number <= 100_000_000)) {
    process.stderr.write(USAGE)
    return 2
  }
  const folder = await mkdtemp(join(tmpdir(), 'fluxgate-bench-usage-'))
  const machine = describeMachine()
  const database = await openBenchDatabase(join(folder, 'postgres'))
  const stages: Stage[] = []
  try {
    print(
      `${machine.processors} processors (${machine.cpu}), ${machine.memoryGb} GB, Node ${machine.node}, ${database.description}. ` +
        `Load average before ${machine.loadBefore.toFixed(2)}. ${rounds} rounds of ${REQUESTS_A_ROUND} requests.\n`,
    )
    for (const logs of sizes) stages.push(await open(logs, database, folder))
    await compare(stages, database, rounds)
    await exportAll(stages, database)
    return 0
  } finally {
    for (const { server } of stages) await server.stop().catch(() => undefined)
    killServers()
    await database.close()
    await rm(folder, { recursive: true, force: true })
  }
}

async function open(logs: number, database: BenchDatabase, folder: string): Promise<Stage> {
  const url = await database.create(`usage_${logs}`)
  const { seconds, cells } = await generateUsage(url, logs)
  print(`${logs} logs: ${cells} cells of the roll-up, made in ${seconds.toFixed(0)} s`)
  const context = {
    simulatorUrl: 'http://127.0.0.1:9',
    createDatabase: async () => url,
    folder,
    processors: undefined,
    profile: undefined,
  }
  const server = await startGateway(`usage-${logs}`, context, url)
  return { logs, server, cells, key: database.keys[0] ?? '' }
}

/** Far from the newest: the fifteenth day of thirty, by the cursor of a page there. */
async function middlePage(stage: Stage): Promise<string> {
  const end = new Date(Date.now() - 15 * 86_400_000).toISOString()
  const { headers } = await get(stage, `/api/v1/logs?limit=1&end_date=${end}`)
  return `/api/v1/logs?after=${String(headers['x-next-cursor'])}`
}

async function compare(stages: readonly Stage[], database: BenchDatabase, rounds: number): Promise<void> {
  const rows: string[][] = []
  for (const { name, path } of questions) {
    const costs = new Map<Stage, Cost[]>(stages.map((stage) => [stage, []]))
    const paths = new Map<Stage, string>()
    for (const stage of stages) {
      paths.set(stage, await path(stage))
      for (let n = 0; n < WARM_REQUESTS; n += 1) await get(stage, paths.get(stage) ?? '')
    }
    for (let round = 0; round < rounds; round += 1)
      for (const stage of round % 2 === 0 ? stages : stages.toReversed())
        costs.get(stage)?.push(await measure(stage, database, paths.get(stage) ?? ''))
    for (const stage of stages)
      rows.push(line(name, stage, costs.get(stage) ?? [], costs.get(stages[0] ?? stage) ?? []))
  }
  const heads = ['question', 'logs', 'gateway ms', 'PostgreSQL ms', '× the first', 'wall ms']
  print(
    `\n${renderTable(heads, rows)}\n\nCPU per request; ${SERIES_PER_KIND} label combinations of either kind in the project.`,
  )
}

async function measure(stage: Stage, database: BenchDatabase, path: string): Promise<Cost> {
  const { pid = 0 } = stage.server
  const gateway = readCpuMs(pid)
  const postgres = readFamilyCpuMs(database.pid ?? 0)
  const startedAt = performance.now()
  for (let n = 0; n < REQUESTS_A_ROUND; n += 1) await get(stage, path)
  return {
    gatewayMs: (readCpuMs(pid) - gateway) / REQUESTS_A_ROUND,
    postgresMs: (readFamilyCpuMs(database.pid ?? 0) - postgres) / REQUESTS_A_ROUND,
    wallMs: (performance.now() - startedAt) / REQUESTS_A_ROUND,
  }
}

/** Both processes' time beside that of the first size in the same round. */
function line(name: string, stage: Stage, own: readonly Cost[], first: readonly Cost[]): string[] {
  const cpu = ({ gatewayMs, postgresMs }: Cost) => gatewayMs + postgresMs
  const ratios = own.map((cost, round) => cpu(cost) / cpu(first[round] ?? cost))
  return [
    name,
    stage.logs.toLocaleString('en'),
    median(own.map(({ gatewayMs }) => gatewayMs)).toFixed(1),
    median(own.map(({ postgresMs }) => postgresMs)).toFixed(1),
    median(ratios).toFixed(2),
    median(own.map(({ wallMs }) => wallMs)).toFixed(1),
  ]
}

async function exportAll(stages: readonly Stage[], database: BenchDatabase): Promise<void> {
  const rows: string[][] = []
  for (const format of ['csv', 'ndjson', 'parquet'])
    for (const stage of stages) {
      const { pid = 0 } = stage.server
      await delay(1_000)
      const idle = readRssBytes(pid)
      const [gateway, postgres] = [readCpuMs(pid), readFamilyCpuMs(database.pid ?? 0)]
      let most = 0
      const sampler = setInterval(() => {
        most = Math.max(most, readRssBytes(pid))
      }, SAMPLE_MS)
      const startedAt = performance.now()
      const bytes = await download(stage, `/api/v1/logs/export?format=${format}`)
      const seconds = (performance.now() - startedAt) / 1_000
      clearInterval(sampler)
      const count = stage.logs * 0.8
      const perRow = (ms: number) => ((ms * 1_000) / count).toFixed(1)
      rows.push([
        format,
        count.toLocaleString('en'),
        perRow(readCpuMs(pid) - gateway),
        perRow(readFamilyCpuMs(database.pid ?? 0) - postgres),
        Math.round(count / seconds).toLocaleString('en'),
        (bytes / 2 ** 20).toFixed(0),
        (idle / 2 ** 20).toFixed(0),
        (most / 2 ** 20).toFixed(0),
      ])
    }
  const heads = [
    'export',
    'rows',
    'gateway µs a row',
    'PostgreSQL µs a row',
    'rows/s',
    'MB',
    'idle MB of memory',
    'most MB',
  ]
  print(`\n${renderTable(heads, rows)}`)
}

async function get(stage: Stage, path: string) {
  const { statusCode, headers, body } = await request(stage.server.url + path, {
    dispatcher: agent,
    headers: { 'x-api-key': stage.key },
  })
  const text = await body.text()
  if (statusCode !== 200) throw new Error(`${path}: ${statusCode} ${text.slice(0, 500)}`)
  return { headers }
}

async function download(stage: Stage, path: string): Promise<number> {
  const { statusCode, body } = await request(stage.server.url + path, {
    dispatcher: agent,
    headers: { 'x-api-key': stage.key },
  })
  if (statusCode !== 200) throw new Error(`${path}: ${statusCode} ${await body.text()}`)
  let bytes = 0
  for await (const chunk of body) bytes += (chunk as Buffer).length
  return bytes
}

function median(values: readonly number[]): number {
  const sorted = values.toSorted((a, b) => a - b)
  return sorted[sorted.length >> 1] ?? Number.NaN
}

function print(text: string): void {
  process.stdout.write(`${text}\n`)
}
