import assert from 'node:assert/strict'
import { createHash } from 'node:crypto'
import { mkdtemp, readFile, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { PassThrough, Readable } from 'node:stream'
import { text } from 'node:stream/consumers'
import type { CliDeps } from '#cli/command.ts'
import { runCli } from '#cli/run-cli.ts'
import { createPool, type Db } from '#db/pool.ts'
import type { PhaseReport } from '#importer/report.ts'
import { createTestDatabase, type TestDatabase } from '#test/support/database.ts'

export type State = 'pre' | 'first' | 'seed' | 'oct' | 'head' | 'b' | 'b-loose'

export interface World {
  /** Where llmring-server's tables are. */
  source: TestDatabase
  /** Where Fluxgate's are: the same one in place. */
  target: TestDatabase
  folder: string
  /** Runs `fluxgate import llmring …` as a process would. */
  run(phase: string, ...words: string[]): Promise<{ code: number; out: string; err: string }>
  /** The same with exit code 0, and what it printed as JSON. */
  report(phase: string, ...words: string[]): Promise<PhaseReport & { figure(name: string): string | undefined }>
  /** What it is refused with. */
  refused(phase: string, ...words: string[]): Promise<string>
  close(): Promise<void>
}

/** A database as llmring-server left it, empty, and a Fluxgate beside it or elsewhere. */
export async function createWorld(state: State, options: { inPlace: boolean }): Promise<World> {
  const target = await createTestDatabase({ poolMax: 4 })
  const source = options.inPlace ? target : await createTestDatabase({ migrated: false, poolMax: 4 })
  const ddl = await readFile(new URL(`./fixtures/${state}.sql`, import.meta.url), 'utf8')
  await onConnection(source.db, ddl)
  const folder = await mkdtemp(join(tmpdir(), 'fluxgate-import-'))
  const from = options.inPlace ? [] : ['--source', source.url]

  const run: World['run'] = (phase, ...words) => fluxgate(target, ['import', 'llmring', phase, ...from, ...words])
  return {
    source,
    target,
    folder,
    run,
    async report(phase, ...words) {
      const { code, out, err } = await run(phase, ...words, '--json')
      const report = JSON.parse(out || '{}') as PhaseReport
      assert.equal(code, 0, `${err} ${JSON.stringify(report.checks?.filter(({ ok }) => !ok))} ${report.notes}`)
      return { ...report, figure: (name) => report.figures.find((one) => one.name === name)?.value }
    },
    async refused(phase, ...words) {
      const { code, out, err } = await run(phase, ...words)
      assert.equal(code, 1, out)
      return err
    },
    async close() {
      if (source !== target) await source.close()
      await target.close()
      await rm(folder, { recursive: true, force: true })
    },
  }
}

/** Several statements on a connection of their own, because they set its search path. */
export async function onConnection(db: Db, sql: string): Promise<void> {
  const client = await db.connect()
  try {
    await client.query(sql)
  } finally {
    client.release(true)
  }
}

export async function fluxgate(target: TestDatabase, words: string[], change: Partial<CliDeps> = {}) {
  const [out, err] = [new PassThrough(), new PassThrough()]
  const deps: CliDeps = {
    out,
    err,
    stdin: Readable.from([]),
    async openDatabase() {
      const db = createPool({ connection: target.connection, poolMax: 4 }, () => undefined)
      return { db, close: () => db.end() }
    },
    serve: async () => 1,
    envelopeKeys: () => assert.fail('an import looks at no provider keys'),
    priceBook: () => assert.fail('an import looks at no prices'),
    checkWebhookUrl: () => undefined,
    providerKeys: {},
    receiptKeys: new Proxy({} as CliDeps['receiptKeys'], { get: () => assert.fail('an import signs nothing') }),
    fluxNanousd: 1_000_000n,
    ...change,
  }
  const code = await runCli(deps, words)
  out.end()
  err.end()
  return { code, out: await text(out), err: await text(err) }
}

/** Everything that an import has written, so that two runs can be compared. */
export async function snapshot(db: Db): Promise<Record<string, string>> {
  const tables = [
    ['reported_log', 'id'],
    ['usage_15m', 'wallet_id, bucket, series'],
    ['usage_series', 'id'],
    ['project', 'id'],
    ['api_key', 'id'],
    ['legacy_receipt', 'receipt_id'],
    ['import_tenant', 'import, kind, source_hash'],
    ['import_key', 'import, hash'],
    ['import_quarantine', 'import, relation, source_id'],
    ['import_repair', 'import, relation, source_id, what'],
    ['conversation', 'id'],
    ['conversation_message', 'id'],
    ['adjustment', 'ref'],
    ['transfer', 'ref, leg'],
    ['imported_airi_balance', 'import, user_id'],
    ['imported_airi_flux_transaction', 'import, id'],
  ] as const
  const found: Record<string, string> = {}
  for (const [table, key] of tables) {
    const { rows } = await db.query<{ digest: string; n: bigint }>(
      `select count(*) as n, coalesce(md5(string_agg(t::text, E'\\n' order by ${key})), '') as digest from fluxgate.${table} t`,
    )
    found[table] = `${rows[0]?.n} ${rows[0]?.digest}`
  }
  return found
}

/** A UUID that is the same in every run. */
export function uuidOf(name: string): string {
  const hex = createHash('sha256').update(name).digest('hex')
  return `${hex.slice(0, 8)}-${hex.slice(8, 12)}-4${hex.slice(13, 16)}-8${hex.slice(17, 20)}-${hex.slice(20, 32)}`
}

export function fingerprint(text: string): string {
  return createHash('sha256').update(text).digest('hex').slice(0, 12)
}
