import { createHash, randomBytes } from 'node:crypto'
import type pg from 'pg'
import { createReceiptSigner } from '#adapters/receipt-signer.ts'
import { outcomeNumbers } from '#billing/outcome.ts'
import { completePrice } from '#billing/price.ts'
import { auditLedger } from '#domain/audit.ts'
import { type CallContext, encodeContext, pricedTarget } from '#domain/call-context.ts'
import { createLedger, type Ledger, type LedgerOptions, type ReserveOp, type SettleOp } from '#domain/ledger.ts'
import { registerReceiptKey } from '#domain/receipt-keys.ts'
import { type AdmittedCall, settlement } from '#domain/settlement.ts'
import type { Slot } from '#domain/slot.ts'
import { createStoredOutcomes } from '#domain/stored-outcomes.ts'
import { createSweeper } from '#domain/sweeper.ts'
import { assert } from '#lib/assert.ts'
import { uuidv7Hex } from '#lib/ids.ts'
import type { TestDatabase } from '#test/support/database.ts'

const LOG = 'test/1'
export const testSigner = createReceiptSigner(Buffer.alloc(32, 9))

// One token costs one nano-dollar, so that a usage of n is a charge of n.
const target = pricedTarget({
  provider: 'sim',
  model: 'penny',
  price: completePrice({ lines: { input: 1_000n, output: 1_000n } }),
  book: `sha256:${'0'.repeat(64)}`,
})

export interface TestWallet {
  id: bigint
  account: string
}

/** A wallet with money in it, written by the ledger's own functions. */
export async function openTestWallet(
  client: { query: pg.ClientBase['query'] },
  slot: number,
  nanos: bigint,
): Promise<TestWallet> {
  const account = `acc_${randomBytes(16).toString('hex')}`
  const { rows } = await client.query('insert into wallet (account) values ($1) returning id', [account])
  const id: bigint = rows[0].id
  if (nanos > 0n) await creditTestWallet(client, { slot, walletId: id, nanos })
  return { id, account }
}

/** Gives a wallet another lot. `expiresInMs` counts from the database's clock. */
export async function creditTestWallet(
  client: { query: pg.ClientBase['query'] },
  lot: { slot: number; walletId: bigint; nanos: bigint; priority?: number; expiresInMs?: number },
): Promise<void> {
  const { rows } = await client.query(
    `select status from credit($1, $2, $3, $4, 4::smallint, 2::smallint, $5, now() + $6 * interval '1 ms', 'test', 'test', $7)`,
    [
      lot.slot,
      uuidv7Hex(),
      lot.walletId,
      lot.nanos,
      lot.priority ?? 20,
      lot.expiresInMs ?? null,
      createHash('sha256').update('test').digest(),
    ],
  )
  assert(rows[0].status === 'credited', 'a test wallet can be credited')
}

export function contextOf(wallet: TestWallet): CallContext {
  return {
    account: wallet.account,
    projectId: 'prj_aaaaaaaaaaaaaaaaaaaa',
    keyId: 'key_aaaaaaaaaaaaaaaaaaaa',
    model: 'sim/penny',
    stream: true,
    targets: [target],
  }
}

export function reserveOp(wallet: TestWallet, nanos: bigint, changes: Partial<ReserveOp> = {}): ReserveOp {
  return {
    requestId: uuidv7Hex(),
    attempt: uuidv7Hex(),
    walletId: wallet.id,
    amount: nanos,
    floor: nanos,
    bodyHash: Buffer.alloc(0),
    context: encodeContext(contextOf(wallet)),
    ...changes,
  }
}

/** The settlement of a call that used as many tokens as it shall be charged nano-dollars; 0 makes it void. */
export function settleOp(
  wallet: TestWallet,
  call: Omit<AdmittedCall, 'context' | 'walletId'>,
  nanos: bigint,
  nowMs = Date.now(),
): SettleOp {
  return settlement(
    { ...call, walletId: wallet.id, context: contextOf(wallet) },
    {
      outcome: nanos === 0n ? 'void' : 'complete',
      usage: { output: Number(nanos) },
      usageSource: nanos === 0n ? 'none' : 'counted',
      target: 0,
      attempts: 1,
    },
    { log: LOG, nowMs },
  )
}

