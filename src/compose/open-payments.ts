import { Counter } from 'prom-client'
import type { Db } from '#db/pool.ts'
import { createLowBalances } from '#domain/flux/low-balance.ts'
import { type Applied, createApplier } from '#domain/payments/apply.ts'
import { createAutoTopUps } from '#domain/payments/auto-top-up.ts'
import { createCatalogue } from '#domain/payments/catalogue.ts'
import { createCheckout } from '#domain/payments/checkout.ts'
import { formatAmount } from '#domain/payments/currency.ts'
import { createCustomers } from '#domain/payments/customers.ts'
import { createPaymentEvents } from '#domain/payments/events.ts'
import { createPaymentLists } from '#domain/payments/payment-lists.ts'
import type { PaymentProvider } from '#domain/payments/provider.ts'
import type { SendMail } from '#domain/people/mail.ts'
import type { Capture } from '#domain/people/product-event.ts'
import type { Users } from '#domain/people/users.ts'
import type { Settings } from '#domain/settings.ts'
import type { Payments } from '#routes/person/payments.ts'
import type { Parts } from './parts.ts'

const EVENTS_MS = 5_000
const TOP_UPS_MS = 5_000

interface Below {
  db: Db
  /** Undefined where nothing is sold. */
  provider: PaymentProvider | undefined
  slot: { current(): { slot: number } }
  settings: () => Settings
  users: Users
  sendMail: SendMail
  capture: Capture | undefined
  trusts: (origin: string) => boolean
}

/** Selling Flux by Stripe, and telling people that theirs runs low. */
export function openPayments(parts: Parts, below: Below) {
  const { config } = parts
  const { db, provider, sendMail } = below
  const fluxNanousd = BigInt(config.FLUX_NANOUSD)
  return {
    lowBalances: createLowBalances({ db, sendMail, fluxNanousd }),
    paymentLists: createPaymentLists({ db }),
    payments: provider === undefined ? undefined : openShop(parts, { ...below, provider, fluxNanousd }),
    trusts: below.trusts,
  }
}

function openShop(parts: Parts, below: Below & { provider: PaymentProvider; fluxNanousd: bigint }): Payments {
  const { config, log, opened } = parts
  const { db, provider, slot, settings, users, fluxNanousd } = below
  const catalogue = createCatalogue({ provider, settings })
  const customers = createCustomers({ db, provider, users })
  const applier = createApplier({ provider, catalogue, slot, fluxNanousd })
  const tell = createTeller(parts, below)
  const events = createPaymentEvents({
    ...{ db, provider, applier, slot, everyMs: EVENTS_MS, onApplied: tell.applied },
    onError: (error, event) =>
      log[event.givenUp ? 'error' : 'warn'](
        { err: error, event: event.id, type: event.type },
        event.givenUp ? 'an event of Stripe is given up' : 'an event of Stripe could not be booked; tried again',
      ),
  })
  opened.defer(() => events.close())
  const autoTopUps = createAutoTopUps({
    ...{ db, provider, catalogue, customers, applier, fluxNanousd, everyMs: TOP_UPS_MS },
    ...{ onApplied: tell.applied, onFailed: tell.failed },
    onError: (error) => log.warn({ err: error }, 'an automatic top-up could not be made; tried again'),
  })
  opened.defer(() => autoTopUps.close())
  return {
    catalogue,
    checkout: createCheckout({ db, provider, catalogue, customers, settings }),
    autoTopUps,
    receive: config.STRIPE_WEBHOOK_SECRET === undefined ? undefined : events.receive,
  }
}

/** Who hears of payments: metrics, analytics, and by mail whose top-up failed. */
function createTeller({ registry, log }: Parts, { db, sendMail, capture }: Below) {
  const payments = new Counter({
    name: 'fluxgate_payments_total',
    help: 'Payments that this process has credited.',
    labelNames: ['kind', 'currency'],
    registers: [registry],
  })
  async function ownerOf(projectId: string): Promise<{ id: string; email: string; verified: boolean } | undefined> {
    const { rows } = await db.query<{ id: string; email: string; verified: boolean }>(
      `select u.id, u.email, u.email_verified as verified from project p join auth_user u on u.id = p.user_id where p.id = $1`,
      [projectId],
    )
    return rows[0]
  }
  const inBackground = (work: Promise<unknown>) =>
    void work.catch((error: unknown) => log.warn({ err: error }, 'nobody could be told of a payment'))

  function failed({ projectId, minor, currency }: { projectId: string; minor: bigint; currency: string }): void {
    inBackground(
      ownerOf(projectId).then(async (owner) => {
        if (owner?.verified) await sendMail(owner.email, 'top_up_failed', { amount: formatAmount(minor, currency) })
      }),
    )
  }
  function capturePayment(one: Applied['credited'][number]): void {
    if (capture === undefined) return
    inBackground(
      ownerOf(one.projectId).then((owner) => {
        if (owner === undefined) return
        const properties = { kind: one.kind, amount: Number(one.minor), currency: one.currency }
        capture({ event: 'payment_completed', userId: owner.id, properties })
      }),
    )
  }
  return {
    failed,
    applied(applied: Applied): void {
      for (const one of applied.credited) {
        payments.inc({ kind: one.kind, currency: one.currency })
        log.info({ project: one.projectId, kind: one.kind, minor: Number(one.minor), currency: one.currency }, 'paid')
        capturePayment(one)
      }
      for (const one of applied.failed) failed(one)
      for (const { projectId } of applied.cancelled)
        if (capture !== undefined)
          inBackground(
            ownerOf(projectId).then((owner) => {
              if (owner !== undefined) capture({ event: 'subscription_cancelled', userId: owner.id })
            }),
          )
    },
  }
}
