import assert from 'node:assert/strict'
import { test } from 'node:test'
import { freshBundle } from '#test/receipt-vectors/good.ts'
import { verifySet } from './verify-set.ts'

/** A bundle with this number; its id follows from the number unless it is given. */
function numbered(seq: number, change: object = {}): object {
  const bundle = freshBundle()
  return {
    ...bundle,
    receipt: { ...bundle.receipt, seq, receipt_id: `rcp_${seq.toString(16).padStart(32, '0')}`, ...change },
  }
}

for (const { name, bundles, failed, missing } of [
  { name: 'numbers in a row, in any order', bundles: [3, 1, 2].map((seq) => numbered(seq)), failed: [], missing: 0 },
  { name: 'the first receipt alone', bundles: [numbered(1)], failed: [], missing: 0 },
  { name: 'a later receipt alone', bundles: [numbered(9)], failed: ['no_gap'], missing: 8 },
  {
    name: 'a row whose beginning was cut off',
    bundles: [2, 3, 4].map((seq) => numbered(seq)),
    failed: ['no_gap'],
    missing: 1,
  },
  { name: 'nothing', bundles: [], failed: [], missing: 0 },
  { name: 'a gap of one', bundles: [numbered(1), numbered(3)], failed: ['no_gap'], missing: 1 },
  { name: 'a wide gap', bundles: [numbered(1), numbered(2 ** 53 - 1)], failed: ['no_gap'], missing: 2 ** 53 - 3 },
  {
    name: 'the same receipt twice',
    bundles: [numbered(1), numbered(1)],
    failed: ['unique_receipt_id', 'unique_seq'],
    missing: 0,
  },
  {
    name: 'two calls with one number',
    bundles: [numbered(1), numbered(1, { receipt_id: `rcp_${'f'.repeat(32)}` })],
    failed: ['unique_seq'],
    missing: 0,
  },
  {
    name: 'one call with two numbers',
    bundles: [numbered(1), numbered(2, { receipt_id: `rcp_${'1'.padStart(32, '0')}` })],
    failed: ['unique_receipt_id'],
    missing: 0,
  },
  {
    name: 'two accounts with the same numbers',
    bundles: [numbered(1), numbered(1, { account: 'acc_b', receipt_id: `rcp_${'e'.repeat(32)}` })],
    failed: [],
    missing: 0,
  },
  {
    name: 'a gap in one of two accounts',
    bundles: [numbered(1), numbered(2, { account: 'acc_b' }), numbered(3, { account: 'acc_b' })],
    failed: ['no_gap'],
    missing: 1,
  },
  {
    name: 'something unreadable',
    bundles: [numbered(1), null, {}, 'x', { receipt: '{}' }],
    failed: ['readable'],
    missing: 0,
  },
]) {
  test(`verifySet: ${name} ${failed.length === 0 ? 'is fine' : `fails ${failed.join(' and ')}`}`, () => {
    const { ok, steps, accounts } = verifySet(bundles)
    assert.deepEqual(
      steps.filter((step) => !step.ok).map((step) => step.name),
      failed,
    )
    assert.equal(ok, failed.length === 0)
    assert.equal(
      accounts.reduce((sum, account) => sum + account.missing, 0),
      missing,
    )
  })
}

test('verifySet says which numbers it has seen, and claims nothing beyond', () => {
  const { steps } = verifySet([numbered(2), numbered(1)])
  assert.equal(steps.at(-1)?.detail, 'none is missing: acc_7qm2vx4kd6jh has numbers 1 to 2')
})

test('verifySet names what is missing and what is repeated', () => {
  const { steps } = verifySet([numbered(1), numbered(4), numbered(4), numbered(6)])
  const details = Object.fromEntries(steps.map((step) => [step.name, step.detail]))
  assert.equal(details.no_gap, '3 numbers are missing: acc_7qm2vx4kd6jh 2 to 3, acc_7qm2vx4kd6jh 5')
  assert.equal(details.unique_seq, '1 values are repeated: acc_7qm2vx4kd6jh 4 2 times')
})
