import assert from 'node:assert/strict'
import { test } from 'node:test'
import { reversedNanos } from './credit.ts'
import { formatAmount, formatPrice } from './currency.ts'
import { invoiceFlux } from './invoice-flux.ts'
import type { InvoiceLine, Price } from './provider.ts'

const prices: [bigint | null, string, string][] = [
  [300n, 'usd', '$3.00'],
  [2100n, 'cny', 'CN¥21.00'],
  [500n, 'jpy', '¥500'],
  [1599n, 'gbp', '£15.99'],
  [5n, 'usd', '$0.05'],
  [123456n, 'kwd', 'KWD 123.456'],
  [10000n, 'ugx', 'UGX 100'],
  [null, 'usd', 'USD'],
  [100n, 'not a currency', 'NOT A CURRENCY'],
]
for (const [minor, currency, shown] of prices)
  test(`${minor} of ${currency} is shown as ${shown}`, () => {
    assert.equal(formatPrice(minor, currency).replaceAll(/\s/g, ' '), shown)
  })

test('amounts for records have the digits of their currency, below zero too', () => {
  assert.deepEqual(
    [formatAmount(500n, 'usd'), formatAmount(500n, 'jpy'), formatAmount(-5n, 'eur')],
    ['USD 5.00', 'JPY 500', 'EUR -0.05'],
  )
})

const reversals: [string, [bigint, bigint, bigint], bigint, bigint][] = [
  ['nothing for nothing', [100n, 300n, 0n], 0n, 0n],
  ['a third, rounded down', [100n, 300n, 0n], 100n, 33n],
  ['the whole for the whole', [100n, 300n, 0n], 300n, 100n],
  ['never more than was credited', [100n, 300n, 0n], 900n, 100n],
  ['what a smaller plan gave back counts too', [100n, 300n, 40n], 150n, 90n],
  ['and together never more than was credited', [100n, 300n, 40n], 300n, 100n],
  ['what was bought for nothing cannot be refunded', [100n, 0n, 0n], 5n, 0n],
]
for (const [what, [amountNanos, minor, proratedNanos], reversed, nanos] of reversals)
  test(`of a payment goes back: ${what}`, () => {
    assert.equal(reversedNanos({ amountNanos, minor, proratedNanos }, reversed), nanos)
  })

const price = (flux: bigint | undefined, unit: bigint, rolloverFlux = 0n) =>
  ({ flux, rolloverFlux, amounts: { usd: unit } }) as unknown as Price
const line = (amount: bigint, more: Partial<InvoiceLine> = {}): InvoiceLine => ({
  ...{ priceId: 'price_1', amount, quantity: 1n, proration: false, periodEnd: new Date('2026-02-01') },
  ...more,
})
const worth = (...lines: { line: InvoiceLine; price: Price }[]) =>
  invoiceFlux(lines, { currency: 'usd', fluxNanousd: 10n, now: new Date('2026-01-01') })

test('an invoice is worth what its lines are parts of, less what they give back', () => {
  assert.equal(worth({ line: line(1000n), price: price(50n, 1000n) }).nanos, 500n)
  assert.equal(worth({ line: line(2000n, { quantity: 2n }), price: price(50n, 1000n) }).nanos, 1000n)
  const changed = worth(
    { line: line(-500n, { proration: true }), price: price(50n, 1000n) },
    { line: line(1500n, { proration: true }), price: price(200n, 3000n) },
  )
  assert.deepEqual([changed.nanos, changed.rolloverNanos], [750n, 0n])
  // A trial costs nothing and is worth nothing; a plan that is free is worth what it says.
  assert.equal(worth({ line: line(0n), price: price(50n, 1000n) }).nanos, 0n)
  assert.equal(worth({ line: line(0n), price: price(50n, 0n) }).nanos, 500n)
  assert.equal(worth({ line: line(900n), price: price(undefined, 900n) }).nanos, 0n)
})

test('the Flux of a period end three days after it, and no sooner than three days from now', () => {
  const one = { price: price(50n, 1000n, 20n) }
  assert.deepEqual(worth({ ...one, line: line(1000n) }).expiresAt, new Date('2026-02-04'))
  assert.deepEqual(
    worth({ ...one, line: line(1000n, { periodEnd: new Date('2025-01-01') }) }).expiresAt,
    new Date('2026-01-04'),
  )
  assert.equal(worth({ ...one, line: line(1000n) }).rolloverNanos, 200n)
})
