import { setTimeout as delay } from 'node:timers/promises'
import { type Db, type Tx, transaction } from '#db/pool.ts'
import { emitOperatorEvent } from '#domain/operator-events.ts'
import { lockWallets } from '#domain/wallets.ts'
import { createGate, GateFullError } from '#lib/gate.ts'
import { AppError } from '#src/errors.ts'
import type { Applied, Applier, MoneyObject } from './apply.ts'
import type { PaymentProvider, ProviderEvent } from './provider.ts'

/** Each holds a connection while Stripe is asked. */
const RUNNING_MAX = 3
const WAITING_MAX = 200
const BATCH = 50
const ATTEMPTS_MAX = 60
const AGAIN_SECONDS_MAX = 3_600
const KEPT_DAYS = 30
const PRUNED_MAX = 5_000

export interface PaymentEventsOptions {
  db: Db
  provider: PaymentProvider
  applier: Applier
  slot: { current(): { slot: number } }
  everyMs: number
  /** After the commit. */
  onApplied: (applied: Applied) => void
  onError: (error: unknown, event: { id: string; type: string; givenUp: boolean }) => void
}

const objectTypes: Readonly<Record<string, MoneyObject['type']>> = {
  'checkout.session': 'checkout',
  payment_intent: 'intent',
  invoice: 'invoice',
  subscription: 'subscription',
}
const parts = ['charge', 'refund', 'dispute'] as const

/**
 * The inbox of what Stripe tells. An event is written down and then its object is asked for anew and booked; what cannot be booked
 * yet is tried again, by Stripe and by us. Events of one customer are applied one after the other, on any number of gateways.
 */
