import assert from 'node:assert/strict'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { after, before, test } from 'node:test'
import type Stripe from 'stripe'
import { createStripeDouble, type StripeDouble } from './double.ts'

let double: StripeDouble
before(async () => {
  double = await createStripeDouble({ webhookSecret: 'whsec_of_this_test' })
})
after(() => double.close())

const read = (stripe: Stripe, { body, headers }: { body: string; headers: Record<string, string> }, secret: string) =>
  stripe.webhooks.constructEvent(body, headers['stripe-signature'] ?? '', secret)

test('an event is signed as Stripe’s library checks it', async () => {
  await double.stripe.customers.create({ email: 'signed@example.com' })
  const [event] = double.newEvents()
  const signed = double.signed(event)
  const { id, type, data } = read(double.stripe, signed, 'whsec_of_this_test')
  assert.deepEqual([id, type], [event.id, 'customer.created'])
  assert.equal((data.object as Stripe.Customer).email, 'signed@example.com')
  assert.throws(() => read(double.stripe, signed, 'whsec_another'), /signature/)
  assert.throws(() => read(double.stripe, double.signed(event, 'whsec_another'), 'whsec_of_this_test'), /signature/)
  const changed = { ...signed, body: signed.body.replace('signed@', 'changed@') }
  assert.throws(() => read(double.stripe, changed, 'whsec_of_this_test'), /signature/)
})

test('an event is what its object was at that time', async () => {
  const { id } = await double.stripe.customers.create({ email: 'first@example.com' })
  await double.stripe.customers.update(id, { email: 'second@example.com', metadata: { a: 'b' } })
  const [created, updated] = double.newEvents()
  assert.deepEqual(
    [created.data.object.email, updated.data.object.email, updated.data.object.metadata],
    ['first@example.com', 'second@example.com', { a: 'b' }],
  )
  const listed = await double.stripe.events.list({ type: 'customer.updated', limit: 1 })
  assert.equal(listed.data[0]?.id, updated.id)
  assert.equal((await double.stripe.events.retrieve(created.id)).type, 'customer.created')
  assert.equal(double.events.at(-1).id, updated.id)
})

test('events go to an address by themselves, again where it fails', async () => {
  const taken: string[] = []
  let failures = 2
  const server = createServer((request, response) => {
    let body = ''
    request.setEncoding('utf8').on('data', (chunk) => {
      body += chunk
    })
    request.on('end', () => {
      failures -= 1
      const event = read(
        double.stripe,
        { body, headers: request.headers as Record<string, string> },
        'whsec_of_this_test',
      )
      if (failures < 0) taken.push(event.type)
      response.writeHead(failures < 0 ? 200 : 500).end()
    })
  })
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}/hook`
  try {
    const [event] = double.events
    assert.equal((await double.deliver(event, url)).status, 500)
    const delivery = double.deliverTo(url)
    const { id } = await double.stripe.customers.create({ email: 'automatic@example.com' })
    await double.stripe.customers.del(id)
    await delivery.settled()
    assert.deepEqual(taken, ['customer.created', 'customer.deleted'])
    failures = 3
    await double.stripe.products.create({ name: 'Refused' })
    await delivery.settled()
    assert.deepEqual(
      delivery.refused.map(({ type }) => type),
      ['product.created'],
    )
  } finally {
    server.closeAllConnections()
    await new Promise((resolve) => server.close(resolve))
  }
})
