import { createHash } from 'node:crypto'
import { createReceiptSigner } from '#adapters/receipt-signer.ts'
import { batchStatement } from '#billing/batch.ts'
import { merkleRoot } from '#billing/merkle.ts'
import { SLOT_LOST, sqlState } from '#db/failures.ts'
import { connectLane } from '#db/pool.ts'
import { registerReceiptKey } from '#domain/receipt-keys.ts'
import { uuidFromName, uuidv7Hex } from '#lib/ids.ts'
import type { TestDatabase } from '#test/support/database.ts'
import { type ExtendRow, type Grant, type ReserveRow, type SettleRow, SlotLostError } from './reference-model.ts'
import { openTestWallet, settleOp, type TestWallet } from './test-books.ts'

const signer = createReceiptSigner(Buffer.alloc(32, 9))
const NOBODY = 2n ** 62n // The id of a wallet that is not there.

/**
 * The ledger's functions, called with whatever a test wants, on a clock that the test sets. The clock is two functions in
 * a schema before `pg_catalog` on this session's search path: no table is touched and no guard is weakened.
 */
export async function openSqlLedger(database: TestDatabase) {
  await registerReceiptKey(database.db, signer)
  const client = await connectLane(database.connection, (error) => {
    throw error
  })
  await client.query(`
    create schema test_clock;
    create function test_clock.now() returns timestamptz language sql stable
      as 'select pg_catalog.current_setting(''test.now'')::pg_catalog.timestamptz';
    create function test_clock.clock_timestamp() returns timestamptz language sql stable as 'select test_clock.now()';
    set search_path = test_clock, fluxgate, pg_catalog;
    set synchronous_commit = off`)
  return {
    client,
    setClock: (ms: number) => client.query(`select set_config('test.now', $1, false)`, [new Date(ms).toISOString()]),

    /** A writer slot that no other history uses. */
    async claim(instance: string): Promise<{ slot: number; epoch: bigint }> {
      const { rows } = await client.query(`select slot, epoch from claim_slot($1, interval '1 hour')`, [instance])
      return rows[0]
    },
    close: () => client.end(),
  }
}

export type SqlLedger = Awaited<ReturnType<typeof openSqlLedger>>

/** One history's part of the books: its wallets by index, its calls and grants by name. */
export async function openSqlHistory(
  { client }: Pick<SqlLedger, 'client'>,
  options: { name: string; slot: number; wallets: number },
) {
  const { name } = options
  const wallets: TestWallet[] = []
  for (let n = 0; n < options.wallets; n++) wallets.push(await openTestWallet(client, options.slot, 0n))
  const walletId = (index: number) => wallets[index]?.id ?? NOBODY
  const uuid = (what: string) => uuidFromName(name, what)
  const names = new Map<string, string>()
  const requestId = (request: string) => {
    const id = uuid(request)
    names.set(id, request)
    return id
  }
  const digest = (body: string) => createHash('sha256').update(body).digest()
  const fenced = (error: unknown) => {
    throw sqlState(error) === SLOT_LOST ? new SlotLostError() : error
  }

  return {
    accounts: wallets.map(({ account }) => account),

    async credit(slot: number, grant: Grant): Promise<string> {
      const { rows } = await client.query('select status from credit($1,$2,$3,$4,$5,$6,$7,$8,$9,$10,$11)', [
        slot,
        uuid(grant.ref),
        walletId(grant.wallet),
        grant.amount,
        grant.source,
        grant.class,
        grant.priority,
        grant.expiresAt === null ? null : new Date(grant.expiresAt),
        'test',
        'test',
        digest(grant.body),
      ])
      return rows[0].status
    },

    async reserve(lease: { slot: number; epoch: bigint }, ttlMs: number, rows: ReserveRow[]) {
      const result = await client
        .query('select status, seq, granted, free from reserve($1,$2,$3,$4,$5,$6,$7,$8,$9,$10)', [
          lease.slot,
          lease.epoch,
          `${ttlMs} milliseconds`,
          rows.map((row) => requestId(row.request)),
          rows.map((row) => uuid(row.attempt)),
          rows.map((row) => walletId(row.wallet)),
          rows.map((row) => row.amount),
          rows.map((row) => row.floor),
          rows.map((row) => digest(row.body)),
          rows.map(() => '{}'),
        ])
        .catch(fenced)
      return result.rows
    },

    async extend(lease: { slot: number; epoch: bigint }, ttlMs: number, rows: ExtendRow[]): Promise<bigint[]> {
      const result = await client
        .query('select granted from extend($1,$2,$3,$4,$5,$6,$7,$8,$9)', [
          lease.slot,
          lease.epoch,
          `${ttlMs} milliseconds`,
          rows.map((row) => requestId(row.request)),
          rows.map((row) => walletId(row.wallet)),
          rows.map((row) => row.number),
          rows.map((row) => row.add),
          rows.map((row) => row.accrued),
          rows.map((row) => row.usage),
        ])
        .catch(fenced)
      return result.rows.map((row) => row.granted)
    },

    /** Receipts say what the rows say, so that the audit can compare them. */
    async settle(slot: number, rows: SettleRow[], nowMs: number) {
      const ops = rows.map((row) => {
        const requestIdHex = requestId(row.request)
        const wallet = wallets[row.wallet] ?? { id: NOBODY, account: 'acc_none' }
        const charge = row.charge < 0n ? 0n : row.charge
        const call = { requestId: requestIdHex, seq: row.seq, held: charge }
        const op = settleOp(wallet, call, charge + row.absorbed, nowMs)
        return { ...op, charged: row.charge }
      })
      const batch = uuidv7Hex()
      const leaves = ops.map((op) => op.leaf)
      const root = merkleRoot(leaves)
      const statement = batchStatement({ id: batch, n: ops.length, root: root.toString('base64') })
      const result = await client.query(
        `select status, charged from
         settle($1,$2,$3,$4,$5,$6,$7,$8,$9,$10,$11,$12,$13,$14,$15,$16,$17,$18,$19,$20,$21,$22,$23,$24,$25,$26)`,
        [
          slot,
          batch,
          signer.keyId,
          root,
          signer.sign(statement),
          Buffer.concat(leaves),
          ops.map((op) => op.requestId),
          ops.map((op) => op.walletId),
          ops.map((op) => op.seq),
          ops.map((op) => op.charged),
          ops.map((op) => op.absorbed),
          ops.map((op) => op.cost),
          ops.map((op) => op.outcome),
          ops.map((op) => op.keyId),
          ops.map((op) => op.aliasName),
          ops.map((op) => op.profile),
          ops.map((op) => op.origin),
          ops.map((op) => op.provider),
          ops.map((op) => op.model),
          ops.map((op) => op.usageSource),
          ops.map((op) => op.inputTokens),
          ops.map((op) => op.outputTokens),
          ops.map((op) => op.attempts),
          ops.map((op) => op.receipt),
          ops.map((op) => op.projectId),
          ops.map((op) => op.modelUsed),
        ],
      )
      return result.rows as { status: string; charged: bigint | null }[]
    },

    async refund(slot: number, wanted: { ref: string; request: string; amount: bigint; body: string }) {
      const { rows } = await client.query('select refund($1,$2,$3,$4,$5,$6,$7) as status', [
        slot,
        uuid(wanted.ref),
        requestId(wanted.request),
        wanted.amount,
        'test',
        'test',
        digest(wanted.body),
      ])
      return rows[0].status as string
    },

    /** Looks at this history's wallets only: others may be due on another clock. */
    async expireQuiet(slot: number, limit: number): Promise<number> {
      const { rows } = await client.query('select expire_quiet_wallets($1, $2) as n', [slot, limit])
      return rows[0].n
    },

    freeze: (wallet: number, frozen: boolean) =>
      client.query('update wallet set frozen = $2, version = version + 1 where id = $1', [walletId(wallet), frozen]),

    /** Everything that the books say of this history, in the shape of `modelState`. */
    async state(slot: number) {
      const { rows } = await client.query(stateQuery, [wallets.map((wallet) => wallet.id), slot])
      const { wallet, lot, hold, system, log, leg, refund, usage } = rows[0].state
      const call = (id: string) => names.get(id.replaceAll('-', '')) ?? id
      return {
        wallets: wallet,
        lots: lot,
        holds: hold.map(([id, ...rest]: string[]) => [call(id ?? ''), ...rest]).sort(byName),
        system,
        records: log.map(([id, ...rest]: string[]) => [call(id ?? ''), ...rest]).sort(byName),
        legs: leg.map(([id, ...rest]: string[]) => [call(id ?? ''), ...rest]).sort(byName),
        refunds: refund.map(([id, ...rest]: string[]) => [call(id ?? ''), ...rest]).sort(byName),
        usage,
      }
    },
  }
}

