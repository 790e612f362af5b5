import { join } from 'node:path'
import type { Db } from '#db/pool.ts'
import { createLedger, type SettleOp } from '#domain/ledger.ts'
import { claimSlot } from '#domain/slot.ts'
import { openSpool } from '#domain/spool.ts'
import { createStoredOutcomes } from '#domain/stored-outcomes.ts'
import { createSweeper } from '#domain/sweeper.ts'
import { createLedgerMetrics } from '#gateway/metrics.ts'
import type { Parts } from './parts.ts'

const BATCH_MAX = 256

/** The books: who writes them, what is left from a last life, who sweeps up after others. */
export async function openLedger({ config, installation, log, registry, opened }: Parts, db: Db) {
  const ledgerMetrics = createLedgerMetrics(registry)
  const spool = await openSpool(join(config.DATA_DIR, 'spool.jsonl'))
  opened.defer(() => spool.close())
  if (spool.torn > 0) log.warn({ lines: spool.torn }, 'the spool ends in lines that were never flushed')
  const slot = await claimSlot({
    db,
    instance: installation.instance,
    leaseMs: config.SLOT_LEASE_MS,
    onLost: (lease) => log.error({ slot: lease.slot }, 'this process was taken for dead; it claims a new slot'),
    onError: (error) => log.warn({ err: error }, 'the heartbeat failed'),
  })
  opened.defer(() => slot.release().catch((error: unknown) => log.warn({ err: error }, 'the slot was not released')))
  const ledger = createLedger({
    connection: installation.connection,
    slot,
    signer: installation.signer,
    holdTtlMs: config.HOLD_TTL_MS,
    batchMax: BATCH_MAX,
    queueMax: config.LEDGER_QUEUE_MAX,
    reserveGiveUpMs: config.RESERVE_WAIT_MS,
    onCommit(lane, ops, tookMs) {
      ledgerMetrics.batchSize.observe({ lane }, ops)
      ledgerMetrics.commit.observe({ lane }, tookMs / 1000)
    },
    onOutage(lane, error) {
      ledgerMetrics.outages.inc({ lane })
      log.warn({ lane, err: error }, 'the ledger is away; trying again')
    },
    onSettleOutage: (ops) =>
      void spool.append(ops).catch((error: unknown) => log.error({ err: error }, 'the spool cannot be written')),
  })
  opened.defer(() => ledger.close())
  const settle = async (op: SettleOp) => {
    const result = await ledger.settle(op)
    spool.settled(op.requestId)
    return result
  }
  await Promise.all(
    spool.left.map(async (op) => {
      const fields = { receipt: op.requestId }
      try {
        const { status } = await settle(op)
        const level = status === 'settled' || status === 'already' ? 'info' : 'error'
        log[level]({ ...fields, status }, 'settled from the spool')
      } catch (error) {
        // One settlement that the database refuses must not keep all others from being served.
        log.error({ ...fields, err: error }, 'a settlement of the spool is refused; it stays there')
      }
    }),
  )
  const outcomes = createStoredOutcomes({ db })
  const sweeper = createSweeper({
    db,
    outcomes,
    ledger: { settle, isRunning: ledger.isRunning },
    slot,
    leaseMs: config.SLOT_LEASE_MS,
    log: config.RECEIPT_LOG_ORIGIN,
    onSwept(holds) {
      ledgerMetrics.swept.inc(holds)
      log.warn({ holds }, 'settled holds of a gateway that is gone')
    },
    onError: (error) => log.warn({ err: error }, 'the sweep failed'),
  })
  opened.defer(() => sweeper.close())
  return { ledger, spool, slot, outcomes }
}
