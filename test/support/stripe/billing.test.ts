import assert from 'node:assert/strict'
import { afterEach, beforeEach, test } from 'node:test'
import type Stripe from 'stripe'
import { createStripeDouble, type StripeDouble } from './double.ts'

const START = Date.UTC(2027, 0, 31, 12) / 1000

let double: StripeDouble
let stripe: Stripe
let basic: string
let large: string
beforeEach(async () => {
  double = await createStripeDouble({ now: START })
  stripe = double.stripe
  basic = double.addPrice({ flux: '1000', amount: 1000, recurring: true })
  large = double.addPrice({ flux: '3000', amount: 2000, recurring: true })
})
afterEach(() => double.close())

const typesOf = (events = double.newEvents()) => events.map(({ type }) => type)
const dayOf = (seconds = 0) => new Date(seconds * 1000).toISOString().slice(0, 10)

async function subscribe(more: Partial<Stripe.Checkout.SessionCreateParams> = {}, promotionCode?: string) {
  const session = await stripe.checkout.sessions.create({
    ...{ mode: 'subscription', line_items: [{ price: basic, quantity: 1 }], success_url: 'http://shop.example' },
    ...{ customer_email: 'ada@example.com', allow_promotion_codes: true },
    ...{ subscription_data: { metadata: { project: 'p1' } }, ...more },
  })
  double.newEvents()
  const { subscription, invoice, customer } = double.pay(session.id, { promotionCode })
  return { id: subscription as string, invoice: invoice as string, customer: customer as string, session: session.id }
}

const read = async (id: string) => {
  const { status, items, ...rest } = await stripe.subscriptions.retrieve(id)
  const [item] = items.data
  assert(item)
  return { ...rest, status, item, period: [dayOf(item.current_period_start), dayOf(item.current_period_end)] }
}
const linesOf = async (invoice: string) =>
  (await stripe.invoices.listLineItems(invoice)).data.map(({ amount, pricing, parent, period }) => [
    ...[amount, pricing?.price_details?.price, parent?.type, dayOf(period.start), dayOf(period.end)],
  ])

function goToHalf(item: Stripe.SubscriptionItem): void {
  double.advance((item.current_period_start + item.current_period_end) / 2 - double.now())
}

test('a subscription begins with an invoice that is paid', async () => {
  const { id, invoice, customer, session } = await subscribe()
  assert.deepEqual(typesOf(), [
    ...['customer.created', 'payment_method.attached', 'customer.subscription.created', 'invoice.created'],
    ...['invoice.finalized', 'payment_intent.created', 'charge.succeeded', 'payment_intent.succeeded', 'invoice.paid'],
    ...['invoice.payment_succeeded', 'invoice_payment.paid', 'customer.subscription.updated'],
    ...['checkout.session.completed', 'charge.updated'],
  ])
  const { status, metadata, latest_invoice, period } = await read(id)
  assert.deepEqual([status, metadata, latest_invoice], ['active', { project: 'p1' }, invoice])
  // A month after the last of January is the last of February.
  assert.deepEqual(period, ['2027-01-31', '2027-02-28'])
  const paid = await stripe.checkout.sessions.retrieve(session)
  assert.deepEqual([paid.payment_status, paid.payment_intent, paid.invoice], ['paid', null, invoice])
  const made = await stripe.invoices.retrieve(invoice, { expand: ['payments'] })
  assert.deepEqual(
    [made.status, made.billing_reason, made.amount_due, made.amount_paid, made.period_start, made.period_end],
    ['paid', 'subscription_create', 1000, 1000, START, START],
  )
  assert.deepEqual(made.parent?.subscription_details, { metadata: { project: 'p1' }, subscription: id })
  assert.deepEqual(await linesOf(invoice), [[1000, basic, 'subscription_item_details', '2027-01-31', '2027-02-28']])
  const [payment] = (await stripe.invoicePayments.list({ invoice, status: 'paid' })).data
  assert.equal(made.payments?.data[0]?.id, payment?.id)
  const intent = String(payment?.payment.payment_intent)
  const byIntent = await stripe.invoicePayments.list({ payment: { type: 'payment_intent', payment_intent: intent } })
  assert.equal(byIntent.data[0]?.invoice, invoice)
  assert.deepEqual((await stripe.paymentIntents.retrieve(intent)).metadata, {})
  for (const list of [
    await stripe.subscriptions.list({ customer }),
    await stripe.subscriptions.list({ price: basic, status: 'active' }),
  ])
    assert.deepEqual(
      list.data.map((one) => one.id),
      [id],
    )
})

