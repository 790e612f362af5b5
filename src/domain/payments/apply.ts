import type { Tx } from '#db/pool.ts'
import { emitOperatorEvent } from '#domain/operator-events.ts'
import { AppError } from '#src/errors.ts'
import type { Catalogue } from './catalogue.ts'
import {
  type BookedPayment,
  claimBack,
  creditPayment,
  isBooked,
  latestOfSubscription,
  paymentsOfIntent,
  recordCash,
} from './credit.ts'
import { formatAmount } from './currency.ts'
import { invoiceFlux } from './invoice-flux.ts'
import {
  orderOf,
  projectOfCustomer,
  projectOfSubscription,
  saveInvoice,
  saveOrder,
  saveSubscription,
} from './orders.ts'
import type { CheckoutSession, Invoice, PaymentIntent, PaymentProvider } from './provider.ts'
import { failAttempt } from './top-up-attempts.ts'

/** What became true by applying an object, for whoever is told after the commit. */
export interface Applied {
  credited: { projectId: string; kind: string; minor: bigint; currency: string }[]
  cancelled: { projectId: string; subscriptionId: string }[]
  /** Automatic top-ups that were not paid. */
  failed: { projectId: string; minor: bigint; currency: string }[]
}

/** An object of Stripe that events tell of. */
export type MoneyObject =
  | { type: 'checkout'; id: string }
  | { type: 'intent'; id: string }
  | { type: 'invoice'; id: string }
  | { type: 'subscription'; id: string }

export interface ApplierOptions {
  provider: PaymentProvider
  catalogue: Catalogue
  slot: { current(): { slot: number } }
  fluxNanousd: bigint
}

/**
 * Makes the books agree with an object of Stripe as it is now: whatever event has told of it, in whatever order, however often.
 * Whoever calls holds the lock of the object's customer from before the object is read to the commit, so that nobody writes what
 * was read earlier over what was read later.
 */
