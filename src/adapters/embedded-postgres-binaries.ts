import { randomBytes } from 'node:crypto'
import { constants } from 'node:fs'
import {
  access,
  chmod,
  copyFile,
  glob,
  lstat,
  mkdir,
  readdir,
  readFile,
  readlink,
  rename,
  rm,
  symlink,
} from 'node:fs/promises'
import { createRequire } from 'node:module'
import { basename, delimiter, dirname, join } from 'node:path'
import { makePassable, type ServerAccount } from '#adapters/embedded-postgres-account.ts'
import { runCommand } from '#lib/run-command.ts'

const MAJOR_MIN = 15

// Where distributions put a server, newest first within a pattern; used only where the npm package is missing.
const INSTALLED = [
  '/usr/lib/postgresql/*/bin',
  '/usr/pgsql-*/bin',
  '/opt/homebrew/opt/postgresql@*/bin',
  '/usr/local/opt/postgresql@*/bin',
]

/** What a PostgreSQL program needs to run; everything else of our environment, keys above all, stays out of it. */
export const POSTGRES_ENV = { PATH: '/usr/local/bin:/usr/bin:/bin', LC_ALL: 'C', TZ: 'UTC' }

export interface PostgresBinaries {
  bin: string
  major: number
  version: string
}

/**
 * PostgreSQL programs that `account` can run: those of the npm package, copied below `copiesDir` where the account cannot reach
 * them or their links are missing, else installed ones. `major` is the version of an existing database, which no other can open.
 */
export async function findPostgresBinaries(options: {
  account: ServerAccount
  copiesDir: string
  major: number | undefined
  searchPath: string
}): Promise<PostgresBinaries> {
  const seen: string[] = []
  const fits = (found: PostgresBinaries | undefined): found is PostgresBinaries => {
    if (found === undefined) return false
    seen.push(`${found.version} in ${found.bin}`)
    return options.major === undefined ? found.major >= MAJOR_MIN : found.major === options.major
  }
  const packaged = await findPackaged(options)
  if (fits(packaged)) return packaged
  for (const bin of await installedFolders(options.searchPath)) {
    const installed = await readVersion(bin, options.account)
    if (fits(installed)) return installed
  }
  const found = seen.length === 0 ? 'none was found' : `found only ${seen.join(', ')}`
  if (options.major !== undefined) {
    throw new Error(
      `The database was written by PostgreSQL ${options.major}, and no other major version can open it; ${found}. ` +
        `Install PostgreSQL ${options.major}, or dump the database with it and load the dump into a new data directory.`,
    )
  }
  throw new Error(
    `There are no PostgreSQL programs for ${process.platform}-${process.arch}; ${found}. Run "npm install --include=optional", ` +
      `install PostgreSQL ${MAJOR_MIN} or newer, or set DATABASE_URL to a server.`,
  )
}

async function findPackaged(options: {
  account: ServerAccount
  copiesDir: string
}): Promise<PostgresBinaries | undefined> {
  const name = `@embedded-postgres/${process.platform}-${process.arch}`
  let entry: string
  try {
    entry = createRequire(import.meta.url).resolve(name)
  } catch {
    return undefined
  }
  const home = dirname(dirname(entry))
  const native = join(home, 'native')
  if (await addLinks(native, native)) {
    const inPlace = await readVersion(join(native, 'bin'), options.account)
    if (inPlace !== undefined) return inPlace
  }
  const version: unknown = JSON.parse(await readFile(join(home, 'package.json'), 'utf8')).version
  const copy = join(options.copiesDir, `postgresql-${String(version)}-${process.platform}-${process.arch}`)
  await copyOnce(native, copy)
  return await readVersion(join(copy, 'bin'), options.account)
}

