import { ATTEMPTS_LISTED_MAX, RECEIPT_VERSION, type Receipt, type ReceiptAttempt } from '#billing/receipt.ts'
import { currentSigner, retiredSigner } from './keys.ts'
import { type LooseBundle, sealBatch, sealOne } from './seal.ts'

const book = `sha256:${'5b'.repeat(32)}`

const limited: ReceiptAttempt = {
  key: '9f86d081',
  model: 'gpt-x',
  ms: 87,
  protocol: 'chat',
  provider: 'azure',
  result: 'status_429',
  upstream: 'azure-sweden/β',
}
const served: ReceiptAttempt = { model: 'gpt-x-2026-10-01', ms: 2_310, provider: 'openai', result: 'ok' }

/** 300 × 3 + 512 × 0.3 + 304 × 15 + 40 × 15 dollars per million: 6,213,600 nano-dollars. */
export const complete: Receipt = {
  v: RECEIPT_VERSION,
  log: 'receipts.example.com/1',
  receipt_id: 'rcp_0193a5f0c1d27e4f8a6b0c9d8e7f6a01',
  account: 'acc_7qm2vx4kd6jh',
  seq: 4711,
  issued_at: '2026-11-22T01:41:15.123Z',
  project_key: 'prj_k3n5p7r2',
  key_id: 'key_b4d6f2h7',
  model: 'openai/gpt-x',
  provider: 'openai',
  model_used: 'gpt-x-2026-10-01',
  attempts: 1,
  stream: true,
  outcome: 'complete',
  usage: { cache_read: 512, input: 300, output: 304, reasoning: 40 },
  usage_source: 'provider',
  price: { book, lines: { cache_read: '300000', input: '3000000', output: '15000000', reasoning: '15000000' } },
  charged_nanousd: '6213600',
  absorbed_nanousd: '0',
}

const cutOff: Receipt = {
  ...complete,
  receipt_id: 'rcp_0193a5f0c1d27e4f8a6b0c9d8e7f6a02',
  seq: 4712,
  issued_at: '2026-11-22T01:41:15.200Z',
  outcome: 'cut_off',
  reason: 'insufficient_credits',
  usage: { input: 300, output: 304 },
  usage_source: 'counted',
  charged_nanousd: '5400000',
  absorbed_nanousd: '60000',
}

const unused: Receipt = {
  ...complete,
  receipt_id: 'rcp_0193a5f0c1d27e4f8a6b0c9d8e7f6a03',
  seq: 4713,
  issued_at: '2026-11-22T01:41:15.250Z',
  attempts: 3,
  stream: false,
  outcome: 'void',
  reason: 'upstream_failed',
  usage: {},
  usage_source: 'none',
  charged_nanousd: '0',
}

/** Has every field, and labels that only a careful encoder gets right. */
export const full: Receipt = {
  ...complete,
  receipt_id: 'rcp_0193a5f0c1d27e4f8a6b0c9d8e7f6a04',
  seq: 4714,
  issued_at: '2026-11-22T01:41:15.300Z',
  alias_name: 'résumé 要約 🧾 "quoted" \\ / \u2028 \u007f \u0001 \t',
  profile: '\ufb01nance\u0301',
  origin: 'backend/β',
  lock_digest: `sha256:${'c4'.repeat(32)}`,
  upstream_id: 'chatcmpl-Ab3dEf6',
  attempts: 2,
  attempt_list: [
    { ...limited, cost_nanousd: '1200' },
    { ...limited, ...served, key: 'b3a8e0e1', upstream: 'openai' },
  ],
  outcome: 'client_abort',
  reason: 'client_closed',
  price: { ...complete.price, flat_nanousd: '5000000', minimum_nanousd: '1000000' },
  request_commit: `hmac-sha256:${'d5'.repeat(32)}`,
  response_commit: `hmac-sha256:${'e6'.repeat(32)}`,
  config_version: 12,
}

const lost: Receipt = {
  ...complete,
  receipt_id: 'rcp_0193a5f0c1d27e4f8a6b0c9d8e7f6a05',
  seq: 4715,
  issued_at: '2026-11-22T01:46:15.300Z',
  outcome: 'gateway_lost',
  reason: 'lease_expired',
  usage: { input: 812, output: 1024 },
  usage_source: 'estimated',
  charged_nanousd: '17796000',
}

/** 1 × 1 pico-dollar is charged as one nano-dollar: rounding goes up. */
const rounded: Receipt = {
  ...complete,
  receipt_id: 'rcp_0193a5f0c1d27e4f8a6b0c9d8e7f6a06',
  seq: 1,
  usage: { characters: 1 },
  price: { book, lines: { characters: '1', input: '0' } },
  charged_nanousd: '1',
}

/** Needs more than 53 bits at every turn. */
const large: Receipt = {
  ...complete,
  receipt_id: 'rcp_0193a5f0c1d27e4f8a6b0c9d8e7f6a07',
  seq: Number.MAX_SAFE_INTEGER,
  usage: { input: Number.MAX_SAFE_INTEGER, seconds: 3 },
  price: { book, lines: { input: '1000001', seconds: '999999999999999' } },
  charged_nanousd: '12007199254741',
  absorbed_nanousd: '9007199254740991000',
}

const free: Receipt = {
  ...complete,
  receipt_id: 'rcp_0193a5f0c1d27e4f8a6b0c9d8e7f6a08',
  seq: 2,
  model: 'ollama/llama',
  provider: 'ollama',
  model_used: 'llama',
  price: { book, lines: { cache_read: '0', input: '0', output: '0', reasoning: '0' } },
  charged_nanousd: '0',
}

