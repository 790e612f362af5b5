import assert from 'node:assert/strict'
import { Writable } from 'node:stream'
import { after, before, test } from 'node:test'
import { createStripe } from '#adapters/stripe.ts'
import type { CliDeps } from '#cli/command.ts'
import { runCli } from '#cli/run-cli.ts'
import { Secret } from '#lib/secret.ts'
import type { Json } from '#test/support/gateway.ts'
import { createStripeGateway, FLUX, type StripeGateway } from '#test/support/stripe/stripe-gateway.ts'

let shop: StripeGateway
let intents: string[]
before(async () => {
  shop = await createStripeGateway()
  const { double } = shop
  const usd = double.addPrice({ flux: '100', amount: 999 })
  const jpy = double.addPrice({ flux: '100', amount: 700, currency: 'jpy' })
  const plan = double.addPrice({ flux: '1000', amount: 1500, recurring: true })
  intents = []
  for (const price of [usd, usd, jpy, plan]) {
    const buyer = await shop.openPerson()
    const session = await buyer.checkout(price)
    double.pay(session)
    intents.push(double.books.get('checkout', session).payment_intent)
    await shop.deliver(...double.newEvents())
    if (price === usd) await shop.till.charge(buyer, 50n * FLUX)
  }
  double.refund(intents[0] ?? '', 333)
  const dispute = double.dispute(intents[1] ?? '')
  double.closeDispute(dispute.id, 'won')
  double.dispute(intents[2] ?? '')
  double.payout(100, 'usd')
  await shop.deliver(...double.newEvents())
})
after(() => shop.close())

async function reconcile(...args: string[]): Promise<{ code: number; out: string; err: string }> {
  let [out, err] = ['', '']
  const into = (add: (text: string) => void) =>
    new Writable({
      write(chunk, _encoding, done) {
        add(String(chunk))
        done()
      },
    })
  const deps = {
    out: into((text) => {
      out += text
    }),
    err: into((text) => {
      err += text
    }),
    openDatabase: async () => ({ db: shop.db, close: async () => undefined }),
    paymentProvider: async () =>
      createStripe({
        ...{
          secretKey: new Secret('sk_test_double'),
          webhookSecret: undefined,
          timeoutMs: 5_000,
          apiUrl: shop.double.url,
        },
      }),
  } as unknown as CliDeps
  const code = await runCli(deps, ['stripe', 'reconcile', ...args])
  return { code, out, err }
}
const range = ['--from', '2020-01-01T00:00:00Z', '--to', '2099-01-01T00:00:00Z']
const report = async (): Promise<Json> => JSON.parse((await reconcile(...range, '--json')).out)

test('Stripe and the books agree to the cent, by currency', async () => {
  const { code, out } = await reconcile(...range)
  assert.equal(code, 0, out)
  assert.match(out, /Stripe and the books agree/)
  const { currencies, clearing_nanousd, payments_nanousd } = await report()
  assert.deepEqual(
    currencies.map(({ currency, at_stripe, here, difference, movements }: Json) => [
      ...[currency, at_stripe, here, difference, movements],
    ]),
    [
      ['jpy', '0', '0', '0', 2],
      ['usd', String(999 * 2 - 333 + 1500), String(999 * 2 - 333 + 1500), '0', 6],
    ],
  )
  assert.equal(clearing_nanousd, payments_nanousd)
})

test('each kind of difference is found', async () => {
  const stranger = shop.double.books.book({
    ...{ type: 'charge', category: 'charge', amount: 77, currency: 'usd', source: 'ch_of_another_shop' },
  })
  let found = await report()
  assert.deepEqual(
    [found.ok, found.differences],
    [false, [{ kind: 'not_booked', id: stranger.id, detail: 'charge of 77 usd' }]],
  )
  const unknown = await reconcile(...range)
  assert.equal(unknown.code, 1)
  assert.match(unknown.out, /do not agree/)
  stranger.created = 0
  // What was booked here is changed at Stripe.
  const transaction = shop.double.books.all('balance_transaction').find(({ type }) => type === 'refund')
  transaction.amount += 1
  found = await report()
  assert.deepEqual(
    found.differences.map(({ kind }: Json) => kind),
    ['other_amount'],
  )
  transaction.amount -= 1
  const [at, id] = [transaction.created, transaction.id]
  transaction.created = 0
  found = await report()
  assert.deepEqual(
    found.differences.map((one: Json) => [one.kind, one.id]),
    [['not_at_stripe', id]],
  )
  transaction.created = at
  // An event that never came: money has gone back and the credit stands.
  shop.double.refund(intents[1] ?? '', 100)
  shop.double.newEvents()
  found = await report()
  assert.deepEqual(
    found.differences.map(({ kind }: Json) => kind),
    ['not_booked'],
  )
  await shop.deliver(
    shop.double.books.tell(
      'charge.refunded',
      shop.double.books.get('charge', shop.double.books.get('payment_intent', intents[1] ?? '').latest_charge),
    ),
  )
  assert.equal((await report()).ok, true)
})

test('a range without an end, or that ends before it begins, is called wrongly', async () => {
  for (const args of [
    [],
    ['--from', '2026-01-01T00:00:00Z'],
    ['--from', 'x', '--to', 'y'],
    [...range.slice(2), ...range.slice(0, 2)].map((word, index) =>
      index % 2 === 0 ? (index === 0 ? '--from' : '--to') : word,
    ),
  ]) {
    const { code, err } = await reconcile(...args)
    assert.equal(code, 2, err)
  }
})
