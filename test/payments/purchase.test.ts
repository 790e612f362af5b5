import assert from 'node:assert/strict'
import { after, before, test } from 'node:test'
import { createStripeGateway, PAGE_ORIGIN, type StripeGateway } from '#test/support/stripe/stripe-gateway.ts'

let shop: StripeGateway
let small: string
let large: string
let yen: string
before(async () => {
  shop = await createStripeGateway()
  const { double } = shop
  large = double.addPrice({
    flux: '3000',
    amount: 900,
    metadata: { recommended: 'true' },
    options: { cny: 2100 },
  })
  small = double.addPrice({ flux: '600', amount: 300 })
  yen = double.addPrice({ flux: '500', amount: 500, currency: 'jpy' })
  double.addPrice({ amount: 100 }) // worth nothing: not sold
  double.addPrice({ flux: '1.5', amount: 100 })
  double.addPrice({ flux: '100', amount: 100, active: false })
  double.addPrice({ flux: '100', amount: 100, product: 'prod_other' })
})
after(() => shop.close())

test('GET /api/v1/stripe/packages 200: what is sold, cheapest first, to anybody', async () => {
  const { status, json } = await shop.ask('GET /api/v1/stripe/packages', { key: null })
  assert.equal(status, 200)
  assert.deepEqual(json, [
    {
      stripePriceId: small,
      label: '600 Flux',
      defaultCurrency: 'usd',
      currencies: { usd: '$3.00' },
      recommended: false,
    },
    { stripePriceId: yen, label: '500 Flux', defaultCurrency: 'jpy', currencies: { jpy: '¥500' }, recommended: false },
    {
      ...{ stripePriceId: large, label: '3000 Flux', defaultCurrency: 'usd', recommended: true },
      currencies: { cny: 'CN¥21.00', usd: '$9.00' },
    },
  ])
})

test('a purchase: paid at Stripe, credited once, listed, and in the history', async () => {
  const buyer = await shop.openPerson()
  const session = await buyer.checkout(small)
  const stored = shop.double.books.get('checkout', session)
  assert.equal(stored.success_url, `${PAGE_ORIGIN}/settings/flux?success=true`)
  assert.deepEqual([stored.metadata.userId, stored.metadata.fluxAmount, stored.mode], [buyer.userId, '600', 'payment'])
  assert.equal(shop.double.books.get('customer', stored.customer).email, buyer.user.email)
  shop.double.newEvents()
  shop.double.pay(session)
  await shop.deliver(...shop.double.newEvents())
  assert.deepEqual(await buyer.money(), { flux: 600n, owed: 0n, frozen: false })
  const orders = (await buyer.ask('GET /api/v1/stripe/orders')).json
  assert.equal(orders.length, 1)
  const { createdAt, ...order } = orders[0]
  assert.deepEqual(order, {
    ...{ stripeSessionId: session, mode: 'payment', stripePriceId: small, fluxAmount: 600, status: 'complete' },
    ...{ paymentStatus: 'paid', amountTotal: 300, currency: 'usd', fluxCredited: true },
  })
  assert(!Number.isNaN(Date.parse(createdAt)))
  const [line] = (await buyer.ask('GET /api/v1/flux/history')).json.records
  assert.deepEqual([line.type, line.amount, line.description], ['credit', 600, 'Stripe payment USD 3.00'])
  const { lots } = (await buyer.ask('GET /api/v1/flux/lots')).json
  assert.deepEqual([lots[0].kind, lots[0].expires_at], ['paid', null])
})

test('one person is one customer, however many purchases begin at once', async () => {
  const buyer = await shop.openPerson()
  const sessions = await Promise.all(Array.from({ length: 6 }, () => buyer.checkout(small)))
  const customers = new Set(sessions.map((id) => shop.double.books.get('checkout', id).customer))
  assert.equal(customers.size, 1)
  assert.equal(new Set(sessions).size, 6)
})

test('a currency without decimals is written down as it is', async () => {
  const buyer = await shop.openPerson()
  shop.double.newEvents()
  shop.double.pay(await buyer.checkout(yen))
  await shop.deliver(...shop.double.newEvents())
  const [line] = (await buyer.ask('GET /api/v1/flux/history')).json.records
  assert.deepEqual([line.amount, line.description], [500, 'Stripe payment JPY 500'])
})

