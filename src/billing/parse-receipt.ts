import { canonicalJson, parseCanonicalJson } from '#lib/canonical-json.ts'
import { isUtcMillis } from '#lib/utc-millis.ts'
import {
  amount,
  count,
  digest,
  type Fields,
  field,
  hasFields,
  isCount,
  isRecord,
  label,
  optional,
  pattern,
  usage,
  wrongField,
} from './fields.ts'
import { outcomeNumbers } from './outcome.ts'
import { parseLines } from './price.ts'
import {
  ATTEMPTS_LISTED_MAX,
  RECEIPT_VERSION,
  type Receipt,
  type ReceiptAttempt,
  type ReceiptPrice,
} from './receipt.ts'
import { usageSources } from './usage.ts'

export const RECEIPT_CHARS_MAX = 32_768

type ReceiptFormatErrorCode =
  | 'receipt_not_object'
  | 'receipt_too_large'
  | 'receipt_version_unknown'
  | 'receipt_field_missing'
  | 'receipt_field_unknown'
  | 'receipt_field_invalid'

/** Why something is not a receipt of this version. `field` is set when one field is to blame. */
class ReceiptFormatError extends Error {
  override readonly name = 'ReceiptFormatError'
  readonly code: ReceiptFormatErrorCode
  readonly field: string | undefined

  constructor(code: ReceiptFormatErrorCode, message: string, field?: string) {
    super(message)
    this.code = code
    this.field = field
  }
}

/**
 * Checks a receipt to the letter: every field known, every mandatory field there, every value in range. A string must be
 * the canonical text, anything else is read as parsed JSON. Returns a copy that nobody else holds; throws
 * ReceiptFormatError, or CanonicalJsonError for what no receipt may contain.
 */
export function parseReceipt(input: unknown): Receipt {
  const text = typeof input === 'string' ? input : canonicalJson(input)
  if (text.length > RECEIPT_CHARS_MAX) {
    throw new ReceiptFormatError('receipt_too_large', `the receipt is longer than ${RECEIPT_CHARS_MAX} characters`)
  }
  const value = parseCanonicalJson(text, RECEIPT_CHARS_MAX)
  if (!isRecord(value)) throw new ReceiptFormatError('receipt_not_object', 'the receipt is not an object')
  if (Object.hasOwn(value, 'v') && value.v !== RECEIPT_VERSION) {
    throw new ReceiptFormatError('receipt_version_unknown', `v is not ${RECEIPT_VERSION}`, 'v')
  }
  assertReceipt(value)
  return value
}

function assertReceipt(value: Record<string, unknown>): asserts value is Record<string, unknown> & Receipt {
  const wrong = wrongField(value, fields)
  if (wrong !== undefined) {
    const message = wrong.why === 'unknown' ? 'the receipt has a field that this version lacks' : wrong.message
    throw new ReceiptFormatError(`receipt_field_${wrong.why}`, message, wrong.name)
  }
  // Units that nobody vouches for are not charged, so they do not stand on a receipt either.
  if (value.usage_source === 'none' && isRecord(value.usage) && Object.keys(value.usage).length > 0) {
    throw new ReceiptFormatError('receipt_field_invalid', 'usage is not empty although its source is none', 'usage')
  }
  if (Array.isArray(value.attempt_list) && value.attempt_list.length !== value.attempts) {
    throw new ReceiptFormatError('receipt_field_invalid', 'attempts is not the length of attempt_list', 'attempts')
  }
}

const sources: ReadonlySet<string> = new Set(usageSources)
const outcomes: ReadonlySet<string> = new Set(Object.keys(outcomeNumbers))

const commitment = pattern('hmac-sha256: and 64 hex digits', /^hmac-sha256:[0-9a-f]{64}$/)
const code = pattern('a short code in snake_case', /^[a-z][a-z0-9_]{0,63}$/)

const priceFields: Fields<ReceiptPrice> = {
  book: digest,
  flat_nanousd: optional(amount),
  lines: field('price lines of known kinds', isLines),
  minimum_nanousd: optional(amount),
}

const attemptFields: Fields<ReceiptAttempt> = {
  cost_nanousd: optional(amount),
  key: optional(pattern('8 hex digits', /^[0-9a-f]{8}$/)),
  model: label,
  ms: count,
  protocol: optional(pattern('1 to 32 of a-z 0-9 _ -', /^[a-z][a-z0-9_-]{0,31}$/)),
  provider: label,
  result: code,
  upstream: optional(label),
}

const fields: Fields<Receipt> = {
  v: field(RECEIPT_VERSION, (value) => value === RECEIPT_VERSION),
  log: pattern('visible ASCII without +', /^[!-*,-~]{1,255}$/),
  receipt_id: pattern('rcp_ and 32 hex digits', /^rcp_[0-9a-f]{32}$/),
  account: pattern('acc_ and 1 to 64 of A-Z a-z 0-9 _ -', /^acc_[A-Za-z0-9_-]{1,64}$/),
  seq: field('an integer of at least 1', (value) => isCount(value) && value >= 1),
  issued_at: field('a UTC time with milliseconds', isUtcMillis),
  project_key: pattern('prj_ and 1 to 64 of A-Z a-z 0-9 _ -', /^prj_[A-Za-z0-9_-]{1,64}$/),
  key_id: pattern('key_ and 1 to 64 of A-Z a-z 0-9 _ -', /^key_[A-Za-z0-9_-]{1,64}$/),
  alias_name: optional(label),
  profile: optional(label),
  origin: optional(label),
  lock_digest: optional(pattern('1 to 128 visible ASCII characters', /^[!-~]{1,128}$/)),
  model: label,
  provider: label,
  model_used: label,
  upstream_id: optional(label),
  attempts: count,
  attempt_list: optional(field(`a list of at most ${ATTEMPTS_LISTED_MAX} well-formed attempts`, isAttemptList)),
  stream: field('true or false', (value) => typeof value === 'boolean'),
  outcome: field(`one of ${[...outcomes].join(', ')}`, (value) => typeof value === 'string' && outcomes.has(value)),
  reason: optional(code),
  usage,
  usage_source: field(`one of ${usageSources.join(', ')}`, (value) => typeof value === 'string' && sources.has(value)),
  price: field(
    'a price book digest, price lines of known kinds, and where there are any a minimum and a flat price',
    isPrice,
  ),
  charged_nanousd: amount,
  absorbed_nanousd: amount,
  request_commit: optional(commitment),
  response_commit: optional(commitment),
  config_version: optional(count),
}

function isPrice(value: unknown): boolean {
  return hasFields(value, priceFields)
}

function isLines(value: unknown): boolean {
  try {
    parseLines(value)
    return true
  } catch {
    return false
  }
}

function isAttemptList(value: unknown): boolean {
  if (!Array.isArray(value) || value.length > ATTEMPTS_LISTED_MAX) return false
  return value.every((entry) => hasFields(entry, attemptFields))
}
