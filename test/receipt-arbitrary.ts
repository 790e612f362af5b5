import fc from 'fast-check'
import { outcomeNumbers } from '#billing/outcome.ts'
import { RECEIPT_VERSION, type Receipt, type ReceiptAttempt } from '#billing/receipt.ts'
import { type UsageKind, usageKinds, usageSources } from '#billing/usage.ts'

const hex = (length: number) =>
  fc.string({ unit: fc.constantFrom(...'0123456789abcdef'), minLength: length, maxLength: length })
const label = fc.string({ unit: 'binary', minLength: 1, maxLength: 255 })
// As many attempts as there may be would be longer than a receipt if their names were as long as they may be.
const shortLabel = fc.string({ unit: 'binary', minLength: 1, maxLength: 20 })
const publicId = (prefix: string) =>
  fc.string({ unit: fc.constantFrom(...'abcXYZ019_-'), minLength: 1, maxLength: 64 }).map((text) => prefix + text)
const int64 = fc.bigInt({ min: 0n, max: (1n << 63n) - 1n }).map(String)
const unitPrice = fc.bigInt({ min: 0n, max: 10n ** 15n }).map(String)
const code = fc.constantFrom('insufficient_credits', 'upstream_timeout', 'x')
const kind = fc.constantFrom(...usageKinds)

/** Objects whose keys are usage kinds, in any order. */
function byKind<T>(value: fc.Arbitrary<T>): fc.Arbitrary<Partial<Record<UsageKind, T>>> {
  return fc.dictionary(kind, value).map((members) => ({ ...members }))
}

const attempt: fc.Arbitrary<ReceiptAttempt> = fc.record(
  {
    cost_nanousd: int64,
    key: hex(8),
    model: shortLabel,
    ms: fc.nat(),
    protocol: fc.constantFrom('chat', 'messages', 'azure-v1'),
    provider: shortLabel,
    result: code,
    upstream: shortLabel,
  },
  { requiredKeys: ['model', 'ms', 'provider', 'result'] },
)

/** Any receipt of the right form. Its charge need not follow from its usage. */
export const anyReceipt: fc.Arbitrary<Receipt> = fc
  .record(
    {
      v: fc.constant<typeof RECEIPT_VERSION>(RECEIPT_VERSION),
      log: fc.constantFrom('receipts.example.com/1', '127.0.0.1:3000', 'a"b\\c'),
      receipt_id: hex(32).map((text) => `rcp_${text}`),
      account: publicId('acc_'),
      seq: fc.integer({ min: 1, max: Number.MAX_SAFE_INTEGER }),
      issued_at: fc
        .date({ min: new Date(0), max: new Date('9999-12-31T23:59:59.999Z'), noInvalidDate: true })
        .map((date) => date.toISOString()),
      project_key: publicId('prj_'),
      key_id: publicId('key_'),
      alias_name: label,
      profile: label,
      origin: label,
      lock_digest: hex(64).map((text) => `sha256:${text}`),
      model: label,
      provider: label,
      model_used: label,
      upstream_id: label,
      attempts: fc.nat(),
      attempt_list: fc.array(attempt, { maxLength: 64 }),
      stream: fc.boolean(),
      outcome: fc.constantFrom(...(Object.keys(outcomeNumbers) as (keyof typeof outcomeNumbers)[])),
      reason: code,
      usage: byKind(fc.integer({ min: 1, max: Number.MAX_SAFE_INTEGER })),
      usage_source: fc.constantFrom(...usageSources),
      price: fc.record(
        {
          book: hex(64).map((text) => `sha256:${text}`),
          flat_nanousd: int64,
          lines: byKind(unitPrice),
          minimum_nanousd: int64,
        },
        { requiredKeys: ['book', 'lines'] },
      ),
      charged_nanousd: int64,
      absorbed_nanousd: int64,
      request_commit: hex(64).map((text) => `hmac-sha256:${text}`),
      response_commit: hex(64).map((text) => `hmac-sha256:${text}`),
      config_version: fc.nat(),
    },
    {
      requiredKeys: [
        'v',
        'log',
        'receipt_id',
        'account',
        'seq',
        'issued_at',
        'project_key',
        'key_id',
        'model',
        'provider',
        'model_used',
        'attempts',
        'stream',
        'outcome',
        'usage',
        'usage_source',
        'price',
        'charged_nanousd',
        'absorbed_nanousd',
      ],
    },
  )
  .map((receipt) => ({
    ...receipt,
    ...(receipt.usage_source === 'none' && { usage: {} }),
    ...(receipt.attempt_list !== undefined && { attempts: receipt.attempt_list.length }),
  }))
