import { createReceiptSigner } from '#adapters/receipt-signer.ts'
import { completePrice } from '#billing/price.ts'
import type { Db } from '#db/pool.ts'
import { type CallContext, encodeContext, pricedTarget } from '#domain/call-context.ts'
import type { AuthenticatedKey } from '#domain/keyring.ts'
import { createLedger } from '#domain/ledger.ts'
import { registerReceiptKey } from '#domain/receipt-keys.ts'
import { type CallEnd, settlement } from '#domain/settlement.ts'
import { assert } from '#lib/assert.ts'
import { uuidv7Hex } from '#lib/ids.ts'
import type { TestDatabase } from '#test/support/database.ts'

/** What signs in tests that have no installation. */
export const TILL_SEED = Buffer.alloc(32, 7)

const NANOS_PER_CALL = 1_000n

/** Makes settled calls without any HTTP: a hold and its settlement, with real receipts, as the gateway makes them. */
export async function createTestTill(deps: {
  database: TestDatabase & { db: Db }
  slot: { current(): { slot: number; epoch: bigint } }
}) {
  const signer = createReceiptSigner(TILL_SEED)
  await registerReceiptKey(deps.database.db, signer)
  const target = pricedTarget({
    provider: 'sim',
    model: 'till',
    price: completePrice({ lines: { calls: NANOS_PER_CALL * 1_000n } }),
    book: `sha256:${'0'.repeat(64)}`,
  })
  const failures: unknown[] = []
  const ledger = createLedger({
    connection: deps.database.connection,
    slot: { ...deps.slot, reclaim: async () => undefined, release: async () => undefined },
    signer,
    holdTtlMs: 60_000,
    batchMax: 64,
    queueMax: 1_000,
    reserveGiveUpMs: 5_000,
    onCommit: () => undefined,
    onOutage: (_lane, error) => failures.push(error),
    onSettleOutage: () => undefined,
  })

  return {
    signer,
    /**
     * Charges a whole number of thousand nano-dollars, or holds them for a call that `more` describes; `meanwhile` runs between hold and settlement. Returns the request
     * id, 32 hex digits.
     */
    async charge(
      key: AuthenticatedKey,
      nanos: bigint,
      more: { context?: Partial<CallContext>; end?: Partial<CallEnd>; meanwhile?: () => Promise<void> } = {},
    ): Promise<string> {
      assert(nanos % NANOS_PER_CALL === 0n, 'the till charges thousands of nano-dollars')
      const requestId = uuidv7Hex()
      const { walletId } = key
      const context = {
        account: key.account,
        projectId: key.projectId,
        keyId: key.keyId,
        model: 'sim/till',
        stream: false,
        targets: [target],
        ...more.context,
      }
      const held = await ledger.reserve({
        requestId,
        attempt: uuidv7Hex(),
        walletId,
        amount: nanos,
        floor: nanos,
        bodyHash: Buffer.alloc(0),
        context: encodeContext(context),
      })
      assert(held.status === 'reserved' && held.seq !== null, `the till can hold ${nanos}: ${held.status}`)
      await more.meanwhile?.()
      const op = settlement(
        { requestId, walletId, seq: held.seq, held: held.granted, context },
        {
          outcome: 'complete',
          usage: { calls: Number(nanos / NANOS_PER_CALL) },
          usageSource: 'provider',
          target: 0,
          attempts: 1,
          ...more.end,
        },
        { log: 'test/1', nowMs: Date.now() },
      )
      const settled = await ledger.settle(op)
      assert(settled.status === 'settled', 'the till settles what it holds')
      return requestId
    },
    async close(): Promise<void> {
      await ledger.close()
      assert(failures.length === 0, `the till met no outage: ${failures.join()}`)
    },
  }
}
