import assert from 'node:assert/strict'
import { after, before, test } from 'node:test'
import { type Buyer, createStripeGateway, FLUX, type StripeGateway } from '#test/support/stripe/stripe-gateway.ts'
import { until } from '#test/support/until.ts'

let shop: StripeGateway
let price: string
before(async () => {
  shop = await createStripeGateway()
  price = shop.double.addPrice({ flux: '100', amount: 500 })
})
after(() => shop.close())

/** Somebody who has bought 100 Flux with a card that may be charged again. */
async function openBuyer(): Promise<Buyer> {
  const buyer = await shop.openPerson()
  shop.double.newEvents()
  shop.double.pay(await buyer.checkout(price, { saveMethod: true }))
  await shop.deliver(...shop.double.newEvents())
  return buyer
}
const wish = (more: object = {}) => ({
  ...{ enabled: true, thresholdFlux: 50, stripePriceId: price, maxFluxPerMonth: 300 },
  ...more,
})
const put = (buyer: Buyer, body: unknown) => buyer.ask('PUT /api/v1/stripe/auto-top-up', body)
const attemptsOf = async (buyer: Buyer) =>
  (
    await shop.db.query<{ state: string; error: string | null }>(
      'select state, error from auto_top_up_attempt where project_id = $1 order by created_at',
      [buyer.projectId],
    )
  ).rows
const chargesOf = (buyer: Buyer) =>
  shop.double.books
    .all('payment_intent')
    .filter(({ metadata }) => metadata.kind === 'auto_top_up' && metadata.projectId === buyer.projectId)

test('a balance below the threshold is topped up once, and again when it is spent, within the month’s most', async () => {
  const buyer = await openBuyer()
  const set = await put(buyer, wish({ maxFluxPerMonth: 200 }))
  assert.deepEqual(
    [set.status, set.json.enabled, set.json.fluxThisMonth, set.json.disabledReason],
    [200, true, 0, null],
  )
  await shop.till.charge(buyer, 60n * FLUX)
  await until('it is topped up', async () => (await buyer.money())?.flux === 140n)
  await shop.deliver(...shop.double.newEvents())
  assert.equal((await buyer.money())?.flux, 140n)
  await shop.till.charge(buyer, 100n * FLUX)
  await until('it is topped up again', async () => (await buyer.money())?.flux === 140n)
  await shop.till.charge(buyer, 120n * FLUX)
  const shown = (await buyer.ask('GET /api/v1/stripe/auto-top-up')).json
  assert.deepEqual([shown.fluxThisMonth, shown.enabled], [200, true])
  // Another person’s top-up shows that somebody has looked since.
  const other = await openBuyer()
  await put(other, wish())
  await shop.till.charge(other, 60n * FLUX)
  await until('the other is topped up', async () => (await other.money())?.flux === 140n)
  assert.equal((await buyer.money())?.flux, 20n)
  assert.equal((await attemptsOf(buyer)).length, 2)
})

test('an answer that is lost is not paid twice', async () => {
  const buyer = await openBuyer()
  shop.double.faults.push(
    { match: /POST payment_intents/, when: 'after', status: 'hang up' },
    { match: /POST payment_intents/, when: 'after', status: 'hang up' },
  )
  await put(buyer, wish())
  await shop.till.charge(buyer, 60n * FLUX)
  await until('it is topped up', async () => (await buyer.money())?.flux === 140n)
  assert.equal(chargesOf(buyer).length, 1)
  assert.deepEqual(await attemptsOf(buyer), [{ state: 'succeeded', error: null }])
})

