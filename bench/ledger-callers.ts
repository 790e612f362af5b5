import { createReceiptSigner } from '#adapters/receipt-signer.ts'
import { createPool } from '#db/pool.ts'
import { encodeContext, pricedTarget } from '#domain/call-context.ts'
import { createLedger } from '#domain/ledger.ts'
import { settlement } from '#domain/settlement.ts'
import { claimSlot } from '#domain/slot.ts'
import { uuidv7Hex } from '#lib/ids.ts'

const HOLD_NANOS = 2_500_000n
const SLOT_LEASE_MS = 15_000
const usage = { input: 250, output: 125 }
const target = pricedTarget({
  provider: 'sim',
  model: 'echo',
  price: { lines: { input: 150_000n, output: 600_000n } },
  book: `sha256:${'0'.repeat(64)}`,
})

/**
 * Callers that hold and settle, one call after the other, on wallets at random: the whole of the books and nothing else.
 * They run until stop().
 */
export async function startCallers(options: {
  connection: { connectionString: string; options?: string }
  instance: string
  callers: number
}) {
  const { connection } = options
  const db = createPool({ connection: { connectionString: connection.connectionString }, poolMax: 2 }, complain)
  const { rows: wallets } = await db.query<{ id: bigint; account: string }>(
    'select id, account from wallet order by id',
  )
  const slot = await claimSlot({
    db,
    instance: options.instance,
    leaseMs: SLOT_LEASE_MS,
    onLost: () => complain('the slot was lost'),
    onError: complain,
  })
  const ledger = createLedger({
    connection,
    slot,
    signer: createReceiptSigner(Buffer.alloc(32, 7)),
    holdTtlMs: 60_000,
    batchMax: 256,
    queueMax: 10_000,
    reserveGiveUpMs: 10_000,
    onCommit: () => undefined,
    onOutage: (_lane, error) => complain(error),
    onSettleOutage: () => undefined,
  })
  const counts = { settled: 0, failed: 0 }
  let stopping = false

  async function call(): Promise<void> {
    const wallet = wallets[Math.floor(Math.random() * wallets.length)]
    if (wallet === undefined) throw new Error('there are no wallets')
    const requestId = uuidv7Hex()
    const context = {
      account: wallet.account,
      projectId: 'prj_bench',
      keyId: 'key_bench',
      model: 'sim/echo',
      stream: false,
      targets: [target],
    }
    const hold = await ledger.reserve({
      requestId,
      attempt: requestId,
      walletId: wallet.id,
      amount: HOLD_NANOS,
      floor: HOLD_NANOS,
      bodyHash: Buffer.alloc(0),
      context: encodeContext(context),
    })
    if (hold.status !== 'reserved' || hold.seq === null) throw new Error(hold.status)
    const admitted = { requestId, walletId: wallet.id, seq: hold.seq, held: hold.granted, context }
    const end = { outcome: 'complete', usage, usageSource: 'provider', target: 0, attempts: 1 } as const
    const result = await ledger.settle(settlement(admitted, end, { log: 'bench/1', nowMs: Date.now() }))
    ledger.forget(requestId)
    if (result.status !== 'settled') throw new Error(result.status)
  }

  async function caller(): Promise<void> {
    while (!stopping) {
      try {
        await call()
        counts.settled += 1
      } catch (error) {
        counts.failed += 1
        complain(error)
      }
    }
  }

  const callers = Array.from({ length: options.callers }, caller)
  return {
    /** Calls so far. */
    counts,

    /** Lets the calls under way end, and gives the slot back. */
    async stop(): Promise<void> {
      stopping = true
      await Promise.all(callers)
      await ledger.close()
      await slot.release()
      await db.end()
    },
  }
}

function complain(problem: unknown): void {
  process.stderr.write(`bench: ${String(problem)}\n`)
}
