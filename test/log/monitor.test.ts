import assert from 'node:assert/strict'
import { appendFile, cp, mkdtemp, readFile, rm, truncate, writeFile } from 'node:fs/promises'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { PassThrough } from 'node:stream'
import { after, before, test } from 'node:test'
import { run } from '#cli/log-monitor.ts'
import { createTestDatabase, type TestDatabase } from '#test/support/database.ts'
import { addBatches, logSigner, openTestLog } from '#test/support/log/test-log.ts'

// A log of three sizes and its fork, served as a static file server would. Each test looks at a copy.
let work: string
let database: TestDatabase
let twin: TestDatabase
const SIZES = [300, 700, 1_100] as const
before(async () => {
  work = await mkdtemp(join(tmpdir(), 'fluxgate-monitor-'))
  database = await createTestDatabase()
  twin = await createTestDatabase()
  let last = 0
  for (const [name, db, sizes] of [
    ['log', database, SIZES],
    ['fork', twin, SIZES.slice(1)],
  ] as const) {
    last = 0
    for (const size of sizes) {
      await addBatches(db.db, size - last)
      last = size
      const log = await openTestLog(db, join(work, name))
      await log.turn()
      await log.close()
      assert.deepEqual(log.errors, [])
      await cp(join(work, name), join(work, `${name}-${size}`), { recursive: true })
    }
  }
})
after(async () => {
  await Promise.all([database.close(), twin.close()])
  await rm(work, { recursive: true, force: true })
})

/** Runs the monitor on what `serving()` names at each request. */
async function monitor(serving: () => string, args: string[], plain = false) {
  const server = createServer((request, response) => {
    readFile(join(serving(), (request.url ?? '').slice(1))).then(
      (bytes) => response.end(bytes),
      () => response.writeHead(404).end(),
    )
  })
  await new Promise<void>((resolve) => void server.listen(0, '127.0.0.1', resolve))
  const { port } = server.address() as AddressInfo
  const out = new PassThrough()
  const err = new PassThrough()
  const words = [`http://127.0.0.1:${port}`, '--vkey', logSigner.vkey, ...(plain ? [] : ['--json']), ...args]
  try {
    const code = await run({ out, err }, words)
    const text = String(out.read() ?? '')
    return { code, report: text === '' || plain ? undefined : JSON.parse(text), text, err: String(err.read() ?? '') }
  } finally {
    server.closeAllConnections()
    server.close()
  }
}

async function copyOf(name: string): Promise<string> {
  const copy = await mkdtemp(join(work, 'copy-'))
  await cp(join(work, name), copy, { recursive: true })
  return copy
}

async function kept(size: number): Promise<string> {
  const path = join(await mkdtemp(join(work, 'state-')), 'state.json')
  const { code } = await monitor(() => join(work, `log-${size}`), ['--state', path])
  assert.equal(code, 0)
  return path
}

test('a log is watched as it grows: only new leaves are read, and a second look reads no old tile', async () => {
  const state = join(await mkdtemp(join(work, 'state-')), 'state.json')
  const checked: number[] = []
  for (const size of [...SIZES, 1_100]) {
    const { code, report } = await monitor(() => join(work, `log-${size}`), ['--state', state])
    assert.deepEqual([code, report.state, report.size], [0, 'ok', size])
    checked.push(report.checked)
  }
  // From the beginning of the tile in which the last look ended.
  assert.deepEqual(checked, [300, 700 - 256, 1_100 - 512, 1_100 - 1_024])
})

test('what a log serves cannot steer the terminal', async () => {
  const hostile = await copyOf('log-700')
  const good = await readFile(join(hostile, 'checkpoint'), 'utf8')
  await writeFile(join(hostile, 'checkpoint'), `${good}\u001b]0;owned\u0007\u009b2J\rok: 700 leaves\n`)
  const { code, text } = await monitor(() => hostile, [], true)
  assert.equal(code, 1)
  assert.match(text, /^FAILED: /)
  assert.doesNotMatch(text, /[\p{Cc}--\n]/v)
})

test('a server that lags is told apart from one that forks', async () => {
  const state = await kept(1_100)
  // It still serves an old checkpoint, and has the tiles of the new one.
  const lagging = await copyOf('log-1100')
  await cp(join(work, 'log-700', 'checkpoint'), join(lagging, 'checkpoint'))
  const { code, report } = await monitor(() => lagging, ['--state', state])
  assert.deepEqual([code, report.state, report.size], [0, 'stale', 700])
  assert.match(await readFile(state, 'utf8'), /\\n1100\\n/)
})

