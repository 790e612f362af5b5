import assert from 'node:assert/strict'
import { after, before, test } from 'node:test'
import { auditLedger } from '#domain/audit.ts'
import { createTestDatabase, type TestDatabase } from '#test/support/database.ts'
import { createDataDir, removeDataDir, startGateway } from '#test/support/gateway-process.ts'
import { createStripeDouble, type StripeDouble } from '#test/support/stripe/double.ts'
import { tell } from '#test/support/stripe/stripe-gateway.ts'

// A gateway that dies while it books an event: whenever that is, the next one that hears of it books it, and once.

let database: TestDatabase
let double: StripeDouble
let dataDir: string
before(async () => {
  database = await createTestDatabase()
  double = await createStripeDouble()
  dataDir = await createDataDir()
})
after(async () => {
  await database.close()
  await double.close()
  await removeDataDir(dataDir)
})

const start = () => startGateway({ dataDir, env: { DATABASE_URL: database.url, ...double.env } })

/** A checkout that is paid, and the event that says so. */
async function pay(): Promise<{ event: unknown; paymentId: string }> {
  const { rows } = await database.db.query<{ id: string }>('select id from project order by created_at limit 1')
  const price = double.addPrice({ flux: '100', amount: 500 })
  const { id: customer } = await double.stripe.customers.create({ email: 'somebody@example.com' })
  const { id } = await double.stripe.checkout.sessions.create({
    ...{ mode: 'payment', customer, line_items: [{ price, quantity: 1 }], success_url: 'http://gateway.example' },
    metadata: { projectId: rows[0]?.id ?? '', priceId: price, fluxAmount: '100' },
  })
  double.newEvents()
  const { payment_intent } = double.pay(id)
  const event = double.newEvents().find(({ type }) => type === 'checkout.session.completed')
  return { event, paymentId: payment_intent }
}

const steps = ['GET checkout', 'GET payment_intents', 'GET refunds', 'GET disputes']

test('kill -9 at each step of booking an event: it is booked by the next gateway, once', async () => {
  let gateway = await start()
  for (const step of steps) {
    const { event, paymentId } = await pay()
    const { reached, release } = double.hold(new RegExp(`^${step}`))
    const told = tell(double, event, gateway.url).catch(() => 'nobody answered')
    await reached
    gateway.kill('SIGKILL')
    await gateway.exited
    assert.equal(await told, 'nobody answered')
    release()
    const { rows } = await database.db.query('select 1 from payment where id = $1', [paymentId])
    assert.deepEqual(rows, [], step)
    gateway = await start()
    const statuses = await Promise.all([tell(double, event, gateway.url), tell(double, event, gateway.url)])
    assert.deepEqual(statuses, [200, 200])
    const { rows: booked } = await database.db.query('select amount from payment where id = $1', [paymentId])
    assert.deepEqual(booked, [{ amount: 100_000_000n }], step)
  }
  gateway.kill('SIGTERM')
  await gateway.exited
  const report = await auditLedger(database.db)
  assert(report.ok, JSON.stringify(report.invariants.filter(({ bad }) => bad > 0)))
})

test('an event that a killed gateway had taken in is booked by the next one without being told again', async () => {
  let gateway = await start()
  const { event, paymentId } = await pay()
  const { reached, release } = double.hold(/^GET disputes/)
  const told = tell(double, event, gateway.url).catch(() => undefined)
  await reached
  gateway.kill('SIGKILL')
  await gateway.exited
  await told
  release()
  // Its next try is due in half a minute; the clock is turned instead.
  await database.db.query('update stripe_event set next_attempt_at = now() where applied_at is null')
  gateway = await start()
  const { until } = await import('#test/support/until.ts')
  await until('it is booked', async () => {
    const { rows } = await database.db.query('select 1 from payment where id = $1', [paymentId])
    return rows.length === 1
  })
  gateway.kill('SIGTERM')
  await gateway.exited
})
