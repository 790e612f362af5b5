import { randomBytes } from 'node:crypto'
import pg from 'pg'
import { startEmbeddedPostgres } from '#adapters/embedded-postgres.ts'
import { migrate, readMigrations } from '#db/migrate.ts'
import { createPool, type Db } from '#db/pool.ts'
import { createGrants } from '#domain/grants.ts'
import { createKeys } from '#domain/keys.ts'
import { createProjects } from '#domain/projects.ts'
import { claimSlot } from '#domain/slot.ts'
import { readParent, readProgram } from './process-cost.ts'

export const WALLETS = 128
const GRANT_NANOS = 100_000n * 1_000_000_000n
const SLOT_LEASE_MS = 15_000

/** The PostgreSQL of a run, with databases that all start from the same wallets and keys. */
export interface BenchDatabase {
  /** One secret for each wallet; the first is the hot one. */
  keys: readonly string[]
  /** Which server, in words. */
  description: string
  /** Its first process, whose children all work for it; undefined when it runs elsewhere. */
  pid: number | undefined
  /** A fresh database that others cannot see into. Returns its URL. */
  create(name: string): Promise<string>
  close(): Promise<void>
}

/** Uses the server of BENCH_DATABASE_URL, else starts one of its own in `folder`, flushing to disk as in production. */
export async function openBenchDatabase(folder: string): Promise<BenchDatabase> {
  const given = process.env.BENCH_DATABASE_URL
  const own = given === undefined ? await startEmbeddedPostgres({ dataDir: folder, log: () => undefined }) : undefined
  const server = own?.url ?? given ?? ''
  const run = `fluxgate_bench_${randomBytes(4).toString('hex')}`
  const created: string[] = []
  const admin = new pg.Client({ connectionString: databaseUrl(server, 'postgres') })
  try {
    await admin.connect()
    const { version, pid } = await inspect(admin, own?.pid())
    const template = `${run}_template`
    await create(template, 'template0')
    const keys = await openWallets(databaseUrl(server, template))
    return {
      keys,
      pid,
      description: `PostgreSQL ${version}, ${own === undefined ? 'the server of BENCH_DATABASE_URL' : 'embedded, for this run alone'}`,
      async create(name) {
        await create(`${run}_${name}`, template)
        return databaseUrl(server, `${run}_${name}`)
      },
      async close() {
        if (own === undefined) for (const name of created) await admin.query(`drop database ${name} with (force)`)
        await admin.end()
        await own?.stop()
      },
    }
  } catch (error) {
    await admin.end().catch(() => undefined)
    await own?.stop()
    throw error
  }

  async function create(name: string, template: string): Promise<void> {
    await admin.query(`create database ${name} template ${template}`)
    created.push(name)
  }
}

async function inspect(admin: pg.Client, ownPid: number | undefined) {
  const { rows } = await admin.query<{ version: string; backend: number; fsync: string; sync: string }>(
    `select current_setting('server_version') as version, pg_backend_pid() as backend,
            current_setting('fsync') as fsync, current_setting('synchronous_commit') as sync`,
  )
  const [row] = rows
  if (row === undefined || row.fsync !== 'on' || row.sync !== 'on') {
    throw new Error('the server must flush its commits: fsync and synchronous_commit on')
  }
  // The pid of a server on another machine means nothing here, or means somebody else.
  const parent = readProgram(row.backend).startsWith('postgres') ? readParent(row.backend) : undefined
  return { version: row.version.split(' ')[0] ?? '', pid: ownPid ?? parent }
}

/** Projects with a wallet, money and a key each. Returns the secrets. */
async function openWallets(url: string): Promise<string[]> {
  const db: Db = createPool({ connection: { connectionString: url }, poolMax: 4 }, () => undefined)
  try {
    await migrate(db, await readMigrations())
    const slot = await claimSlot({
      db,
      instance: 'bench',
      leaseMs: SLOT_LEASE_MS,
      onLost: () => undefined,
      onError: () => undefined,
    })
    const projects = createProjects({ db })
    const keys = createKeys({ db })
    const grants = createGrants({ db, slot })
    const secrets: string[] = []
    for (let index = 0; index < WALLETS; index += 1) {
      const { id: projectId } = await projects.create({ name: `bench ${index}` })
      const { secret } = await keys.create({ projectId, name: 'bench' })
      await grants.grant({
        projectId,
        amountNanos: GRANT_NANOS,
        reason: 'bench',
        idempotencyKey: 'bench',
        actor: 'bench',
      })
      secrets.push(secret)
    }
    await slot.release()
    await db.query('analyze')
    return secrets
  } finally {
    await db.end()
  }
}

/** Swaps the database in a URL. Not with `URL`, which refuses the empty host of a socket's address. */
function databaseUrl(server: string, name: string): string {
  const [, authority, query = ''] = /^(postgres(?:ql)?:\/\/[^/?]*)(?:\/[^?]*)?(\?.*)?$/.exec(server) ?? []
  if (authority === undefined) throw new Error('BENCH_DATABASE_URL must be a postgres:// URL')
  return `${authority}/${name}${query}`
}
