import { canonicalJson } from '#lib/canonical-json.ts'
import { uuidFromName } from '#lib/ids.ts'

/** One row of usage in the source, every value as its text. */
export interface SourceUsage {
  id: string
  model: string | null
  provider: string | null
  input: string | null
  output: string | null
  cached: string | null
  /** Dollars. */
  cost: string | null
  latency: string | null
  origin: string | null
  idAtOrigin: string | null
  /** JSON, or what an old server took for it. */
  metadata: string | null
  /** With its zone. */
  at: string | null
  alias: string | null
  profile: string | null
  conversationId: string | null
}

/** A row as `reported_log` holds it, apart from whose it is. */
export interface ReportedUsage {
  id: string
  at: string
  provider: string
  model: string
  alias: string | null
  profile: string
  origin: string | null
  idAtOrigin: string | null
  input: bigint
  output: bigint
  cached: bigint
  usage: string
  latency: bigint | null
  costNanos: bigint | null
  costStatus: string
  /** Dollars, as the source has them. */
  reportedCost: string | null
  metadata: string
  conversationId: string | null
}

export interface Repair {
  what: string
  original: string | null
}

/** Either a row that our tables hold, with what was changed of it, or why they do not. */
export type Converted =
  | { kept: ReportedUsage; repairs: Repair[]; counted: string[] }
  | { reason: string; kept?: undefined }

const LABEL_CHARS_MAX = 255
const METADATA_BYTES_MAX = 65_536
/** $1,000,000, as of what clients report: above it a cost is wrong, and sums could run over. */
const COST_NANOS_MAX = 1_000_000_000_000_000n
const SAFE_MAX = BigInt(Number.MAX_SAFE_INTEGER)

/** `unpriced` is the status of a row without a cost. */
export interface ConvertOptions {
  importName: string
  relation: string
  idIsUuid: boolean
  unpriced: string
}

/**
 * Converts one row. Sums of tokens and cost are never changed: a row whose figures we cannot hold is refused whole. What is
 * changed of others is no part of a sum, and is told: `repairs` with the original, `counted` where nothing was lost.
 */
export function convertUsage(row: SourceUsage, options: ConvertOptions): Converted {
  const refused = whyRefused(row)
  if (refused !== undefined) return { reason: refused }
  const repairs: Repair[] = []
  const counted: string[] = []
  const repair = <T>(what: string, original: string | null, value: T): T => {
    repairs.push({ what, original })
    return value
  }
  const label = (value: string | null, blank: string): string | null => {
    if (!isBlank(value)) return value
    if (value !== null) counted.push(blank)
    return null
  }
  const [input, output] = [BigInt(row.input ?? 0), BigInt(row.output ?? 0)]
  const cached = cachedOf(row, input, repair)
  const latency = row.latency === null ? null : wholeOf(row.latency)
  const cost = row.cost === null ? undefined : nanosOf(row.cost)
  if (cost?.exact === false) counted.push('cost_rounded_to_nanodollars')
  if (row.profile === null || isBlank(row.profile)) counted.push('profile_missing')
  if (isBlank(row.provider)) counted.push('provider_unknown')
  const idIsOurs = options.idIsUuid
    ? row.id
    : dashed(uuidFromName('import', options.importName, options.relation, row.id))
  if (!options.idIsUuid) repair('id_derived', row.id, null)
  return {
    kept: {
      id: idIsOurs,
      at: row.at ?? '',
      provider: isBlank(row.provider) ? 'unknown' : (row.provider ?? 'unknown'),
      model: row.model ?? '',
      alias: label(row.alias, 'alias_blank'),
      profile: isBlank(row.profile) ? 'default' : (row.profile ?? 'default'),
      origin: label(row.origin, 'origin_blank'),
      idAtOrigin: label(row.idAtOrigin, 'id_at_origin_blank'),
      input,
      output,
      cached,
      usage: usageVector(input, cached, output),
      latency: latency !== null && latency < 0n ? repair('latency_negative', row.latency, null) : latency,
      costNanos: cost === undefined ? null : cost.nanos,
      costStatus: cost === undefined ? options.unpriced : 'imported',
      reportedCost: row.cost,
      metadata: metadataOf(row.metadata, repair, counted),
      conversationId: row.conversationId,
    },
    repairs,
    counted,
  }
}

