// One gateway's worth of clients for race.test.ts, in a process of its own: it claims a slot, works through its orders and
// reports what it was told.
import { once } from 'node:events'
import { setTimeout as delay } from 'node:timers/promises'
import { createPool } from '#db/pool.ts'
import { createRefunds } from '#domain/refunds.ts'
import { claimSlot } from '#domain/slot.ts'
import { createStoredOutcomes } from '#domain/stored-outcomes.ts'
import { createSweeper } from '#domain/sweeper.ts'
import { uuidv7Hex } from '#lib/ids.ts'
import type { TestDatabase } from '#test/support/database.ts'
import { createSeededRandom, type SeededRandom } from './seeded-random.ts'
import { accruedUsage, creditTestWallet, openTestLedger, reserveOp, settleOp, type TestWallet } from './test-books.ts'

export interface Orders {
  url: string
  name: string
  seed: number
  clients: number
  /** Random calls for this long. */
  playMs: number
  wallets: { id: string; account: string }[]
  /** What a client asks for at once, at most. */
  nanosMax: number
  /** Then: as many reserves at once, of this much each, on the last wallet. */
  rush: { reserves: number; nanos: string }
}

export interface Report {
  calls: number
  charged: string
  refunded: string
  credited: string
  abandoned: number
  statuses: Record<string, number>
  /** How many reserves of the rush were admitted. */
  admitted: number
  errors: string[]
}

const LEASE_MS = 10_000 // Nobody is to be taken for dead because the machine is busy.
const SWEEP_EVERY_MS = 50

async function work(orders: Orders): Promise<Report> {
  const connection = { connectionString: orders.url }
  const db = createPool({ connection, poolMax: 6 }, () => undefined)
  const database = { db, connection } as TestDatabase
  const errors: string[] = []
  const note = (error: unknown) => void errors.push(String(error))
  const slot = await claimSlot({ db, instance: orders.name, leaseMs: LEASE_MS, onLost: note, onError: note })
  const { ledger } = await openTestLedger(database, slot, {
    holdTtlMs: 300,
    batchMax: 16,
    onOutage: (_lane, error) => note(error),
  })
  const refunds = createRefunds({ db, slot })
  const sweeper = createSweeper({
    outcomes: createStoredOutcomes({ db }),
    db,
    ledger,
    slot,
    leaseMs: LEASE_MS,
    log: 'test/1',
    onSwept: () => undefined,
    onError: note,
  })
  const wallets: TestWallet[] = orders.wallets.map(({ id, account }) => ({ id: BigInt(id), account }))
  const [rushed, ...shared] = wallets.toReversed()
  const random = createSeededRandom(orders.seed)
  const statuses: Record<string, number> = {}
  const total = { calls: 0, charged: 0n, refunded: 0n, credited: 0n, abandoned: 0 }

  async function playCall(wallet: TestWallet, own: SeededRandom): Promise<void> {
    const amount = BigInt(own.integer(1, orders.nanosMax))
    const op = reserveOp(wallet, amount, { floor: own.chance(0.5) ? amount : 1n })
    const { status, seq, granted } = await ledger.reserve(op)
    statuses[status] = (statuses[status] ?? 0) + 1
    if (seq === null || status !== 'reserved') return
    let held = granted
    if (own.chance(0.4)) {
      const accrued = BigInt(own.integer(0, Number(granted)))
      const progress = { requestId: op.requestId, walletId: wallet.id, accrued, accruedUsage: accruedUsage(accrued) }
      held += await ledger.extend({ ...progress, add: BigInt(own.integer(0, orders.nanosMax)) })
    }
    if (own.chance(0.3)) await delay(own.integer(0, 8))
    if (own.chance(0.05)) {
      // Nobody knows this call any more: the sweeper ends it when its hold has run out.
      ledger.forget(op.attempt)
      total.abandoned += 1
      return
    }
    const nanos = own.chance(0.2) ? 0n : BigInt(own.integer(0, Number(held)))
    const settlement = settleOp(wallet, { requestId: op.requestId, seq, held }, nanos)
    // Half of the settlements are sent twice, as after an unknown commit.
    const results = await Promise.all([settlement, ...(own.chance(0.5) ? [settlement] : [])].map(ledger.settle))
    for (const { charged } of results) if (charged !== nanos) note(`settled at ${charged} instead of ${nanos}`)
    ledger.forget(op.attempt)
    total.calls += 1
    total.charged += nanos
    if (nanos > 0n && own.chance(0.3)) await refundPart(op.requestId, nanos, own)
  }

  async function refundPart(requestId: string, charged: bigint, own: SeededRandom): Promise<void> {
    const amountNanos = BigInt(own.integer(1, Number(charged)))
    const refund = { requestId, amountNanos, reason: 'race', actor: 'test' }
    const twice = await Promise.allSettled([
      refunds.refund({ ...refund, idempotencyKey: uuidv7Hex() }),
      refunds.refund({ ...refund, idempotencyKey: uuidv7Hex() }),
    ])
    for (const result of twice) if (result.status === 'fulfilled') total.refunded += result.value.amountNanos
  }

  async function topUp(wallet: TestWallet, own: SeededRandom): Promise<void> {
    const nanos = BigInt(own.integer(1, orders.nanosMax))
    const lot = { slot: slot.current().slot, walletId: wallet.id, nanos, priority: own.pick([10, 20, 30]) }
    await creditTestWallet(db, { ...lot, ...(own.chance(0.7) && { expiresInMs: own.integer(5, 400) }) })
    total.credited += nanos
  }

  const endsAt = performance.now() + orders.playMs
  async function play(): Promise<void> {
    const own = random.fork()
    while (performance.now() < endsAt) {
      const wallet = shared[own.integer(0, shared.length - 1)]
      if (wallet === undefined) return
      if (own.chance(0.08)) await topUp(wallet, own)
      else await playCall(wallet, own)
    }
  }
  const sweeping = (async () => {
    for (; performance.now() < endsAt; await delay(SWEEP_EVERY_MS)) await sweeper.sweep().catch(note)
  })()
  await Promise.all([sweeping, ...Array.from({ length: orders.clients }, () => play().catch(note))])

  // Both processes rush at the same moment.
  process.send?.('ready')
  await once(process, 'message')
  const rush = await Promise.all(
    Array.from({ length: orders.rush.reserves }, () =>
      rushed === undefined ? undefined : ledger.reserve(reserveOp(rushed, BigInt(orders.rush.nanos))),
    ),
  )
  // What was abandoned runs out and is swept, here or in the other process.
  await delay(400)
  await sweeper.sweep()
  await sweeper.close()
  await ledger.close()
  await slot.release()
  await db.end()
  return {
    calls: total.calls,
    charged: `${total.charged}`,
    refunded: `${total.refunded}`,
    credited: `${total.credited}`,
    abandoned: total.abandoned,
    statuses,
    admitted: rush.filter((result) => result?.status === 'reserved').length,
    errors: errors.slice(0, 20),
  }
}

const [orders] = await once(process, 'message')
process.send?.(await work(orders as Orders))
process.disconnect?.()
