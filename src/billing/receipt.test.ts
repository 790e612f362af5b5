import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import { canonicalJson } from '#lib/canonical-json.ts'
import { anyReceipt } from '#test/receipt-arbitrary.ts'
import { parseReceipt, RECEIPT_CHARS_MAX } from './parse-receipt.ts'
import { encodeReceipt, RECEIPT_VERSION, type Receipt, type ReceiptAttempt } from './receipt.ts'
import { usageKinds } from './usage.ts'

const plain: Receipt = {
  v: RECEIPT_VERSION,
  log: 'receipts.example.com/1',
  receipt_id: 'rcp_0193a5f0c1d27e4f8a6b0c9d8e7f6a5b',
  account: 'acc_7Qm',
  seq: 4711,
  issued_at: '2026-11-22T01:41:15.123Z',
  project_key: 'prj_a',
  key_id: 'key_a',
  model: 'openai/gpt-x',
  provider: 'openai',
  model_used: 'gpt-x',
  attempts: 1,
  stream: true,
  outcome: 'complete',
  usage: { output: 304, input: 300 },
  usage_source: 'provider',
  price: { book: `sha256:${'a'.repeat(64)}`, lines: { output: '15000000', input: '3000000' } },
  charged_nanousd: '5460000',
  absorbed_nanousd: '0',
}

test('the fast text of a receipt is its canonical text, and reads back as the same receipt', () => {
  fc.assert(
    fc.property(anyReceipt, (receipt) => {
      const text = encodeReceipt(receipt)
      assert.equal(text, canonicalJson(receipt))
      assert.deepEqual(parseReceipt(text), parseReceipt(receipt))
      assert.equal(encodeReceipt(parseReceipt(text)), text)
    }),
    { seed: 9162, numRuns: 500 },
  )
})

test('kinds without units are left out, because absent means zero', () => {
  const text = encodeReceipt({ ...plain, usage: { input: 300, reasoning: 0, output: 304 } })
  assert.equal(text, encodeReceipt(plain))
})

test('the longest receipt that the gateway may write can be read', () => {
  const longest = '\u0000'.repeat(255)
  const id = 'x'.repeat(64)
  const biggest = '9223372036854775807'
  const text = encodeReceipt({
    ...plain,
    log: '"'.repeat(255),
    account: `acc_${id}`,
    seq: Number.MAX_SAFE_INTEGER,
    project_key: `prj_${id}`,
    key_id: `key_${id}`,
    alias_name: longest,
    profile: longest,
    origin: longest,
    lock_digest: '"'.repeat(128),
    model: longest,
    provider: longest,
    model_used: longest,
    upstream_id: longest,
    reason: 'x'.repeat(64),
    usage: Object.fromEntries(usageKinds.map((kind) => [kind, Number.MAX_SAFE_INTEGER])),
    price: { ...plain.price, lines: Object.fromEntries(usageKinds.map((kind) => [kind, '1000000000000000'])) },
    charged_nanousd: biggest,
    absorbed_nanousd: biggest,
    request_commit: `hmac-sha256:${'a'.repeat(64)}`,
    response_commit: `hmac-sha256:${'a'.repeat(64)}`,
    config_version: Number.MAX_SAFE_INTEGER,
  })
  assert.equal(encodeReceipt(parseReceipt(text)), text)
  assert.ok(text.length <= RECEIPT_CHARS_MAX, `${text.length} characters`)
})

const attempt: ReceiptAttempt = { provider: 'openai', model: 'gpt-x', result: 'ok', ms: 12 }

test('attempts are written in one order of members, whatever the gateway hands over', () => {
  const given = { ...attempt, upstream: 'u', secret: 'sk-1', key: '9f86d081', protocol: 'chat', cost_nanousd: '5' }
  const text = encodeReceipt({ ...plain, attempt_list: [given] })
  const want =
    '[{"cost_nanousd":"5","key":"9f86d081","model":"gpt-x","ms":12,"protocol":"chat","provider":"openai","result":"ok","upstream":"u"}]'
  assert.ok(text.includes(`"attempt_list":${want},"attempts":1`), text)
})

for (const { name, change } of [
  { name: 'a lone surrogate', change: { alias_name: 'a\ud83d' } },
  { name: 'a fraction of a token', change: { usage: { input: 1.5 } } },
  { name: 'a negative number of tokens', change: { usage: { input: -1 } } },
  { name: 'a number beyond 2^53', change: { seq: 2 ** 53 } },
  { name: 'no number', change: { attempts: Number.NaN } },
  { name: 'a fraction of a millisecond', change: { attempt_list: [{ ...attempt, ms: 0.5 }] } },
  { name: 'a lone surrogate in an attempt', change: { attempt_list: [{ ...attempt, upstream: '\ud83d' }] } },
]) {
  test(`encodeReceipt refuses ${name}`, () => {
    assert.throws(() => encodeReceipt({ ...plain, ...change }), RangeError)
  })
}

test('parseReceipt returns a copy that the giver cannot change afterwards', () => {
  const given = structuredClone(plain)
  const read = parseReceipt(given)
  given.charged_nanousd = '1'
  assert.equal(read.charged_nanousd, '5460000')
})