/** Undefined when the account cannot run the programs of this folder. */
async function readVersion(bin: string, account: ServerAccount): Promise<PostgresBinaries | undefined> {
  try {
    const options = { env: POSTGRES_ENV, cwd: '/', timeoutMs: 30_000, ...account.ids }
    const postgres = await runCommand(join(bin, 'postgres'), ['--version'], options)
    const initdb = await runCommand(join(bin, 'initdb'), ['--version'], options)
    const version = /\(PostgreSQL\) ((\d+)[\w.]*)/.exec(postgres.output)
    if (postgres.code !== 0 || initdb.code !== 0 || version === null) return undefined
    return { bin, major: Number(version[2]), version: version[1] ?? '' }
  } catch {
    return undefined
  }
}

async function installedFolders(searchPath: string): Promise<string[]> {
  const folders = searchPath.split(delimiter).filter((folder) => folder.startsWith('/'))
  for (const pattern of INSTALLED) {
    const matches: string[] = []
    for await (const match of glob(pattern)) matches.push(match)
    folders.push(...matches.sort((a, b) => b.localeCompare(a, 'en', { numeric: true })))
  }
  const present = await Promise.all(
    folders.map((folder) =>
      access(join(folder, 'postgres')).then(
        () => true,
        () => false,
      ),
    ),
  )
  return folders.filter((_, index) => present[index])
}

/** Adds the library links that a package cannot carry and its install script makes. False when one cannot be made. */
async function addLinks(native: string, into: string): Promise<boolean> {
  for (const { source, target } of await readLinks(native)) {
    const path = join(into, target.replace(/^native\//, ''))
    if (await exists(path)) continue
    try {
      await symlink(basename(source), path)
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== 'EEXIST') return false
    }
  }
  return true
}

async function readLinks(native: string): Promise<{ source: string; target: string }[]> {
  const text = await readFile(join(native, 'pg-symlinks.json'), 'utf8').catch(() => '[]')
  return JSON.parse(text)
}

/** Copies the programs where any user can run them. Safe beside other starters: a copy appears whole or not at all. */
async function copyOnce(native: string, copy: string): Promise<void> {
  if (await isSameTree(native, copy)) return
  await makePassable(dirname(copy))
  const fresh = `${copy}.${randomBytes(4).toString('hex')}.tmp`
  try {
    await copyTree(native, fresh)
    await addLinks(native, fresh)
    // A damaged copy is moved aside first; one that another starter has just put there wins over ours.
    if ((await exists(copy)) && !(await isSameTree(native, copy))) {
      await rename(copy, `${fresh}.old`)
      await rm(`${fresh}.old`, { recursive: true, force: true })
    }
    await rename(fresh, copy).catch(async (error) => {
      if (!(await isSameTree(native, copy))) throw error
    })
  } finally {
    await rm(fresh, { recursive: true, force: true })
  }
}

async function copyTree(from: string, to: string): Promise<void> {
  await mkdir(to, { recursive: true })
  await chmod(to, 0o755)
  for (const entry of await readdir(from, { withFileTypes: true })) {
    const source = join(from, entry.name)
    const target = join(to, entry.name)
    if (entry.isDirectory()) await copyTree(source, target)
    else if (entry.isSymbolicLink()) await symlink(await readlink(source), target)
    else {
      await copyFile(source, target, constants.COPYFILE_FICLONE)
      await chmod(target, (await lstat(source)).mode & 0o100 ? 0o755 : 0o644)
    }
  }
}

// Sizes tell a copy that a power cut left half-written; the content is trusted, since only root can write there.
async function isSameTree(from: string, to: string): Promise<boolean> {
  for (const entry of await readdir(from, { withFileTypes: true })) {
    const target = join(to, entry.name)
    if (entry.isDirectory()) {
      if (!(await isSameTree(join(from, entry.name), target))) return false
    } else if (entry.isFile()) {
      const [source, copied] = await Promise.all([lstat(join(from, entry.name)), lstat(target).catch(() => undefined)])
      if (source.size !== copied?.size) return false
    }
  }
  return true
}

async function exists(path: string): Promise<boolean> {
  return await lstat(path).then(
    () => true,
    () => false,
  )
}
