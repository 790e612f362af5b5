import assert from 'node:assert/strict'
import { after, before, test } from 'node:test'
import Stripe from 'stripe'
import { createStripeDouble, PRODUCT, type StripeDouble } from './double.ts'

const { StripeAuthenticationError, StripeConnectionError, StripeIdempotencyError, StripeInvalidRequestError } =
  Stripe.errors

let double: StripeDouble
let stripe: Stripe
before(async () => {
  double = await createStripeDouble()
  const { hostname, port } = new URL(double.url)
  const at = { host: hostname, port, protocol: 'http' as const, telemetry: false }
  stripe = new Stripe('sk_test_double', { ...at, maxNetworkRetries: 0 })
})
after(() => double.close())

const refusal = (type: object, more: Record<string, unknown>) => (error: unknown) => {
  assert(error instanceof (type as typeof Stripe.errors.StripeError), String(error))
  for (const [name, value] of Object.entries(more)) assert.equal(error[name as keyof typeof error], value, name)
  return true
}

test('another key, and none, are refused', async () => {
  const { hostname, port } = new URL(double.url)
  const stranger = new Stripe('sk_test_stranger', { host: hostname, port, protocol: 'http' })
  await assert.rejects(stranger.customers.list(), refusal(StripeAuthenticationError, { statusCode: 401 }))
  const { status } = await fetch(`${double.url}/v1/customers`)
  assert.equal(status, 401)
})

test('answers are of the version that the library asks for', async () => {
  const { lastResponse } = await stripe.accounts.retrieveCurrent()
  assert.equal(lastResponse.apiVersion, Stripe.API_VERSION)
  assert.match(lastResponse.requestId, /^req_/)
  await stripe.customers.create({ email: 'version@example.com' }, { idempotencyKey: 'version' })
  const event = double.newEvents().at(-1)
  assert.deepEqual(
    [event.api_version, event.type, event.request.idempotency_key],
    [Stripe.API_VERSION, 'customer.created', 'version'],
  )
})

test('what is unknown, missing or wrong is refused by its name', async () => {
  const invalid = (more: Record<string, unknown>) => refusal(StripeInvalidRequestError, more)
  const unknown = { emial: 'a@example.com' } as Stripe.CustomerCreateParams
  await assert.rejects(
    stripe.customers.create(unknown),
    invalid({ statusCode: 400, code: 'parameter_unknown', param: 'emial' }),
  )
  const none = {} as Stripe.BillingPortal.SessionCreateParams
  await assert.rejects(
    stripe.billingPortal.sessions.create(none),
    invalid({ code: 'parameter_missing', param: 'customer' }),
  )
  await assert.rejects(
    stripe.customers.retrieve('cus_nobody'),
    invalid({ statusCode: 404, code: 'resource_missing', param: 'id', message: "No such customer: 'cus_nobody'" }),
  )
  const price = { product: PRODUCT, currency: 'usd', unit_amount: 1.5 }
  await assert.rejects(
    stripe.prices.create(price),
    invalid({ code: 'parameter_invalid_integer', message: 'Invalid integer: 1.5' }),
  )
  await assert.rejects(stripe.rawRequest('GET', '/v1/nothing'), invalid({ statusCode: 404 }))
  await assert.rejects(stripe.customers.create({ metadata: { a: 'x'.repeat(501) } }), invalid({ param: 'metadata[a]' }))
})

test('a key is one request: repeated it is answered the same, with other parameters refused', async () => {
  const options = { idempotencyKey: 'once' }
  const first = await stripe.customers.create({ email: 'once@example.com' }, options)
  const again = await stripe.customers.create({ email: 'once@example.com' }, options)
  assert.equal(again.id, first.id)
  assert.equal(again.lastResponse.headers['idempotent-replayed'], 'true')
  assert.equal((await stripe.customers.list({ email: 'once@example.com' })).data.length, 1)
  await assert.rejects(
    stripe.customers.create({ email: 'twice@example.com' }, options),
    refusal(StripeIdempotencyError, { statusCode: 400 }),
  )
})

test('a key whose request is under way is in use', async () => {
  const options = { idempotencyKey: 'slow' }
  const hold = double.hold(/^POST customers/)
  const slow = stripe.customers.create({ email: 'slow@example.com' }, options)
  await hold.reached
  await assert.rejects(
    stripe.customers.create({ email: 'slow@example.com' }, options),
    refusal(Stripe.errors.StripeError, { statusCode: 409, code: 'idempotency_key_in_use' }),
  )
  hold.release()
  const { id } = await slow
  assert.equal((await stripe.customers.create({ email: 'slow@example.com' }, options)).id, id)
})

test('a key is forgotten after a day, and what was refused before anything was done is not kept', async () => {
  const options = { idempotencyKey: 'forgotten' }
  const create = (email: string) => stripe.customers.create({ email }, options)
  const first = await create('forgotten@example.com')
  double.advance(86_399)
  assert.equal((await create('forgotten@example.com')).id, first.id)
  double.advance(1)
  assert.notEqual((await create('forgotten@example.com')).id, first.id)

  const intent = (customer: string) =>
    stripe.paymentIntents.create({ amount: 500, currency: 'usd', customer }, { idempotencyKey: 'corrected' })
  await assert.rejects(intent('cus_nobody'), StripeInvalidRequestError)
  assert.equal((await intent(first.id)).status, 'requires_payment_method')
})

