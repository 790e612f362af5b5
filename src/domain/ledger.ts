import type pg from 'pg'
import { batchStatement } from '#billing/batch.ts'
import { merkleRoot } from '#billing/merkle.ts'
import { byteaArray, jsonLines, plainArray, textArray } from '#db/array-literal.ts'
import { isTransient, SLOT_LOST, sqlState } from '#db/failures.ts'
import { createLaneConnection } from '#db/lane-connection.ts'
import { assert } from '#lib/assert.ts'
import { createGroupCommit } from '#lib/group-commit.ts'
import { uuidv7Hex } from '#lib/ids.ts'
import type { Slot, SlotLease } from './slot.ts'

/** Request ids are 32 hex digits of a UUID. Amounts are nano-dollars. */
export interface ReserveOp {
  requestId: string
  attempt: string
  walletId: bigint
  amount: bigint
  /** The least that is of use: granted is between this and `amount`, or the call is refused. */
  floor: bigint
  /** Empty without an idempotency key. */
  bodyHash: Buffer
  /** JSON that lets the sweeper write the receipt of a call whose gateway died. */
  context: string
}

export interface ReserveResult {
  status:
    | 'reserved'
    | 'insufficient'
    | 'over_budget'
    | 'in_flight'
    | 'done'
    | 'key_reused'
    | 'frozen'
    | 'no_wallet'
    | 'bad_amount'
  seq: bigint | null
  granted: bigint
  /** What was available when the batch was admitted. */
  free: bigint | null
  /** Which budget has too little left; null but for 'over_budget'. */
  budget: bigint | null
}

export interface ExtendOp {
  requestId: string
  walletId: bigint
  add: bigint
  accrued: bigint
  /** The usage vector that `accrued` pays for, as JSON. */
  accruedUsage: string
}

export interface SettleOp {
  requestId: string
  walletId: bigint
  seq: bigint
  charged: bigint
  absorbed: bigint
  cost: bigint
  outcome: number
  projectId: string | null
  keyId: string
  aliasName: string | null
  profile: string | null
  origin: string | null
  provider: string
  model: string
  /** As the provider knows it; null where that was not kept. */
  modelUsed: string | null
  usageSource: number
  inputTokens: number
  outputTokens: number
  attempts: number
  /** Canonical text; its leaf is what the batch signs. */
  receipt: string
  leaf: Buffer
}

/** `already`: this call was settled before, at `charged`. `no_hold`: there is nothing to settle. */
export interface SettleResult {
  status: 'settled' | 'already' | 'no_hold' | 'exceeds_hold' | 'seq_differs'
  charged: bigint | null
}

export interface LedgerOptions {
  connection: pg.ClientConfig
  slot: Slot
  signer: { keyId: string; sign(message: Uint8Array): Buffer }
  holdTtlMs: number
  batchMax: number
  queueMax: number
  /** How long a call waits for a database that is away before it is refused. */
  reserveGiveUpMs: number
  onCommit: (lane: 'reserve' | 'extend' | 'settle', ops: number, tookMs: number) => void
  onOutage: (lane: 'reserve' | 'extend' | 'settle', error: unknown) => void
  onSettleOutage: (ops: readonly SettleOp[]) => void
}

/**
 * The hot path of the books: reserve, extend and settle, each one round trip and one commit shared by all callers of the
 * moment. Two lanes with a connection each, so that settling never waits behind admissions; extensions ride with the
 * admissions. Every operation may be sent again: the database answers what is already true.
 */
