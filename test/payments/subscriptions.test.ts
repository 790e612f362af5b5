import assert from 'node:assert/strict'
import { after, before, test } from 'node:test'
import { type Buyer, createStripeGateway, FLUX, type StripeGateway } from '#test/support/stripe/stripe-gateway.ts'

const DAY_MS = 86_400_000

let shop: StripeGateway
let basic: string
let large: string
before(async () => {
  shop = await createStripeGateway()
  basic = shop.double.addPrice({ flux: '1000', amount: 1000, recurring: true, metadata: { rolloverFlux: '300' } })
  large = shop.double.addPrice({ flux: '3000', amount: 2000, recurring: true })
})
after(() => shop.close())

const deliverNew = async () => {
  const events = shop.double.newEvents()
  await shop.deliver(...events, ...events)
}

async function subscribe(priceId = basic): Promise<{ buyer: Buyer; id: string }> {
  const buyer = await shop.openPerson()
  shop.double.newEvents()
  const session = await buyer.checkout(priceId)
  shop.double.pay(session)
  await deliverNew()
  return { buyer, id: shop.double.books.get('checkout', session).subscription }
}

const itemOf = (id: string) => shop.double.books.get('subscription', id).items.data[0]
const daysLeft = (id: string) => Math.round((itemOf(id).current_period_end * 1000 - Date.now()) / DAY_MS)
function goToHalf(id: string): void {
  const { current_period_start: start, current_period_end: end } = itemOf(id)
  shop.double.advance((end - start) / 2)
}

const lotsOf = async (buyer: Buyer): Promise<[string, number, number | null][]> =>
  (await buyer.ask('GET /api/v1/flux/lots')).json.lots.map(
    (lot: { kind: string; amount_nanousd?: string; rest_nanousd?: string; expires_at: string | null }) => [
      lot.kind,
      Number(BigInt(lot.rest_nanousd ?? lot.amount_nanousd ?? 0) / FLUX),
      lot.expires_at === null ? null : Math.round((Date.parse(lot.expires_at) - Date.now()) / DAY_MS),
    ],
  )

test('GET /api/v1/stripe/plans 200: what can be subscribed to, and packages are not among them', async () => {
  const { json } = await shop.ask('GET /api/v1/stripe/plans', { key: null })
  assert.deepEqual(json[0], {
    ...{ stripePriceId: basic, label: '1000 Flux', defaultCurrency: 'usd', currencies: { usd: '$10.00' } },
    ...{ recommended: false, fluxAmount: 1000, rolloverFlux: 300, interval: 'month', intervalCount: 1 },
  })
  assert.deepEqual((await shop.ask('GET /api/v1/stripe/packages', { key: null })).json, [])
})

test('a subscription credits its period once, as a lot that ends three days after it', async () => {
  const { buyer, id } = await subscribe()
  assert.deepEqual(await buyer.money(), { flux: 1000n, owed: 0n, frozen: false })
  assert.deepEqual(await lotsOf(buyer), [['subscription', 1000, daysLeft(id) + 3]])
  const [one] = (await buyer.ask('GET /api/v1/stripe/subscriptions')).json
  assert.deepEqual([one.stripeSubscriptionId, one.status, one.stripePriceId], [id, 'active', basic])
  const [invoice] = (await buyer.ask('GET /api/v1/stripe/invoices')).json
  assert.deepEqual([invoice.status, invoice.amountPaid, invoice.fluxCredited], ['paid', 1000, true])
  const [order] = (await buyer.ask('GET /api/v1/stripe/orders')).json
  assert.deepEqual([order.mode, order.fluxCredited], ['subscription', false])
})

test('a renewal carries over what is left, up to the plan’s most, into a lot that lives as long as the new one', async () => {
  const { buyer, id } = await subscribe()
  await shop.till.charge(buyer, 550n * FLUX)
  const before = daysLeft(id)
  shop.double.renew(id)
  await deliverNew()
  const lots = await lotsOf(buyer)
  // 450 were left: 300 go over, 150 end with the old lot.
  assert.deepEqual(
    lots.map(([, rest]) => rest).sort((a, b) => a - b),
    [150, 300, 1000],
  )
  assert.deepEqual(
    lots.map(([, rest, days]) => [rest, days]).sort(([a = 0], [b = 0]) => Number(a) - Number(b)),
    [
      [150, before + 3],
      [300, daysLeft(id) + 3],
      [1000, daysLeft(id) + 3],
    ],
  )
  await shop.expectAudit()
})

test('a plan whose Flux change later changes nothing of a period that was credited', async () => {
  const plan = shop.double.addPrice({ flux: '500', amount: 700, recurring: true })
  const buyer = await shop.openPerson()
  shop.double.newEvents()
  shop.double.pay(await buyer.checkout(plan))
  const events = shop.double.newEvents()
  await shop.deliver(...events)
  shop.double.books.get('price', plan).metadata.fluxAmount = '900'
  // Whoever asks for a price that is not there makes the list be read anew.
  const { status } = await buyer.ask('POST /api/v1/stripe/checkout', { stripePriceId: 'price_nothing' })
  assert.equal(status, 400)
  const paid = events.find(({ type }) => type === 'invoice.paid')
  const invoice = shop.double.books.get('invoice', paid?.data.object.id ?? '')
  await shop.deliver(shop.double.books.tell('invoice.updated', invoice))
  assert.deepEqual(await buyer.money(), { flux: 500n, owed: 0n, frozen: false })
  shop.double.books.get('price', plan).active = false
})

