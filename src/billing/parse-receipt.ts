import { canonicalJson, parseCanonicalJson } from '#lib/canonical-json.ts'
import { isUtcMillis } from '#lib/utc-millis.ts'
import { outcomeNumbers } from './outcome.ts'
import { parseLines } from './price.ts'
import {
  ATTEMPTS_LISTED_MAX,
  LABEL_CHARS_MAX,
  RECEIPT_VERSION,
  type Receipt,
  type ReceiptAttempt,
  type ReceiptPrice,
} from './receipt.ts'
import { isUsageKind, usageSources } from './usage.ts'

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

type Fields<Members> = Readonly<Record<keyof Members, Field>>

function assertReceipt(value: Record<string, unknown>): asserts value is Record<string, unknown> & Receipt {
  for (const name of Object.keys(value)) {
    if (!Object.hasOwn(fields, name)) {
      throw new ReceiptFormatError('receipt_field_unknown', 'the receipt has a field that this version lacks', name)
    }
  }
  for (const [name, field] of Object.entries(fields)) {
    if (!Object.hasOwn(value, name)) {
      if (field.optional) continue
      throw new ReceiptFormatError('receipt_field_missing', `${name} is missing`, name)
    }
    if (!field.accepts(value[name])) {
      throw new ReceiptFormatError('receipt_field_invalid', `${name} is not ${field.expects}`, name)
    }
  }
  // Units that nobody vouches for are not charged, so they do not stand on a receipt either.
  if (value.usage_source === 'none' && isRecord(value.usage) && Object.keys(value.usage).length > 0) {
    throw new ReceiptFormatError('receipt_field_invalid', 'usage is not empty although its source is none', 'usage')
  }
  if (Array.isArray(value.attempt_list) && value.attempt_list.length !== value.attempts) {
    throw new ReceiptFormatError('receipt_field_invalid', 'attempts is not the length of attempt_list', 'attempts')
  }
}

interface Field {
  optional: boolean
  expects: string
  accepts: (value: unknown) => boolean
}

const sources: ReadonlySet<string> = new Set(usageSources)
const outcomes: ReadonlySet<string> = new Set(Object.keys(outcomeNumbers))

const digest = pattern('sha256: and 64 hex digits', /^sha256:[0-9a-f]{64}$/)
const commitment = pattern('hmac-sha256: and 64 hex digits', /^hmac-sha256:[0-9a-f]{64}$/)
const amount = pattern('a decimal string of nano-dollars below 2^63', /^(?:0|[1-9][0-9]{0,18})$/, isInt64)
const label = field(`text of 1 to ${LABEL_CHARS_MAX} characters`, isLabel)

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
  ms: field('an integer of at least 0', isCount),
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
  attempts: field('an integer of at least 0', isCount),
  attempt_list: optional(field(`a list of at most ${ATTEMPTS_LISTED_MAX} well-formed attempts`, isAttemptList)),
  stream: field('true or false', (value) => typeof value === 'boolean'),
  outcome: field(`one of ${[...outcomes].join(', ')}`, (value) => typeof value === 'string' && outcomes.has(value)),
  reason: optional(code),
  usage: field('an object of known kinds, each an integer of at least 1', isUsage),
  usage_source: field(`one of ${usageSources.join(', ')}`, (value) => typeof value === 'string' && sources.has(value)),
  price: field(
    'a price book digest, price lines of known kinds, and where there are any a minimum and a flat price',
    isPrice,
  ),
  charged_nanousd: amount,
  absorbed_nanousd: amount,
  request_commit: optional(commitment),
  response_commit: optional(commitment),
  config_version: optional(field('an integer of at least 0', isCount)),
}

function field(expects: string, accepts: (value: unknown) => boolean): Field {
  return { optional: false, expects, accepts }
}

function pattern(expects: string, shape: RegExp, also: (text: string) => boolean = () => true): Field {
  return field(expects, (value) => typeof value === 'string' && shape.test(value) && also(value))
}

function optional(inner: Field): Field {
  return { ...inner, optional: true }
}

function isRecord(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
}

function isCount(value: unknown): value is number {
  return Number.isSafeInteger(value) && Number(value) >= 0
}

/** Counts characters as code points, as PostgreSQL does. */
function isLabel(value: unknown): boolean {
  return typeof value === 'string' && value !== '' && [...value].length <= LABEL_CHARS_MAX
}

function isInt64(text: string): boolean {
  return BigInt(text) < 1n << 63n
}

function isUsage(value: unknown): boolean {
  if (!isRecord(value)) return false
  return Object.entries(value).every(([kind, units]) => isUsageKind(kind) && isCount(units) && units >= 1)
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

function hasFields(value: unknown, known: Readonly<Record<string, Field>>): boolean {
  if (!isRecord(value)) return false
  if (!Object.keys(value).every((name) => Object.hasOwn(known, name))) return false
  return Object.entries(known).every(([name, inner]) =>
    Object.hasOwn(value, name) ? inner.accepts(value[name]) : inner.optional,
  )
}