test('a card that is declined is told by mail and to operators, and three in a row switch it off', async () => {
  const buyer = await openBuyer()
  shop.double.declines.push('card_declined')
  await put(buyer, wish())
  await shop.till.charge(buyer, 60n * FLUX)
  await until('it failed', async () => (await attemptsOf(buyer))[0]?.state === 'failed')
  await shop.deliver(...shop.double.newEvents())
  assert.deepEqual(await attemptsOf(buyer), [{ state: 'failed', error: 'card_declined' }])
  await until('a mail was sent', () =>
    shop.log
      .lines()
      .some(({ msg }) => /Your automatic top-up failed/.test(String(msg)) && String(msg).includes(buyer.user.email)),
  )
  assert.equal((await buyer.ask('GET /api/v1/stripe/auto-top-up')).json.enabled, true)
  const { rows } = await shop.db.query(
    `select 1 from operator_event where type = 'payment.failed' and data::jsonb->>'project_id' = $1`,
    [buyer.projectId],
  )
  assert(rows.length >= 1)
  // The next try waits an hour longer each time: the clock is turned back instead.
  for (let failures = 2; failures <= 3; failures += 1) {
    shop.double.declines.push('card_declined')
    await shop.db.query(
      `update auto_top_up_attempt set ended_at = ended_at - interval '5 hours' where project_id = $1`,
      [buyer.projectId],
    )
    await until('it failed again', async () => {
      const attempts = await attemptsOf(buyer)
      return attempts.length === failures && attempts.every(({ state }) => state === 'failed')
    })
  }
  const { enabled, disabledReason } = (await buyer.ask('GET /api/v1/stripe/auto-top-up')).json
  assert.deepEqual([enabled, disabledReason], [false, 'card_declined'])
})

test('a bank that wants the person to be there switches it off at once', async () => {
  const buyer = await openBuyer()
  shop.double.declines.push('authentication_required')
  await put(buyer, wish())
  await shop.till.charge(buyer, 60n * FLUX)
  await until('it is off', async () => {
    const { enabled } = (await buyer.ask('GET /api/v1/stripe/auto-top-up')).json
    return enabled === false
  })
  assert.equal((await put(buyer, wish({ enabled: false }))).json.disabledReason, null)
})

test('PUT /api/v1/stripe/auto-top-up 400, 403, 409: each says what is wrong', async () => {
  const buyer = await openBuyer()
  const refused = async (body: unknown) => {
    const { status, json } = await put(buyer, body)
    return [status, json.error]
  }
  assert.deepEqual(await refused(wish({ stripePriceId: 'price_nothing' })), [400, 'INVALID_PACKAGE'])
  const plan = shop.double.addPrice({ flux: '100', amount: 500, recurring: true })
  assert.deepEqual(await refused(wish({ stripePriceId: plan })), [400, 'INVALID_PACKAGE'])
  for (const wrong of [
    { thresholdFlux: 0 },
    { thresholdFlux: 1.5 },
    { maxFluxPerMonth: 99 },
    { enabled: 'yes' },
    { more: 1 },
  ])
    assert.deepEqual(await refused(wish(wrong)), [400, 'BAD_REQUEST'], JSON.stringify(wrong))
  const poor = await shop.openPerson()
  const { status, json } = await put(poor, wish())
  assert.deepEqual([status, json.message], [409, 'No payment method is saved that can be charged without you.'])
  assert.equal((await poor.ask('GET /api/v1/stripe/auto-top-up')).json, null)
  const { secret } = await shop.app.keys.create({ projectId: buyer.projectId, name: 'reads', scopes: ['read'] })
  assert.equal((await shop.ask('PUT /api/v1/stripe/auto-top-up', { key: secret, body: wish() })).status, 403)
})

test('a balance below the person’s own threshold is told by mail, once until it was above it', async () => {
  const buyer = await openBuyer()
  const mails = () =>
    shop.log
      .lines()
      .filter(({ msg }) => /Your balance is low/.test(String(msg)) && String(msg).includes(buyer.user.email)).length
  assert.deepEqual((await buyer.ask('GET /api/v1/flux/alert')).json, { thresholdFlux: null })
  assert.deepEqual((await buyer.ask('PUT /api/v1/flux/alert', { thresholdFlux: 40 })).json, { thresholdFlux: 40 })
  await shop.till.charge(buyer, 70n * FLUX)
  await until('a mail was sent', () => mails() === 1, 30_000)
  const { rows } = await shop.db.query('select low_since = low_mailed_at as told from project where id = $1', [
    buyer.projectId,
  ])
  assert.deepEqual(rows, [{ told: true }])
  for (const thresholdFlux of [0, -1, 1.5, '1'])
    assert.equal((await buyer.ask('PUT /api/v1/flux/alert', { thresholdFlux })).status, 400)
  assert.deepEqual((await buyer.ask('PUT /api/v1/flux/alert', { thresholdFlux: null })).json, { thresholdFlux: null })
})
