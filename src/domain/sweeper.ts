import { setTimeout as delay } from 'node:timers/promises'
import type { Usage } from '#billing/usage.ts'
import { type Db, within } from '#db/pool.ts'
import { decodeContext } from './call-context.ts'
import type { Ledger } from './ledger.ts'
import { settlement } from './settlement.ts'
import type { Slot } from './slot.ts'
import type { StoredOutcomes } from './stored-outcomes.ts'

const HOLDS_MAX = 256
const WALLETS_MAX = 256
/** A pass that waits in a silent network is given up; the next one has another connection. */
const QUERY_MS_MAX = 5_000

export interface SweeperOptions {
  db: Db
  ledger: Pick<Ledger, 'settle' | 'isRunning'>
  outcomes: Pick<StoredOutcomes, 'expire'>
  slot: Slot
  leaseMs: number
  /** Origin of the log that receipts name. */
  log: string
  onSwept: (holds: number) => void
  onError: (error: unknown) => void
}

interface DeadHold {
  requestId: string
  attempt: string
  walletId: bigint
  seq: bigint
  amount: bigint
  accrued: bigint
  accruedUsage: string
  context: string
  expiresAt: string
}

/**
 * Settles holds whose gateway is gone, at their durable progress, expires lots of quiet wallets and drops kept answers whose time is over. Any number of
 * gateways may sweep at once: the first settlement wins, the others are told so.
 */
export function createSweeper(options: SweeperOptions) {
  const closing = new AbortController()
  let passing: Promise<number> | undefined

  /** One pass; whoever asks while one is under way gets that one. Returns how many holds were settled. */
  function sweep(): Promise<number> {
    passing ??= pass().finally(() => {
      passing = undefined
    })
    return passing
  }

  async function pass(): Promise<number> {
    const { slot, epoch } = options.slot.current()
    const lease = `${options.leaseMs} milliseconds`
    let swept = 0
    let last = { expiresAt: '-infinity', requestId: '0'.repeat(32) }
    for (;;) {
      const values = [slot, epoch, lease, HOLDS_MAX, last.expiresAt, last.requestId]
      const { rows } = await options.db.query<DeadHold>(within(QUERY_MS_MAX, { text: deadHolds, values }))
      const dead = rows.filter((hold) => !options.ledger.isRunning(hold.attempt))
      const settled = await Promise.all(dead.map(trySettle))
      swept += settled.filter(Boolean).length
      last = rows.at(-1) ?? last
      if (rows.length < HOLDS_MAX || closing.signal.aborted) break
    }
    if (swept > 0) options.onSwept(swept)
    const expiry = { text: 'select expire_quiet_wallets($1, $2)', values: [slot, WALLETS_MAX] }
    await options.db.query(within(QUERY_MS_MAX, expiry))
    await options.outcomes.expire()
    return swept
  }

  /** A hold that cannot be settled stays, and is told at every pass; it keeps no other from its end. */
  async function trySettle(hold: DeadHold): Promise<boolean> {
    try {
      return (await settle(hold)) === 'settled'
    } catch (error) {
      if (!closing.signal.aborted) options.onError(error)
      return false
    }
  }

  async function settle(hold: DeadHold): Promise<string> {
    const progress = JSON.parse(hold.accruedUsage) as { usage?: Usage; target?: number }
    const op = settlement(
      {
        requestId: hold.requestId,
        walletId: hold.walletId,
        seq: hold.seq,
        held: hold.amount,
        context: decodeContext(hold.context),
      },
      {
        outcome: 'gateway_lost',
        usage: progress.usage ?? {},
        usageSource: progress.usage === undefined ? 'none' : 'counted',
        target: progress.target ?? 0,
        // Targets are tried in order, so the one that delivered tells how many were; without progress nobody knows.
        attempts: progress.target === undefined ? 0 : progress.target + 1,
        chargeMax: hold.accrued,
      },
      { log: options.log, nowMs: Date.now() },
    )
    return (await options.ledger.settle(op)).status
  }

  const closed = new Promise<void>((resolve) => {
    closing.signal.addEventListener('abort', () => resolve(), { once: true })
  })
  const sweeping = (async () => {
    while (!closing.signal.aborted) {
      await Promise.race([sweep().catch(options.onError), closed])
      await delay(options.leaseMs, undefined, { signal: closing.signal, ref: false }).catch(() => undefined)
    }
  })()

  return {
    sweep,

    /** Waits for no database: a settlement under way is the ledger's to finish or to spool. */
    async close(): Promise<void> {
      closing.abort()
      await sweeping
    },
  }
}

// A hold is dead when it is of an earlier life of our own slot; when it has run out and we no longer know its call; or
// when it has run out and its owner neither beats nor may still be reconnecting to a server that has just started.
const deadHolds = `
  select replace(h.request_id::text, '-', '') as "requestId", replace(h.attempt::text, '-', '') as attempt,
         h.wallet_id as "walletId", h.seq, h.amount, h.accrued, h.accrued_usage as "accruedUsage", h.context,
         h.expires_at::text as "expiresAt"
  from hold h
  where (h.expires_at, h.request_id) > ($5::timestamptz, $6::uuid) and ((h.slot = $1 and h.epoch < $2)
     or (h.expires_at < now() and (
          (h.slot = $1 and h.epoch = $2)
          or (pg_postmaster_start_time() < now() - 2 * $3::interval
              and not exists (select 1 from gateway_slot s
                              where s.slot = h.slot and s.epoch = h.epoch and not s.released
                                and s.heartbeat_at > now() - 2 * $3::interval)))))
  order by h.expires_at, h.request_id limit $4`
