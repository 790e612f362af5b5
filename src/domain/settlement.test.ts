import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import { checkCharge } from '#billing/check-charge.ts'
import { type Outcome, outcomeNumbers } from '#billing/outcome.ts'
import { parseReceipt, RECEIPT_CHARS_MAX } from '#billing/parse-receipt.ts'
import { completePrice, type Price } from '#billing/price.ts'
import { ATTEMPTS_LISTED_MAX } from '#billing/receipt.ts'
import { usageSources } from '#billing/usage.ts'
import { type CallContext, decodeContext, encodeContext, pricedTarget } from './call-context.ts'
import { type AttemptRecord, type CallEnd, endedNanos, pricedNanos, settlement } from './settlement.ts'

const lines = { input: 1_000n, output: 2_000n }

function contextOf(price: Price): CallContext {
  const target = pricedTarget({
    provider: 'p',
    model: 'm',
    price: completePrice(price),
    book: `sha256:${'0'.repeat(64)}`,
  })
  return {
    account: 'acc_a',
    projectId: 'prj_a',
    keyId: 'key_a',
    model: 'auto',
    stream: true,
    targets: [target],
    configVersion: 7,
  }
}

function settle(price: Price, end: Partial<CallEnd>, held = 1_000_000n) {
  const context = contextOf(price)
  const call = { requestId: '0'.repeat(32), walletId: 1n, seq: 1n, held, context }
  const whole: CallEnd = {
    outcome: 'complete',
    usage: { input: 10, output: 20 },
    usageSource: 'provider',
    target: 0,
    attempts: 1,
    ...end,
  }
  const op = settlement(call, whole, { log: 'test/1', nowMs: 0 })
  return { op, receipt: parseReceipt(op.receipt), priced: endedNanos(context, whole) }
}

for (const { name, price, end, held, charged, absorbed = 0n } of [
  { name: 'by its lines', price: { lines }, end: {}, charged: 50n },
  { name: 'the minimum', price: { lines, minimum: 80n }, end: {}, charged: 80n },
  {
    name: 'the minimum, as far as it is held',
    price: { lines, minimum: 80n },
    end: {},
    held: 60n,
    charged: 60n,
    absorbed: 20n,
  },
  {
    name: 'nothing of nothing',
    price: { lines, minimum: 80n, flat: 90n },
    end: { outcome: 'void', usage: {}, usageSource: 'none' },
    charged: 0n,
  },
  {
    name: 'the flat price',
    price: { lines, minimum: 80n, flat: 90n },
    end: { usage: {}, usageSource: 'none' },
    charged: 90n,
  },
  {
    name: 'the flat price, as far as it is held',
    price: { lines, flat: 90n },
    end: { usageSource: 'estimated' },
    held: 60n,
    charged: 60n,
    absorbed: 30n,
  },
  {
    name: 'what a lost gateway had recorded, and its minimum',
    price: { lines, minimum: 80n, flat: 90n },
    end: { outcome: 'gateway_lost', usageSource: 'counted', chargeMax: 80n },
    charged: 80n,
  },
  {
    name: 'nothing of a lost gateway that had recorded nothing',
    price: { lines, minimum: 80n, flat: 90n },
    end: { outcome: 'gateway_lost', usage: {}, usageSource: 'none', chargeMax: 0n },
    charged: 0n,
  },
] satisfies {
  name: string
  price: Price
  end: Partial<CallEnd>
  held?: bigint
  charged: bigint
  absorbed?: bigint
}[]) {
  test(`a call is charged ${name}`, () => {
    const { op, receipt } = settle(price, end, held)
    assert.deepEqual([op.charged, op.absorbed, op.cost], [charged, absorbed, charged + absorbed])
    assert.ok(checkCharge(receipt).ok, checkCharge(receipt).detail)
  })
}