export function createPaymentEvents(options: PaymentEventsOptions) {
  const { db, provider, applier, slot, everyMs, onApplied, onError } = options
  const gate = createGate({ runningMax: RUNNING_MAX, waitingMax: WAITING_MAX })
  const closing = new AbortController()
  const { signal } = closing

  /** The object that is booked, and whose it is. */
  async function subjectOf(
    event: ProviderEvent,
  ): Promise<{ object: MoneyObject; customerId: string | null } | undefined> {
    const type = objectTypes[event.objectType]
    if (type !== undefined) return { object: { type, id: event.objectId }, customerId: event.customerId }
    const part = parts.find((name) => name === event.objectType)
    if (part === undefined) return undefined
    const intent = await provider.intentOf({ type: part, id: event.objectId })
    return intent && { object: { type: 'intent', id: intent.intentId }, customerId: intent.customerId }
  }

  async function apply(event: ProviderEvent): Promise<void> {
    const subject = await subjectOf(event)
    const applied = await transaction(db, async (tx) => {
      if (subject !== undefined) await lockCustomer(tx, subject.customerId ?? subject.object.id)
      const { rows } = await tx.query<{ done: boolean }>(
        'select applied_at is not null as done from stripe_event where id = $1 for update',
        [event.id],
      )
      if (rows[0]?.done ?? true) return undefined
      const result = subject === undefined ? undefined : await applier.apply(tx, subject.object)
      await tellOfFailure(tx, event)
      await tx.query('update stripe_event set applied_at = clock_timestamp(), last_error = null where id = $1', [
        event.id,
      ])
      return result
    })
    if (applied !== undefined) onApplied(applied)
  }

  async function attempt(event: ProviderEvent): Promise<void> {
    try {
      await gate.run(() => apply(event))
    } catch (error) {
      if (error instanceof GateFullError) throw new AppError('overloaded', { cause: error })
      const { rows } = await db.query<{ attempts: number }>(
        `update stripe_event set attempts = attempts + 1, last_error = left($2, 500),
           next_attempt_at = clock_timestamp() + make_interval(secs => least(15 * power(2, attempts), $3))
         where id = $1 and applied_at is null returning attempts`,
        [event.id, error instanceof Error ? error.message : String(error), AGAIN_SECONDS_MAX],
      )
      onError(error, { id: event.id, type: event.type, givenUp: (rows[0]?.attempts ?? 0) >= ATTEMPTS_MAX })
      throw error
    }
  }

  /** Money that came free since pays what is owed, without another event. */
  async function collect(): Promise<void> {
    const { rows } = await db.query<{ id: bigint }>(
      `select distinct w.id from payment p join wallet w on w.id = p.wallet_id
       where p.owed > 0 and w.posted > w.held order by w.id limit $1`,
      [BATCH],
    )
    for (const { id } of rows)
      await transaction(db, async (tx) => {
        await lockWallets(tx, [id])
        await tx.query('select collect_owed($1, $2)', [slot.current().slot, id])
      })
  }

  /** Applies what is due; one that fails keeps no other from it. Returns how many were applied. */
  async function sweep(): Promise<number> {
    const { rows } = await db.query<ProviderEvent>(
      `update stripe_event e set next_attempt_at = clock_timestamp() + interval '60 seconds'
       from (select id from stripe_event where applied_at is null and next_attempt_at <= now() and attempts < $1
             order by next_attempt_at limit $2 for update skip locked) due
       where e.id = due.id
       returning e.id, e.type, e.object_id as "objectId", e.object_type as "objectType", e.customer_id as "customerId"`,
      [ATTEMPTS_MAX, BATCH],
    )
    let done = 0
    for (const event of rows) {
      if (signal.aborted) break
      await attempt(event).then(
        () => {
          done += 1
        },
        () => undefined, // told by onError
      )
    }
    await collect()
    await db.query(
      `delete from stripe_event where id in (
         select id from stripe_event where applied_at < now() - make_interval(days => $1) order by applied_at limit $2)`,
      [KEPT_DAYS, PRUNED_MAX],
    )
    return done
  }

  const sweeping = (async () => {
    while (!signal.aborted) {
      await delay(everyMs, undefined, { signal, ref: false }).catch(() => undefined)
      if (!signal.aborted)
        await sweep().catch((error: unknown) => onError(error, { id: '', type: 'sweep', givenUp: false }))
    }
  })()

  return {
    sweep,

    /**
     * Takes an event in and books its object. Resolves when it is booked or does not concern us; rejects when it has to be tried
     * again: it is written down by then, unless the database is away. Throws AppError signature_invalid for what Stripe did not sign.
     */
    async receive(rawBody: Buffer, signature: string): Promise<void> {
      const event = read(provider, rawBody, signature)
      const isMoney = event.objectType in objectTypes || parts.some((name) => name === event.objectType)
      if (!isMoney || event.objectId === '') return
      await db.query(
        `insert into stripe_event (id, type, object_id, object_type, customer_id) values ($1, $2, $3, $4, $5)
         on conflict (id) do nothing`,
        [event.id, event.type, event.objectId, event.objectType, event.customerId],
      )
      await attempt(event)
    },

    async close(): Promise<void> {
      closing.abort()
      await sweeping
    },
  }
}

export type PaymentEvents = ReturnType<typeof createPaymentEvents>

/** From before an object is read to the commit of what it says: the later reader writes later. */
export async function lockCustomer(tx: Tx, id: string): Promise<void> {
  await tx.query(`select pg_advisory_xact_lock(hashtextextended('fluxgate stripe ' || $1, 0))`, [id])
}

function read(provider: PaymentProvider, rawBody: Buffer, signature: string): ProviderEvent {
  try {
    return provider.readEvent(rawBody, signature)
  } catch (cause) {
    throw new AppError('signature_invalid', { cause })
  }
}

const failures = new Set([
  'checkout.session.async_payment_failed',
  'payment_intent.payment_failed',
  'invoice.payment_failed',
])

async function tellOfFailure(tx: Tx, { type, objectId }: ProviderEvent): Promise<void> {
  if (!failures.has(type)) return
  const { rows } = await tx.query<{ projectId: string }>(
    `select project_id as "projectId" from stripe_order where session_id = $1 or payment_intent_id = $1
     union select project_id from stripe_invoice where id = $1
     union select project_id from auto_top_up_attempt where intent_id = $1`,
    [objectId],
  )
  const [owner] = rows
  if (owner === undefined) return
  const data = { project_id: owner.projectId, payment_id: objectId, reason: type }
  await emitOperatorEvent(tx, { type: 'payment.failed', once: [objectId], data })
}
