import assert from 'node:assert/strict'
import { test } from 'node:test'
import { checkCharge } from './check-charge.ts'
import type { Outcome } from './outcome.ts'
import { RECEIPT_VERSION, type Receipt } from './receipt.ts'

// 300 × 3,000 + 7 × 15,001 = 1,005,007 pico-dollars, which is 1,006 nano-dollars after rounding up once.
function receipt(outcome: Outcome, charged: string, absorbed: string, change: Partial<Receipt> = {}): Receipt {
  return {
    v: RECEIPT_VERSION,
    log: 'receipts.example.com/1',
    receipt_id: `rcp_${'0'.repeat(32)}`,
    account: 'acc_a',
    seq: 1,
    issued_at: '2026-11-22T01:41:15.123Z',
    project_key: 'prj_a',
    key_id: 'key_a',
    model: 'm',
    provider: 'p',
    model_used: 'm',
    attempts: 1,
    stream: false,
    outcome,
    usage: { input: 300, output: 7 },
    usage_source: 'provider',
    price: { book: `sha256:${'0'.repeat(64)}`, lines: { input: '3000', output: '15001' } },
    charged_nanousd: charged,
    absorbed_nanousd: absorbed,
    ...change,
  }
}

const nothing: Partial<Receipt> = { usage: {}, usage_source: 'none' }

const least: Partial<Receipt> = { price: { ...receipt('complete', '0', '0').price, minimum_nanousd: '2000' } }
const flat: Partial<Receipt> = {
  usage_source: 'estimated',
  price: { ...receipt('complete', '0', '0').price, flat_nanousd: '70' },
}

for (const { name, given, ok } of [
  { name: 'the exact price', given: receipt('complete', '1006', '0'), ok: true },
  { name: 'one nano-dollar too much', given: receipt('complete', '1007', '0'), ok: false },
  { name: 'one nano-dollar too little', given: receipt('complete', '1005', '0'), ok: false },
  { name: 'a part absorbed', given: receipt('cut_off', '1000', '6'), ok: true },
  { name: 'all absorbed', given: receipt('upstream_error', '0', '1006'), ok: true },
  { name: 'a part that is neither charged nor absorbed', given: receipt('client_abort', '1000', '5'), ok: false },
  { name: 'more absorbed than the rest', given: receipt('gateway_lost', '1000', '7'), ok: false },
  { name: 'nothing used, nothing charged', given: receipt('complete', '0', '0', nothing), ok: true },
  { name: 'nothing used, something charged', given: receipt('complete', '1', '0', nothing), ok: false },
  { name: 'a void call with nothing used', given: receipt('void', '0', '0', nothing), ok: true },
  { name: 'a void call whose price is absorbed', given: receipt('void', '0', '1006'), ok: true },
  { name: 'a void call whose usage is only recorded', given: receipt('void', '0', '0'), ok: true },
  { name: 'a void call that is charged', given: receipt('void', '1006', '0'), ok: false },
  { name: 'a void call that absorbs more than its price', given: receipt('void', '0', '1007'), ok: false },
  { name: 'the minimum', given: receipt('complete', '2000', '0', least), ok: true },
  { name: 'less than the minimum', given: receipt('complete', '1006', '0', least), ok: false },
  { name: 'a minimum that is absorbed in part', given: receipt('cut_off', '1006', '994', least), ok: true },
  { name: 'no minimum of nothing', given: receipt('complete', '0', '0', { ...least, ...nothing }), ok: true },
  { name: 'the minimum of nothing', given: receipt('complete', '2000', '0', { ...least, ...nothing }), ok: false },
  { name: 'the flat price', given: receipt('complete', '70', '0', flat), ok: true },
  { name: 'an estimate beside a flat price', given: receipt('complete', '1006', '0', flat), ok: false },
  { name: 'the flat price of nothing', given: receipt('complete', '70', '0', { ...flat, ...nothing }), ok: true },
  {
    name: 'the flat price of known usage',
    given: receipt('complete', '70', '0', { ...flat, usage_source: 'counted' }),
    ok: false,
  },
  { name: 'the flat price of a call that was left', given: receipt('client_abort', '70', '0', flat), ok: false },
  { name: 'the estimate of a call that was left', given: receipt('client_abort', '1006', '0', flat), ok: true },
  { name: 'the flat price of a void call', given: receipt('void', '0', '70', { ...flat, ...nothing }), ok: false },
]) {
  test(`checkCharge: ${name} is ${ok ? 'right' : 'wrong'}`, () => {
    const verdict = checkCharge(given)
    assert.equal(verdict.ok, ok, verdict.detail)
  })
}

test('checkCharge refuses usage that has no price line', () => {
  const given = receipt('complete', '0', '0', { usage: { seconds: 1 } })
  assert.throws(() => checkCharge(given), { name: 'UnpricedUsageError' })
})