export function createLedger(options: LedgerOptions) {
  // Nobody waits for an admission beyond its deadline, so a connection that is silent for that long is replaced.
  const { reserveGiveUpMs } = options
  const admission = createLaneConnection(
    { ...options.connection, query_timeout: options.connection.query_timeout ?? reserveGiveUpMs },
    (error) => options.onOutage('reserve', error),
  )
  const settlement = createLaneConnection(options.connection, (error) => options.onOutage('settle', error))
  const ttl = `${options.holdTtlMs} milliseconds`
  const running = new Set<string>()
  let extended = 0n

  /** A lost slot is claimed anew, then the same operations go out under the new epoch. */
  async function underLease<T>(work: (lease: SlotLease) => Promise<T>): Promise<T> {
    const lease = options.slot.current()
    try {
      return await work(lease)
    } catch (error) {
      if (sqlState(error) === SLOT_LOST)
        await options.slot.reclaim(lease).catch((cause) => options.onOutage('reserve', cause))
      throw error
    }
  }

  const common = {
    batchMax: options.batchMax,
    queueMax: options.queueMax,
    retryDelayMs: { first: 20, max: 1_000 },
    isTransient: (error: unknown) => sqlState(error) === SLOT_LOST || isTransient(error),
  }

  const reserves = createGroupCommit<ReserveOp, ReserveResult>({
    ...common,
    keyOf: (op) => op.requestId,
    giveUpAfterMs: options.reserveGiveUpMs,
    commit: (ops) =>
      underLease(({ slot, epoch }) =>
        admission.query<ReserveResult>(
          {
            name: 'reserve',
            text: "select status, seq, granted, free, budget from reserve($1,$2,$3,$4,$5,$6,$7,$8,$9,string_to_array($10, e'\\n'))",
            values: [
              slot,
              epoch,
              ttl,
              plainArray(ops, (op) => op.requestId),
              plainArray(ops, (op) => op.attempt),
              plainArray(ops, (op) => op.walletId),
              plainArray(ops, (op) => op.amount),
              plainArray(ops, (op) => op.floor),
              byteaArray(ops, (op) => op.bodyHash),
              jsonLines(ops, (op) => op.context),
            ],
          },
          isTransient,
        ),
      ),
    onCommit: (ops, tookMs) => options.onCommit('reserve', ops, tookMs),
    onOutage: (error) => options.onOutage('reserve', error),
  })

  // Numbered, so that an extension which is sent again, or arrives late, adds nothing.
  const extensions = createGroupCommit<ExtendOp & { number: bigint }, { granted: bigint }>({
    ...common,
    keyOf: (op) => op.requestId,
    giveUpAfterMs: options.reserveGiveUpMs,
    commit: (ops) =>
      underLease(({ slot, epoch }) =>
        admission.query<{ granted: bigint }>(
          {
            name: 'extend',
            text: 'select granted from extend($1,$2,$3,$4,$5,$6,$7,$8,$9)',
            values: [
              slot,
              epoch,
              ttl,
              plainArray(ops, (op) => op.requestId),
              plainArray(ops, (op) => op.walletId),
              plainArray(ops, (op) => op.number),
              plainArray(ops, (op) => op.add),
              plainArray(ops, (op) => op.accrued),
              textArray(ops, (op) => op.accruedUsage),
            ],
          },
          isTransient,
        ),
      ),
    onCommit: (ops, tookMs) => options.onCommit('extend', ops, tookMs),
    onOutage: (error) => options.onOutage('extend', error),
  })

  const settles = createGroupCommit<SettleOp, SettleResult>({
    ...common,
    keyOf: (op) => op.requestId,
    giveUpAfterMs: Number.POSITIVE_INFINITY,
    queueMax: Number.MAX_SAFE_INTEGER, // Bounded by the calls that were admitted; a settlement is never refused.
    commit: commitSettles,
    onCommit: (ops, tookMs) => options.onCommit('settle', ops, tookMs),
    onOutage: (error, ops) => {
      options.onOutage('settle', error)
      options.onSettleOutage(ops)
    },
  })

  async function commitSettles(ops: SettleOp[]): Promise<SettleResult[]> {
    const results = new Map<SettleOp, SettleResult>()
    let left = ops
    while (left.length > 0) {
      const rows = await sendSettles(left)
      const done = rows.every((row) => row.status === 'settled')
      const ready: SettleOp[] = []
      for (const [index, op] of left.entries()) {
        const row = rows[index]
        assert(row !== undefined, 'settle answers every row')
        if (row.status === 'ready') ready.push(op)
        else results.set(op, { status: row.status, charged: row.charged })
      }
      // Rows that cannot be settled drop out; the rest is hashed into a new root and sent again.
      assert(done || ready.length < left.length, 'a refused batch names the rows to drop')
      left = ready
    }
    return ops.map((op) => results.get(op) ?? { status: 'no_hold', charged: null })
  }

  function sendSettles(ops: SettleOp[]) {
    const batchId = uuidv7Hex()
    const leaves = ops.map((op) => op.leaf)
    const root = merkleRoot(leaves)
    const sig = options.signer.sign(batchStatement({ id: batchId, n: ops.length, root: root.toString('base64') }))
    return settlement.query<{ status: SettleResult['status'] | 'ready'; charged: bigint | null }>(
      {
        name: 'settle',
        text: "select status, charged from settle($1,$2,$3,$4,$5,$6,$7,$8,$9,$10,$11,$12,$13,$14,$15,$16,$17,$18,$19,$20,$21,$22,$23,string_to_array($24, e'\\n'),$25,$26)",
        values: [
          options.slot.current().slot,
          batchId,
          options.signer.keyId,
          root,
          sig,
          Buffer.concat(leaves),
          plainArray(ops, (op) => op.requestId),
          plainArray(ops, (op) => op.walletId),
          plainArray(ops, (op) => op.seq),
          plainArray(ops, (op) => op.charged),
          plainArray(ops, (op) => op.absorbed),
          plainArray(ops, (op) => op.cost),
          plainArray(ops, (op) => op.outcome),
          textArray(ops, (op) => op.keyId),
          textArray(ops, (op) => op.aliasName),
          textArray(ops, (op) => op.profile),
          textArray(ops, (op) => op.origin),
          textArray(ops, (op) => op.provider),
          textArray(ops, (op) => op.model),
          plainArray(ops, (op) => op.usageSource),
          plainArray(ops, (op) => op.inputTokens),
          plainArray(ops, (op) => op.outputTokens),
          plainArray(ops, (op) => op.attempts),
          jsonLines(ops, (op) => op.receipt),
          textArray(ops, (op) => op.projectId),
          textArray(ops, (op) => op.modelUsed),
        ],
      },
      isTransient,
    )
  }

  return {
    /**
     * Holds funds for a call, durably, before anything is sent upstream. Rejects with GivenUpError when the database
     * stays away; a hold that was made all the same is found by the sweeper, since no running call owns it.
     */
    async reserve(op: ReserveOp): Promise<ReserveResult> {
      running.add(op.attempt)
      try {
        const result = await reserves.submit(op)
        if (result.status !== 'reserved') running.delete(op.attempt)
        return result
      } catch (error) {
        running.delete(op.attempt)
        throw error
      }
    },

    /** Adds to a running hold and records its progress. -1: the hold is gone, stop the stream. */
    async extend(op: ExtendOp): Promise<bigint> {
      extended += 1n
      return (await extensions.submit({ ...op, number: extended })).granted
    },

    /** Settles a call exactly once. Waits for the database as long as it takes; rejects only at shutdown or on a bug. */
    settle: (op: SettleOp): Promise<SettleResult> => settles.submit(op),

    /** The call with this attempt no longer runs: if its hold is still open, the sweeper may have it. */
    forget(attempt: string): void {
      running.delete(attempt)
    },

    isRunning: (attempt: string): boolean => running.has(attempt),
    get depth() {
      return { reserve: reserves.depth, extend: extensions.depth, settle: settles.depth }
    },

    async close(): Promise<void> {
      await Promise.all([reserves.close(), extensions.close()])
      await settles.close()
      await Promise.all([admission.close(), settlement.close()])
    },
  }
}

export type Ledger = ReturnType<typeof createLedger>
