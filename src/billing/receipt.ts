import type { Outcome } from './outcome.ts'
import { type Usage, type UsageKind, type UsageSource, usageKinds } from './usage.ts'

export const RECEIPT_VERSION = 'fluxgate-receipt/2'

/** Characters of a label that a client may attach to a call, counted as code points. */
export const LABEL_CHARS_MAX = 255

/**
 * What the gateway states about one call. Field names are those of the JSON; what is unknown is absent, never null.
 * docs/receipts.md says what each field means and how the text is hashed and signed.
 */
export interface Receipt {
  v: typeof RECEIPT_VERSION
  /** Origin of the transparency log, e.g. `receipts.example.com/1`. */
  log: string
  /** `rcp_` and the 32 hex digits of the request id. */
  receipt_id: string
  /** Stable opaque name of the wallet, `acc_…`. */
  account: string
  /** Number of this call within the account: 1, 2, 3, … without a gap. */
  seq: number
  /** UTC with milliseconds, `2026-11-22T01:41:15.123Z`. */
  issued_at: string
  project_key: string
  key_id: string
  alias_name?: string
  profile?: string
  origin?: string
  lock_digest?: string
  /** As the client asked for it. */
  model: string
  provider: string
  /** As the provider knows it. */
  model_used: string
  upstream_id?: string
  /** How often an upstream was asked. */
  attempts: number
  /** Each of them in its order. Left out where nobody knows, and where there are too many to state. */
  attempt_list?: readonly ReceiptAttempt[]
  stream: boolean
  outcome: Outcome
  /** Short code that explains the outcome, e.g. `insufficient_credits`. */
  reason?: string
  usage: Usage
  usage_source: UsageSource
  price: ReceiptPrice
  charged_nanousd: string
  /** What the call cost beyond the charge: borne by the operator. */
  absorbed_nanousd: string
  /** `hmac-sha256:` and 64 hex digits, over the exact bytes of the request. */
  request_commit?: string
  /** The same over the exact bytes written to the client. */
  response_commit?: string
  config_version?: number
}

export interface ReceiptPrice {
  /** Digest of the price book the lines come from, `sha256:` and 64 hex digits. */
  book: string
  /** What a complete call costs when nobody knows its usage. */
  flat_nanousd?: string
  /** Pico-dollars per unit, as decimal strings. */
  lines: Readonly<Partial<Record<UsageKind, string>>>
  /** The least that a call with any usage costs. */
  minimum_nanousd?: string
}

/** A list of more attempts than this is left out. */
export const ATTEMPTS_LISTED_MAX = 64

/** One time that an upstream was asked. */
export interface ReceiptAttempt {
  /** What an attempt that served nobody cost the operator. It is no part of the charge. */
  cost_nanousd?: string
  /** The first 8 hex digits of the SHA-256 of the credential that was used. */
  key?: string
  /** As the provider knows it. */
  model: string
  /** From the start of the attempt to its end, or to its failure. */
  ms: number
  protocol?: string
  provider: string
  /** `ok`, or the code of the fault: `status_429`, `timeout_first_byte`. */
  result: string
  /** The operator's own id of the upstream. */
  upstream?: string
}

const kindsSorted = [...usageKinds].sort()

type Loose<T> = { [Name in keyof T]: object extends Pick<T, Name> ? T[Name] | undefined : T[Name] }

/** A receipt on its way into text: what is unknown may also be undefined. */
export type ReceiptFields = Loose<Omit<Receipt, 'attempt_list'>> & {
  attempt_list?: readonly Loose<ReceiptAttempt>[] | undefined
}

/**
 * The canonical text of a receipt: equal to canonicalJson of it, at a fraction of the cost, because the hot path writes
 * one per call. Kinds with zero units are left out. Throws RangeError for a number that is no count and for text that is
 * not well-formed, so that nothing unverifiable is ever signed. A price that it has seen must not change any more.
 */