export type SqlHistory = Awaited<ReturnType<typeof openSqlHistory>>

export function byName(a: unknown[], b: unknown[]): number {
  return a.join() < b.join() ? -1 : 1
}

const ms = (time: string) => `(extract(epoch from ${time}) * 1000)::bigint`

// Amounts as text, times as milliseconds; wallets and lots by their place in the order of creation.
const stateQuery = `
  with w as (select *, row_number() over (order by id) - 1 as place from wallet where id = any ($1)),
  lot as (select a.*, w.place as wallet, row_number() over (order by a.id) - 1 as place
          from account a join w on w.id = a.wallet_id where a.kind = 1),
  log as (select l.*, w.place from request_log l join w on w.id = l.wallet_id)
  select jsonb_build_object(
    'wallet', (select coalesce(jsonb_agg(jsonb_build_array(posted::text, held::text, seq::text, frozen, ${ms('next_expiry')})
                                         order by place), '[]') from w),
    'lot', (select coalesce(jsonb_agg(jsonb_build_array(wallet, class, priority, credits::text, debits::text, open, ${ms('expires_at')})
                                      order by place), '[]') from lot),
    'hold', (select coalesce(jsonb_agg(jsonb_build_array(request_id, w.place, h.seq::text, h.amount::text, h.accrued::text,
                               h.accrued_usage, h.slot, h.epoch::text, ${ms('h.expires_at')})), '[]') from hold h join w on w.id = h.wallet_id),
    'system', (select coalesce(jsonb_agg(jsonb_build_array(kind, debits::text, credits::text) order by kind), '[]')
               from account where slot = $2),
    'log', (select coalesce(jsonb_agg(jsonb_build_array(request_id, place, seq::text, charged::text, absorbed::text)), '[]') from log),
    'leg', (select coalesce(jsonb_agg(jsonb_build_array(t.ref, t.leg, lot.place, t.amount::text)), '[]')
            from transfer t join log on log.request_id = t.ref join lot on lot.id = t.debit where t.code = 10),
    'refund', (select coalesce(jsonb_agg(jsonb_build_array(t.reverses, lot.place, t.amount::text)), '[]')
               from transfer t join log on log.request_id = t.reverses join lot on lot.id = t.credit where t.code = 11),
    'usage', (select coalesce(jsonb_agg(jsonb_build_array(w.place, ${ms('bucket')}, calls::text, charged::text, absorbed::text)
                                        order by w.place, bucket), '[]') from usage_15m u join w on w.id = u.wallet_id)
  ) as state`