test('a renewal that is not paid credits nothing, and operators hear of it', async () => {
  const { buyer, id } = await subscribe()
  shop.double.renew(id, { outcome: 'declined' })
  await deliverNew()
  assert.equal((await buyer.money())?.flux, 1000n)
  assert.equal((await buyer.ask('GET /api/v1/stripe/subscriptions')).json[0].status, 'past_due')
  const { rows } = await shop.db.query(
    `select 1 from operator_event where type = 'payment.failed' and data::jsonb->>'project_id' = $1`,
    [buyer.projectId],
  )
  assert.equal(rows.length, 1)
})

test('a change to a larger plan credits the difference of what is left of the period, to a smaller one takes it', async () => {
  const { buyer, id } = await subscribe()
  goToHalf(id)
  shop.double.changePlan(id, large)
  await deliverNew()
  // Half of 3,000 less half of 1,000.
  assert.equal((await buyer.money())?.flux, 2000n)
  shop.double.changePlan(id, basic)
  await deliverNew()
  assert.equal((await buyer.money())?.flux, 1000n)
  await shop.expectAudit()
})

test('a smaller plan that is told of before the period is booked waits for it', async () => {
  const buyer = await shop.openPerson()
  shop.double.newEvents()
  const session = await buyer.checkout(large)
  shop.double.pay(session)
  const bought = shop.double.newEvents()
  const id = shop.double.books.get('checkout', session).subscription
  // Nobody knows the subscription yet, but its customer is ours.
  goToHalf(id)
  shop.double.changePlan(id, basic)
  const changed = shop.double.newEvents()
  const paid = changed.find(({ type }) => type === 'invoice.paid')
  assert.equal(await shop.tell(paid), 503)
  await shop.deliver(...bought)
  await shop.deliver(paid, ...changed)
  assert.equal((await buyer.money())?.flux, 2000n)
})

test('a period that is refunded goes back, also what was carried over from it', async () => {
  const { buyer, id } = await subscribe()
  const { rows } = await shop.db.query<{ intent: string }>(
    'select intent_id as intent from payment where project_id = $1',
    [buyer.projectId],
  )
  await shop.till.charge(buyer, 200n * FLUX)
  shop.double.renew(id)
  await deliverNew()
  assert.equal((await buyer.money())?.flux, 1800n)
  shop.double.refund(rows[0]?.intent ?? '')
  await deliverNew()
  assert.deepEqual(await buyer.money(), { flux: 800n, owed: 0n, frozen: false })
  await shop.expectAudit()
})

test('nobody owes for Flux that have expired unused', async () => {
  const { buyer } = await subscribe()
  await shop.till.charge(buyer, 100n * FLUX)
  const { rows } = await shop.db.query<{ intent: string; lot: bigint }>(
    'select intent_id as intent, lot_id as lot from payment where project_id = $1',
    [buyer.projectId],
  )
  // Time cannot be waited for, and nothing else ends a lot.
  await shop.db.query(
    `update account set expires_at = now() - interval '1 second', version = version + 1 where id = $1`,
    [rows[0]?.lot],
  )
  await shop.db.query(
    `update wallet set next_expiry = now() - interval '1 second', version = version + 1 where id = $1`,
    [buyer.walletId],
  )
  shop.double.refund(rows[0]?.intent ?? '')
  await deliverNew()
  assert.deepEqual(await buyer.money(), { flux: 0n, owed: 100n, frozen: true })
  await shop.expectAudit()
})

test('a subscription that ends is told, and its Flux stay until their time', async () => {
  const { buyer, id } = await subscribe()
  shop.double.cancel(id)
  await deliverNew()
  const [one] = (await buyer.ask('GET /api/v1/stripe/subscriptions')).json
  assert.equal(one.status, 'canceled')
  assert.equal((await buyer.money())?.flux, 1000n)
})

test('whoever leaves is no customer any more: the subscription is cancelled, addresses of invoices are gone, payments stay', async () => {
  const { buyer, id } = await subscribe()
  const customer = shop.double.books.get('subscription', id).customer
  shop.double.newEvents()
  const { stripeDeletionPart } = await import('#domain/payments/end-customer.ts')
  const { createStripe } = await import('#adapters/stripe.ts')
  const { Secret } = await import('#lib/secret.ts')
  const provider = createStripe({
    ...{ secretKey: new Secret('sk_test_double'), webhookSecret: undefined, timeoutMs: 5_000, apiUrl: shop.double.url },
  })
  const part = stripeDeletionPart({ db: shop.db, provider })
  await part.run({ id: buyer.userId, email: buyer.user.email })
  await part.run({ id: buyer.userId, email: buyer.user.email })
  assert.equal(shop.double.books.get('subscription', id).status, 'canceled')
  assert.equal(shop.double.books.get('customer', customer).deleted, true)
  await deliverNew()
  const { rows } = await shop.db.query(
    `select (select count(*) from stripe_customer where project_id = $1)::int as customers,
            (select count(*) from stripe_invoice where project_id = $1 and hosted_url is not null)::int as links,
            (select count(*) from payment where project_id = $1)::int as payments,
            (select status from stripe_subscription where project_id = $1) as status`,
    [buyer.projectId],
  )
  assert.deepEqual(rows, [{ customers: 0, links: 0, payments: 1, status: 'canceled' }])
  const without = stripeDeletionPart({ db: shop.db, provider: undefined })
  const other = await subscribe()
  await assert.rejects(without.run({ id: other.buyer.userId, email: 'x' }), /STRIPE_SECRET_KEY/)
})
