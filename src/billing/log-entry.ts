import { canonicalJson, parseCanonicalJson } from '#lib/canonical-json.ts'
import { isUtcMicros } from '#lib/utc-micros.ts'
import { account, projectKey } from './document-fields.ts'
import {
  amount,
  count,
  digest,
  type Fields,
  field,
  isRecord,
  label,
  optional,
  pattern,
  usage,
  wrongField,
} from './fields.ts'
import type { Usage } from './usage.ts'

export const LOG_ENTRY_VERSION = 'fluxgate-log-entry/1'

const LOG_ENTRY_CHARS_MAX = 32_768

/**
 * Everything that is stored of one call that a client reported: the leaf of the tree that a certificate names. What is
 * unknown is absent, never null. docs/certificates.md says what each field means.
 */
export interface LogEntry {
  v: typeof LOG_ENTRY_VERSION
  /** The client says so: nobody charged it, and no provider vouches for it. */
  source: 'reported'
  /** A UUID with dashes. */
  log_id: string
  account: string
  project_key: string
  key_id: string
  /** By the client's clock where it told, UTC with microseconds. */
  occurred_at: string
  /** By the server's clock. */
  received_at: string
  provider: string
  model: string
  model_used: string
  alias_name?: string
  profile: string
  origin?: string
  id_at_origin?: string
  input_tokens: number
  output_tokens: number
  cached_input_tokens: number
  usage: Usage
  latency_ms?: number
  cost_status: string
  /** By the price book. Absent: not known, which is not zero. */
  cost_nanousd?: string
  price_book?: string
  /** Dollars as the client reckoned, a decimal without trailing zeros. */
  reported_cost?: string
  /** SHA-256 of the stored text of the metadata. Absent: there is none. */
  metadata_digest?: string
  conversation_id?: string
  imported_from?: string
}

/** The canonical text of an entry: what its leaf is the hash of. Throws CanonicalJsonError. */
export function encodeLogEntry(entry: LogEntry): string {
  return canonicalJson(entry)
}

/** Checks an entry to the letter, as parsed JSON. Throws Error that names the field, or CanonicalJsonError. */
export function parseLogEntry(input: unknown): LogEntry {
  const value = parseCanonicalJson(canonicalJson(input), LOG_ENTRY_CHARS_MAX)
  if (!isRecord(value)) throw new Error('the entry is not an object')
  assertLogEntry(value)
  return value
}

function assertLogEntry(value: Record<string, unknown>): asserts value is Record<string, unknown> & LogEntry {
  const problem = wrongField(value, fields)
  if (problem !== undefined) throw new Error(`the entry: ${problem.message}`)
}

export const uuid = pattern('a UUID with dashes', /^[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}$/)
export const micros = field('a UTC time with microseconds', isUtcMicros)

const fields: Fields<LogEntry> = {
  v: field(LOG_ENTRY_VERSION, (value) => value === LOG_ENTRY_VERSION),
  source: field('reported', (value) => value === 'reported'),
  log_id: uuid,
  account,
  project_key: projectKey,
  key_id: label,
  occurred_at: micros,
  received_at: micros,
  provider: label,
  model: label,
  model_used: label,
  alias_name: optional(label),
  profile: label,
  origin: optional(label),
  id_at_origin: optional(label),
  input_tokens: count,
  output_tokens: count,
  cached_input_tokens: count,
  usage,
  latency_ms: optional(count),
  cost_status: pattern('a short code in snake_case', /^[a-z][a-z_]{1,63}$/),
  cost_nanousd: optional(amount),
  price_book: optional(label),
  reported_cost: optional(
    pattern('a decimal without trailing zeros', /^(?:0|[1-9][0-9]{0,999})(?:\.[0-9]{0,999}[1-9])?$/),
  ),
  metadata_digest: optional(digest),
  conversation_id: optional(uuid),
  imported_from: optional(label),
}