test('whatever a call is, its receipt can be read and checks', () => {
  const nanos = fc.option(fc.bigInt({ min: 0n, max: 1_000n }), { nil: undefined })
  const units = fc.integer({ min: 0, max: 100 })
  const end = fc.record({
    outcome: fc.constantFrom(...(Object.keys(outcomeNumbers) as Outcome[])),
    usageSource: fc.constantFrom(...usageSources),
    usage: fc.record({ input: units, output: units }),
    attempts: fc.nat(100),
  })
  fc.assert(
    fc.property(nanos, nanos, fc.bigInt({ min: 0n, max: 500n }), end, (minimum, flat, held, given) => {
      const price = { lines, ...(minimum !== undefined && { minimum }), ...(flat !== undefined && { flat }) }
      const usage = given.usageSource === 'none' ? {} : given.usage
      const { op, receipt, priced } = settle(price, { ...given, usage }, held)
      assert.ok(op.charged <= held)
      assert.equal(op.charged + op.absorbed, priced)
      assert.ok(checkCharge(receipt).ok, checkCharge(receipt).detail)
    }),
    { seed: 20_261_122, numRuns: 500 },
  )
})

test('progress of a running call is worth its minimum from the first token on', () => {
  const context = contextOf({ lines, minimum: 80n, flat: 90n })
  assert.equal(pricedNanos(context, 0, {}), 0n)
  assert.equal(pricedNanos(context, 0, { output: 1 }), 80n)
  assert.equal(pricedNanos(context, 0, { output: 50 }), 100n)
})

test('the version of the config stands on the receipt, also of whoever settles it from the hold', () => {
  const { op, receipt } = settle({ lines }, {})
  assert.equal(receipt.config_version, 7)
  const context = decodeContext(encodeContext(contextOf({ lines })))
  const call = { requestId: '0'.repeat(32), walletId: 1n, seq: 1n, held: 1_000_000n, context }
  const end: CallEnd = {
    outcome: 'complete',
    usage: { input: 10, output: 20 },
    usageSource: 'provider',
    target: 0,
    attempts: 1,
  }
  assert.equal(settlement(call, end, { log: 'test/1', nowMs: 0 }).receipt, op.receipt)
})

const failed: AttemptRecord = {
  provider: 'azure',
  model: 'gpt-x',
  upstream: 'sweden',
  key: '9f86d081',
  protocol: 'chat',
  result: 'status_429',
  ms: 86.7,
}
const won: AttemptRecord = { provider: 'openai', model: 'gpt-x', result: 'ok', ms: 2_310 }

test('attempts stand on the receipt in their order, and their number with them', () => {
  const { op, receipt } = settle({ lines }, { attempts: 9, attemptList: [failed, won] })
  assert.equal(op.attempts, 2)
  assert.equal(receipt.attempts, 2)
  assert.deepEqual(receipt.attempt_list, [{ ...failed, ms: 87 }, won])
})

test('what lost attempts cost is the operator’s: it is booked as cost and never charged', () => {
  const { op, receipt } = settle(
    { lines },
    {
      attemptList: [
        { ...failed, costNanos: 7n },
        { ...won, costNanos: 5n },
      ],
    },
  )
  assert.deepEqual([op.charged, op.absorbed, op.cost], [50n, 0n, 62n])
  assert.deepEqual(
    receipt.attempt_list?.map((attempt) => attempt.cost_nanousd),
    ['7', '5'],
  )
  assert.ok(checkCharge(receipt).ok)
})

test('a list that a receipt cannot hold is left out, its number stays', () => {
  const most = settle({ lines }, { attemptList: Array<AttemptRecord>(ATTEMPTS_LISTED_MAX).fill(failed) })
  assert.equal(most.receipt.attempt_list?.length, ATTEMPTS_LISTED_MAX)
  const tooMany = settle({ lines }, { attemptList: Array<AttemptRecord>(ATTEMPTS_LISTED_MAX + 1).fill(failed) })
  assert.deepEqual([tooMany.receipt.attempts, tooMany.receipt.attempt_list], [ATTEMPTS_LISTED_MAX + 1, undefined])
  const long = { ...failed, model: '\u0001'.repeat(255), provider: '\u0001'.repeat(255) }
  const tooLong = settle({ lines }, { attemptList: Array<AttemptRecord>(20).fill(long) })
  assert.deepEqual([tooLong.receipt.attempts, tooLong.receipt.attempt_list], [20, undefined])
  assert.ok(tooLong.op.receipt.length <= RECEIPT_CHARS_MAX)
})