/** What extend records as progress, so that the sweeper can price it. */
export function accruedUsage(nanos: bigint): string {
  return JSON.stringify({ usage: { output: Number(nanos) }, target: 0 })
}

export async function openTestLedger(
  database: TestDatabase,
  slot: Pick<Slot, 'current'> & Partial<Slot>,
  changes: Partial<LedgerOptions> = {},
) {
  await registerReceiptKey(database.db, testSigner)
  const outages: unknown[] = []
  const ledger = createLedger({
    connection: database.connection,
    slot: { reclaim: async () => undefined, release: async () => undefined, ...slot },
    signer: testSigner,
    holdTtlMs: 60_000,
    batchMax: 64,
    queueMax: 10_000,
    reserveGiveUpMs: 5_000,
    onCommit: () => undefined,
    onOutage: (_lane, error) => outages.push(error),
    onSettleOutage: () => undefined,
    ...changes,
  })
  return { ledger, outages }
}

/** A server that has just started gives every gateway two leases to come back, and a test's server may be young. */
export async function untilGraceIsOver({ db }: TestDatabase, leaseMs: number): Promise<void> {
  for (;;) {
    const { rows } = await db.query(
      `select pg_postmaster_start_time() < now() - 2 * $1::int * interval '1 ms' as over`,
      [leaseMs],
    )
    if (rows[0].over) return
    await new Promise((resolve) => setTimeout(resolve, 100))
  }
}

/** One pass of a sweeper of this slot. Returns how many holds it settled; what went wrong fails the test. */
export async function sweepOnce(
  database: TestDatabase,
  ledger: Ledger,
  slot: Pick<Slot, 'current'>,
  leaseMs: number,
  onError: (error: unknown) => void = (error) => {
    throw error
  },
): Promise<number> {
  let swept = 0
  const sweeper = createSweeper({
    outcomes: createStoredOutcomes(database),
    db: database.db,
    ledger,
    slot: { reclaim: async () => undefined, release: async () => undefined, ...slot },
    leaseMs,
    log: LOG,
    onSwept: (holds) => {
      swept += holds
    },
    onError,
  })
  await sweeper.sweep()
  await sweeper.close()
  return swept
}

/** What the books say of a wallet, and of one of its calls. */
export async function readCall(database: TestDatabase, requestId: string) {
  const { rows } = await database.db.query(
    `select (select count(*)::int from hold where request_id = $1) as holds,
            (select amount from hold where request_id = $1) as held,
            (select accrued from hold where request_id = $1) as accrued,
            (select count(*)::int from request_log where request_id = $1) as records,
            (select charged from request_log where request_id = $1) as charged,
            (select outcome from request_log where request_id = $1) as outcome,
            (select coalesce(sum(amount), 0)::bigint from transfer where ref = $1 and code = 10) as moved`,
    [requestId],
  )
  const { outcome, ...rest } = rows[0]
  const name = Object.entries(outcomeNumbers).find(([, number]) => number === outcome)?.[0]
  return { ...rest, outcome: name } as {
    holds: number
    held: bigint | null
    accrued: bigint | null
    records: number
    charged: bigint | null
    outcome: string | undefined
    moved: bigint
  }
}

export async function readWallet(database: TestDatabase, wallet: TestWallet) {
  const { rows } = await database.db.query('select posted, held, seq from wallet where id = $1', [wallet.id])
  return rows[0] as { posted: bigint; held: bigint; seq: bigint }
}

/** Every rule of the books that is broken, by name. */
export async function brokenRules(database: TestDatabase): Promise<string[]> {
  const report = await auditLedger(database.db)
  return report.invariants.flatMap(({ name, bad }) => (bad > 0 ? [`${name}: ${bad} bad rows`] : []))
}