export function encodeReceipt(receipt: ReceiptFields): string {
  // The members stand in the order of RFC 8785. JSON.stringify takes twice as long for objects that are new every time.
  const { attempt_list, config_version, price } = receipt
  let all = `{"absorbed_nanousd":${text(receipt.absorbed_nanousd)},"account":${text(receipt.account)}`
  all += optional(',"alias_name":', receipt.alias_name)
  if (attempt_list !== undefined) all += `,"attempt_list":[${attempts(attempt_list)}]`
  all += `,"attempts":${count(receipt.attempts)},"charged_nanousd":${text(receipt.charged_nanousd)}`
  if (config_version !== undefined) all += `,"config_version":${count(config_version)}`
  all += `,"issued_at":${text(receipt.issued_at)},"key_id":${text(receipt.key_id)}`
  all += optional(',"lock_digest":', receipt.lock_digest)
  all += `,"log":${text(receipt.log)},"model":${text(receipt.model)},"model_used":${text(receipt.model_used)}`
  all += optional(',"origin":', receipt.origin)
  all += `,"outcome":${text(receipt.outcome)},"price":${priceTexts.get(price) ?? keepPrice(price)}`
  all += optional(',"profile":', receipt.profile)
  all += `,"project_key":${text(receipt.project_key)},"provider":${text(receipt.provider)}`
  all += optional(',"reason":', receipt.reason)
  all += `,"receipt_id":${text(receipt.receipt_id)}`
  all += optional(',"request_commit":', receipt.request_commit)
  all += optional(',"response_commit":', receipt.response_commit)
  all += `,"seq":${count(receipt.seq)},"stream":${receipt.stream}`
  all += optional(',"upstream_id":', receipt.upstream_id)
  all += `,"usage":{${units(receipt.usage)}},"usage_source":${text(receipt.usage_source)}`
  return `${all},"v":"${RECEIPT_VERSION}"}`
}

/** Prices are made once for each target, and written on every receipt of it. */
const priceTexts = new WeakMap<ReceiptPrice, string>()

function keepPrice(price: ReceiptPrice): string {
  let all = `{"book":${text(price.book)}`
  all += optional(',"flat_nanousd":', price.flat_nanousd)
  all += `,"lines":{${lines(price.lines)}}`
  all += optional(',"minimum_nanousd":', price.minimum_nanousd)
  all += '}'
  priceTexts.set(price, all)
  return all
}

function attempts(list: readonly Loose<ReceiptAttempt>[]): string {
  let all = ''
  for (const entry of list) {
    all += all === '' ? '{' : ',{'
    if (entry.cost_nanousd !== undefined) all += `"cost_nanousd":${text(entry.cost_nanousd)},`
    if (entry.key !== undefined) all += `"key":${text(entry.key)},`
    all += `"model":${text(entry.model)},"ms":${count(entry.ms)}`
    all += optional(',"protocol":', entry.protocol)
    all += `,"provider":${text(entry.provider)},"result":${text(entry.result)}`
    all += optional(',"upstream":', entry.upstream)
    all += '}'
  }
  return all
}

/** JSON escapes none of these, so most texts are written as they are. */
const PLAIN = /^[\x20\x21\x23-\x5b\x5d-\x7e]*$/

function text(value: string): string {
  if (PLAIN.test(value)) return `"${value}"`
  if (!value.isWellFormed()) throw new RangeError('a receipt holds no lone surrogate')
  return JSON.stringify(value)
}

function optional(name: string, value: string | undefined): string {
  return value === undefined ? '' : name + text(value)
}

function count(value: number): number {
  if (!Number.isSafeInteger(value) || value < 0) throw new RangeError('a count on a receipt is an integer below 2^53')
  return value
}

function units(usage: Usage): string {
  let all = ''
  for (const kind of kindsSorted) {
    const units = usage[kind]
    if (units !== undefined && units !== 0) all += `${all === '' ? '' : ','}"${kind}":${count(units)}`
  }
  return all
}

function lines(prices: ReceiptPrice['lines']): string {
  let all = ''
  for (const kind of kindsSorted) {
    const price = prices[kind]
    if (price !== undefined) all += `${all === '' ? '' : ','}"${kind}":${text(price)}`
  }
  return all
}