for (const [what, keptSize, serving] of [
  ['another root for the same size', 700, 'fork-700'],
  ['another history that is longer', 700, 'fork-1100'],
  ['another history that is longer than one of another length', 300, 'fork-700'],
  ['another history that is shorter', 1_100, 'fork-700'],
  ['a history that lost its end', 1_100, 'log-700'],
] as const)
  test(`a fork is reported with both checkpoints: ${what}`, async () => {
    const state = await kept(keptSize)
    const { code, report } = await monitor(() => join(work, serving), ['--state', state])
    assert.deepEqual([code, report.state], [1, 'fork'])
    const proof = JSON.parse(await readFile(`${state}.fork.json`, 'utf8'))
    for (const evidence of [report, proof]) {
      assert.equal(evidence.kept, await readFile(join(work, `log-${keptSize}`, 'checkpoint'), 'utf8'))
      assert.equal(evidence.seen, await readFile(join(work, serving, 'checkpoint'), 'utf8'))
    }
    // It keeps what it saw first.
    const again = await monitor(() => join(work, `log-${keptSize}`), ['--state', state])
    assert.deepEqual([again.code, again.report.state], [0, 'ok'])
  })

const flip = async (path: string, at: number) => {
  const bytes = await readFile(path)
  bytes[at] = (bytes[at] ?? 0) ^ 1
  await writeFile(path, bytes)
}
for (const [what, harm] of [
  ['a new leaf is altered', (dir: string) => flip(join(dir, 'tile/entries/003'), 40)],
  ['a length of a leaf is altered', (dir: string) => flip(join(dir, 'tile/entries/003'), 1)],
  ['a new hash is altered', (dir: string) => flip(join(dir, 'tile/0/003'), 40)],
  ['a hash of the last tile is altered', (dir: string) => flip(join(dir, 'tile/0/004.p/76'), 75 * 32)],
  ['a hash of a higher tile is altered', (dir: string) => flip(join(dir, 'tile/1/000.p/4'), 3 * 32)],
  ['an old hash of a higher tile is altered', (dir: string) => flip(join(dir, 'tile/1/000.p/4'), 0)],
  ['a tile is cut off', (dir: string) => truncate(join(dir, 'tile/0/003'), 8_160)],
  ['a tile is cut within a hash', (dir: string) => truncate(join(dir, 'tile/0/003'), 8_191)],
  ['a tile is too long', (dir: string) => appendFile(join(dir, 'tile/0/003'), Buffer.alloc(32))],
  ['a tile is missing', (dir: string) => rm(join(dir, 'tile/0/003'))],
  ['leaves are cut off', (dir: string) => truncate(join(dir, 'tile/entries/004.p/76'), 100)],
  ['leaves are missing', (dir: string) => rm(join(dir, 'tile/entries/004.p'), { recursive: true })],
  ['leaves are too many', (dir: string) => appendFile(join(dir, 'tile/entries/004.p/76'), Buffer.alloc(34))],
] as const)
  test(`found: ${what}`, async () => {
    const dir = await copyOf('log-1100')
    await harm(dir)
    const { code, report } = await monitor(() => dir, ['--state', await kept(700)])
    assert.deepEqual([code, report.state], [1, 'tiles'], JSON.stringify(report))
  })

test('what was read before is read again with --full', async () => {
  const dir = await copyOf('log-1100')
  const state = await kept(1_100)
  await flip(join(dir, 'tile/entries/000'), 40)
  assert.equal((await monitor(() => dir, ['--state', state])).code, 0)
  assert.deepEqual((await monitor(() => dir, ['--state', state, '--full'])).report.state, 'tiles')
})

for (const [what, text] of [
  ['a size that was not signed', (note: string) => note.replace('\n1100\n', '\n1101\n')],
  ['another origin', (note: string) => note.replaceAll('log.test/1', 'log.test/2')],
  ['no signature', (note: string) => note.slice(0, note.indexOf('—'))],
  ['no note', () => 'hello'],
] as const)
  test(`what is not signed is reported: ${what}`, async () => {
    const dir = await copyOf('log-1100')
    await writeFile(join(dir, 'checkpoint'), text(await readFile(join(dir, 'checkpoint'), 'utf8')))
    const { code, report } = await monitor(() => dir, [])
    assert.deepEqual([code, report.state], [1, 'signature'])
  })

test('a log that cannot be reached says nothing: exit code 2', async () => {
  const { code, err } = await monitor(() => join(work, 'nowhere'), [])
  assert.equal(code, 2)
  assert.match(err, /there is no/)
})

test('a state that is damaged is not begun anew', async () => {
  const state = await kept(300)
  await writeFile(state, '{"v":1}')
  await assert.rejects(
    monitor(() => join(work, 'log-300'), ['--state', state]),
    { name: 'UsageError' },
  )
})