export function createApplier(options: ApplierOptions) {
  const { provider, catalogue, slot, fluxNanousd } = options

  async function applyCheckout(tx: Tx, id: string, applied: Applied): Promise<void> {
    const session = await provider.findCheckout(id)
    if (session !== undefined) await takeCheckout(tx, session, applied)
  }

  /** Returns whether the checkout is one of ours. */
  async function takeCheckout(tx: Tx, session: CheckoutSession, applied: Applied): Promise<boolean> {
    const order = await orderOf(tx, session)
    if (order === undefined) return false
    await saveOrder(tx, session, order)
    const isPaid = session.paymentStatus === 'paid' || session.paymentStatus === 'no_payment_required'
    // What a subscription pays for comes with its invoices.
    if (session.mode !== 'payment' || session.status !== 'complete' || !isPaid) return true
    const intent = session.intentId === null ? undefined : await provider.findIntent(session.intentId)
    const minor = intent?.amountReceived ?? 0n
    const currency = intent?.currency ?? session.currency
    const isNew = await creditPayment(tx, slot.current().slot, {
      ...{ paymentId: session.intentId ?? session.id, kind: 'top_up', projectId: order.projectId },
      ...{ amountNanos: order.flux * fluxNanousd, minor, currency, intentId: session.intentId },
      reason: `Stripe payment ${formatAmount(minor, currency)}`,
    })
    if (isNew) applied.credited.push({ projectId: order.projectId, kind: 'top_up', minor, currency })
    if (intent !== undefined) await takeReversals(tx, intent)
    return true
  }

  async function applyIntent(tx: Tx, id: string, applied: Applied): Promise<void> {
    const intent = await provider.findIntent(id)
    if (intent === undefined) return
    if ((await paymentsOfIntent(tx, id)).length > 0) return takeReversals(tx, intent)
    if (intent.metadata.kind === 'auto_top_up') return takeAutoTopUp(tx, intent, applied)
    const session = await provider.findCheckoutOfIntent(id)
    if (session !== undefined && (await takeCheckout(tx, session, applied))) return
    const invoiceId = await provider.findInvoiceOfIntent(id)
    if (invoiceId !== undefined) await applyInvoice(tx, invoiceId, applied)
  }

  async function takeAutoTopUp(tx: Tx, intent: PaymentIntent, applied: Applied): Promise<void> {
    const { rows } = await tx.query<{ id: string; projectId: string; flux: bigint; minor: bigint; currency: string }>(
      `select id, project_id as "projectId", flux, minor, currency from auto_top_up_attempt where id::text = $1 for update`,
      [intent.metadata.attempt ?? ''],
    )
    const [attempt] = rows
    if (attempt === undefined) return
    if (intent.status === 'canceled' || (intent.status === 'requires_payment_method' && intent.failure !== null)) {
      const failure = intent.failure ?? intent.status
      if (await failAttempt(tx, { id: attempt.id, intentId: intent.id, failure })) applied.failed.push(attempt)
      return
    }
    if (intent.status !== 'succeeded') return
    const { projectId } = attempt
    const isNew = await creditPayment(tx, slot.current().slot, {
      ...{ paymentId: intent.id, kind: 'auto_top_up', projectId, intentId: intent.id },
      ...{ amountNanos: attempt.flux * fluxNanousd, minor: intent.amountReceived, currency: intent.currency },
      reason: `Automatic top-up ${formatAmount(intent.amountReceived, intent.currency)}`,
    })
    await tx.query(
      `update auto_top_up_attempt set state = 'succeeded', intent_id = $2, error = null, ended_at = clock_timestamp()
       where id = $1 and state <> 'succeeded'`,
      [attempt.id, intent.id],
    )
    if (isNew) {
      await tx.query('update auto_top_up set failures = 0 where project_id = $1 and failures > 0', [projectId])
      applied.credited.push({
        ...{ projectId, kind: 'auto_top_up', minor: intent.amountReceived, currency: intent.currency },
      })
    }
    await takeReversals(tx, intent)
  }

  /** Refunds and disputes of what an intent has paid for. */
  async function takeReversals(tx: Tx, intent: PaymentIntent): Promise<void> {
    const payments = await paymentsOfIntent(tx, intent.id)
    const [first] = payments
    if (first === undefined) return
    await recordCash(tx, first.id, intent.cash)
    for (const payment of payments) {
      const change = await claimBack(tx, slot.current().slot, {
        payment,
        reversedMinor: intent.reversed,
        reason: reasonOf(payment, intent),
      })
      if (change !== 0n) await tellOfReversal(tx, payment, intent)
    }
    for (const dispute of intent.disputes) {
      const data = {
        ...{ project_id: first.projectId, payment_id: first.id, dispute_id: dispute.id, reason: dispute.reason },
        ...{ amount: formatAmount(dispute.amount, dispute.currency), status: dispute.status },
      }
      // An inquiry that becomes a dispute keeps its id, and is told again: now money has gone.
      const once = [dispute.id, ...(dispute.status.startsWith('warning_') ? ['inquiry'] : [])]
      await emitOperatorEvent(tx, { type: 'dispute.opened', once, data })
      if (dispute.isClosed) await emitOperatorEvent(tx, { type: 'dispute.closed', once: [dispute.id], data })
    }
  }

  async function tellOfReversal(tx: Tx, payment: BookedPayment, intent: PaymentIntent): Promise<void> {
    const refunded = intent.cash.filter(({ kind }) => kind === 'refund')
    if (refunded.length === 0) return
    await emitOperatorEvent(tx, {
      type: 'payment.refunded',
      once: [payment.id, ...refunded.map(({ transactionId }) => transactionId).sort()],
      data: {
        ...{ project_id: payment.projectId, payment_id: payment.id },
        amount: formatAmount(intent.reversed, intent.currency),
      },
    })
  }

  async function applyInvoice(tx: Tx, id: string, applied: Applied): Promise<void> {
    const invoice = await provider.findInvoice(id)
    if (invoice === undefined) return
    const projectId =
      (await projectOfSubscription(tx, invoice.subscriptionId)) ?? (await projectOfCustomer(tx, invoice.customerId))
    if (projectId === undefined) return
    await saveInvoice(tx, projectId, invoice)
    if (invoice.status !== 'paid' || invoice.subscriptionId === null) return
    await takePeriod(tx, { ...invoice, subscriptionId: invoice.subscriptionId }, projectId, applied)
    const intent = invoice.intentId === null ? undefined : await provider.findIntent(invoice.intentId)
    if (intent !== undefined) await takeReversals(tx, intent)
  }

  async function takePeriod(
    tx: Tx,
    invoice: Invoice & { subscriptionId: string },
    projectId: string,
    applied: Applied,
  ): Promise<void> {
    // Worth what it was when it was credited: the metadata of a price may have changed since.
    if (await isBooked(tx, invoice.id)) return
    const lines = []
    for (const line of invoice.lines) {
      const price = line.priceId === null ? undefined : await catalogue.find(line.priceId)
      if (price !== undefined) lines.push({ line, price })
    }
    const worth = invoiceFlux(lines, { currency: invoice.currency, fluxNanousd, now: new Date() })
    const { amountPaid: minor, currency } = invoice
    if (worth.nanos > 0n) {
      const isNew = await creditPayment(tx, slot.current().slot, {
        ...{ paymentId: invoice.id, kind: 'subscription', projectId, intentId: invoice.intentId },
        ...{ amountNanos: worth.nanos, minor, currency },
        reason: `Subscription ${formatAmount(minor, currency)}`,
        period: {
          subscriptionId: invoice.subscriptionId,
          expiresAt: worth.expiresAt,
          rolloverNanos: worth.rolloverNanos,
        },
      })
      if (isNew) applied.credited.push({ projectId, kind: 'subscription', minor, currency })
    } else if (worth.nanos < 0n) await takeProration(tx, invoice, -worth.nanos)
  }

  /** A smaller plan: what it gives back of the period is taken from what the period was credited. */
  async function takeProration(tx: Tx, invoice: Invoice & { subscriptionId: string }, nanos: bigint): Promise<void> {
    const payment = await latestOfSubscription(tx, invoice.subscriptionId)
    // Its first invoice is told of by another event, which may come later: then this one is tried again.
    if (payment === undefined)
      throw new AppError('payment_provider_unavailable', {
        cause: new Error(`nothing is booked yet of ${invoice.subscriptionId}`),
      })
    const { rowCount } = await tx.query(
      'insert into payment_proration (invoice_id, payment_id, amount) values ($1, $2, $3) on conflict do nothing',
      [invoice.id, payment.id, nanos],
    )
    if (rowCount === 0) return
    await tx.query('select claim_back($1, $2, least((select amount from payment where id = $2), $3::bigint), $4)', [
      ...[slot.current().slot, payment.id, payment.reversedNanos + nanos, 'Change to a smaller plan'],
    ])
  }

  async function applySubscription(tx: Tx, id: string, applied: Applied): Promise<void> {
    const subscription = await provider.findSubscription(id)
    if (subscription === undefined) return
    const projectId = (await projectOfSubscription(tx, id)) ?? (await projectOfCustomer(tx, subscription.customerId))
    if (projectId === undefined) return
    const before = await saveSubscription(tx, projectId, subscription)
    if (subscription.status === 'canceled' && before !== 'canceled')
      applied.cancelled.push({ projectId, subscriptionId: id })
  }

  return {
    /** Throws AppError payment_provider_unavailable, payment_provider_refused; what is not ours changes nothing. */
    async apply(tx: Tx, object: MoneyObject): Promise<Applied> {
      const applied: Applied = { credited: [], cancelled: [], failed: [] }
      const { type, id } = object
      if (type === 'checkout') await applyCheckout(tx, id, applied)
      else if (type === 'intent') await applyIntent(tx, id, applied)
      else if (type === 'invoice') await applyInvoice(tx, id, applied)
      else await applySubscription(tx, id, applied)
      return applied
    },
  }
}

export type Applier = ReturnType<typeof createApplier>

function reasonOf(payment: BookedPayment, intent: PaymentIntent): string {
  const amount = formatAmount(intent.reversed, intent.currency)
  if (intent.disputes.some(({ takesMoney }) => takesMoney)) return `Payment disputed, ${amount} taken back`
  return payment.reversedNanos > 0n && intent.reversed === 0n ? 'Payment stands again' : `Payment refunded, ${amount}`
}