/** A model that is charged in Flux: 8 tokens at 1,000 nano-dollars each, but no less than one Flux. */
export const inFlux: Receipt = {
  ...complete,
  receipt_id: 'rcp_0193a5f0c1d27e4f8a6b0c9d8e7f6a10',
  seq: 4,
  usage: { input: 5, output: 3 },
  price: {
    book,
    flat_nanousd: '5000000',
    lines: { input: '1000000', output: '1000000' },
    minimum_nanousd: '1000000',
  },
  charged_nanousd: '1000000',
}

/** The provider of a complete answer did not tell its usage and a document in it could not be counted. */
export const flat: Receipt = {
  ...inFlux,
  receipt_id: 'rcp_0193a5f0c1d27e4f8a6b0c9d8e7f6a11',
  seq: 5,
  usage: { input: 250_000, output: 30 },
  usage_source: 'estimated',
  charged_nanousd: '5000000',
}

const unknown: Receipt = {
  ...flat,
  receipt_id: 'rcp_0193a5f0c1d27e4f8a6b0c9d8e7f6a12',
  seq: 6,
  usage: {},
  usage_source: 'none',
}

const leftEarly: Receipt = {
  ...flat,
  receipt_id: 'rcp_0193a5f0c1d27e4f8a6b0c9d8e7f6a13',
  seq: 7,
  outcome: 'client_abort',
  charged_nanousd: '250030000',
}

const unusedInFlux: Receipt = {
  ...unused,
  receipt_id: 'rcp_0193a5f0c1d27e4f8a6b0c9d8e7f6a14',
  seq: 8,
  price: inFlux.price,
  attempt_list: [
    limited,
    { ...limited, key: '60303ae2', result: 'timeout_first_byte' },
    { ...served, result: 'reset' },
  ],
}

const manyAttempts: Receipt = {
  ...complete,
  receipt_id: 'rcp_0193a5f0c1d27e4f8a6b0c9d8e7f6a15',
  seq: 9,
  attempts: ATTEMPTS_LISTED_MAX,
  attempt_list: [...Array<ReceiptAttempt>(ATTEMPTS_LISTED_MAX - 1).fill(limited), served],
}

const older: Receipt = {
  ...complete,
  receipt_id: 'rcp_0193a5f0c1d27e4f8a6b0c9d8e7f6a09',
  seq: 3,
  issued_at: '2026-10-01T23:59:59.999Z',
}

const five = sealBatch('0193a5f0-c1d2-7e4f-8a6b-000000000005', [complete, cutOff, unused, full, lost], currentSigner)
const many = sealBatch(
  '0193a5f0-c1d2-7e4f-8a6b-000000000064',
  Array.from({ length: 64 }, (_, index) => ({
    ...complete,
    receipt_id: `rcp_${(index + 256).toString(16).padStart(32, '0')}`,
    seq: 100 + index,
  })),
  currentSigner,
)

export const goodVectors: readonly { name: string; why: string; bundle: LooseBundle }[] = [
  { name: 'complete', why: 'first of a batch of five', bundle: at(five, 0) },
  { name: 'cut-off', why: 'the wallet ran dry: a part is absorbed', bundle: at(five, 1) },
  { name: 'void', why: 'nothing was used and nothing charged', bundle: at(five, 2) },
  { name: 'all-fields', why: 'every field, labels beyond ASCII, fourth of a batch of five', bundle: at(five, 3) },
  { name: 'gateway-lost', why: 'last of an odd batch: its path is shorter', bundle: at(five, 4) },
  { name: 'batch-of-64', why: 'a path of six hashes', bundle: at(many, 37) },
  { name: 'single', why: 'a batch of one: an empty path', bundle: sealOne(complete, currentSigner) },
  {
    name: 'rounded-up',
    why: 'a thousandth of a nano-dollar is charged as one',
    bundle: sealOne(rounded, currentSigner),
  },
  { name: 'large-numbers', why: 'sums that a double cannot hold', bundle: sealOne(large, currentSigner) },
  { name: 'free-model', why: 'a price of zero is a price', bundle: sealOne(free, currentSigner) },
  { name: 'minimum', why: 'less used than the minimum', bundle: sealOne(inFlux, currentSigner) },
  { name: 'flat-estimated', why: 'a complete call whose usage is a bound', bundle: sealOne(flat, currentSigner) },
  { name: 'flat-unknown', why: 'a complete call without any usage', bundle: sealOne(unknown, currentSigner) },
  {
    name: 'flat-left-early',
    why: 'a client that left pays for what was used, not the flat price',
    bundle: sealOne(leftEarly, currentSigner),
  },
  {
    name: 'void-attempts',
    why: 'three attempts failed: neither the minimum nor the flat price is charged',
    bundle: sealOne(unusedInFlux, currentSigner),
  },
  { name: 'attempts-64', why: 'the longest list of attempts', bundle: sealOne(manyAttempts, currentSigner) },
  { name: 'retired-key', why: 'signed in the last millisecond of a key', bundle: sealOne(older, retiredSigner) },
]

/** The all-fields bundle as one object per call, so that a forger may change it. */
export function freshBundle(): LooseBundle {
  return structuredClone(at(five, 3))
}

/** A bundle of another batch with the same key. */
export function otherBundle(): LooseBundle {
  return structuredClone(at(many, 3))
}

function at(bundles: readonly LooseBundle[], index: number): LooseBundle {
  const bundle = bundles[index]
  if (bundle === undefined) throw new Error(`there is no bundle ${index}`)
  return bundle
}
