import { createHash, randomBytes } from 'node:crypto'
import pg from 'pg'
import { type Migration, migrate, readMigrations } from '#db/migrate.ts'
import { createPool, type Db } from '#db/pool.ts'
import { assert } from '#lib/assert.ts'

export interface TestDatabase {
  name: string
  db: Db
  connection: pg.ClientConfig
  url: string
  /** Ends the pool and drops the database, whoever is still connected. */
  close(): Promise<void>
}

// Names tell the second of birth, so that what a killed run leaves behind can be dropped by age.
const DATABASE_PREFIX = 'fgtest_'
const TEMPLATE_PREFIX = 'fgtemplate_'
const DATABASE_SECONDS_MAX = 3 * 3600
const TEMPLATE_SECONDS_MAX = 7 * 24 * 3600

/** The server that tests may create databases on, with administrator's rights. */
function testServerUrl(env: NodeJS.ProcessEnv = process.env): string {
  return env.FLUXGATE_TEST_DATABASE ?? env.TEST_DATABASE_URL ?? 'postgres://postgres@127.0.0.1:5432/postgres'
}

/**
 * A database of the caller's own with every migration applied, copied from a template that the first caller prepares.
 * `migrated: false` gives an empty one.
 */
export async function createTestDatabase(
  options: { migrated?: boolean; poolMax?: number } = {},
): Promise<TestDatabase> {
  const server = testServerUrl()
  const name = newName(DATABASE_PREFIX, process.env.FLUXGATE_TEST_RUN)
  await withAdmin(server, async (admin) => {
    const template = options.migrated === false ? 'template0' : await ensureTemplate(admin, server)
    await admin.query(`create database ${name} template ${template}`)
  })
  return openTestDatabase(server, name, options.poolMax ?? 10)
}

/** A copy of a database as it is now, as a backup would be. Whoever is connected to the original is thrown out. */
export async function copyTestDatabase(original: Pick<TestDatabase, 'name'>): Promise<TestDatabase> {
  const server = testServerUrl()
  const name = newName(DATABASE_PREFIX, process.env.FLUXGATE_TEST_RUN)
  await withAdmin(server, async (admin) => {
    await admin.query('select pg_terminate_backend(pid, 5000) from pg_stat_activity where datname = $1', [
      original.name,
    ])
    await admin.query(`create database ${name} template ${original.name}`)
  })
  return openTestDatabase(server, name, 10)
}

function openTestDatabase(server: string, name: string, poolMax: number): TestDatabase {
  const url = databaseUrl(server, name)
  const connection = { connectionString: url }
  // Tests that stop the server break idle connections on purpose; the next query reports what matters.
  const db = createPool({ connection, poolMax }, () => undefined)
  return {
    name,
    db,
    connection,
    url,
    async close() {
      await db.end()
      await withAdmin(server, (admin) => admin.query(`drop database if exists ${name} with (force)`))
    },
  }
}

/**
 * Drops what dead runs have left on a server: databases of the run that just ended, others by age, and templates of other
 * schemas when they are a week old. Returns their names.
 */
export async function dropTestDatabases(server: string, run: string): Promise<string[]> {
  return withAdmin(server, async (admin) => {
    const { rows } = await admin.query<{ datname: string }>(
      'select datname from pg_database where starts_with(datname, $1) or starts_with(datname, $2) order by datname',
      [DATABASE_PREFIX, TEMPLATE_PREFIX],
    )
    const dropped: string[] = []
    for (const { datname } of rows) {
      const bornAt = Number(/_(\d{10})_/.exec(datname)?.[1] ?? Number.NaN)
      const secondsMax = datname.startsWith(TEMPLATE_PREFIX) ? TEMPLATE_SECONDS_MAX : DATABASE_SECONDS_MAX
      if (!datname.includes(`_${run}_`) && !(nowSeconds() - bornAt > secondsMax)) continue
      await admin.query(`drop database if exists ${datname} with (force)`)
      dropped.push(datname)
    }
    return dropped
  })
}

/** Runs `work` on one short-lived connection to the server's own database. */
async function withAdmin<T>(server: string, work: (admin: pg.Client) => Promise<T>): Promise<T> {
  const admin = new pg.Client({ connectionString: server, connectionTimeoutMillis: 20_000 })
  try {
    await admin.connect()
  } catch (cause) {
    throw new Error('tests need a PostgreSQL server: run them with "npm test", or name one in TEST_DATABASE_URL', {
      cause,
    })
  }
  try {
    return await work(admin)
  } finally {
    await admin.end()
  }
}

/** The template's name holds the checksum of all migrations, so a changed schema gets a template of its own. */
async function ensureTemplate(admin: pg.Client, server: string): Promise<string> {
  const migrations = await readMigrations()
  const all = migrations.map((migration) => migration.checksum).join()
  const checksum = createHash('sha256').update(all).digest('hex').slice(0, 16)
  const find = async () => {
    const { rows } = await admin.query<{ datname: string }>(
      'select datname from pg_database where starts_with(datname, $1) and right(datname, 17) = $2',
      [TEMPLATE_PREFIX, `_${checksum}`],
    )
    return rows[0]?.datname
  }

  const ready = await find()
  if (ready !== undefined) return ready
  // Test files run side by side: one builds, the others wait here and then find its work. The lock ends with `admin`.
  await admin.query('select pg_advisory_lock(hashtext($1))', [TEMPLATE_PREFIX + checksum])
  return (await find()) ?? (await buildTemplate(admin, server, { checksum, migrations }))
}

async function buildTemplate(
  admin: pg.Client,
  server: string,
  schema: { checksum: string; migrations: Migration[] },
): Promise<string> {
  const draft = newName(DATABASE_PREFIX, process.env.FLUXGATE_TEST_RUN)
  const template = `${TEMPLATE_PREFIX}${nowSeconds()}_${schema.checksum}`
  await admin.query(`create database ${draft} template template0`)
  const db = createPool({ connection: { connectionString: databaseUrl(server, draft) }, poolMax: 1 }, () => undefined)
  try {
    await migrate(db, schema.migrations)
  } finally {
    await db.end()
  }
  // Renamed when complete, so that a builder killed half-way leaves nothing that looks ready. Nobody may connect to it,
  // because a database in use cannot be copied.
  await admin.query(`alter database ${draft} rename to ${template}`)
  await admin.query(`alter database ${template} allow_connections false`)
  return template
}

function newName(prefix: string, run = 'single'): string {
  return `${prefix}${nowSeconds()}_${run}_${randomBytes(6).toString('hex')}`
}

/** Swaps the database in a URL. Not with `URL`, which refuses the empty host of a socket's address. */
function databaseUrl(server: string, name: string): string {
  const [, authority, query = ''] = /^(postgres(?:ql)?:\/\/[^/?]*)(?:\/[^?]*)?(\?.*)?$/.exec(server) ?? []
  assert(authority !== undefined, 'the test server is named by a postgres:// URL')
  return `${authority}/${name}${query}`
}

function nowSeconds(): number {
  return Math.floor(Date.now() / 1000)
}
