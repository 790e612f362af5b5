import assert from 'node:assert/strict'
import { test } from 'node:test'
import { formatUsd, readAmount } from './amount.ts'
import { UsageError } from './command.ts'

for (const [values, want] of [
  [{ usd: '5' }, 5_000_000_000n],
  [{ usd: '5.25' }, 5_250_000_000n],
  [{ usd: '0.000000001' }, 1n],
  [{ nanousd: '1' }, 1n],
  [{ nanousd: '5000000000' }, 5_000_000_000n],
  [{}, undefined],
] as const) {
  test(`readAmount: ${JSON.stringify(values)} is exact`, () => assert.equal(readAmount(values), want))
}

for (const values of [
  { usd: '0' },
  { usd: '-5' },
  { usd: '$5' },
  { usd: '5,25' },
  { usd: '1e3' },
  { usd: '0.0000000001' },
  { usd: '' },
  { usd: 'NaN' },
  { nanousd: '0' },
  { nanousd: '1.5' },
  { nanousd: '0x10' },
  { usd: '5', nanousd: '5' },
]) {
  test(`readAmount: ${JSON.stringify(values)} is refused`, () => assert.throws(() => readAmount(values), UsageError))
}

test('formatUsd shows every place that counts', () => {
  assert.deepEqual([5_250_000_000n, 1n, 0n].map(formatUsd), ['$5.25', '$0.000000001', '$0'])
})
