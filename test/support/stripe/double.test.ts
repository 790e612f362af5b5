import assert from 'node:assert/strict'
import { after, before, beforeEach, test } from 'node:test'
import Stripe from 'stripe'
import { createStripeDouble, PRODUCT, type StripeDouble } from './double.ts'

let double: StripeDouble
let stripe: Stripe
let customer: string
before(async () => {
  double = await createStripeDouble()
  stripe = double.stripe
  customer = (await stripe.customers.create({ email: 'buyer@example.com' })).id
})
beforeEach(() => {
  double.newEvents()
})
after(() => double.close())

const typesOf = (events = double.newEvents()) => events.map(({ type }) => type)
const idOf = (reference: string | { id: string } | null | undefined): string =>
  typeof reference === 'string' ? reference : (reference?.id ?? '')

async function open(more: Partial<Stripe.Checkout.SessionCreateParams> = {}): Promise<Stripe.Checkout.Session> {
  return await stripe.checkout.sessions.create({
    ...{ mode: 'payment', customer, success_url: 'http://shop.example/?id={CHECKOUT_SESSION_ID}' },
    ...{ cancel_url: 'http://shop.example/?a=1&b=2', metadata: { order: '1' } },
    line_items: [{ price: double.addPrice({ flux: '100', amount: 500 }), quantity: 2 }],
    payment_intent_data: { metadata: { order: '1' } },
    ...more,
  })
}

/** A purchase of 1000 that is paid; resolves to its payment intent. */
async function buy(more: Partial<Stripe.Checkout.SessionCreateParams> = {}): Promise<string> {
  const { id } = await open(more)
  const { payment_intent } = double.pay(id)
  double.newEvents()
  return payment_intent
}

const balanceOf = async (source: string) => (await stripe.balanceTransactions.list({ source })).data.toReversed()

test('the account, products and prices', async () => {
  assert.equal((await stripe.accounts.retrieveCurrent()).default_currency, 'usd')
  const product = await stripe.products.create({ name: 'Tea', metadata: { a: '1', b: '2' } })
  assert.deepEqual([product.object, product.active, product.metadata], ['product', true, { a: '1', b: '2' }])
  const changed = await stripe.products.update(product.id, { active: false, metadata: { a: '', c: '3' } })
  assert.deepEqual([changed.active, changed.name, changed.metadata], [false, 'Tea', { b: '2', c: '3' }])
  const price = await stripe.prices.create({
    ...{ product: product.id, currency: 'usd', unit_amount: 500, metadata: { fluxAmount: '100' } },
    ...{ recurring: { interval: 'month' }, currency_options: { jpy: { unit_amount: 700 } } },
  })
  assert.deepEqual(
    [price.type, price.recurring?.interval_count, price.unit_amount, String(price.unit_amount_decimal)],
    ['recurring', 1, 500, '500'],
  )
  await stripe.prices.update(price.id, { active: false })
  assert.deepEqual((await stripe.prices.list({ product: product.id, active: true })).data, [])
  assert.equal((await stripe.prices.list({ product: product.id, active: false })).data[0]?.id, price.id)
  assert.deepEqual(typesOf(), ['product.created', 'product.updated', 'price.created', 'price.updated'])
})

test('customers come, change and go', async () => {
  const { id } = await stripe.customers.create({ email: 'ada@example.com', name: 'Ada', metadata: { user: 'u1' } })
  assert.equal((await stripe.customers.update(id, { name: '' })).name, null)
  assert.deepEqual(
    (await stripe.customers.list({ email: 'ada@example.com' })).data.map((one) => one.id),
    [id],
  )
  for (const query of ["email:'ADA@example.com'", "metadata['user']:'u1' AND email:'ada@example.com'"])
    assert.deepEqual(
      (await stripe.customers.search({ query })).data.map((one) => one.id),
      [id],
      query,
    )
  assert.deepEqual((await stripe.customers.search({ query: "metadata['user']:'u2'" })).data, [])
  assert.deepEqual((await stripe.customers.del(id)).deleted, true)
  const gone = await stripe.customers.retrieve(id)
  assert.deepEqual([gone.deleted, gone.id, 'email' in gone], [true, id, false])
  await assert.rejects(stripe.customers.del(id), { code: 'resource_missing' })
  await assert.rejects(stripe.customers.update(id, { name: 'Ada' }), { code: 'resource_missing' })
  await assert.rejects(open({ customer: id }), { code: 'resource_missing', param: 'customer' })
  assert.deepEqual((await stripe.customers.list({ email: 'ada@example.com' })).data, [])
  assert.deepEqual(typesOf(), ['customer.created', 'customer.updated', 'customer.deleted'])
})