/** The first figure or label that no column of ours can hold. */
function whyRefused(row: SourceUsage): string | undefined {
  const { input, output, cost, at } = row
  if (input === null || output === null) return 'tokens_missing'
  const tokens = [wholeOf(input), wholeOf(output)]
  if (tokens.some((one) => one === null)) return 'tokens_not_whole'
  if (tokens.some((one) => one !== null && one < 0n)) return 'tokens_negative'
  if (tokens.some((one) => one !== null && one > SAFE_MAX)) return 'tokens_too_large'
  if (cost !== null) {
    const found = nanosOf(cost)
    if (found === undefined) return 'cost_not_a_number'
    if (found.negative) return 'cost_negative'
    if (found.nanos > COST_NANOS_MAX) return 'cost_too_large'
  }
  if (at === null) return 'time_missing'
  if (!/^\d{4}-/.test(at) || at.endsWith('BC')) return 'time_out_of_range'
  if (isBlank(row.model)) return 'model_missing'
  const labels = [row.model, row.provider, row.alias, row.profile, row.origin, row.idAtOrigin]
  if (labels.some((one) => one !== null && [...one].length > LABEL_CHARS_MAX)) return 'label_too_long'
  return undefined
}

/** Cache reads are part of the input. Old clients of Anthropic reported an input without them. */
function cachedOf(
  row: SourceUsage,
  input: bigint,
  repair: <T>(what: string, original: string | null, value: T) => T,
): bigint {
  const cached = row.cached === null ? 0n : wholeOf(row.cached)
  if (cached === null || cached < 0n) return repair('cached_negative', row.cached, 0n)
  return cached > input ? repair('cached_exceeds_input', row.cached, input) : cached
}

function metadataOf(
  text: string | null,
  repair: <T>(what: string, original: string | null, value: T) => T,
  counted: string[],
): string {
  if (text === null || isBlank(text)) return '{}'
  if (Buffer.byteLength(text) > METADATA_BYTES_MAX) return repair('metadata_too_large', text, '{}')
  const value = parsed(text)
  if (isObject(value)) return text
  // Some servers stored the JSON as a text inside of JSON.
  if (typeof value === 'string' && isObject(parsed(value))) {
    counted.push('metadata_was_text')
    return value
  }
  if (value === null) return '{}'
  const wrapped = JSON.stringify({ value: value === undefined ? text : value })
  return Buffer.byteLength(wrapped) > METADATA_BYTES_MAX
    ? repair('metadata_too_large', text, '{}')
    : repair('metadata_not_an_object', text, wrapped)
}

function parsed(text: string): unknown {
  try {
    return JSON.parse(text)
  } catch {
    return undefined
  }
}

function isObject(value: unknown): boolean {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
}

/** The disjoint vector, as JSON. */
function usageVector(input: bigint, cached: bigint, output: bigint): string {
  const kinds = { input: Number(input - cached), cache_read: Number(cached), output: Number(output) }
  return canonicalJson(Object.fromEntries(Object.entries(kinds).filter(([, units]) => units > 0)))
}

/** Only white space of ASCII, as `unlessBlank` in SQL has it. */
function isBlank(text: string | null): boolean {
  return text === null || !/[^ \t\n\r\f\v]/.test(text)
}

/** A whole number as PostgreSQL writes it, with zeros after the point at most; else null. */
function wholeOf(text: string): bigint | null {
  const [, digits] = /^(-?\d+)(?:\.0*)?$/.exec(text) ?? []
  return digits === undefined ? null : BigInt(digits)
}

/** Dollars as nano-dollars, half to even where the source is finer. Undefined for what is no finite number. */
function nanosOf(text: string): { nanos: bigint; exact: boolean; negative: boolean } | undefined {
  const [, sign = '', whole = '', fraction = ''] = /^(-?)(\d+)(?:\.(\d+))?$/.exec(text) ?? []
  if (whole === '') return undefined
  const kept = BigInt(whole + fraction.slice(0, 9).padEnd(9, '0'))
  const rest = fraction.slice(9).replace(/0+$/, '')
  const half = `5`.padEnd(rest.length, '0')
  const up = rest !== '' && (rest > half || (rest === half && kept % 2n === 1n))
  const nanos = up ? kept + 1n : kept
  return { nanos, exact: rest === '', negative: sign === '-' && (kept > 0n || rest !== '') }
}

/** A UUID with its dashes. */
export function dashed(hex: string): string {
  return hex.replace(/^(.{8})(.{4})(.{4})(.{4})(.{12})$/, '$1-$2-$3-$4-$5')
}