test('lists come page by page, newest first, and within a range of time', async () => {
  const product = (await stripe.products.create({ name: 'Pages' })).id
  const start = double.now()
  const ids: string[] = []
  for (let index = 0; index < 25; index += 1) {
    ids.unshift((await stripe.prices.create({ product, currency: 'usd', unit_amount: 100 + index })).id)
    double.advance(10)
  }
  const idsOf = (page: { data: { id: string }[] }) => page.data.map(({ id }) => id)
  const first = await stripe.prices.list({ product })
  assert.deepEqual([idsOf(first), first.has_more, first.url], [ids.slice(0, 10), true, '/v1/prices'])
  const last = await stripe.prices.list({ product, limit: 10, starting_after: ids[19] ?? '' })
  assert.deepEqual([idsOf(last), last.has_more], [ids.slice(20), false])
  const back = await stripe.prices.list({ product, limit: 3, ending_before: ids[5] ?? '' })
  assert.deepEqual([idsOf(back), back.has_more], [ids.slice(2, 5), true])
  const whole: string[] = []
  for await (const { id } of stripe.prices.list({ product, limit: 7 })) whole.push(id)
  assert.deepEqual(whole, ids)
  const within = await stripe.prices.list({ product, created: { gte: start + 50, lt: start + 80 } })
  assert.deepEqual(idsOf(within), ids.slice(17, 20))
  const beyond = await stripe.prices.list({ product, created: { gt: start + 50, lte: start + 80 } })
  assert.deepEqual(idsOf(beyond), ids.slice(16, 19))
  const missing = stripe.prices.list({ product, starting_after: 'price_none' })
  await assert.rejects(
    missing,
    refusal(StripeInvalidRequestError, { code: 'resource_missing', param: 'starting_after' }),
  )
  await assert.rejects(
    stripe.prices.list({ product, limit: 101 }),
    refusal(StripeInvalidRequestError, { param: 'limit' }),
  )
})

test('what is asked for is written out, and only that', async () => {
  const price = double.addPrice({ amount: 500, options: { jpy: 700 } })
  const plain = await stripe.prices.retrieve(price)
  assert.deepEqual([plain.product, plain.currency_options], [PRODUCT, undefined])
  const { product, currency_options } = await stripe.prices.retrieve(price, { expand: ['product', 'currency_options'] })
  assert.equal((product as Stripe.Product).name, 'Flux')
  assert.deepEqual(
    Object.entries(currency_options ?? {}).map(([currency, { unit_amount }]) => [currency, unit_amount]),
    [
      ['jpy', 700],
      ['usd', 500],
    ],
  )
  const listed = await stripe.prices.list({ product: PRODUCT, expand: ['data.product'] })
  assert.deepEqual(
    listed.data.map((one) => (one.product as Stripe.Product).id),
    [PRODUCT],
  )
  await assert.rejects(stripe.prices.retrieve(price, { expand: ['nothing'] }), /cannot be expanded/)
  await assert.rejects(stripe.prices.list({ expand: ['product'] }), /cannot be expanded/)
})

test('faults strike the next requests of a name, before the work or after it', async () => {
  const count = async () => (await stripe.customers.list({ email: 'fault@example.com' })).data.length
  const create = () => stripe.customers.create({ email: 'fault@example.com' })
  double.faults.push({ match: /^POST customers/, when: 'before', status: 500, times: 2 })
  await assert.rejects(create(), refusal(Stripe.errors.StripeAPIError, { statusCode: 500 }))
  await assert.rejects(create(), refusal(Stripe.errors.StripeAPIError, { statusCode: 500 }))
  assert.equal(await count(), 0)
  double.faults.push({ match: /^POST customers/, when: 'before', status: 429 })
  await assert.rejects(create(), refusal(Stripe.errors.StripeRateLimitError, { statusCode: 429, code: 'rate_limit' }))
  assert.equal(await count(), 0)
  double.faults.push({ match: /^POST customers/, when: 'after', status: 500 })
  await assert.rejects(create(), refusal(Stripe.errors.StripeAPIError, { statusCode: 500 }))
  assert.equal(await count(), 1)
  // The library asks once more when a connection breaks, so two are broken.
  double.faults.push({ match: /^POST customers/, when: 'before', status: 'hang up', times: 2 })
  await assert.rejects(create(), StripeConnectionError)
  assert.equal(await count(), 1)
  double.faults.push({ match: /^POST customers/, when: 'after', status: 'hang up', times: 2 })
  const options = { idempotencyKey: 'lost answers' }
  await assert.rejects(stripe.customers.create({ email: 'fault@example.com' }, options), StripeConnectionError)
  await stripe.customers.create({ email: 'fault@example.com' }, options)
  assert.equal(await count(), 2)
})

test('a request is held with its answer ready, and requests are counted by route', async () => {
  const before = double.count('POST products')
  const hold = double.hold(/^POST products/, 'after')
  const made = stripe.products.create({ name: 'Held' })
  await hold.reached
  const listed = await stripe.products.list()
  assert(listed.data.some(({ name }) => name === 'Held'))
  hold.release()
  const { id } = await made
  await stripe.products.retrieve(id)
  assert.equal(double.count('POST products'), before + 1)
  assert.equal(double.requests.at(-1), `GET products/${id}`)
})
