import assert from 'node:assert/strict'
import { after, before, test } from 'node:test'
import type Stripe from 'stripe'
import { createStripeDouble, PRODUCT, type StripeDouble } from './double.ts'

let double: StripeDouble
let stripe: Stripe
before(async () => {
  double = await createStripeDouble()
  stripe = double.stripe
})
after(() => double.close())

test('smoke', async () => {
  const price = double.addPrice({ flux: '100', amount: 500 })
  const customer = await stripe.customers.create({ email: 'a@example.com', metadata: { who: 'a' } })
  const session = await stripe.checkout.sessions.create({
    ...{ mode: 'payment', customer: customer.id, success_url: 'http://x.example', metadata: { a: 'b' } },
    line_items: [{ price, quantity: 1 }],
    payment_intent_data: { setup_future_usage: 'off_session', metadata: { c: 'd' } },
  })
  double.newEvents()
  double.pay(session.id)
  assert.equal(double.newEvents().at(-1).type, 'charge.updated')
  assert(PRODUCT)
})