test('cards are attached and detached, and some cannot be', async () => {
  const { id } = await stripe.customers.create({})
  const card = await stripe.paymentMethods.attach('pm_card_visa', { customer: id })
  assert.deepEqual([card.type, card.card?.last4, card.customer], ['card', '4242', id])
  await stripe.customers.update(id, { invoice_settings: { default_payment_method: card.id } })
  const listed = await stripe.paymentMethods.list({ customer: id, type: 'card' })
  assert.deepEqual(
    listed.data.map((one) => one.id),
    [card.id],
  )
  await assert.rejects(stripe.paymentMethods.attach('pm_card_chargeDeclined', { customer: id }), {
    ...{ type: 'StripeCardError', code: 'card_declined' },
  })
  assert.equal((await stripe.paymentMethods.detach(card.id)).customer, null)
  assert.deepEqual((await stripe.paymentMethods.list({ customer: id })).data, [])
  const intent = { amount: 500, currency: 'usd', customer: id, payment_method: card.id, confirm: true }
  await assert.rejects(stripe.paymentIntents.create(intent), /may not be used again/)
})

test('a checkout that is paid tells its events in order, and its money arrives', async () => {
  const session = await open({ client_reference_id: 'ref' })
  assert.deepEqual(
    [session.object, session.status, session.payment_status, session.amount_subtotal, session.amount_total],
    ['checkout.session', 'open', 'unpaid', 1000, 1000],
  )
  assert.deepEqual([session.payment_intent, session.client_reference_id, session.line_items], [null, 'ref', undefined])
  double.pay(session.id)
  const events = double.newEvents()
  assert.deepEqual(typesOf(events), [
    ...['payment_intent.created', 'charge.succeeded', 'payment_intent.succeeded', 'checkout.session.completed'],
    'charge.updated',
  ])
  assert.equal(events[1].data.object.balance_transaction, null)
  const paid = await stripe.checkout.sessions.retrieve(session.id, {
    expand: ['line_items', 'payment_intent.latest_charge.balance_transaction'],
  })
  assert.deepEqual([paid.status, paid.payment_status, paid.url], ['complete', 'paid', null])
  assert.equal(paid.line_items?.data[0]?.amount_total, 1000)
  const intent = paid.payment_intent as Stripe.PaymentIntent
  assert.deepEqual([intent.status, intent.amount_received, intent.metadata], ['succeeded', 1000, { order: '1' }])
  const charge = intent.latest_charge as Stripe.Charge
  assert.deepEqual(
    [charge.paid, charge.amount_captured, charge.metadata, 'invoice' in charge],
    [true, 1000, { order: '1' }, false],
  )
  const { amount, fee, net, source, type } = charge.balance_transaction as Stripe.BalanceTransaction
  assert.deepEqual([amount, fee, net, source, type], [1000, 59, 941, charge.id, 'charge'])
  const byIntent = await stripe.checkout.sessions.list({ payment_intent: intent.id })
  assert.deepEqual(
    byIntent.data.map(({ id }) => id),
    [session.id],
  )
  const charges = await stripe.charges.list({ payment_intent: intent.id })
  assert.equal(charges.data[0]?.id, charge.id)
  const items = await stripe.checkout.sessions.listLineItems(session.id)
  assert.deepEqual([items.data[0]?.description, items.data[0]?.quantity], ['Flux', 2])
})

test('the movement of the balance may come later than the money', async () => {
  double.holdBalance()
  const { id } = await open()
  const { payment_intent } = double.pay(id)
  const expand = { expand: ['latest_charge'] }
  const charge = (await stripe.paymentIntents.retrieve(payment_intent, expand)).latest_charge as Stripe.Charge
  assert.deepEqual([charge.status, charge.balance_transaction], ['succeeded', null])
  assert.equal(typesOf().at(-1), 'checkout.session.completed')
  double.landBalance()
  assert.deepEqual(typesOf(), ['charge.updated'])
  assert.match(idOf((await stripe.charges.retrieve(charge.id)).balance_transaction), /^txn_/)
})

