// Entries in files: what a killed process leaves, and what the next one makes of it.
import assert from 'node:assert/strict'
import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { appendFile, mkdir, mkdtemp, readdir, readFile, rm, utimes, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, afterEach, before, beforeEach, test } from 'node:test'
import { fileURLToPath } from 'node:url'
import { until } from '#test/support/until.ts'
import { createUsageDouble, type UsageDouble } from '#test/support/usage-double.ts'
import { type OpenUsageLoggerOptions, openUsageLogger } from '../../packages/client/src/node/index.ts'

const worker = fileURLToPath(new URL('usage-logger-worker.ts', import.meta.url))

let home = ''
let directory = ''
let double: UsageDouble
let runs = 0
before(async () => {
  home = await mkdtemp(join(tmpdir(), 'fluxgate-client-queue-'))
})
beforeEach(async () => {
  runs += 1
  directory = join(home, String(runs), 'queue')
  double = await createUsageDouble()
})
afterEach(() => double.close())
after(() => rm(home, { recursive: true, force: true }))

function open(options: OpenUsageLoggerOptions = {}) {
  return openUsageLogger({
    baseUrl: double.url,
    apiKey: 'fg_key_test',
    directory,
    collectMs: 2,
    backoff: { firstMs: 2, mostMs: 20 },
    ...options,
  })
}

const entry = (model: string) => ({ provider: 'openai', model, usage: { input: 1, output: 1 }, idempotencyKey: model })
const models = () => [...double.kept.values()].map(({ model }) => model)
const numbered = (count: number, from = 0) => Array.from({ length: count }, (_, index) => `m${from + index}`)
const segments = async () => (await readdir(directory)).filter((name) => name !== 'rejected.ndjson')

function startWorker(from: number, count: number, then = 'stay') {
  const child = spawn(process.execPath, [worker, double.url, directory, String(from), String(count), then], {
    stdio: ['ignore', 'pipe', 'inherit'],
  })
  let out = ''
  child.stdout.on('data', (chunk) => {
    out += chunk
  })
  return { child, logged: () => out.split('\n').slice(0, -1) }
}

async function kill(child: ChildProcess): Promise<void> {
  child.kill('SIGKILL')
  await once(child, 'close')
}

test('entries go through files in their order, and leave none behind', async () => {
  const logger = open()
  for (const model of numbered(250)) logger.log(entry(model))
  assert.equal(logger.counts().waiting, 250)
  assert.equal(await logger.close(), true)
  assert.deepEqual(models(), numbered(250))
  assert.deepEqual(await segments(), [])
})

test('killed while the gateway is away: the next start sends all of it', async () => {
  double.faults(() => 'silence')
  const { child, logged } = startWorker(0, 300)
  await until('all is logged', () => logged().at(-1) === 'all')
  await kill(child)
  assert.equal(double.kept.size, 0)
  double.faults(() => undefined)
  const logger = open()
  await until('all has arrived', () => double.kept.size === 300)
  assert.deepEqual(models(), numbered(300))
  await until('it is confirmed', () => logger.counts().waiting === 0)
  await logger.close()
  assert.deepEqual(await segments(), [])
})

test('killed at any moment, again and again: whatever was logged is kept, once', { timeout: 60_000 }, async () => {
  const seen = new Set<string>()
  for (let round = 0; round < 6; round += 1) {
    double.faults(
      (request) => (['hang_up', 'keep_and_hang_up', { status: 503 }, undefined] as const)[(request + round) % 4],
    )
    const { child, logged } = startWorker(round * 10_000, 10_000)
    // Somewhere between the first entry and the last, another place in each round.
    await until('it has logged some', () => logged().length > 40 * round * round + 1, 20_000)
    await kill(child)
    for (const name of logged()) if (name !== 'all') seen.add(name)
  }
  double.faults(() => undefined)
  const logger = open()
  await until('all has arrived', () => [...seen].every((name) => double.kept.has(name)), 20_000)
  await until('it is confirmed', () => logger.counts().waiting === 0, 20_000)
  await logger.close()
  assert.deepEqual(await segments(), [])
  // What was written and not yet said when the process died may be there too; nothing that was never logged is.
  for (const name of double.kept.keys()) assert.match(name, /^m\d+$/)
})

test('a program that ends by itself sends first', async () => {
  const { child } = startWorker(0, 20, 'end')
  const [code] = await once(child, 'close')
  assert.equal(code, 0)
  assert.deepEqual(models(), numbered(20))
})

