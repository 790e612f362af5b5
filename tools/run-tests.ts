// Runs the whole suite, or the files whose path contains one of the arguments, on a real PostgreSQL.
import { type ChildProcess, spawn } from 'node:child_process'
import { randomBytes } from 'node:crypto'
import { globSync } from 'node:fs'
import { chmod, mkdtemp, realpath, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import pg from 'pg'
import { startEmbeddedPostgres } from '#adapters/embedded-postgres.ts'
import { dropTestDatabases } from '#test/support/database.ts'

const FILES_AT_ONCE = 2
const TEST_MS_MAX = 120_000
const SUITE_MS_MAX = 30 * 60_000
const EXIT_INTERRUPTED = 130
const REPEATED_SIGNAL_MS = 1_000
const EXIT_SIGNALS = ['SIGINT', 'SIGTERM', 'SIGHUP'] as const

const root = dirname(dirname(fileURLToPath(import.meta.url)))

interface TestServer {
  url: string
  stop(): Promise<void>
}

async function main(filters: string[]): Promise<number> {
  const all = globSync('{src,test,tools,bench,packages}/**/*.test.ts', {
    cwd: root,
    exclude: ['**/node_modules/**'],
  }).sort()
  const files = filters.length === 0 ? all : all.filter((file) => filters.some((filter) => file.includes(filter)))
  if (files.length === 0) {
    say(`no test file matches ${filters.join(', ')}; there are ${all.length}`)
    return 2
  }
  const run = randomBytes(4).toString('hex')
  const interrupt = new AbortController()
  for (const signal of EXIT_SIGNALS) process.on(signal, () => interrupt.abort())

  const server = await openServer()
  try {
    if (interrupt.signal.aborted) return EXIT_INTERRUPTED
    const env = { ...process.env, FLUXGATE_TEST_DATABASE: server.url, FLUXGATE_TEST_RUN: run }
    const code = await runFiles(files, env, interrupt.signal)
    return interrupt.signal.aborted ? EXIT_INTERRUPTED : code
  } finally {
    const dropped = await dropTestDatabases(server.url, run)
    if (dropped.length > 0) say(`dropped ${dropped.length} databases that tests had left behind`)
    await server.stop()
  }
}

async function openServer(): Promise<TestServer> {
  const url = process.env.TEST_DATABASE_URL
  if (url !== undefined && url !== '') {
    const refusal = await whyUnusable(url)
    if (refusal === undefined) {
      say('database: the server of TEST_DATABASE_URL')
      return { url, stop: async () => undefined }
    }
    say(`TEST_DATABASE_URL cannot be used: ${refusal}`)
  }
  say('database: an embedded PostgreSQL of its own, in a temporary directory')
  return await startTemporary()
}

async function whyUnusable(url: string): Promise<string | undefined> {
  const client = new pg.Client({ connectionString: url, connectionTimeoutMillis: 5_000 })
  try {
    await client.connect()
    const { rows } = await client.query<{ may: boolean; version: string }>(
      `select rolcreatedb or rolsuper as may, current_setting('server_version_num') as version
       from pg_roles where rolname = current_user`,
    )
    if (rows[0]?.may !== true) return 'its user may not create databases'
    if (Number(rows[0].version) < 150_000) return 'it is older than PostgreSQL 15'
    return undefined
  } catch (error) {
    return String(error)
  } finally {
    await client.end().catch(() => undefined)
  }
}

async function startTemporary(): Promise<TestServer> {
  const dataDir = await mkdtemp(join(await realpath(tmpdir()), 'fluxgate-test-'))
  // Started by root, the server runs as another user, who must be able to enter.
  await chmod(dataDir, 0o755)
  const remove = async () => {
    // The database lies elsewhere when its user may not enter the temporary directory at all.
    const database = await realpath(join(dataDir, 'postgres')).catch(() => dataDir)
    if (!database.startsWith(dataDir)) await rm(dirname(database), { recursive: true, force: true })
    await rm(dataDir, { recursive: true, force: true })
  }
  try {
    const postgres = await startEmbeddedPostgres({
      dataDir,
      searchPath: process.env.PATH ?? '',
      log: (level, message, fields) => {
        if (level === 'error') say(`${message} ${JSON.stringify(fields)}`)
      },
    })
    return {
      url: postgres.url,
      async stop() {
        await postgres.stop()
        await remove()
      },
    }
  } catch (error) {
    await remove()
    throw error
  }
}

/** Resolves with the runner's exit code. A signal interrupts the tests, a later one kills them. */
async function runFiles(files: string[], env: NodeJS.ProcessEnv, interrupted: AbortSignal): Promise<number> {
  const reporter = (name: string) => [`--test-reporter=${name}`, '--test-reporter-destination=stdout']
  const args = [
    '--test',
    `--test-concurrency=${FILES_AT_ONCE}`,
    `--test-timeout=${TEST_MS_MAX}`,
    ...reporter('spec'),
    ...reporter(join(root, 'tools/skipped-reporter.ts')),
  ]
  // A process group of its own: Ctrl-C reaches the tests through us, and a kill takes their children along.
  const child = spawn(process.execPath, [...args, ...files], {
    cwd: root,
    env,
    detached: true,
    stdio: ['ignore', 'inherit', 'inherit'],
  })
  const ended = exitCode(child)
  const kill = () => signalGroup(child, 'SIGKILL')
  interrupted.addEventListener('abort', () => {
    signalGroup(child, 'SIGINT')
    // npm repeats a signal that the terminal has already sent to everybody.
    setTimeout(() => {
      for (const signal of EXIT_SIGNALS) process.on(signal, kill)
    }, REPEATED_SIGNAL_MS).unref()
  })
  const deadline = setTimeout(() => {
    say(`the suite did not end within ${SUITE_MS_MAX / 60_000} minutes`)
    kill()
  }, SUITE_MS_MAX)
  try {
    return await ended
  } finally {
    clearTimeout(deadline)
    kill()
  }
}

function signalGroup(child: ChildProcess, signal: NodeJS.Signals): void {
  if (child.pid === undefined) return
  try {
    process.kill(-child.pid, signal)
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'ESRCH') throw error
  }
}

function exitCode(child: ChildProcess): Promise<number> {
  return new Promise((resolve, reject) => {
    child.on('error', reject)
    child.on('close', (code) => resolve(code ?? 1))
  })
}

function say(message: string): void {
  process.stdout.write(`run-tests: ${message}\n`)
}

// Whoever reads our output may go away; what was started is still cleaned up.
process.stdout.on('error', () => undefined)
process.exitCode = await main(process.argv.slice(2))