test('a renewal is invoiced an hour after its period has begun', async () => {
  const { id } = await subscribe()
  double.newEvents()
  const { id: invoice } = double.renew(id)
  const events = double.newEvents()
  assert.deepEqual(typesOf(events), [
    ...['customer.subscription.updated', 'invoice.created', 'invoice.finalized', 'payment_intent.created'],
    ...['charge.succeeded', 'payment_intent.succeeded', 'invoice.paid', 'invoice.payment_succeeded'],
    ...['invoice_payment.paid', 'charge.updated'],
  ])
  assert.deepEqual([events[1].data.object.status, events[2].created - events[1].created], ['draft', 3600])
  assert.deepEqual((await read(id)).period, ['2027-02-28', '2027-03-28'])
  const made = await stripe.invoices.retrieve(invoice)
  // Its own period has ended, that of its line begins.
  assert.deepEqual([dayOf(made.period_start), dayOf(made.period_end)], ['2027-01-31', '2027-02-28'])
  assert.deepEqual(await linesOf(invoice), [[1000, basic, 'subscription_item_details', '2027-02-28', '2027-03-28']])
  const listed = await stripe.invoices.list({ subscription: id, status: 'paid' })
  assert.equal(listed.data.length, 2)
  assert.equal(listed.data[0]?.id, invoice)
})

test('a renewal that is not paid makes the subscription past due until it is', async () => {
  const { id } = await subscribe()
  double.newEvents()
  const { id: invoice } = double.renew(id, { outcome: 'declined' })
  assert.deepEqual(typesOf().slice(3), [
    ...['payment_intent.created', 'charge.failed', 'payment_intent.payment_failed', 'invoice.payment_failed'],
    'customer.subscription.updated',
  ])
  assert.equal((await read(id)).status, 'past_due')
  const open = await stripe.invoices.retrieve(invoice)
  assert.deepEqual([open.status, open.attempt_count, open.amount_remaining], ['open', 1, 1000])
  assert.deepEqual((await stripe.invoicePayments.list({ invoice, status: 'paid' })).data, [])
  assert.equal((await stripe.invoices.pay(invoice)).status, 'paid')
  assert.equal((await read(id)).status, 'active')
  assert.equal((await stripe.invoicePayments.list({ invoice })).data.length, 1)
  await assert.rejects(stripe.invoices.pay(invoice), /already paid/)
  await assert.rejects(stripe.invoices.finalizeInvoice(invoice), /already finalized/)
})

test('the saved card decides where nobody else does', async () => {
  const { id, customer } = await subscribe()
  const card = await stripe.paymentMethods.attach('pm_card_chargeCustomerFail', { customer })
  await stripe.subscriptions.update(id, { default_payment_method: card.id })
  const { id: invoice } = double.renew(id)
  assert.equal((await stripe.invoices.retrieve(invoice)).status, 'open')
  await assert.rejects(stripe.invoices.pay(invoice), { code: 'card_declined' })
  assert.equal((await stripe.invoices.retrieve(invoice)).attempt_count, 2)
})

test('a change of plan is prorated by time and invoiced at once where that is wanted', async () => {
  const { id } = await subscribe()
  const { item } = await read(id)
  goToHalf(item)
  double.newEvents()
  const changed = await stripe.subscriptions.update(id, {
    ...{ items: [{ id: item.id, price: large }], proration_behavior: 'always_invoice' },
  })
  assert.deepEqual(
    [changed.items.data[0]?.price.id, changed.items.data[0]?.current_period_end],
    [large, item.current_period_end],
  )
  const invoice = String(changed.latest_invoice)
  const { billing_reason, amount_paid } = await stripe.invoices.retrieve(invoice)
  assert.deepEqual([billing_reason, amount_paid], ['subscription_update', 500])
  assert.deepEqual(await linesOf(invoice), [
    [-500, basic, 'invoice_item_details', '2027-02-14', '2027-02-28'],
    [1000, large, 'invoice_item_details', '2027-02-14', '2027-02-28'],
  ])
  assert.equal(typesOf()[0], 'customer.subscription.updated')
})

test('a change of plan waits for the next invoice otherwise, and is no matter of money where nobody wants it', async () => {
  const { id } = await subscribe()
  const { item, latest_invoice } = await read(id)
  goToHalf(item)
  await stripe.subscriptions.update(id, { items: [{ id: item.id, price: large }] })
  assert.equal((await read(id)).latest_invoice, latest_invoice)
  const renewal = double.renew(id)
  assert.equal(renewal.amount_paid, 2500)
  assert.deepEqual(
    (await linesOf(renewal.id)).map(([amount, price]) => [amount, price]),
    [
      [-500, basic],
      [1000, large],
      [2000, large],
    ],
  )
  double.changePlan(id, basic, 'none')
  assert.equal(double.renew(id).amount_paid, 1000)
})

