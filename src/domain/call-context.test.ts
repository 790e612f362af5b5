import assert from 'node:assert/strict'
import { test } from 'node:test'
import { completePrice } from '#billing/price.ts'
import { type CallContext, decodeContext, encodeContext, type PricedTarget, pricedTarget } from './call-context.ts'

const plain = pricedTarget({
  provider: 'openai',
  model: 'gpt-x',
  price: completePrice({ lines: { input: 3_000_000n, output: 15_000_000n } }),
  book: `sha256:${'5b'.repeat(32)}`,
})

const routed = pricedTarget({
  provider: 'azure',
  model: 'gpt "x" β',
  upstream: 'azure-sweden',
  protocol: 'responses',
  price: completePrice({
    lines: { input: 1n, output: 10n ** 15n, characters: 0n },
    longContext: { aboveTokens: 200_000, lines: { input: 2n } },
    minimum: 1_000_000n,
    flat: 5_000_000n,
  }),
  book: `sha256:${'5c'.repeat(32)}`,
})

const context = (...targets: PricedTarget[]): CallContext => ({
  account: 'acc_a',
  projectId: 'prj_a',
  keyId: 'key_a',
  model: 'auto',
  stream: true,
  targets,
})

for (const { name, given } of [
  { name: 'the least there is', given: context(plain) },
  { name: 'targets with all there is', given: context(routed, plain) },
  {
    name: 'labels and the version of the config',
    given: { ...context(plain), aliasName: 'fast "1"', profile: 'p', origin: 'o', configVersion: 12 },
  },
  {
    name: 'a free model in the first config',
    given: { ...context(pricedTarget({ ...plain, price: { lines: {}, minimum: 0n, flat: 0n } })), configVersion: 0 },
  },
] satisfies { name: string; given: CallContext }[]) {
  test(`a context comes back from its hold as it was: ${name}`, () => {
    const read = decodeContext(encodeContext(given))
    assert.deepEqual(read, given)
    assert.equal(encodeContext(read), encodeContext(given))
  })
}

test('a hold of the release before this one is read', () => {
  const text =
    '{"account":"acc_a","projectId":"prj_a","keyId":"key_a","model":"m","stream":false,"targets":[{"provider":"p","model":"m","book":"b","lines":{"input":"10","output":"20"},"above":5,"long":{"input":"30"}}]}'
  const [target] = decodeContext(text).targets
  assert.deepEqual(target?.price, {
    lines: { input: 10n, output: 20n },
    longContext: { aboveTokens: 5, lines: { input: 30n } },
  })
})

test('the price stands on receipts with its minimum and its flat price, in both tiers', () => {
  const above = { book: routed.book, minimum_nanousd: '1000000', flat_nanousd: '5000000' }
  const { base, long } = routed.encoded
  assert.deepEqual({ ...base, lines: null }, { ...above, lines: null })
  assert.deepEqual({ ...long, lines: null }, { ...above, lines: null })
  assert.deepEqual([base.lines.input, long?.lines.input], ['1', '2'])
  assert.deepEqual(Object.keys(plain.encoded.base), ['book', 'lines'])
})
