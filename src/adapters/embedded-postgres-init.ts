import { appendFile, chown, lstat, mkdtemp, readdir, readFile, rename, rm, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import type { Log } from '#adapters/embedded-postgres.ts'
import type { ServerAccount } from '#adapters/embedded-postgres-account.ts'
import { POSTGRES_ENV, type PostgresBinaries } from '#adapters/embedded-postgres-binaries.ts'
import { type DatabasePlace, syncFolder } from '#adapters/embedded-postgres-place.ts'
import { runCommand } from '#lib/run-command.ts'

export const DATABASE_USER = 'fluxgate'

const INITDB_MS_MAX = 300_000
const PASSWORD_MS_MAX = 60_000
const UNFINISHED = 'postgres.init-'

// What an operator may tune in postgresql.conf; what must hold is on the server's command line, which wins over the file.
const SETTINGS = `
# Fluxgate's choices. What this file does not say, the server's command line does.
max_connections = 100
shared_buffers = 128MB
jit = off
timezone = 'UTC'
log_timezone = 'UTC'
log_line_prefix = ''
log_checkpoints = off
`

/** The major version of an existing database, or undefined when there is none yet. */
export async function readDatabaseMajor(pgdata: string): Promise<number | undefined> {
  const text = await readFile(join(pgdata, 'PG_VERSION'), 'utf8').catch((error) => {
    if (error.code === 'ENOENT') return undefined
    throw error
  })
  if (text !== undefined) return Number(text.trim())
  const present = await lstat(pgdata).catch(() => undefined)
  if (present === undefined) return undefined
  throw new Error(
    `${pgdata} is in the way: it is not a PostgreSQL database. Move it elsewhere, or restore what it lacks.`,
  )
}

/** Creates the database under another name and renames it when whole, so that a kill in the middle leaves nothing half-made. */
export async function createDatabaseFiles(options: {
  place: DatabasePlace
  binaries: PostgresBinaries
  durable: boolean
  log: Log
}): Promise<void> {
  const { place, binaries, durable, log } = options
  await removeUnfinished(place.folder, log)
  const work = await mkdtemp(join(place.folder, UNFINISHED))
  try {
    const fresh = join(work, 'data')
    const passwordFile = join(work, 'password')
    await writeFile(passwordFile, `${place.record.password}\n`, { mode: 0o600, flag: 'wx' })
    await give(passwordFile, place.account)
    await give(work, place.account)
    const choices = ['--auth=scram-sha-256', '--encoding=UTF8', '--locale=C', '--data-checksums']
    const args = ['-D', fresh, `--username=${DATABASE_USER}`, `--pwfile=${passwordFile}`, ...choices]
    const result = await runCommand(join(binaries.bin, 'initdb'), durable ? args : [...args, '--no-sync'], {
      env: POSTGRES_ENV,
      cwd: '/',
      timeoutMs: INITDB_MS_MAX,
      ...place.account.ids,
    })
    if (result.code !== 0) throw new Error(explainInitdb(result.output))
    await appendFile(join(fresh, 'postgresql.conf'), SETTINGS)
    await rename(fresh, place.pgdata)
    if (durable) await syncFolder(place.folder)
  } finally {
    await rm(work, { recursive: true, force: true })
  }
}

/** Gives the database's user the password of the record again; for a data directory whose `postgres.json` was lost. */
export async function resetPassword(place: DatabasePlace, binaries: PostgresBinaries): Promise<void> {
  const result = await runCommand(join(binaries.bin, 'postgres'), ['--single', '-j', '-D', place.pgdata, 'postgres'], {
    env: POSTGRES_ENV,
    cwd: '/',
    timeoutMs: PASSWORD_MS_MAX,
    // The single-user shell reads one statement up to a semicolon and an empty line. The password is base64url: no quotes.
    input: `ALTER ROLE ${DATABASE_USER} PASSWORD '${place.record.password}';\n\n`,
    ...place.account.ids,
  })
  if (result.code !== 0 || /ERROR|FATAL|PANIC/.test(result.output)) {
    throw new Error(`The database's password could not be set again:\n${result.output.trim()}`)
  }
}

async function removeUnfinished(folder: string, log: Log): Promise<void> {
  for (const name of await readdir(folder)) {
    if (!name.startsWith(UNFINISHED)) continue
    log('info', 'removing a database whose creation was interrupted', { path: join(folder, name) })
    // An initdb that outlived its gateway may still be writing here; it fails when its files go.
    await rm(join(folder, name), { recursive: true, force: true, maxRetries: 10, retryDelay: 100 })
  }
}

async function give(path: string, account: ServerAccount): Promise<void> {
  const { uid, gid } = account.ids
  if (uid !== undefined && gid !== undefined) await chown(path, uid, gid)
}

function explainInitdb(output: string): string {
  const hint = /could not look up effective user ID/.test(output)
    ? ' This user has no entry in /etc/passwd, which PostgreSQL needs once, to create a database: add one, or set DATABASE_URL.'
    : ''
  return `The database could not be created.${hint}\n${output.trim()}`
}
