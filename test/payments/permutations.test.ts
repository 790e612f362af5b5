import assert from 'node:assert/strict'
import { after, before, test } from 'node:test'
import type { Json } from '#test/support/gateway.ts'
import { createStripeGateway, type StripeGateway } from '#test/support/stripe/stripe-gateway.ts'
import { until } from '#test/support/until.ts'

// Stripe promises neither an order nor that it tells once: every order of the events that one purchase makes, each event twice
// and both at the same moment, must end in the same books.

let shop: StripeGateway
let price: string
before(async () => {
  shop = await createStripeGateway()
  price = shop.double.addPrice({ flux: '100', amount: 500 })
})
after(() => shop.close())

function permutations<T>(list: readonly T[]): T[][] {
  if (list.length <= 1) return [[...list]]
  return list.flatMap((one, index) =>
    permutations([...list.slice(0, index), ...list.slice(index + 1)]).map((rest) => [one, ...rest]),
  )
}

/** Each event twice, at once. Either may be told to come again, and then does. */
async function deliverTwice(events: readonly Json[]): Promise<number> {
  for (const event of events) {
    const statuses = await Promise.all([shop.tell(event), shop.tell(event)])
    assert.deepEqual(statuses, [200, 200], event.type)
  }
  return events.length * 2
}

const typesOf = (events: readonly Json[]) => events.map(({ type }) => type).join(' ')

test('every order of the events of a purchase credits it once', async (t) => {
  let orders = 0
  let deliveries = 0
  for (let index = 0; ; index += 1) {
    const buyer = await shop.openPerson()
    const session = await buyer.checkout(price)
    shop.double.newEvents()
    shop.double.pay(session)
    const order = permutations(shop.double.newEvents())[index]
    if (order === undefined) break
    orders += 1
    deliveries += await deliverTwice(order)
    assert.deepEqual(await buyer.money(), { flux: 100n, owed: 0n, frozen: false }, typesOf(order))
  }
  assert.equal(orders, 120)
  t.diagnostic(`${orders} orders, ${deliveries} deliveries, each credited once`)
})

test('all events of a purchase at once credit it once', async () => {
  for (let round = 0; round < 10; round += 1) {
    const buyer = await shop.openPerson()
    const session = await buyer.checkout(price)
    shop.double.newEvents()
    shop.double.pay(session)
    const events = shop.double.newEvents()
    await Promise.all([...events, ...events].map((event) => deliverTwice([event])))
    assert.deepEqual(await buyer.money(), { flux: 100n, owed: 0n, frozen: false })
  }
})

test('a delayed payment is credited once when it has arrived, in every order and wherever the arrival falls', async (t) => {
  let orders = 0
  let deliveries = 0
  for (const [cut, take] of [
    [0, 5],
    [1, 4],
    [2, 3],
  ] as const)
    for (let index = 0; ; index += 1) {
      const buyer = await shop.openPerson()
      const session = await buyer.checkout(price)
      shop.double.newEvents()
      shop.double.pay(session, { outcome: 'processing' })
      const early = shop.double.newEvents()
      // So many are told before the money is there; the others with what comes of its arrival, in any order.
      deliveries += await deliverTwice(early.slice(0, cut))
      assert.equal((await buyer.money())?.flux, 0n)
      shop.double.settle(session, 'succeeded')
      const late = [...early.slice(cut), ...shop.double.newEvents()].filter(({ type }) => type !== 'charge.updated')
      const order = permutations(late.slice(0, take))[index]
      if (order === undefined) break
      orders += 1
      deliveries += await deliverTwice(order)
      assert.deepEqual(await buyer.money(), { flux: 100n, owed: 0n, frozen: false }, typesOf(order))
    }
  t.diagnostic(`${orders} orders, ${deliveries} deliveries, each credited once`)
})

test('every order of the events of a refund and a dispute ends in the same books', async (t) => {
  let orders = 0
  for (let index = 0; ; index += 1) {
    const buyer = await shop.openPerson()
    const session = await buyer.checkout(price)
    shop.double.newEvents()
    shop.double.pay(session)
    const intent = shop.double.books.get('checkout', session).payment_intent
    shop.double.refund(intent, 200)
    shop.double.dispute(intent)
    const wanted = [
      'checkout.session.completed',
      'refund.created',
      'charge.refunded',
      'charge.dispute.created',
      'charge.dispute.funds_withdrawn',
    ]
    const order = permutations(shop.double.newEvents().filter(({ type }) => wanted.includes(type)))[index]
    if (order === undefined) break
    orders += 1
    await deliverTwice(order)
    assert.deepEqual(await buyer.money(), { flux: 0n, owed: 0n, frozen: false }, typesOf(order))
  }
  assert.equal(orders, 120)
  t.diagnostic(`${orders} orders`)
})

test('what was read before a refund is not written after it', async () => {
  const buyer = await shop.openPerson()
  const session = await buyer.checkout(price)
  shop.double.newEvents()
  shop.double.pay(session)
  const [first, ...others] = shop.double.newEvents()
  await shop.deliver(first)
  const intent = shop.double.books.get('checkout', session).payment_intent
  // The first reader has its answer and is slow to write; meanwhile the money goes back and is told of.
  const { reached, release } = shop.double.hold(/^GET disputes/, 'after')
  const slow = shop.tell(others.at(-1))
  await reached
  shop.double.refund(intent)
  let through = 0
  const told = shop.double.newEvents().map(async (event) => {
    const status = await shop.tell(event)
    through += 1
    return status
  })
  // They wait for the slow one. If they did not, they would be through, and it would write what it has read before.
  await until('all that was told waits or is through', async () => {
    const { rows } = await shop.db.query<{ waiting: number }>(
      `select count(*)::int as waiting from pg_locks l join pg_stat_activity a on a.pid = l.pid
       where not l.granted and l.locktype = 'advisory' and a.datname = current_database()`,
    )
    return through + (rows[0]?.waiting ?? 0) >= told.length
  })
  release()
  assert.deepEqual(new Set(await Promise.all([slow, ...told])), new Set([200]))
  assert.deepEqual(await buyer.money(), { flux: 0n, owed: 0n, frozen: false })
})