test('what a smaller plan gives back stays with the customer and pays the next invoice', async () => {
  const { id, customer } = await subscribe({ line_items: [{ price: large, quantity: 1 }] })
  goToHalf((await read(id)).item)
  const back = double.changePlan(id, basic)
  assert.deepEqual([back.total, back.amount_due, back.amount_paid, back.status], [-500, 0, 0, 'paid'])
  assert.equal(((await stripe.customers.retrieve(customer)) as Stripe.Customer).balance, -500)
  const renewal = double.renew(id)
  assert.deepEqual(
    [renewal.total, renewal.starting_balance, renewal.amount_paid, renewal.ending_balance],
    [1000, -500, 500, 0],
  )
})

test('another cycle begins at once', async () => {
  const { id } = await subscribe()
  const yearly = double.addPrice({ amount: 9000, recurring: { interval: 'year', interval_count: 1 } })
  goToHalf((await read(id)).item)
  const invoice = double.changePlan(id, yearly, 'create_prorations')
  assert.deepEqual((await read(id)).period, ['2027-02-14', '2028-02-14'])
  assert.deepEqual(
    (await linesOf(invoice.id)).map(([amount, , type]) => [amount, type]),
    [
      [-500, 'invoice_item_details'],
      [9000, 'subscription_item_details'],
    ],
  )
})

test('a subscription ends at once, or with its period', async () => {
  const { id } = await subscribe()
  const { id: other } = await subscribe()
  double.newEvents()
  const gone = await stripe.subscriptions.cancel(id, { prorate: false })
  assert.deepEqual([gone.status, gone.canceled_at, gone.ended_at], ['canceled', double.now(), double.now()])
  assert.deepEqual(typesOf(), ['customer.subscription.deleted'])
  await assert.rejects(stripe.subscriptions.cancel(id), { code: 'resource_missing' })
  const ending = await stripe.subscriptions.update(other, { cancel_at_period_end: true })
  assert.deepEqual(
    [ending.status, ending.cancel_at_period_end, dayOf(ending.cancel_at ?? 0)],
    ['active', true, '2027-02-28'],
  )
  assert.deepEqual(typesOf(), ['customer.subscription.updated'])
  assert.equal(double.renew(other), undefined)
  assert.deepEqual(typesOf(), ['customer.subscription.deleted'])
  assert.deepEqual((await stripe.subscriptions.list()).data, [])
  assert.equal((await stripe.subscriptions.list({ status: 'all' })).data.length, 2)
})

test('whoever is deleted has no subscription any more', async () => {
  const { id, customer } = await subscribe()
  double.newEvents()
  await stripe.customers.del(customer)
  assert.deepEqual(typesOf(), ['customer.subscription.deleted', 'payment_method.detached', 'customer.deleted'])
  assert.equal((await read(id)).status, 'canceled')
})

test('a promotion code takes off the first invoice, or every one', async () => {
  const once = await subscribe({}, double.addPromotionCode({ percent_off: 50 }))
  const first = await stripe.invoices.retrieve(once.invoice)
  assert.deepEqual([first.subtotal, first.total, first.amount_paid], [1000, 500, 500])
  // The amount of a line is that before the discount.
  assert.equal(first.lines.data[0]?.amount, 1000)
  assert.equal(double.renew(once.id).amount_paid, 1000)
  const free = await subscribe({}, double.addPromotionCode({ percent_off: 100, duration: 'forever' }))
  const { payment_status } = await stripe.checkout.sessions.retrieve(free.session)
  const nothing = await stripe.invoices.retrieve(free.invoice)
  assert.deepEqual([payment_status, nothing.status, nothing.amount_due], ['no_payment_required', 'paid', 0])
  assert.deepEqual((await stripe.invoicePayments.list({ invoice: free.invoice })).data, [])
  assert.equal(double.renew(free.id).amount_paid, 0)
})

test('the page of the portal ends a subscription with its period and leads back', async () => {
  const { id, customer } = await subscribe()
  const { url } = await stripe.billingPortal.sessions.create({ customer, return_url: 'http://shop.example/?a=1&b=2' })
  const page = await (await fetch(url)).text()
  assert.match(page, /<button>Cancel subscription<\/button>/)
  assert.match(page, /href="http:\/\/shop\.example\/\?a=1&#38;b=2">Back</)
  const { status, headers } = await fetch(url, { method: 'POST', redirect: 'manual' })
  assert.deepEqual([status, headers.get('location')], [303, new URL(url).pathname])
  assert.match(await (await fetch(url)).text(), /ends with its period/)
  assert.equal((await read(id)).cancel_at_period_end, true)
})
