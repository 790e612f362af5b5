import { decodeBase64 } from '#lib/base64.ts'
import { canonicalJson, parseCanonicalJson } from '#lib/canonical-json.ts'
import { account, logOrigin, object, projectKey, time } from './document-fields.ts'
import { count, type Field, type Fields, field, isRecord, label, optional, pattern, wrongField } from './fields.ts'
import { micros, uuid } from './log-entry.ts'
import { HASH_BYTES } from './merkle-path.ts'

export const CERTIFICATE_VERSION = 'fluxgate-certificate/1'

/** Of UTF-8. */
export const CERTIFICATE_BYTES_MAX = 262_144
export const CERTIFIED_ENTRIES_MAX = 10_000
/** Groups of a breakdown that are named; what is beyond them stands together in `rest`. */
export const GROUPS_NAMED_MAX = 50
/** Ids that are listed; beyond that, only their number is. */
export const IDS_LISTED_MAX = 500
export const DESCRIPTION_CHARS_MAX = 2_000
export const TAGS_MAX = 32
export const TAG_CHARS_MAX = 100

/**
 * What the operator states about usage that clients reported: which log entries it holds, by the root of a tree over them,
 * and what they come to. What is unknown is absent, never null. docs/certificates.md says what each field means.
 */
export interface Certificate {
  v: typeof CERTIFICATE_VERSION
  /** `crt_` and 32 hex digits. */
  document_id: string
  /** Origin of the transparency log. */
  log: string
  source: 'reported'
  /** `single` for exactly one entry. */
  receipt_type: 'single' | 'batch'
  account: string
  project_key: string
  /** The key that asked for it. */
  key_id: string
  /** UTC with milliseconds. */
  issued_at: string
  selection: CertificateSelection
  description?: string
  tags?: readonly string[]
  /** There when all entries have the same. */
  alias_name?: string
  model_used?: string
  provider?: string
  profile?: string
  totals: CertificateTotals
  /** When the first and the last entry occurred, UTC with microseconds. */
  start: string
  end: string
  by_model: CertificateGroups<{ model_used: string }>
  /** Calls without an alias are the group without a name. */
  by_alias: CertificateGroups<{ alias_name?: string }>
  /** Different conversations among the entries. */
  conversations: number
  /** All of them, in the order of their ids, unless they are more than IDS_LISTED_MAX. */
  conversation_ids?: readonly string[]
  entries: CertifiedEntries
}

/** How the entries were chosen. */
export type CertificateSelection =
  | { mode: 'log_ids' }
  /** `start` ≤ time < `end`. `certified_before`: some of the logs there stand on an earlier certificate, and not on this one. */
  | { mode: 'range'; start: string; end: string; certified_before: boolean }
  | { mode: 'conversation'; conversation_id: string; certified_before: boolean }
  /** `more`: there were more uncertified logs than one certificate can hold. */
  | { mode: 'since_last_receipt'; more: boolean }

export interface CertificateSums {
  calls: number
  input_tokens: number
  output_tokens: number
  /** Sum over the calls whose cost is known. */
  cost_nanousd: string
  /** Calls whose cost is not known. */
  unpriced: number
}

export interface CertificateTotals extends CertificateSums {
  cached_input_tokens: number
  /** Parts of the cost, where the price lines of every priced call are known. */
  input_cost_nanousd?: string
  output_cost_nanousd?: string
}

export interface CertificateGroups<Name> {
  /** The dearest first, then those with the most calls, then by name. */
  groups: readonly (Name & CertificateSums)[]
  rest?: CertificateSums & { groups: number }
}

/** The leaves are the entries in the order of `occurred_at` and `log_id`. */
interface CertifiedEntries {
  n: number
  /** Base64 of the Merkle tree hash (RFC 9162 section 2.1) over their canonical texts. */
  root: string
  /** In the order of the leaves, unless they are more than IDS_LISTED_MAX. */
  log_ids?: readonly string[]
}

/** The canonical text of a certificate: what is hashed and signed. Throws when it is no certificate. */
export function encodeCertificate(certificate: Certificate): string {
  return canonicalJson(parseCertificate(certificate))
}

/** Checks a certificate to the letter, as parsed JSON. Throws Error that names the field, or CanonicalJsonError. */
export function parseCertificate(input: unknown): Certificate {
  const text = canonicalJson(input)
  if (new TextEncoder().encode(text).byteLength > CERTIFICATE_BYTES_MAX)
    throw new Error(`the certificate is longer than ${CERTIFICATE_BYTES_MAX} bytes`)
  const value = parseCanonicalJson(text)
  if (!isRecord(value)) throw new Error('the certificate is not an object')
  assertCertificate(value)
  return value
}