test('a declined card leaves the checkout open, and the next try is of the same intent', async () => {
  const { id } = await open()
  double.pay(id, { outcome: 'declined' })
  assert.deepEqual(typesOf(), ['payment_intent.created', 'charge.failed', 'payment_intent.payment_failed'])
  const { status, payment_intent } = await stripe.checkout.sessions.retrieve(id)
  const failed = await stripe.paymentIntents.retrieve(idOf(payment_intent))
  assert.deepEqual(
    [status, failed.status, failed.last_payment_error?.code, failed.last_payment_error?.decline_code],
    ['open', 'requires_payment_method', 'card_declined', 'generic_decline'],
  )
  assert.deepEqual(await balanceOf(idOf(failed.latest_charge)), [])
  double.pay(id)
  assert.equal((await stripe.checkout.sessions.retrieve(id)).payment_intent, failed.id)
  assert.equal((await stripe.paymentIntents.retrieve(failed.id)).last_payment_error, null)
  assert.throws(() => double.pay(id), /complete/)
})

test('a delayed payment arrives, or does not', async () => {
  const [first, second] = [(await open()).id, (await open()).id]
  double.pay(first, { outcome: 'processing' })
  assert.deepEqual(typesOf(), [
    ...['payment_intent.created', 'charge.pending', 'payment_intent.processing', 'checkout.session.completed'],
  ])
  const { status, payment_status, payment_intent } = await stripe.checkout.sessions.retrieve(first)
  assert.deepEqual([status, payment_status], ['complete', 'unpaid'])
  double.settle(first, 'succeeded')
  assert.deepEqual(typesOf(), [
    ...['charge.succeeded', 'payment_intent.succeeded', 'checkout.session.async_payment_succeeded', 'charge.updated'],
  ])
  assert.equal((await stripe.checkout.sessions.retrieve(first)).payment_status, 'paid')
  const { latest_charge } = await stripe.paymentIntents.retrieve(idOf(payment_intent))
  assert.deepEqual(
    (await balanceOf(idOf(latest_charge))).map(({ type, amount }) => [type, amount]),
    [['payment', 1000]],
  )
  double.pay(second, { outcome: 'processing' })
  double.newEvents()
  double.settle(second, 'failed')
  assert.deepEqual(typesOf(), [
    ...['charge.failed', 'payment_intent.payment_failed', 'checkout.session.async_payment_failed'],
  ])
  assert.equal((await stripe.checkout.sessions.retrieve(second)).payment_status, 'unpaid')
})

test('a checkout that nobody pays ends, after a day by itself', async () => {
  const [first, second] = [(await open()).id, (await open()).id]
  assert.equal((await stripe.checkout.sessions.expire(first)).status, 'expired')
  await assert.rejects(stripe.checkout.sessions.expire(first), /status of expired/)
  assert.throws(() => double.pay(first), /expired/)
  double.advance(86_399)
  assert.equal((await stripe.checkout.sessions.retrieve(second)).status, 'open')
  double.advance(1)
  assert.equal((await stripe.checkout.sessions.retrieve(second)).status, 'expired')
  double.expire((await open()).id)
  assert.deepEqual(typesOf(), Array(3).fill('checkout.session.expired'))
})

test('a checkout that Stripe would not open is refused', async () => {
  const plan = double.addPrice({ amount: 500, recurring: true })
  const price = double.addPrice({ amount: 500 })
  const cases: [params: Partial<Stripe.Checkout.SessionCreateParams>, RegExp][] = [
    [{ line_items: [{ price: plan, quantity: 1 }] }, /recurring price/],
    [{ mode: 'subscription' }, /at least one recurring price/],
    [{ subscription_data: { metadata: { a: 'b' } } }, /subscription_data/],
    [{ line_items: [{ price: double.addPrice({ amount: 500, active: false }), quantity: 1 }] }, /inactive/],
    [{ line_items: [{ price: 'price_none', quantity: 1 }] }, /No such price/],
    [{ line_items: [{ price }] }, /Quantity/],
    [{ currency: 'eur' }, /not available in eur/],
    [{ line_items: [{ price: double.addPrice({ amount: 49 }), quantity: 1 }] }, /at least 50 usd/],
    [{ customer: 'cus_none' }, /No such customer/],
  ]
  for (const [params, message] of cases) await assert.rejects(open(params), message)
})