test('a program that ends while the gateway is away ends, and leaves its entries', { timeout: 30_000 }, async () => {
  double.faults(() => ({ status: 503, headers: { 'retry-after': '3600' } }))
  const { child } = startWorker(0, 3, 'end')
  const [code] = await once(child, 'close')
  assert.equal(code, 0)
  double.faults(() => undefined)
  const logger = open()
  await until('all has arrived', () => double.kept.size === 3)
  await logger.close()
})

test('what belongs to a process that lives is left to it', async () => {
  double.faults(() => ({ status: 503 }))
  const { child, logged } = startWorker(0, 5)
  await until('all is logged', () => logged().at(-1) === 'all')
  const before = await segments()
  const logger = open()
  logger.log(entry('mine'))
  double.faults((_request, entries) => (entries.some(({ model }) => model !== 'mine') ? { status: 503 } : undefined))
  assert.equal(await logger.close(), true)
  assert.deepEqual(models(), ['mine'])
  assert.deepEqual(await segments(), before)
  await kill(child)
})

test('a segment of another machine is taken over once it has been silent for long', async () => {
  await mkdir(directory, { recursive: true })
  const foreign = join(directory, '0000000000001-000001-0123abcd-1-0123abcd.ndjson')
  await writeFile(foreign, `${JSON.stringify({ idempotency_key: 'old', model: 'old' })}\n`)
  const early = open()
  early.log(entry('early'))
  await early.close()
  assert.deepEqual(models(), ['early'])
  const longAgo = new Date(Date.now() - 3_600_000)
  await utimes(foreign, longAgo, longAgo)
  const late = open()
  await until('it is taken over', () => double.kept.has('old'))
  await late.close()
  assert.deepEqual(await segments(), [])
})

test('a torn last line and a spoilt one are left out, and reported', async () => {
  double.faults(() => 'silence')
  const { child, logged } = startWorker(0, 3)
  await until('all is logged', () => logged().at(-1) === 'all')
  await kill(child)
  const [name = ''] = await segments()
  await appendFile(
    join(directory, name),
    'spoilt\n{"idempotency_key":"whole","model":"whole"}\n{"idempotency_key":"torn',
  )
  double.faults(() => undefined)
  const losses: [number, string][] = []
  const logger = open({ onLost: (entries, reason) => losses.push([entries, reason]) })
  await until('the good ones have arrived', () => double.kept.size === 4)
  await until('it is confirmed', () => logger.counts().waiting === 0)
  assert.deepEqual(models(), [...numbered(3), 'whole'])
  assert.deepEqual(losses, [
    [1, 'queue_failed'],
    [1, 'queue_failed'],
  ])
  await logger.close()
  assert.deepEqual(await segments(), [])
})

test('what the gateway refuses is kept for people to look at', async () => {
  const logger = open()
  double.refuse(({ model }) => model === 'm1')
  for (const model of numbered(3)) logger.log(entry(model))
  await logger.close()
  const lines = (await readFile(join(directory, 'rejected.ndjson'), 'utf8')).trimEnd().split('\n')
  const [only] = lines.map((line) => JSON.parse(line))
  assert.deepEqual([lines.length, only.entry.model, only.code], [1, 'm1', 'body_invalid'])
})

test('more than the directory may hold: the oldest go, and are counted', async () => {
  double.faults(() => ({ status: 503 }))
  const losses: number[] = []
  const logger = open({ bytesMax: 2_500_000, onLost: (entries) => losses.push(entries) })
  const large = { ...entry('large'), metadata: { text: 'x'.repeat(10_000) } }
  for (let index = 0; index < 400; index += 1) logger.log({ ...large, idempotencyKey: `k${index}` })
  const { waiting, lost } = logger.counts()
  assert.ok(lost > 0 && waiting + lost === 400)
  assert.equal(
    losses.reduce((sum, count) => sum + count, 0),
    lost,
  )
  double.faults(() => undefined)
  assert.equal(await logger.close(), true)
  assert.equal(double.kept.size, waiting)
  assert.equal([...double.kept.keys()].at(-1), 'k399')
})

test('a directory that is cleared away or cannot be made loses nothing of a program that lives', async () => {
  double.faults(() => ({ status: 503 }))
  const logger = open()
  logger.log(entry('before'))
  await rm(directory, { recursive: true, maxRetries: 10, retryDelay: 20 })
  logger.log(entry('after'))
  double.faults(() => undefined)
  await logger.close()
  // What the files took along may have been on its way already.
  const kept = () => models().filter((model) => model !== 'before')
  assert.deepEqual(kept(), ['after'])

  await writeFile(join(home, 'file'), '')
  const spare = open({ directory: join(home, 'file', 'queue') })
  for (const model of numbered(5)) spare.log(entry(model))
  assert.equal(await spare.close(), true)
  assert.deepEqual(kept(), ['after', ...numbered(5)])
})
