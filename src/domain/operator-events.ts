import type { Db, Tx } from '#db/pool.ts'
import { uuidFromName } from '#lib/ids.ts'

/** What operators can be told of. docs/webhooks.md describes the data of each. */
export const operatorEventTypes = [
  'wallet.low',
  'budget.threshold_reached',
  'budget.exhausted',
  'credential.failing',
  'payment.failed',
  'payment.refunded',
  'dispute.opened',
  'dispute.closed',
] as const

export type OperatorEventType = (typeof operatorEventTypes)[number]

/**
 * Queues an event in the transaction that made it true. `once` names what happened: the same name is told once, however
 * often and by however many processes it is noticed. Returns whether it is new. Data holds ids and amounts, no personal data.
 */
export async function emitOperatorEvent(
  tx: Tx | Db,
  event: { type: OperatorEventType; once: readonly string[]; data: Record<string, unknown> },
): Promise<boolean> {
  const { rowCount } = await tx.query(
    'insert into operator_event (id, type, data) values ($1, $2, $3) on conflict (id) do nothing',
    [uuidFromName('operator event', event.type, ...event.once), event.type, JSON.stringify(event.data)],
  )
  return rowCount === 1
}
