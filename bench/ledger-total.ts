import { readFile } from 'node:fs/promises'
import { fileURLToPath } from 'node:url'
import pg from 'pg'
import { createPool } from '#db/pool.ts'
import { auditLedger } from '#domain/audit.ts'
import { loadPriceBook } from '#domain/price-book.ts'
import type { DeliveredTokens } from './oracle.ts'

const PICO_PER_NANO = 1_000n
const priceBookPath = fileURLToPath(new URL('../prices/price-book.json', import.meta.url))

/** One variant's money, counted three times over: the simulator's tokens, the records, the transfers. */
export interface LedgerTotal {
  variant: string
  calls: number
  deliveredNanos: bigint
  recordedNanos: bigint
  transferredNanos: bigint
  /** Rows that break an invariant of the books; undefined where receipts were left out on purpose. */
  auditBad: number | undefined
  agrees: boolean
}

/**
 * What the simulator's own tokens cost, by the price book and a multiplication. A token costs whole nano-dollars there, so
 * the price of the sum is the sum of the calls' prices; throws when that stops being true.
 */
async function priceOf(delivered: DeliveredTokens): Promise<bigint> {
  const { input, output } = loadPriceBook(await readFile(priceBookPath)).find('sim', 'echo')?.price.lines ?? {}
  if (input === undefined || output === undefined) throw new Error('sim/echo has no price')
  if (input % PICO_PER_NANO !== 0n || output % PICO_PER_NANO !== 0n) {
    throw new Error('sim/echo is not priced in whole nano-dollars')
  }
  const pico = BigInt(delivered.promptTokens) * input + BigInt(delivered.completionTokens) * output
  return pico / PICO_PER_NANO
}

/** For a variant without a database: what it says it charged. */
export async function checkTotal(variant: string, charged: bigint, delivered: DeliveredTokens): Promise<LedgerTotal> {
  const deliveredNanos = await priceOf(delivered)
  const agrees = deliveredNanos === charged && delivered.broken === 0
  const { calls } = delivered
  return {
    variant,
    calls,
    deliveredNanos,
    recordedNanos: charged,
    transferredNanos: charged,
    auditBad: undefined,
    agrees,
  }
}

/** Compares what a variant's database says with what the simulator delivered to it. */
export async function checkLedger(
  variant: string,
  databaseUrl: string,
  delivered: DeliveredTokens,
  options: { audit: boolean },
): Promise<LedgerTotal> {
  const db = createPool({ connection: { connectionString: databaseUrl }, poolMax: 1 }, () => undefined)
  try {
    const { rows } = await db.query<{ calls: string; recorded: string; transferred: string }>(
      `select (select count(*) from request_log)::text as calls,
              (select coalesce(sum(charged), 0) from request_log)::text as recorded,
              (select coalesce(sum(amount), 0) from transfer where code = 10)::text as transferred`,
    )
    const [row] = rows
    if (row === undefined) throw new Error('the sums are one row')
    const audit = options.audit ? await auditLedger(db) : undefined
    const deliveredNanos = await priceOf(delivered)
    const recordedNanos = BigInt(row.recorded)
    const transferredNanos = BigInt(row.transferred)
    const auditBad = audit?.invariants.reduce((sum, { bad }) => sum + bad, 0)
    const same = deliveredNanos === recordedNanos && deliveredNanos === transferredNanos
    return {
      variant,
      calls: Number(row.calls),
      deliveredNanos,
      recordedNanos,
      transferredNanos,
      auditBad,
      agrees: same && (auditBad ?? 0) === 0 && delivered.broken === 0,
    }
  } finally {
    await db.end()
  }
}

/** Deadlocks that PostgreSQL has counted in a database since it was made. */
export async function countDeadlocks(databaseUrl: string): Promise<number> {
  const client = new pg.Client({ connectionString: databaseUrl })
  await client.connect()
  try {
    const { rows } = await client.query<{ deadlocks: string }>(
      'select deadlocks from pg_stat_database where datname = current_database()',
    )
    return Number(rows[0]?.deadlocks ?? Number.NaN)
  } finally {
    await client.end()
  }
}