for (const { name, change, code, field } of [
  { name: 'another version', change: { v: 'fluxgate-receipt/3' }, code: 'receipt_version_unknown', field: 'v' },
  { name: 'a field of its own', change: { note: 'x' }, code: 'receipt_field_unknown', field: 'note' },
  {
    name: 'a field named like a property of objects',
    change: { constructor: 'x' },
    code: 'receipt_field_unknown',
    field: 'constructor',
  },
  { name: 'a sequence number as text', change: { seq: '4711' }, code: 'receipt_field_invalid', field: 'seq' },
  { name: 'the sequence number 0', change: { seq: 0 }, code: 'receipt_field_invalid', field: 'seq' },
  {
    name: 'upper-case hex in its id',
    change: { receipt_id: `rcp_${'A'.repeat(32)}` },
    code: 'receipt_field_invalid',
    field: 'receipt_id',
  },
  {
    name: 'a time without milliseconds',
    change: { issued_at: '2026-11-22T01:41:15Z' },
    code: 'receipt_field_invalid',
    field: 'issued_at',
  },
  { name: 'an empty label', change: { alias_name: '' }, code: 'receipt_field_invalid', field: 'alias_name' },
  {
    name: 'a label of 256 characters',
    change: { alias_name: '😀'.repeat(256) },
    code: 'receipt_field_invalid',
    field: 'alias_name',
  },
  { name: 'a space in the name of the log', change: { log: 'a b' }, code: 'receipt_field_invalid', field: 'log' },
  { name: 'a plus in the name of the log', change: { log: 'a+b' }, code: 'receipt_field_invalid', field: 'log' },
  { name: 'another outcome', change: { outcome: 'toString' }, code: 'receipt_field_invalid', field: 'outcome' },
  {
    name: 'a kind of usage that is not known',
    change: { usage: { tokens: 1 } },
    code: 'receipt_field_invalid',
    field: 'usage',
  },
  { name: 'zero units of a kind', change: { usage: { input: 0 } }, code: 'receipt_field_invalid', field: 'usage' },
  { name: 'usage as a list', change: { usage: [] }, code: 'receipt_field_invalid', field: 'usage' },
  {
    name: 'usage that nobody vouches for',
    change: { usage_source: 'none' },
    code: 'receipt_field_invalid',
    field: 'usage',
  },
  {
    name: 'money as a number',
    change: { charged_nanousd: 5460000 },
    code: 'receipt_field_invalid',
    field: 'charged_nanousd',
  },
  {
    name: 'negative money',
    change: { charged_nanousd: '-1' },
    code: 'receipt_field_invalid',
    field: 'charged_nanousd',
  },
  {
    name: 'money with a leading zero',
    change: { absorbed_nanousd: '00' },
    code: 'receipt_field_invalid',
    field: 'absorbed_nanousd',
  },
  {
    name: 'money beyond 64 bits',
    change: { charged_nanousd: '9223372036854775808' },
    code: 'receipt_field_invalid',
    field: 'charged_nanousd',
  },
  { name: 'a price without a book', change: { price: { lines: {} } }, code: 'receipt_field_invalid', field: 'price' },
  {
    name: 'a price line as a number',
    change: { price: { ...plain.price, lines: { input: 3 } } },
    code: 'receipt_field_invalid',
    field: 'price',
  },
  {
    name: 'a price with one more member',
    change: { price: { ...plain.price, note: 'x' } },
    code: 'receipt_field_invalid',
    field: 'price',
  },
  {
    name: 'a commitment without its function',
    change: { request_commit: 'a'.repeat(64) },
    code: 'receipt_field_invalid',
    field: 'request_commit',
  },
  { name: 'an attempt too few', change: { attempt_list: [] }, code: 'receipt_field_invalid', field: 'attempts' },
  {
    name: 'an attempt that is none',
    change: { attempt_list: ['openai'] },
    code: 'receipt_field_invalid',
    field: 'attempt_list',
  },
  {
    name: 'a price with a member of its own',
    change: { price: { ...plain.price, constructor: '1' } },
    code: 'receipt_field_invalid',
    field: 'price',
  },
  { name: 'stream as text', change: { stream: 'true' }, code: 'receipt_field_invalid', field: 'stream' },
]) {
  test(`parseReceipt refuses ${name}`, () => {
    assert.throws(() => parseReceipt({ ...plain, ...change }), { name: 'ReceiptFormatError', code, field })
  })
}

for (const name of Object.keys(plain)) {
  test(`parseReceipt refuses a receipt without ${name}`, () => {
    const rest: Record<string, unknown> = { ...plain }
    delete rest[name]
    assert.throws(() => parseReceipt(rest), { code: 'receipt_field_missing', field: name })
  })
}

for (const { name, input, code } of [
  { name: 'null for an unknown value', input: { ...plain, upstream_id: null }, code: 'json_value_refused' },
  { name: 'a fraction', input: { ...plain, seq: 1.5 }, code: 'json_number_refused' },
  { name: 'a lone surrogate', input: { ...plain, profile: '\udfff' }, code: 'json_text_refused' },
  { name: 'a text that is not canonical', input: `${encodeReceipt(plain)} `, code: 'json_not_canonical' },
  { name: 'a text without end', input: ' '.repeat(RECEIPT_CHARS_MAX + 1), code: 'receipt_too_large' },
  { name: 'a list', input: [], code: 'receipt_not_object' },
]) {
  test(`parseReceipt refuses ${name}`, () => assert.throws(() => parseReceipt(input), { code }))
}