test('a checkout that is not paid is not credited, whatever event comes', async () => {
  const buyer = await shop.openPerson()
  const [abandoned, declined, delayed] = [
    await buyer.checkout(small),
    await buyer.checkout(small),
    await buyer.checkout(small),
  ]
  shop.double.newEvents()
  shop.double.pay(declined, { outcome: 'declined' })
  shop.double.pay(delayed, { outcome: 'processing' })
  const open = shop.double.books.get('checkout', abandoned)
  await shop.deliver(shop.double.books.tell('checkout.session.completed', open), ...shop.double.newEvents())
  assert.equal((await buyer.money())?.flux, 0n)
  shop.double.settle(delayed, 'failed')
  await shop.deliver(...shop.double.newEvents())
  assert.equal((await buyer.money())?.flux, 0n)
  const { rows } = await shop.db.query<{ type: string }>(
    `select type from operator_event where data::jsonb->>'project_id' = $1`,
    [buyer.projectId],
  )
  assert(rows.length >= 1 && rows.every(({ type }) => type === 'payment.failed'))
})

test('a promotion code that pays it all is a purchase for nothing', async () => {
  const buyer = await shop.openPerson()
  const session = await buyer.checkout(small)
  shop.double.newEvents()
  shop.double.pay(session, { promotionCode: shop.double.addPromotionCode({ percent_off: 100 }) })
  const events = shop.double.newEvents()
  await shop.deliver(...events, ...events)
  assert.equal((await buyer.money())?.flux, 600n)
})

test('a price that changes after a checkout has begun changes nothing of it', async () => {
  const price = shop.double.addPrice({ flux: '100', amount: 100 })
  const buyer = await shop.openPerson()
  const session = await buyer.checkout(price)
  shop.double.books.get('price', price).metadata.fluxAmount = '1000000'
  shop.double.newEvents()
  shop.double.pay(session)
  await shop.deliver(...shop.double.newEvents())
  assert.equal((await buyer.money())?.flux, 100n)
  shop.double.books.get('price', price).active = false
})

test('what is not ours is taken and changes nothing', async () => {
  const { books, stripe } = shop.double
  shop.double.newEvents()
  const customer = await stripe.customers.create({ email: 'stranger@example.com' })
  const foreign = await stripe.checkout.sessions.create({
    ...{ mode: 'payment', customer: customer.id, line_items: [{ price: small, quantity: 1 }] },
    ...{ success_url: 'http://elsewhere.example', metadata: { fluxAmount: '1000', userId: 'somebody' } },
  })
  shop.double.pay(foreign.id)
  const before = await shop.db.query('select from payment')
  await shop.deliver(
    ...shop.double.newEvents(),
    books.tell('customer.updated', customer),
    books.tell('checkout.session.completed', { id: 'cs_test_nothing', object: 'checkout.session' }),
    books.tell('v3.something', { object: 'unheard_of' }),
  )
  assert.equal((await shop.db.query('select from payment')).rowCount, before.rowCount)
})

test('POST /api/v1/stripe/checkout 400, 401, 403, 429, 502, 503: each says what is wrong', async () => {
  const buyer = await shop.openPerson()
  const begin = (body: unknown, headers = {}) =>
    shop.ask('POST /api/v1/stripe/checkout', { key: buyer.secret, body, headers })
  const codeOf = async (answer: Promise<{ status: number; json: { error: string } }>) => {
    const { status, json } = await answer
    return [status, json.error]
  }
  assert.deepEqual(await codeOf(begin({ stripePriceId: 'price_nothing' })), [400, 'INVALID_PACKAGE'])
  assert.deepEqual(await codeOf(begin({ stripePriceId: small, currency: 'eur' })), [400, 'INVALID_PACKAGE'])
  assert.deepEqual(await codeOf(begin({ stripePriceId: small, currency: 'EUR' })), [400, 'BAD_REQUEST'])
  assert.deepEqual(await codeOf(begin({})), [400, 'BAD_REQUEST'])
  assert.deepEqual(await codeOf(begin({ stripePriceId: small }, { origin: 'https://evil.example' })), [
    400,
    'INVALID_ORIGIN',
  ])
  const { status } = await shop.ask('POST /api/v1/stripe/checkout', { key: null, body: { stripePriceId: small } })
  assert.equal(status, 401)
  const { secret } = await shop.app.keys.create({ projectId: buyer.projectId, name: 'reads', scopes: ['read'] })
  const reading = await shop.ask('POST /api/v1/stripe/checkout', { key: secret, body: { stripePriceId: small } })
  assert.equal(reading.status, 403)
  shop.double.faults.push(
    { match: /POST checkout/, when: 'before', status: 500 },
    { match: /POST checkout/, when: 'before', status: 500 },
  )
  assert.deepEqual(await codeOf(begin({ stripePriceId: small })), [503, 'SERVICE_UNAVAILABLE'])
  // One that Stripe has taken in and not answered is sent again under its key, and is one.
  const sessions = shop.double.books.all('checkout').length
  shop.double.faults.push({ match: /POST checkout/, when: 'after', status: 'hang up' })
  assert.equal((await begin({ stripePriceId: large, currency: 'cny' })).status, 200)
  assert.equal(shop.double.books.all('checkout').length, sessions + 1)
  assert.equal(shop.double.books.all('checkout').at(-1).amount_total, 2100)
  const many = await Promise.all(Array.from({ length: 12 }, () => begin({ stripePriceId: small })))
  const refused = many.find((answer) => answer.status === 429)
  assert(refused && Number(refused.headers['retry-after']) >= 1)
})

