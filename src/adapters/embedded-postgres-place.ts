import { createHash, randomBytes } from 'node:crypto'
import { lstat, open, readFile, readlink, realpath, rename, rm, stat, symlink } from 'node:fs/promises'
import { dirname, join, resolve } from 'node:path'
import type { Log } from '#adapters/embedded-postgres.ts'
import {
  chooseAccount,
  findBarrier,
  giveTree,
  makePassable,
  type ServerAccount,
} from '#adapters/embedded-postgres-account.ts'

/** What must outlive a start, in `postgres.json`, readable by the gateway's user only. */
export interface DatabaseRecord {
  id: string
  password: string
  /** Set once the database exists. From then on a missing database is an error and never an empty new one. */
  initialised: boolean
  host: string
  port: number
}

/** Where one data directory's database lives. `folder` holds `pgdata`, and is writable by the gateway's user. */
export interface DatabasePlace {
  folder: string
  pgdata: string
  account: ServerAccount
  record: DatabaseRecord
}

/**
 * Finds the database of a data directory, or decides where a new one goes: `<dataDir>/postgres`, or, when the server's user cannot
 * enter the data directory, a folder below `systemDir` with a link to it. Throws when the database is lost or is another's.
 */
export async function findDatabasePlace(options: {
  dataDir: string
  systemDir: string
  log: Log
}): Promise<DatabasePlace> {
  const { dataDir, systemDir, log } = options
  const path = join(dataDir, 'postgres')
  const known = await readRecord(dataDir)
  const record = known ?? (await createRecord(dataDir))
  const link = await readlink(path).catch(() => undefined)
  if (link !== undefined) {
    const pgdata = resolve(dataDir, link)
    if (await exists(pgdata)) {
      await checkOwner({ dataDir, pgdata, log })
      return { folder: dirname(pgdata), pgdata: await realpath(pgdata), account: await chooseAccount(pgdata), record }
    }
    if (known === undefined || known.initialised) throw lost(pgdata, dataDir)
    await rm(path)
  }
  const account = await chooseAccount(path)
  const barrier = await findBarrier(dataDir, account)
  if (await exists(path)) {
    if (barrier !== undefined) {
      throw new Error(
        `The database in ${path} runs as user ${account.uid}, who may not enter ${barrier}. ` +
          `Allow it with "chmod o+x ${barrier}", or move the data directory to where that user can go.`,
      )
    }
    if ((await stat(path)).uid !== account.uid) await giveTree(path, account)
    return { folder: dataDir, pgdata: path, account, record }
  }
  if (record.initialised) throw lost(path, dataDir)
  if (barrier === undefined) return { folder: dataDir, pgdata: path, account, record }
  return await placeElsewhere({ dataDir, systemDir, path, barrier, account, record, log })
}

/** Reads `postgres.json`; undefined when there is none. */
export async function readRecord(dataDir: string): Promise<DatabaseRecord | undefined> {
  const text = await readFile(join(dataDir, 'postgres.json'), 'utf8').catch((error) => {
    if (error.code === 'ENOENT') return undefined
    throw error
  })
  if (text === undefined) return undefined
  const { id, password, initialised, host, port } = JSON.parse(text)
  if (typeof id !== 'string' || typeof password !== 'string') {
    throw new Error(`${join(dataDir, 'postgres.json')} is damaged. Remove it: a new password is then set.`)
  }
  return { id, password, initialised: initialised === true, host: String(host), port: Number(port) }
}

export async function writeRecord(dataDir: string, record: DatabaseRecord): Promise<void> {
  await writeWhole(join(dataDir, 'postgres.json'), `${JSON.stringify(record, null, 2)}\n`)
}

async function createRecord(dataDir: string): Promise<DatabaseRecord> {
  const password = randomBytes(24).toString('base64url')
  const fresh = { id: randomBytes(6).toString('hex'), password, initialised: false, host: '', port: 0 }
  await writeRecord(dataDir, fresh)
  return fresh
}

async function placeElsewhere(options: {
  dataDir: string
  systemDir: string
  path: string
  barrier: string
  account: ServerAccount
  record: DatabaseRecord
  log: Log
}): Promise<DatabasePlace> {
  const { dataDir, systemDir, account, record } = options
  const hash = createHash('sha256').update(dataDir).digest('hex').slice(0, 8)
  const folder = join(systemDir, `${hash}-${record.id}`)
  const pgdata = join(folder, 'postgres')
  await makePassable(systemDir)
  await makePassable(folder)
  const barrier = await findBarrier(folder, account)
  if (barrier !== undefined) {
    throw new Error(
      `PostgreSQL refuses to run as root, and user ${account.uid}, who runs it instead, may enter neither ` +
        `${options.barrier} nor ${barrier}. Set DATA_DIR to a directory that every user may enter.`,
    )
  }
  await writeWhole(join(folder, 'owner.json'), `${JSON.stringify({ dataDir })}\n`)
  await symlink(pgdata, options.path)
  options.log('warn', 'the database lives outside the data directory, because its user may not enter that directory', {
    dataDir,
    pgdata,
    user: account.uid,
    closed: options.barrier,
  })
  return { folder, pgdata, account, record }
}

// A data directory may move, since its link goes along. Of a copy and its original only the original owns the database.
async function checkOwner(options: { dataDir: string; pgdata: string; log: Log }): Promise<void> {
  const { dataDir, pgdata, log } = options
  const path = join(dirname(pgdata), 'owner.json')
  const text = await readFile(path, 'utf8').catch(() => undefined)
  // The operator linked a place of his own choice.
  if (text === undefined) return
  const owner = String(JSON.parse(text).dataDir)
  if (owner === dataDir) return
  const claimed = await readlink(join(owner, 'postgres')).catch(() => undefined)
  if (claimed === pgdata) {
    throw new Error(
      `${dataDir} is a copy of ${owner}, and both name the one database in ${pgdata}. ` +
        `Start with DATA_DIR=${owner}, or dump that database and load it into an empty data directory.`,
    )
  }
  await writeWhole(path, `${JSON.stringify({ dataDir })}\n`)
  log('info', 'the data directory has moved, its database stays where it is', { from: owner, to: dataDir, pgdata })
}

function lost(pgdata: string, dataDir: string): Error {
  return new Error(
    `The database of this data directory was in ${pgdata} and is gone. Put it back from a backup. Only if its books are ` +
      `no longer needed, remove postgres and postgres.json from ${dataDir} to start with an empty database.`,
  )
}

// Readers see the old file or the new one, also after a power cut.
async function writeWhole(path: string, text: string): Promise<void> {
  const fresh = `${path}.${randomBytes(4).toString('hex')}.tmp`
  const file = await open(fresh, 'wx', 0o600)
  try {
    await file.writeFile(text)
    // Root may visit the directory of an ordinary user, who must still be able to read it afterwards.
    const { uid, gid } = await stat(dirname(path))
    if (process.getuid?.() === 0) await file.chown(uid, gid)
    await file.sync()
  } finally {
    await file.close()
  }
  await rename(fresh, path)
  await syncFolder(dirname(path))
}

/** Makes the names in a directory durable: a rename is not, until its directory is flushed. */
export async function syncFolder(path: string): Promise<void> {
  const folder = await open(path, 'r')
  try {
    await folder.sync()
  } finally {
    await folder.close()
  }
}

async function exists(path: string): Promise<boolean> {
  return await lstat(path).then(
    () => true,
    () => false,
  )
}
