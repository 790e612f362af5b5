import type Stripe from 'stripe'
import type { Bank, Outcome } from './bank.ts'
import type { Billing } from './billing.ts'
import { type Books, idOf } from './books.ts'
import { declineOf } from './cards.ts'
import { invalid } from './refusal.ts'
import { discountOf } from './shapes/catalogue.ts'
import { addCustomer } from './shapes/payments.ts'
import { addSession } from './shapes/sessions.ts'

/** What a session is for, which Stripe keeps and does not show on it. */
export interface Purpose {
  items: Stripe.LineItem[]
  intentMetadata: Stripe.Metadata
  subscriptionMetadata: Stripe.Metadata
  savesCard: boolean
  coupon?: Stripe.Coupon | undefined
}

export interface Payment {
  outcome?: Outcome
  /** A code that the person types in. */
  promotionCode?: string | undefined
}

/** Checkout sessions, and what the person in front of one does. */
export function createCheckout(books: Books, bank: Bank, billing: Billing) {
  const { get, tell } = books
  const purposes = new Map<string, Purpose>()

  function purposeOf(id: string): Purpose {
    const purpose = purposes.get(id)
    if (purpose === undefined) throw new Error(`${id} is no session of this double`)
    return purpose
  }

  function discount(session: Stripe.Checkout.Session, coupon: Stripe.Coupon): void {
    const subtotal = session.amount_subtotal ?? 0
    const off = discountOf(coupon, subtotal, session.currency ?? '')
    session.amount_total = subtotal - off
    if (session.total_details) session.total_details.amount_discount = off
    purposeOf(session.id).coupon = coupon
  }

  function redeem(session: Stripe.Checkout.Session, code: string): void {
    if (!session.allow_promotion_codes) throw invalid('This session takes no promotion codes.')
    const known = books.all('promotion_code').find((one) => one.code.toLowerCase() === code.toLowerCase() && one.active)
    if (known === undefined) throw invalid('This promotion code is invalid.')
    const coupon = get('coupon', idOf(known.promotion.coupon))
    if (known.max_redemptions !== null && known.times_redeemed >= known.max_redemptions)
      throw invalid('This promotion code has been redeemed already.')
    known.times_redeemed += 1
    coupon.times_redeemed += 1
    session.discounts = [{ coupon: null, promotion_code: known.id }]
    discount(session, coupon)
  }

  /** A session without a customer gets one where it is a subscription or asks for one. */
  function customerOf(session: Stripe.Checkout.Session): string | null {
    const known = idOf(session.customer)
    if (known !== '' || (session.mode === 'payment' && session.customer_creation !== 'always')) return known || null
    const email = session.customer_email ?? 'somebody@example.com'
    const customer = addCustomer(books, { email })
    tell('customer.created', customer)
    session.customer = customer.id
    return customer.id
  }

  function complete(session: Stripe.Checkout.Session, status: Stripe.Checkout.Session.PaymentStatus): void {
    const customer = books.find('customer', idOf(session.customer))
    session.customer_details = {
      ...{
        address: null,
        business_name: null,
        email: customer?.email ?? session.customer_email,
        individual_name: null,
      },
      ...{ name: null, phone: null, tax_exempt: 'none', tax_ids: [] },
    }
    Object.assign(session, { status: 'complete', payment_status: status, url: null })
    tell('checkout.session.completed', session)
  }

  function payOnce(session: Stripe.Checkout.Session, outcome: Outcome): void {
    const customer = customerOf(session)
    if (session.amount_total === 0) {
      complete(session, 'no_payment_required')
      return
    }
    const { intentMetadata, savesCard } = purposeOf(session.id)
    // A session has one intent, however often the person tries.
    const intent =
      books.find('payment_intent', idOf(session.payment_intent)) ??
      bank.openIntent({
        ...{ amount: session.amount_total ?? 0, currency: session.currency ?? '', customer },
        ...{ metadata: { ...intentMetadata }, setup_future_usage: savesCard ? 'off_session' : null },
      })
    intent.amount = session.amount_total ?? 0
    session.payment_intent = intent.id
    if (outcome === 'succeeded' && savesCard && customer !== null) intent.payment_method = bank.saveCard(customer).id
    bank.confirm(intent, outcome)
    if (outcome !== 'declined') complete(session, outcome === 'succeeded' ? 'paid' : 'unpaid')
  }

  function subscribe(session: Stripe.Checkout.Session, outcome: Outcome): void {
    const customer = customerOf(session) ?? ''
    const { items, subscriptionMetadata, coupon } = purposeOf(session.id)
    const [item] = items
    if (outcome === 'processing') throw new Error('the double knows no delayed payments of subscriptions')
    if (outcome === 'declined' || item?.price == null) return
    const card = bank.saveCard(customer)
    const subscription = billing.subscribe(
      {
        ...{ customer, price: item.price, quantity: item.quantity ?? 1, currency: session.currency ?? '' },
        metadata: { ...subscriptionMetadata },
      },
      { method: card.id, coupon, outcome },
    )
    Object.assign(session, { subscription: subscription.id, invoice: subscription.latest_invoice })
    complete(session, session.amount_total === 0 ? 'no_payment_required' : 'paid')
  }

  function expire(id: string): Stripe.Checkout.Session {
    const session = get('checkout', id)
    if (session.status !== 'open')
      throw invalid(
        `Only Checkout Sessions with a status in ["open"] can be expired. This Checkout Session has a status of ${session.status}.`,
      )
    Object.assign(session, { status: 'expired', url: null })
    tell('checkout.session.expired', session)
    return session
  }

  return {
    open(members: Parameters<typeof addSession>[1], purpose: Purpose): Stripe.Checkout.Session {
      const session = addSession(books, members)
      session.line_items = {
        ...{
          object: 'list',
          data: purpose.items,
          has_more: false,
          url: `/v1/checkout/sessions/${session.id}/line_items`,
        },
      }
      purposes.set(session.id, purpose)
      if (purpose.coupon) discount(session, purpose.coupon)
      return session
    },

    itemsOf: (id: string): Stripe.LineItem[] => purposeOf(get('checkout', id).id).items,

    /** The person pays on the page of a checkout, or tries to. */
    pay(id: string, { outcome = 'succeeded', promotionCode }: Payment = {}): Stripe.Checkout.Session {
      const session = get('checkout', id)
      if (session.status !== 'open') throw invalid(`This session is ${session.status}.`)
      if (promotionCode !== undefined) redeem(session, promotionCode)
      if (session.mode === 'subscription') subscribe(session, outcome)
      else payOnce(session, outcome)
      return session
    },

    /** A delayed payment arrives, or does not. */
    settle(id: string, outcome: 'succeeded' | 'failed'): Stripe.Checkout.Session {
      const session = get('checkout', id)
      const intent = get('payment_intent', idOf(session.payment_intent))
      if (intent.status !== 'processing') throw new Error(`${intent.id} is ${intent.status}`)
      if (outcome === 'failed') {
        bank.decline(intent, declineOf('payment_intent_payment_attempt_failed'))
        tell('checkout.session.async_payment_failed', session)
        return session
      }
      bank.succeed(intent)
      session.payment_status = 'paid'
      tell('checkout.session.async_payment_succeeded', session)
      return session
    },

    expire,

    /** Sessions end a day after they have begun. */
    expireOld(): void {
      for (const one of books.all('checkout'))
        if (one.status === 'open' && one.expires_at <= books.now()) expire(one.id)
    },
  }
}

export type Checkout = ReturnType<typeof createCheckout>