test('a price of the moment, a currency option, and yen, which have no cents', async () => {
  const made = await open({
    line_items: [{ quantity: 3, price_data: { currency: 'usd', unit_amount: 250, product_data: { name: 'Tea' } } }],
  })
  assert.equal(made.amount_total, 750)
  const price = double.addPrice({ amount: 500, options: { jpy: 700 } })
  const yen = await open({ currency: 'jpy', line_items: [{ price, quantity: 1 }] })
  assert.deepEqual([yen.amount_total, yen.currency], [700, 'jpy'])
  const page = await (await fetch(yen.url ?? '')).text()
  assert.match(page, /JPY 700</)
  const { payment_intent } = double.pay(yen.id)
  const refund = double.refund(payment_intent, 200)
  assert.deepEqual([refund.amount, refund.currency], [200, 'jpy'])
  assert.equal((await balanceOf(refund.id))[0]?.currency, 'jpy')
})

test('promotion codes take off a part or all', async () => {
  const coupon = await stripe.coupons.create({ percent_off: 25, duration: 'once' })
  const { id: promotion } = await stripe.promotionCodes.create({
    ...{ promotion: { type: 'coupon', coupon: coupon.id }, code: 'QUARTER', max_redemptions: 1 },
  })
  const session = await open({ allow_promotion_codes: true })
  assert.throws(() => double.pay(session.id, { promotionCode: 'HALF' }), /invalid/)
  double.pay(session.id, { promotionCode: 'quarter' })
  const { amount_subtotal, amount_total, total_details, payment_intent } = await stripe.checkout.sessions.retrieve(
    session.id,
  )
  assert.deepEqual([amount_subtotal, amount_total, total_details?.amount_discount], [1000, 750, 250])
  assert.equal((await stripe.paymentIntents.retrieve(idOf(payment_intent))).amount_received, 750)
  assert.equal((await stripe.promotionCodes.retrieve(promotion)).times_redeemed, 1)
  const again = await open({ allow_promotion_codes: true })
  assert.throws(() => double.pay(again.id, { promotionCode: 'QUARTER' }), /redeemed/)
  double.newEvents()
  double.pay(again.id, { promotionCode: double.addPromotionCode({ amount_off: 5000, currency: 'usd' }) })
  assert.deepEqual(typesOf(), ['checkout.session.completed'])
  const free = await stripe.checkout.sessions.retrieve(again.id)
  assert.deepEqual([free.payment_status, free.amount_total, free.payment_intent], ['no_payment_required', 0, null])
  const closed = await open()
  assert.throws(() => double.pay(closed.id, { promotionCode: 'QUARTER' }), /takes no promotion codes/)
})

test('a card that was saved is charged without its person', async () => {
  const { id } = await stripe.customers.create({})
  double.pay((await open({ customer: id, payment_intent_data: { setup_future_usage: 'off_session' } })).id)
  const [card] = (await stripe.paymentMethods.list({ customer: id, type: 'card' })).data
  double.newEvents()
  const create = (payment_method: string) =>
    stripe.paymentIntents.create({
      ...{ amount: 500, currency: 'usd', customer: id, payment_method, metadata: { kind: 'top-up' } },
      ...{ off_session: true, confirm: true },
    })
  const paid = await create(card?.id ?? '')
  assert.deepEqual([paid.status, paid.amount_received, paid.metadata], ['succeeded', 500, { kind: 'top-up' }])
  assert.deepEqual(typesOf(), [
    ...['payment_intent.created', 'charge.succeeded', 'payment_intent.succeeded', 'charge.updated'],
  ])
  for (const [token, code, declineCode] of [
    ['pm_card_chargeCustomerFail', 'card_declined', 'generic_decline'],
    ['pm_card_authenticationRequired', 'authentication_required', 'authentication_required'],
  ] as const) {
    const { id: method } = await stripe.paymentMethods.attach(token, { customer: id })
    const error = await create(method).then(
      () => assert.fail('it was paid'),
      (refused: unknown) => refused,
    )
    assert(error instanceof Stripe.errors.StripeCardError)
    assert.deepEqual([error.statusCode, error.code, error.decline_code], [402, code, declineCode])
    const intent = await stripe.paymentIntents.retrieve(error.payment_intent?.id ?? '')
    assert.deepEqual([intent.status, intent.last_payment_error?.code], ['requires_payment_method', code])
  }
  double.declines.push('expired_card')
  await assert.rejects(create(card?.id ?? ''), { code: 'expired_card' })
  const listed = await stripe.paymentIntents.list({ customer: id, limit: 1 })
  assert.equal(listed.data[0]?.last_payment_error?.code, 'expired_card')
  const asking = await stripe.paymentIntents.create({
    ...{ amount: 500, currency: 'usd', payment_method: 'pm_card_authenticationRequired', confirm: true },
  })
  assert.equal(asking.status, 'requires_action')
  assert.equal((await stripe.paymentIntents.confirm(asking.id, { payment_method: 'pm_card_visa' })).status, 'succeeded')
  await assert.rejects(create('pm_none'), { code: 'resource_missing' })
})

