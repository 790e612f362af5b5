import assert from 'node:assert/strict'
import { type ChildProcess, execFileSync, spawn } from 'node:child_process'
import { once } from 'node:events'
import { existsSync } from 'node:fs'
import { chmod, cp, mkdir, mkdtemp, readdir, realpath, rename, rm, stat, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import { after, before, test } from 'node:test'
import { setTimeout as sleep } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'
import pg from 'pg'
import { DataDirInUseError } from '#adapters/data-lock.ts'
import {
  type EmbeddedPostgres,
  type EmbeddedPostgresOptions,
  findEmbeddedPostgres,
  startEmbeddedPostgres,
} from '#adapters/embedded-postgres.ts'
import { findBarrier } from '#adapters/embedded-postgres-account.ts'
import { findProcess, findProcessesIn } from '#lib/find-process.ts'

const ROOT = fileURLToPath(new URL('..', import.meta.url))
const NOBODY = 65534
const isRoot = process.getuid?.() === 0
/** Whether an ordinary user may not even read this checkout, so that he cannot start anything from it. */
const isClosed = isRoot && Boolean(await findBarrier(ROOT, { uid: NOBODY, ids: { uid: NOBODY, gid: NOBODY } }))
const started: EmbeddedPostgres[] = []
const children: ChildProcess[] = []
let home = ''
let template = ''

before(async () => {
  home = await realpath(await mkdtemp(join(tmpdir(), 'fluxgate-pg-')))
  await chmod(home, 0o755)
  template = join(home, 'template')
  const db = await start({ dataDir: template })
  await run(db, 'create table note (words text)')
  await db.stop()
})

after(async () => {
  for (const child of children) child.kill('SIGKILL')
  for (const db of started) await db.stop()
  await rm(home, { recursive: true, force: true, maxRetries: 10, retryDelay: 100 })
})

test('a new data directory gets a durable, private database', async () => {
  const dataDir = join(home, 'durable')
  const db = await start({ dataDir, durable: true })
  const settings = ['fsync', 'synchronous_commit', 'full_page_writes', 'data_checksums', 'listen_addresses', 'timezone']
  const found = await run(db, `select ${settings.map((name) => `current_setting('${name}') as ${name}`).join(', ')}`)
  assert.deepEqual(found[0], {
    fsync: 'on',
    synchronous_commit: 'on',
    full_page_writes: 'on',
    data_checksums: 'on',
    listen_addresses: '',
    timezone: 'UTC',
  })
  assert.equal((await stat(join(dataDir, 'postgres'))).mode & 0o777, 0o700)
  assert.equal((await stat(join(dataDir, 'postgres.json'))).mode & 0o777, 0o600)
  assert.deepEqual((await readdir(dataDir)).sort(), ['locks', 'postgres', 'postgres.json'])
  const stranger = new pg.Client({ ...db.connection, password: 'wrong' })
  await assert.rejects(stranger.connect(), { code: '28P01' })
  await db.stop()
})

test('a restart finds the committed rows, by address and by URL', async () => {
  const dataDir = await copyTemplate('restart')
  const first = await start({ dataDir })
  await run(first, `insert into note values ('kept')`)
  await first.stop()
  assert.equal(await first.exited, 'stopped')
  assert.equal(findProcess(first.pid()), undefined)

  const second = await start({ dataDir })
  assert.deepEqual(await run(second, 'select words from note'), [{ words: 'kept' }])
  const client = new pg.Client({ connectionString: second.url })
  await client.connect()
  assert.equal((await client.query('select from note')).rowCount, 1)
  await client.end()
  await second.stop()
})

test('a second gateway on the directory is refused and told the pid of the first', async () => {
  const dataDir = await copyTemplate('second')
  const { child } = await startInChild(dataDir)
  await assert.rejects(start({ dataDir }), (error) => {
    assert.ok(error instanceof DataDirInUseError)
    assert.equal(error.pid, child.pid)
    assert.match(error.message, new RegExp(`${dataDir}.*\\(pid ${child.pid}\\)`))
    return true
  })
  const address = await findEmbeddedPostgres(dataDir)
  assert.ok(address, 'a command beside the gateway finds its database')
  await run(address, 'select from note')
  child.kill('SIGTERM')
  await once(child, 'exit')
  assert.equal(await findEmbeddedPostgres(dataDir), undefined)
})

test('a killed server is restarted and keeps what was committed', async () => {
  const dataDir = await copyTemplate('server-killed')
  const crashes: string[] = []
  const db = await start({ dataDir, onCrash: (reason) => crashes.push(reason) })
  const client = await connect(db)
  await client.query(`insert into note values ('acknowledged')`)
  await client.query('begin')
  await client.query(`insert into note values ('open')`)
  const firstPid = db.pid()
  const broken = new Promise<void>((resolve) => client.on('end', resolve))
  client.on('error', () => {})
  process.kill(firstPid, 'SIGKILL')
  await broken
  const words = await eventually(() => run(db, 'select words from note'))
  assert.deepEqual(words, [{ words: 'acknowledged' }])
  await eventually(async () => assert.notEqual(db.pid(), firstPid))
  assert.deepEqual(crashes, ['signal SIGKILL'])
  await db.stop()
})

test('stopping while the server is being restarted leaves nothing running', async () => {
  const dataDir = await copyTemplate('stop-restart')
  const db = await start({ dataDir })
  process.kill(db.pid(), 'SIGKILL')
  await eventually(async () => assert.equal(findProcess(db.pid()), undefined))
  await db.stop()
  assert.equal(await db.exited, 'stopped')
  await eventually(async () => assert.deepEqual(await findProcessesIn(join(dataDir, 'postgres')), []))
  const next = await start({ dataDir })
  await next.stop()
})

for (const also of ['gateway', 'gateway and server'] as const) {
  test(`after kill -9 of the ${also} the next start finds the committed rows`, async () => {
    const dataDir = await copyTemplate(also === 'gateway' ? 'gateway-killed' : 'both-killed')
    const { child, serverPid } = await startInChild(dataDir, `insert into note values ('acknowledged')`)
    if (also === 'gateway and server') process.kill(serverPid, 'SIGKILL')
    child.kill('SIGKILL')
    await once(child, 'exit')
    const db = await start({ dataDir })
    assert.deepEqual(await run(db, 'select words from note'), [{ words: 'acknowledged' }])
    assert.equal(findProcess(serverPid), undefined)
    await db.stop()
  })
}

test('a server outlives its killed gateway by moments only', async () => {
  const dataDir = await copyTemplate('orphan')
  const { child, serverPid } = await startInChild(dataDir)
  child.kill('SIGKILL')
  await once(child, 'exit')
  await eventually(async () => assert.equal(findProcess(serverPid), undefined))
})

test('an orphaned server that nobody told to stop is stopped by the next start', async () => {
  const dataDir = await copyTemplate('deaf-orphan')
  const { child, serverPid } = await startInChild(dataDir)
  // Standing still, the server does not hear that its gateway is gone.
  process.kill(serverPid, 'SIGSTOP')
  child.kill('SIGKILL')
  await once(child, 'exit')
  const next = start({ dataDir })
  await sleep(200)
  process.kill(serverPid, 'SIGCONT')
  const db = await next
  assert.notEqual(db.pid(), serverPid)
  await db.stop()
})

test('a stale lock file that names a living stranger does not block a start', async () => {
  const dataDir = await copyTemplate('stranger')
  const pidFile = join(dataDir, 'postgres', 'postmaster.pid')
  await writeFile(pidFile, `${process.pid}\n${join(dataDir, 'postgres')}\n1\n5432\n\n\n`)
  const db = await start({ dataDir })
  await run(db, 'select from note')
  await db.stop()
})

test('a first start that is killed in the middle is made good by the next', async () => {
  const dataDir = join(home, 'interrupted')
  const child = spawnLauncher(dataDir)
  await eventually(async () => assert.ok((await readdir(dataDir)).some((name) => name.startsWith('postgres.init-'))))
  child.kill('SIGKILL')
  await once(child, 'exit')
  assert.ok(!existsSync(join(dataDir, 'postgres')))
  const db = await start({ dataDir })
  await run(db, 'create table note ()')
  await db.stop()
  assert.deepEqual((await readdir(dataDir)).sort(), ['locks', 'postgres', 'postgres.json'])
})

test('a lost password file is replaced, a lost database is not', async () => {
  const dataDir = await copyTemplate('lost')
  await rm(join(dataDir, 'postgres.json'))
  const db = await start({ dataDir })
  await run(db, 'select from note')
  await db.stop()
  await rename(join(dataDir, 'postgres'), join(dataDir, 'elsewhere'))
  await assert.rejects(start({ dataDir }), /was in .*postgres and is gone/)
})

test('a database of another major version is refused', async () => {
  const dataDir = await copyTemplate('newer')
  await writeFile(join(dataDir, 'postgres', 'PG_VERSION'), '99\n')
  await assert.rejects(start({ dataDir }), /written by PostgreSQL 99, and no other major version can open it/)
})

test('a deep data directory is served on a loopback port', async () => {
  const deep = join(home, 'd'.repeat(100))
  await cp(await copyTemplate('deep'), deep, { recursive: true })
  await rm(join(deep, 'postgres'), { recursive: true })
  await rename(join(home, 'deep', 'postgres'), join(deep, 'postgres'))
  const db = await start({ dataDir: deep })
  assert.equal(db.connection.host, '127.0.0.1')
  await run(db, 'select from note')
  await db.stop()
})

test('an ordinary user runs the database as himself', {
  skip: isRoot ? isClosed && 'nobody may not enter the folder of the project' : 'every other test shows it',
}, async () => {
  const dataDir = join(home, 'ordinary', 'data')
  await mkdir(join(home, 'ordinary'))
  execFileSync('chown', [String(NOBODY), join(home, 'ordinary')])
  const child = spawnLauncher(dataDir, '', { uid: NOBODY, gid: NOBODY })
  const serverPid = await readServerPid(child)
  assert.equal((await stat(`/proc/${serverPid}`)).uid, NOBODY)
  child.kill('SIGTERM')
  await once(child, 'exit')
})

test('under root a closed data directory gets its database elsewhere, and keeps it when moved', {
  skip: !isRoot && 'needs root',
}, async () => {
  const closed = join(home, 'closed')
  await mkdir(closed, { mode: 0o700 })
  const systemDir = join(home, 'system')
  const logged: string[] = []
  const log = (_level: string, message: string) => logged.push(message)
  const first = await start({ dataDir: join(closed, 'data'), systemDir, log })
  await run(first, `create table note as select 'kept' as words`)
  await first.stop()
  assert.ok(logged.some((message) => message.includes('outside the data directory')))

  execFileSync('cp', ['-a', join(closed, 'data'), join(closed, 'copy')])
  await assert.rejects(start({ dataDir: join(closed, 'copy'), systemDir }), /copy is a copy of .*data/)

  await rename(join(closed, 'data'), join(closed, 'moved'))
  const second = await start({ dataDir: join(closed, 'moved'), systemDir })
  assert.deepEqual(await run(second, 'select words from note'), [{ words: 'kept' }])
  await second.stop()

  await rm(systemDir, { recursive: true })
  await assert.rejects(start({ dataDir: join(closed, 'moved'), systemDir }), /is gone/)
})

async function start(options: Partial<EmbeddedPostgresOptions> & { dataDir: string }): Promise<EmbeddedPostgres> {
  const db = await startEmbeddedPostgres({ log: () => {}, durable: false, systemDir: join(home, 'system'), ...options })
  started.push(db)
  return db
}

// A database costs a second to create and a moment to copy.
async function copyTemplate(name: string): Promise<string> {
  const dataDir = join(home, name)
  execFileSync('cp', ['-a', template, dataDir])
  return dataDir
}

async function connect(address: { connection: pg.ClientConfig }): Promise<pg.Client> {
  const client = new pg.Client(address.connection)
  await client.connect()
  return client
}

async function run(address: { connection: pg.ClientConfig }, sql: string): Promise<unknown[]> {
  const client = await connect(address)
  try {
    return (await client.query(sql)).rows
  } finally {
    await client.end()
  }
}

async function startInChild(dataDir: string, sql = ''): Promise<{ child: ChildProcess; serverPid: number }> {
  const child = spawnLauncher(dataDir, sql)
  return { child, serverPid: await readServerPid(child) }
}

function spawnLauncher(dataDir: string, sql = '', ids: { uid?: number; gid?: number } = {}): ChildProcess {
  const code = `
    import pg from 'pg'
    import { startEmbeddedPostgres } from '#adapters/embedded-postgres.ts'
    const [dataDir, sql] = process.argv.slice(1)
    const db = await startEmbeddedPostgres({ dataDir, durable: false, log: () => {} })
    process.on('SIGTERM', () => db.stop())
    if (sql) {
      const client = new pg.Client(db.connection)
      await client.connect()
      await client.query(sql)
      await client.end()
    }
    console.log(db.pid())`
  const child = spawn(process.execPath, ['--input-type=module', '--eval', code, dataDir, sql], {
    cwd: ROOT,
    stdio: ['ignore', 'pipe', 'inherit'],
    ...ids,
  })
  children.push(child)
  return child
}

async function readServerPid(child: ChildProcess): Promise<number> {
  assert.ok(child.stdout)
  for await (const line of createInterface({ input: child.stdout })) return Number(line)
  throw new Error('the launcher ended before its server was ready')
}

async function eventually<T>(check: () => Promise<T>): Promise<T> {
  const deadline = Date.now() + 20_000
  for (;;) {
    try {
      return await check()
    } catch (error) {
      if (Date.now() > deadline) throw error
      await sleep(10)
    }
  }
}
