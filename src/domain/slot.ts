import { setTimeout as delay } from 'node:timers/promises'
import type pg from 'pg'
import type { Db } from '#db/pool.ts'
import { uuidv7Hex } from '#lib/ids.ts'

/** A slot that is not released is free again when its lease has run out, so nobody waits long for a release. */
const RELEASE_MS_MAX = 5_000

export interface SlotLease {
  slot: number
  epoch: bigint
}

export interface SlotOptions {
  db: Db
  /** Stable per data directory: a restarted process finds its own slot and knows the previous owner is dead. */
  instance: string
  leaseMs: number
  onLost: (lease: SlotLease) => void
  onError: (error: unknown) => void
}

/**
 * Leases one writer slot for this process. Heartbeats use the database's clock only. A process that was taken for dead
 * notices at its next heartbeat or write and claims a new epoch; what it held under the old one is the sweeper's.
 */
export async function claimSlot(options: SlotOptions) {
  let instance = options.instance
  let lease = await claim()
  let reclaiming: Promise<void> | undefined
  const closing = new AbortController()

  async function claim(): Promise<SlotLease> {
    const { rows } = await options.db.query<SlotLease>('select slot, epoch from claim_slot($1, $2)', [
      instance,
      `${options.leaseMs} milliseconds`,
    ])
    const [row] = rows
    if (row === undefined) throw new Error('claim_slot returns one row')
    return row
  }

  function reclaim(lost = lease): Promise<void> {
    if (lost.slot !== lease.slot || lost.epoch !== lease.epoch) return Promise.resolve()
    reclaiming ??= (async () => {
      options.onLost(lease)
      // Somebody else may run under a copy of our instance id: never fight over one slot.
      instance = `${options.instance}:${uuidv7Hex()}`
      lease = await claim()
    })().finally(() => {
      reclaiming = undefined
    })
    return reclaiming
  }

  async function heartbeat(): Promise<void> {
    const beaten = lease
    const { rowCount } = await options.db.query({
      text: 'update gateway_slot set heartbeat_at = now() where slot = $1 and epoch = $2 and not released',
      values: [beaten.slot, beaten.epoch],
      // A connection that fell silent would cost the lease; the next heartbeat takes another one.
      query_timeout: options.leaseMs / 2,
    } as pg.QueryConfig)
    if (rowCount === 0) await reclaim(beaten)
  }

  const beating = (async () => {
    while (!closing.signal.aborted) {
      await delay(options.leaseMs / 5, undefined, { signal: closing.signal, ref: false }).catch(() => undefined)
      if (!closing.signal.aborted) await heartbeat().catch(options.onError)
    }
  })()

  return {
    current: (): SlotLease => lease,
    /**
     * Call when a write under `lost` was refused with SLOT_LOST. The refusal of a lease that has been replaced already, by
     * another operation that was under way, does nothing.
     */
    reclaim,
    /** Frees the slot for others. Anything still held under it becomes the sweeper's. */
    async release(): Promise<void> {
      closing.abort()
      await beating
      await options.db.query({
        text: 'update gateway_slot set released = true where slot = $1 and epoch = $2',
        values: [lease.slot, lease.epoch],
        query_timeout: RELEASE_MS_MAX,
      } as pg.QueryConfig)
    },
  }
}

export type Slot = Awaited<ReturnType<typeof claimSlot>>