test('refunds by the API and by the person’s bank', async () => {
  const intent = await buy()
  const first = await stripe.refunds.create({ payment_intent: intent, amount: 300, metadata: { why: 'asked' } })
  assert.deepEqual([first.status, first.amount, first.payment_intent], ['succeeded', 300, intent])
  assert.deepEqual(typesOf(), ['refund.created', 'charge.refunded'])
  await assert.rejects(stripe.refunds.create({ payment_intent: intent, amount: 701 }), /greater than unrefunded/)
  double.refund(intent)
  const { latest_charge } = await stripe.paymentIntents.retrieve(intent, { expand: ['latest_charge.refunds'] })
  const charge = latest_charge as Stripe.Charge
  assert.deepEqual([charge.refunded, charge.amount_refunded, charge.refunds?.data.length], [true, 1000, 2])
  await assert.rejects(stripe.refunds.create({ charge: charge.id }), { code: 'charge_already_refunded' })
  assert.deepEqual(
    (await stripe.refunds.list({ charge: charge.id })).data.map(({ amount }) => amount),
    [700, 300],
  )
  double.newEvents()
  double.failRefund(first.id)
  assert.deepEqual(typesOf(), ['refund.failed', 'charge.refund.updated'])
  const failed = await stripe.refunds.retrieve(first.id, { expand: ['failure_balance_transaction'] })
  assert.deepEqual(
    [failed.status, (failed.failure_balance_transaction as Stripe.BalanceTransaction).amount],
    ['failed', 300],
  )
  assert.equal((await stripe.charges.retrieve(charge.id)).amount_refunded, 700)
})

test('a dispute takes the money and its fee, and gives the money again when it is won', async () => {
  const [won, lost] = [await buy(), await buy()]
  double.refund(won, 100)
  double.newEvents()
  const { id } = double.dispute(won)
  assert.deepEqual(typesOf(), ['charge.dispute.created', 'charge.dispute.funds_withdrawn'])
  await assert.rejects(stripe.refunds.create({ payment_intent: won }), { code: 'charge_disputed' })
  double.closeDispute(id, 'won')
  assert.deepEqual(typesOf(), ['charge.dispute.closed', 'charge.dispute.funds_reinstated'])
  const dispute = await stripe.disputes.retrieve(id)
  assert.deepEqual([dispute.status, dispute.amount], ['won', 900])
  assert.deepEqual(
    dispute.balance_transactions.map((one) => [one.type, one.reporting_category, one.amount, one.fee, one.net]),
    [
      ['adjustment', 'dispute', -900, 1500, -2400],
      ['adjustment', 'dispute_reversal', 900, 0, 900],
    ],
  )
  const other = double.dispute(lost)
  double.closeDispute(other.id, 'lost')
  assert.deepEqual(typesOf(), ['charge.dispute.created', 'charge.dispute.funds_withdrawn', 'charge.dispute.closed'])
  assert.throws(() => double.closeDispute(other.id, 'won'), /lost/)
  assert.equal((await stripe.disputes.list({ payment_intent: lost })).data[0]?.balance_transactions.length, 1)
})

