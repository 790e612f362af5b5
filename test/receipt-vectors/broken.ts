import type { VerifyStepName } from '#billing/verify-receipt.ts'
import { canonicalJson } from '#lib/canonical-json.ts'
import { forgedBatches } from './forged-batches.ts'
import { freshBundle, full } from './good.ts'
import { currentSigner, retiredSigner, revokedSigner, unknownSigner } from './keys.ts'
import { sealOne } from './seal.ts'
import { signedWrong } from './signed-wrong.ts'

/** `expect` is the first step that must fail. */
export interface BrokenVector {
  name: string
  expect: VerifyStepName
  why: string
  text: string
}

/** Another plausible value for every field of a receipt. All are altered after signing, so the hash must notice. */
const alteredFields: Record<string, unknown> = {
  absorbed_nanousd: '1',
  account: 'acc_7qm2vx4kd6jj',
  alias_name: 'resume',
  attempt_list: full.attempt_list?.map((attempt) => ({ ...attempt, result: 'ok' })),
  attempts: 1,
  charged_nanousd: '6213601',
  config_version: 13,
  issued_at: '2026-11-22T01:41:15.301Z',
  key_id: 'key_b4d6f2h8',
  lock_digest: `sha256:${'c5'.repeat(32)}`,
  log: 'receipts.example.com/2',
  model: 'openai/gpt-y',
  model_used: 'gpt-x-2026-10-02',
  origin: 'backend/b',
  outcome: 'complete',
  price: { ...full.price, lines: { ...full.price.lines, cache_write_5m: '1' } },
  profile: 'finance',
  project_key: 'prj_k3n5p7r3',
  provider: 'azure',
  reason: 'client_gone',
  receipt_id: 'rcp_0193a5f0c1d27e4f8a6b0c9d8e7f6a05',
  request_commit: `hmac-sha256:${'d6'.repeat(32)}`,
  response_commit: `hmac-sha256:${'e7'.repeat(32)}`,
  seq: 4715,
  stream: false,
  upstream_id: 'chatcmpl-Ab3dEf7',
  usage: { ...full.usage, output: 344, reasoning: 0 },
  usage_source: 'counted',
}

const signedByWrongKey: readonly BrokenVector[] = [
  vector('key-unknown', 'key', 'a good signature by a key that is not listed', sealOne(full, unknownSigner)),
  vector('key-retired', 'key', 'issued after the end of its key', sealOne(full, retiredSigner)),
  vector(
    'key-not-yet',
    'key',
    'issued before its key was valid',
    sealOne({ ...full, issued_at: '2026-09-30T23:59:59.999Z' }, currentSigner),
  ),
  vector('key-revoked', 'key', 'issued before the revocation, which nobody can tell', sealOne(full, revokedSigner)),
  vector(
    'key-revoked-since',
    'key',
    'issued after the revocation',
    sealOne({ ...full, issued_at: '2026-11-26T00:00:00.000Z' }, revokedSigner),
  ),
]

/** Texts that a forgiving parser reads as a good bundle, or not at all. */
function brokenTexts(): BrokenVector[] {
  const good = JSON.stringify(freshBundle(), null, 2)
  const { batch, receipt } = freshBundle()
  const surrogate = JSON.stringify(sealOne({ ...full, alias_name: 'caf\ufffd' }, currentSigner), null, 2)
  return [
    text(
      'text-duplicate-key',
      'a key twice; the last one is what was signed',
      good,
      '"charged_nanousd"',
      '"charged_nanousd": "1",\n    "charged_nanousd"',
    ),
    text(
      'text-duplicate-key-escaped',
      'a key twice, once with an escape',
      good,
      '"attempts"',
      '"attempt\\u0073": 1,\n    "attempts"',
    ),
    text('text-number-fraction', 'the integer 2 written as 2.0', good, '"attempts": 2', '"attempts": 2.0'),
    text(
      'text-number-exponent',
      'the integer 12 written with an exponent',
      good,
      '"config_version": 12',
      '"config_version": 1.2e1',
    ),
    text('text-usage-fraction', 'half a token', good, '"input": 300', '"input": 300.5'),
    text('text-number-rounded', 'an integer that a double rounds', good, '"seq": 4714', '"seq": 9007199254740993'),
    text('text-null', 'an unknown value as null', good, '"reason": "client_closed"', '"reason": null'),
    text(
      'text-lone-surrogate',
      'half a character; UTF-8 encoders write what was signed',
      surrogate,
      '"caf\ufffd"',
      '"caf\\ud83d"',
    ),
    text('text-truncated', 'the text ends early', good, /\}\s*$/, ''),
    text('text-trailing', 'something follows the bundle', good, /$/, '{}'),
    text('text-nested', 'nested without end', good, /[\s\S]*/, '['.repeat(4096)),
    vector('bundle-no-batch', 'format', 'the batch is missing', { receipt }),
    vector('bundle-no-receipt', 'format', 'the receipt is missing', { batch }),
    vector('bundle-extra-member', 'format', 'a member too many', { ...freshBundle(), signed: true }),
    vector('bundle-receipt-text', 'format', 'the receipt as a string', { batch, receipt: canonicalJson(receipt) }),
    vector('bundle-list', 'format', 'the bundle inside a list of lists', [[freshBundle()]]),
  ]
}

export const brokenVectors: readonly BrokenVector[] = [
  ...Object.entries(alteredFields).map(([field, value]) => {
    const bundle = freshBundle()
    bundle.receipt[field] = value
    // A kind with zero units, or a count that is not that of the list, would already be wrong in form; here it stays right.
    if (field === 'usage') bundle.receipt.usage = { ...full.usage, output: 344, reasoning: 1 }
    if (field === 'attempts') bundle.receipt.attempt_list = full.attempt_list?.slice(1)
    return vector(`altered-${field.replaceAll('_', '-')}`, 'path', `${field} was altered after signing`, bundle)
  }),
  ...forgedBatches.map(({ name, expect, why, forge }) => {
    const bundle = freshBundle()
    forge(bundle)
    return vector(name, expect, why, bundle)
  }),
  ...signedWrong.map(({ name, expect, why, change }) => {
    // What is undefined is left out.
    const receipt: object = JSON.parse(JSON.stringify({ ...full, ...change }))
    return vector(name, expect, `${why}, and signed`, sealOne(receipt, currentSigner))
  }),
  ...signedByWrongKey,
  ...brokenTexts(),
]

function vector(name: string, expect: VerifyStepName, why: string, value: unknown): BrokenVector {
  return { name, expect, why, text: `${JSON.stringify(value, null, 2)}\n` }
}

function text(name: string, why: string, good: string, find: string | RegExp, put: string): BrokenVector {
  const broken = good.replace(find, () => put)
  if (broken === good) throw new Error(`${name} changes nothing`)
  return { name, expect: 'format', why, text: `${broken}\n` }
}
