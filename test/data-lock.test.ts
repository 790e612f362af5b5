import assert from 'node:assert/strict'
import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdtemp, readdir, rename, rm, stat, utimes } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import { after, before, test } from 'node:test'
import { fileURLToPath } from 'node:url'
import { DataDirInUseError, findLockHolder, lockDataDir } from '#adapters/data-lock.ts'

const ROOT = fileURLToPath(new URL('..', import.meta.url))
const CONTENDERS = 8
const children: ChildProcess[] = []
let home = ''

before(async () => {
  home = await mkdtemp(join(tmpdir(), 'fluxgate-lock-'))
})

after(async () => {
  for (const child of children) child.kill('SIGKILL')
  await rm(home, { recursive: true, force: true })
})

test('a lock is exclusive until it is released', async () => {
  const dataDir = join(home, 'exclusive')
  const lock = await lockDataDir(dataDir)
  await assert.rejects(lockDataDir(dataDir), DataDirInUseError)
  assert.equal(await findLockHolder(dataDir), process.pid)
  const other = await lockDataDir(dataDir, 'other')
  await lock.release()
  await lock.release()
  assert.equal(await findLockHolder(dataDir), undefined)
  await (await lockDataDir(dataDir)).release()
  await other.release()
  assert.deepEqual(await readdir(join(dataDir, 'locks')), [])
})

test('of many processes that start together exactly one gets the lock, and after kill -9 of it another does', async () => {
  const dataDir = join(home, 'race')
  for (let round = 0; round < 2; round += 1) {
    const contenders = Array.from({ length: CONTENDERS }, () => contend(dataDir))
    const answers = await Promise.all(contenders.map(({ answer }) => answer))
    const winners = contenders.filter((_, index) => answers[index] === 'locked')
    assert.equal(winners.length, 1, answers.join(', '))
    const winner = winners[0]?.child
    assert.equal(await findLockHolder(dataDir), winner?.pid)
    for (const answer of answers) assert.match(answer, /^(locked|refused by \d+)$/)
    winner?.kill('SIGKILL')
    if (winner) await once(winner, 'exit')
  }
})

test('a dead holder whose pid another process got later does not count', async () => {
  const dataDir = join(home, 'reused')
  const lock = await lockDataDir(dataDir)
  await renameClaim(dataDir, (fields) => ({ ...fields, startedAt: '1' }))
  const next = await lockDataDir(dataDir)
  await next.release()
  await lock.release()
})

test('a holder that this system cannot see counts while its claim is being touched, and not after', async (t) => {
  const [alive, dead] = await Promise.all([claimElsewhere('alive'), claimElsewhere('dead')])
  const heart = setInterval(() => utimes(alive.path, new Date(), new Date()), 500)
  t.after(() => clearInterval(heart))
  const [, lock] = await Promise.all([
    assert.rejects(lockDataDir(alive.dataDir), /in use by a process on another machine or in another container/),
    lockDataDir(dead.dataDir),
  ])
  await lock.release()
  await assert.rejects(stat(dead.path), { code: 'ENOENT' })
})

async function claimElsewhere(name: string): Promise<{ dataDir: string; path: string }> {
  const dataDir = join(home, name)
  const lock = await lockDataDir(dataDir)
  await renameClaim(dataDir, (fields) => ({ ...fields, space: 'elsewhere' }))
  await lock.release()
  const [claim = ''] = await readdir(join(dataDir, 'locks'))
  return { dataDir, path: join(dataDir, 'locks', claim) }
}

function contend(dataDir: string): { child: ChildProcess; answer: Promise<string> } {
  const code = `
    import { lockDataDir } from '#adapters/data-lock.ts'
    setInterval(() => {}, 1000)
    try { await lockDataDir(process.argv[1]); console.log('locked') }
    catch (error) { console.log(error.pid ? 'refused by ' + error.pid : error.message); process.exit() }`
  const child = spawn(process.execPath, ['--input-type=module', '--eval', code, dataDir], {
    cwd: ROOT,
    stdio: ['ignore', 'pipe', 'inherit'],
  })
  children.push(child)
  return { child, answer: firstLine(child) }
}

async function firstLine(child: ChildProcess): Promise<string> {
  assert.ok(child.stdout)
  for await (const line of createInterface({ input: child.stdout })) return line
  return 'ended without an answer'
}

async function renameClaim(
  dataDir: string,
  change: (fields: { startedAt: string; space: string }) => { startedAt: string; space: string },
): Promise<void> {
  const folder = join(dataDir, 'locks')
  const [name = ''] = await readdir(folder)
  const [part, claimedAt, pid, startedAt = '', space = '', nonce] = name.split('.')
  const changed = change({ startedAt, space })
  await rename(
    join(folder, name),
    join(folder, [part, claimedAt, pid, changed.startedAt, changed.space, nonce].join('.')),
  )
}