test('POST /api/v1/stripe/portal: the page of a customer, and 400 for who is none', async () => {
  const buyer = await shop.openPerson()
  const nobody = await buyer.ask('POST /api/v1/stripe/portal')
  assert.deepEqual([nobody.status, nobody.json], [400, { error: 'NO_CUSTOMER', message: 'No billing account found' }])
  await buyer.checkout(small)
  const { status, json } = await buyer.ask('POST /api/v1/stripe/portal')
  assert.equal(status, 200)
  assert.match(json.url, /\/portal\/bps_/)
})

test('POST /api/v1/stripe/webhook: only what Stripe has signed, lately and as it is', async () => {
  const buyer = await shop.openPerson()
  const session = await buyer.checkout(small)
  shop.double.newEvents()
  shop.double.pay(session)
  const event = shop.double.newEvents().find(({ type }) => type === 'checkout.session.completed')
  const { body, headers } = shop.double.signed(event)
  const send = (text: string, given: Record<string, string>) =>
    fetch(`${shop.url}/api/v1/stripe/webhook`, { method: 'POST', headers: given, body: text })
  const cases: [string, Record<string, string>, string][] = [
    [body, { 'content-type': 'application/json' }, 'MISSING_SIGNATURE'],
    [body.replace('cs_test', 'cs_tess'), headers, 'WEBHOOK_ERROR'],
    [body, shop.double.signed(event, 'whsec_of_somebody_else').headers, 'WEBHOOK_ERROR'],
    [body, { ...headers, 'stripe-signature': 't=1,v1=00' }, 'WEBHOOK_ERROR'],
    ['', headers, 'WEBHOOK_ERROR'],
  ]
  for (const [text, given, code] of cases) {
    const answer = await send(text, given)
    assert.deepEqual([answer.status, ((await answer.json()) as { error: string }).error], [400, code])
  }
  assert.equal((await send('x'.repeat(1_100_000), headers)).status, 413)
  assert.equal((await buyer.money())?.flux, 0n)
  const taken = await send(body, headers)
  assert.deepEqual([taken.status, await taken.json()], [200, { received: true }])
  assert.equal((await buyer.money())?.flux, 600n)
})

test('an event whose object cannot be asked for is answered 503, and booked later by whoever is first', async () => {
  const buyer = await shop.openPerson()
  const session = await buyer.checkout(small)
  shop.double.newEvents()
  shop.double.pay(session)
  const event = shop.double.newEvents().find(({ type }) => type === 'checkout.session.completed')
  shop.double.faults.push(
    { match: /GET checkout/, when: 'before', status: 500 },
    { match: /GET checkout/, when: 'before', status: 'hang up' },
  )
  assert.equal(await shop.tell(event), 503)
  assert.equal((await buyer.money())?.flux, 0n)
  const { rows } = await shop.db.query('select attempts, applied_at, last_error from stripe_event where id = $1', [
    event.id,
  ])
  assert.deepEqual([rows[0].attempts, rows[0].applied_at], [1, null])
  assert(!String(rows[0].last_error).includes('sk_test'))
  assert.equal(await shop.tell(event), 200)
  assert.equal(await shop.tell(event), 200)
  assert.deepEqual((await buyer.money())?.flux, 600n)
})
