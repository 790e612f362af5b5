import type { Ledger } from '#domain/ledger.ts'

/**
 * A ledger that admits and settles in memory: what is left of a call's cost is everything but the books. Every wallet
 * has enough money.
 */
export function createMemoryLedger(): Ledger & { chargedNanos(): bigint; calls(): number } {
  const seqs = new Map<bigint, bigint>()
  let charged = 0n
  let calls = 0
  return {
    reserve(op) {
      const seq = (seqs.get(op.walletId) ?? 0n) + 1n
      seqs.set(op.walletId, seq)
      return Promise.resolve({ status: 'reserved', seq, granted: op.amount, free: op.amount, budget: null })
    },
    extend: (op) => Promise.resolve(op.add),
    settle(op) {
      charged += op.charged
      calls += 1
      return Promise.resolve({ status: 'settled', charged: op.charged })
    },
    forget: () => undefined,
    isRunning: () => false,
    depth: { reserve: 0, extend: 0, settle: 0 },
    close: () => Promise.resolve(),
    chargedNanos: () => charged,
    calls: () => calls,
  }
}