test('an inquiry takes nothing, and becomes a dispute under its own id', async () => {
  const intent = await buy()
  const inquiry = double.dispute(intent, { inquiry: true })
  assert.deepEqual(typesOf(), ['charge.dispute.created'])
  assert.deepEqual([inquiry.status, inquiry.balance_transactions], ['warning_needs_response', []])
  assert.equal(double.dispute(intent).id, inquiry.id)
  assert.deepEqual(typesOf(), ['charge.dispute.updated', 'charge.dispute.funds_withdrawn'])
  const closed = double.dispute(await buy(), { inquiry: true })
  assert.equal(double.closeDispute(closed.id, 'warning_closed').balance_transactions.length, 0)
})

test('the balance is listed by time, type and source, and paid out', async () => {
  const start = double.now()
  const intent = await buy()
  double.advance(100)
  double.refund(intent, 100)
  const created = { gte: start, lt: double.now() + 1 }
  const listed = await stripe.balanceTransactions.list({ created })
  assert.deepEqual(
    listed.data.slice(0, 2).map(({ type, amount }) => [type, amount]),
    [
      ['refund', -100],
      ['charge', 1000],
    ],
  )
  const refunds = await stripe.balanceTransactions.list({ created: { gte: start + 100 }, type: 'refund' })
  assert.equal(refunds.data.length, 1)
  const all = await stripe.balanceTransactions.list({ limit: 100 }).autoPagingToArray({ limit: 1000 })
  const usd = all.filter(({ currency }) => currency === 'usd').reduce((sum, { net }) => sum + net, 0)
  const payout = double.payout()
  assert.equal(payout.amount, usd)
  assert.deepEqual(
    (await balanceOf(payout.id)).map(({ type, amount, fee }) => [type, amount, fee]),
    [['payout', -usd, 0]],
  )
  assert.equal((await stripe.payouts.retrieve(payout.id)).status, 'paid')
})

test('an account with one balance has everything in its currency', async () => {
  const dollars = await createStripeDouble({ settlement: { currency: 'usd', rates: { jpy: 0.65 } } })
  try {
    const price = dollars.addPrice({ amount: 1000, currency: 'jpy' })
    const { id } = await dollars.stripe.checkout.sessions.create({
      ...{ mode: 'payment', success_url: 'http://shop.example', line_items: [{ price, quantity: 1 }] },
    })
    const { payment_intent, customer: nobody } = dollars.pay(id)
    assert.equal(nobody, null)
    dollars.refund(payment_intent, 500)
    const { data } = await dollars.stripe.balanceTransactions.list()
    assert.deepEqual(
      data.map(({ amount, currency, exchange_rate, fee, net }) => [amount, currency, exchange_rate, fee, net]),
      [
        [-325, 'usd', 0.65, 0, -325],
        [650, 'usd', 0.65, 38, 612],
      ],
    )
  } finally {
    await dollars.close()
  }
})

test('a page of a checkout can be paid and left', async () => {
  const name = `<Tea> & "more"`
  const session = await open({
    allow_promotion_codes: true,
    line_items: [{ quantity: 1, price_data: { currency: 'usd', unit_amount: 250, product_data: { name } } }],
  })
  const url = session.url ?? ''
  const page = await (await fetch(url)).text()
  assert.match(page, /USD 2\.50</)
  assert.match(page, /<button>Pay<\/button>/)
  assert.match(page, /href="http:\/\/shop\.example\/\?a=1&#38;b=2">Cancel</)
  assert(!page.includes('<Tea>'))
  const submit = (body: string) =>
    fetch(url, {
      ...{ method: 'POST', redirect: 'manual', body },
      headers: { 'content-type': 'application/x-www-form-urlencoded' },
    })
  assert.match(await (await submit('code=NOTHING')).text(), /promotion code is invalid/)
  const paid = await submit('code=')
  assert.deepEqual([paid.status, paid.headers.get('location')], [303, `http://shop.example/?id=${session.id}`])
  assert.equal((await stripe.checkout.sessions.retrieve(session.id)).payment_status, 'paid')
  assert.equal((await submit('')).status, 303)
  assert.equal(double.newEvents().filter(({ type }) => type === 'checkout.session.completed').length, 1)
  assert.match(await (await fetch(url)).text(), /This session is complete/)
  assert.equal((await fetch(`${double.url}/pay/cs_test_none`)).status, 404)
})

test('a product that the double begins with', async () => {
  assert.equal((await stripe.products.retrieve(PRODUCT)).name, 'Flux')
})
