import assert from 'node:assert/strict'
import { hash } from 'node:crypto'
import { test } from 'node:test'
import { createReceiptSigner } from '#adapters/receipt-signer.ts'
import { splitCost } from './llmring-profile.ts'
import { type LlmringReceipt, llmringText, signedTimestamps, verifyLlmringReceipt } from './llmring-receipt.ts'

// The texts and signatures were made by llmring-server itself, with the seed 00 01 … 1f.
const signer = createReceiptSigner(Buffer.from(Array.from({ length: 32 }, (_, index) => index)))
const key = { key_id: 'k', public_key: new Uint8Array(signer.publicKey), revoked: false }

const first: LlmringReceipt = {
  receipt_id: 'rcpt_test0001',
  timestamp: '2025-10-03T12:00:00+00:00',
  alias: 'summarizer',
  profile: 'prod',
  lock_digest: 'abc123',
  provider: 'openai',
  model: 'gpt-4o-mini',
  prompt_tokens: 1000,
  completion_tokens: 200,
  total_tokens: 1200,
  input_cost: 0.00015,
  output_cost: 0.00012,
  total_cost: 0.00027,
}
const second: LlmringReceipt = {
  ...first,
  receipt_id: 'rcpt_test0002',
  timestamp: '2025-10-03T12:00:00.123456+00:00',
  alias: 'résumé',
  input_cost: 0.000023,
  output_cost: 1e-7,
  total_cost: 0.0000231,
}

const vectors = [
  {
    receipt: first,
    text: '{"alias":"summarizer","completion_tokens":200,"input_cost":0.00015,"lock_digest":"abc123","model":"gpt-4o-mini","output_cost":0.00012,"profile":"prod","prompt_tokens":1000,"provider":"openai","receipt_id":"rcpt_test0001","timestamp":"2025-10-03T12:00:00+00:00","total_cost":0.00027,"total_tokens":1200}',
    signature: 'ed25519:TkhiV-vq57E_MCVz2kW-r7Y_7CjoybHMMiP1EzWR5HL_NWQWe0RlGCdfkOGfmU0cE6e3jfTsBkcxBCh3ylfoAQ',
  },
  {
    receipt: second,
    text: '{"alias":"résumé","completion_tokens":200,"input_cost":0.000023,"lock_digest":"abc123","model":"gpt-4o-mini","output_cost":1e-7,"profile":"prod","prompt_tokens":1000,"provider":"openai","receipt_id":"rcpt_test0002","timestamp":"2025-10-03T12:00:00.123456+00:00","total_cost":0.0000231,"total_tokens":1200}',
    signature: 'ed25519:CyLMG454FjJmO_ge8-aRxcKvvXgN3RDylmJd6kNP_5v2Hv7RxwtDxe33ysMWL4lERGZh70GbOWaPbo-_mrKZBQ',
  },
]

for (const { receipt, text, signature } of vectors) {
  test(`${receipt.receipt_id}: the bytes and the signature of llmring-server`, async () => {
    assert.equal(llmringText(receipt), text)
    assert.equal(`ed25519:${signer.sign(Buffer.from(text)).toString('base64url')}`, signature)
    assert.equal((await verifyLlmringReceipt(receipt, signature, [key])).valid, true)
    const onTheWire = { ...receipt, timestamp: receipt.timestamp.replace('+00:00', 'Z') }
    assert.equal((await verifyLlmringReceipt(onTheWire, `${signature}==`, [key])).valid, true)
    for (const [name, value] of Object.entries(receipt)) {
      const altered = { ...receipt, [name]: typeof value === 'number' ? value + 1 : `${value}x` }
      assert.equal((await verifyLlmringReceipt(altered, signature, [key])).valid, false, name)
    }
    assert.equal((await verifyLlmringReceipt(receipt, signature, [{ ...key, revoked: true }])).valid, false)
    for (const wrong of [undefined, '', signature.slice(8), signature.slice(0, -1), `${signature}A`])
      assert.equal((await verifyLlmringReceipt(receipt, wrong, [key])).valid, false, `${wrong}`)
  })
}

test('the first text has the digest that was published', () => {
  assert.equal(
    hash('sha256', llmringText(first), 'hex'),
    'a7ec112b1043d7e5c6b5f6c5d469b1f9b68816defe5a7a9dde5cfbe0821f5611',
  )
})

test('numbers are those of ECMAScript, and what has no text has none', () => {
  const costs: [number, string][] = [
    [-0, '0'],
    [1, '1'],
    [1e21, '1e+21'],
    [1e-6, '0.000001'],
    [1e-7, '1e-7'],
    [0.1 + 0.2, '0.30000000000000004'],
  ]
  for (const [cost, text] of costs)
    assert(llmringText({ ...first, total_cost: cost }).includes(`"total_cost":${text},`), text)
  assert(llmringText({ ...first, alias: '\u2028/\u007f"\\\b\u0001' }).includes('"\u2028/\u007f\\"\\\\\\b\\u0001"'))
  assert.throws(() => llmringText({ ...first, total_cost: Number.POSITIVE_INFINITY }), RangeError)
  assert.throws(() => llmringText({ ...first, alias: '\ud800' }), RangeError)
})

test('a timestamp stands for the texts of the same instant that may have been signed', () => {
  assert.deepEqual(signedTimestamps('2025-10-03T12:00:00.500Z'), ['2025-10-03T12:00:00.500000+00:00'])
  assert.deepEqual(signedTimestamps('2025-10-03T14:00:00+02:00'), [
    '2025-10-03T12:00:00+00:00',
    '2025-10-03T14:00:00+02:00',
  ])
  assert.deepEqual(signedTimestamps('2025-10-03T12:00:00'), ['2025-10-03T12:00:00+00:00', '2025-10-03T12:00:00'])
  assert.deepEqual(signedTimestamps('soon'), [])
})

test('the parts of a cost are whole, and the one rounding stands on one of them', () => {
  const lines = { input: 1n, cache_read: 1_000n, output: 1_500n, seconds: 5n }
  assert.deepEqual(splitCost({ input: 1 }, lines), { input: 1n, output: 0n })
  assert.deepEqual(splitCost({ input: 1, output: 1 }, lines), { input: 0n, output: 2n })
  assert.deepEqual(splitCost({ input: 1_999, output: 3 }, lines), { input: 1n, output: 6n })
  assert.deepEqual(splitCost({ cache_read: 2, output: 2 }, lines), { input: 2n, output: 3n })
  assert.deepEqual(splitCost({}, lines), { input: 0n, output: 0n })
  assert.equal(splitCost({ input: 1, seconds: 1 }, lines), undefined)
  assert.equal(splitCost({ reasoning: 1 }, lines), undefined)
})