function assertCertificate(value: Record<string, unknown>): asserts value is Record<string, unknown> & Certificate {
  const problem = wrongField(value, certificateFields)
  if (problem !== undefined) throw new Error(`the certificate: ${problem.message}`)
}

const flag = field('true or false', (value) => typeof value === 'boolean')
/** Of any number of entries: more than one amount can be. */
const sum = pattern('a decimal string of nano-dollars', /^(?:0|[1-9][0-9]{0,22})$/)
const ids = field(`a list of at most ${IDS_LISTED_MAX} UUIDs`, (value) => isListOf(value, IDS_LISTED_MAX, uuid.accepts))

const selections: Readonly<Record<CertificateSelection['mode'], Readonly<Record<string, Field>>>> = {
  log_ids: { mode: label },
  range: { mode: label, start: time, end: time, certified_before: flag },
  conversation: { mode: label, conversation_id: uuid, certified_before: flag },
  since_last_receipt: { mode: label, more: flag },
}

const sums: Fields<CertificateSums> = {
  calls: count,
  input_tokens: count,
  output_tokens: count,
  cost_nanousd: sum,
  unpriced: count,
}

const totals: Fields<CertificateTotals> = {
  ...sums,
  cached_input_tokens: count,
  input_cost_nanousd: optional(sum),
  output_cost_nanousd: optional(sum),
}

const entries: Fields<CertifiedEntries> = {
  n: field(`an integer from 1 to ${CERTIFIED_ENTRIES_MAX}`, (value) => isBetween(value, 1, CERTIFIED_ENTRIES_MAX)),
  root: field(
    `the Base64 of ${HASH_BYTES} bytes`,
    (value) => typeof value === 'string' && decodeBase64(value)?.byteLength === HASH_BYTES,
  ),
  log_ids: optional(ids),
}

const certificateFields: Fields<Certificate> = {
  v: field(CERTIFICATE_VERSION, (value) => value === CERTIFICATE_VERSION),
  document_id: pattern('crt_ and 32 hex digits', /^crt_[0-9a-f]{32}$/),
  log: logOrigin,
  source: field('reported', (value) => value === 'reported'),
  receipt_type: field('single or batch', (value) => value === 'single' || value === 'batch'),
  account,
  project_key: projectKey,
  key_id: label,
  issued_at: time,
  selection: field('a known way to choose', isSelection),
  description: optional(text(DESCRIPTION_CHARS_MAX)),
  tags: optional(
    field(`a list of 1 to ${TAGS_MAX} tags`, (value) => isListOf(value, TAGS_MAX, text(TAG_CHARS_MAX).accepts, 1)),
  ),
  alias_name: optional(label),
  model_used: optional(label),
  provider: optional(label),
  profile: optional(label),
  totals: object('sums', totals),
  start: micros,
  end: micros,
  by_model: groups('groups by model', { model_used: label }),
  by_alias: groups('groups by alias', { alias_name: optional(label) }),
  conversations: count,
  conversation_ids: optional(ids),
  entries: object('the number of entries and the root over them', entries),
}

function text(charsMax: number) {
  return field(
    `text of 1 to ${charsMax} characters`,
    (value) => typeof value === 'string' && value !== '' && [...value].length <= charsMax,
  )
}

function isBetween(value: unknown, min: number, max: number): boolean {
  return Number.isInteger(value) && Number(value) >= min && Number(value) <= max
}

function isListOf(value: unknown, max: number, accepts: (item: unknown) => boolean, min = 0): boolean {
  return Array.isArray(value) && value.length >= min && value.length <= max && value.every(accepts)
}

function isSelection(value: unknown): boolean {
  if (!isRecord(value) || typeof value.mode !== 'string' || !Object.hasOwn(selections, value.mode)) return false
  return wrongField(value, selections[value.mode as CertificateSelection['mode']]) === undefined
}

function groups(expects: string, name: Readonly<Record<string, Field>>): Field {
  const group = object('a group', { ...name, ...sums })
  const many = field('an integer of at least 1', (value) => isBetween(value, 1, CERTIFIED_ENTRIES_MAX))
  return object(expects, {
    groups: field('a list of groups', (value) => isListOf(value, GROUPS_NAMED_MAX, group.accepts, 1)),
    rest: optional(object('sums', { ...sums, groups: many })),
  })
}
