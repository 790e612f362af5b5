// Builds prices/price-book.json from the registry copy, the corrections, the additions and the built-in models, and
// prices/model-traits.json from what the registry says beside prices. Deterministic: the same four files give the same bytes.
// `--check` writes nothing and fails when a committed file differs.
import { readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { pathToFileURL } from 'node:url'
import { parseArgs } from 'node:util'
import { completePrice, encodeLines, parseLines } from '#billing/price.ts'
import type { UsageKind } from '#billing/usage.ts'
import { loadPriceBook } from '#domain/price-book.ts'
import { loadModelTraits } from '#domain/registry/model-traits.ts'

type Row = Record<string, unknown>

interface Corrections {
  version: string
  registry: string
  /** Dated snapshots that do not cost what their undated name costs. */
  own_price_snapshots: string[]
  drop: { models: string[]; into?: string; reason: string; source?: string }[]
  set: { models: string[]; field: string; was: unknown; value: unknown; reason: string; source?: string }[]
}

/** Names of the registry on the left, names of the gateway's provider presets on the right. */
const providers: Record<string, string> = { openai: 'openai', anthropic: 'anthropic', google: 'gemini' }

const usd = 'dollars_per_million_tokens_'
const baseFields: Partial<Record<UsageKind, string[]>> = {
  input: [`${usd}input`],
  cache_read: [`${usd}cache_read`, `${usd}cached_input`],
  cache_write_5m: [`${usd}cache_write_5m`],
  cache_write_1h: [`${usd}cache_write_1h`],
  output: [`${usd}output`],
  audio_input: [`${usd}audio_input`],
  audio_output: [`${usd}audio_output`],
}
const longFields: Partial<Record<UsageKind, string[]>> = {
  input: [`${usd}input_long_context`],
  cache_read: [`${usd}cache_read_long_context`],
  cache_write_5m: [`${usd}cache_write_5m_long_context`],
  cache_write_1h: [`${usd}cache_write_1h_long_context`],
  output: [`${usd}output_long_context`],
}
const traitFields = [
  'display_name',
  'deprecated_date',
  'supports_vision',
  'supports_function_calling',
  'supports_json_mode',
  'supports_json_schema',
  'supports_temperature',
]
const knownFields = new Set([
  ...Object.values(baseFields).flat(),
  ...Object.values(longFields).flat(),
  'long_context_threshold_tokens',
  'max_input_tokens',
  'max_output_tokens',
  'model_aliases',
  'is_active',
  'is_reasoning_model',
  'supports_streaming',
  'api_endpoint',
  // For people and clients to read: what a client may send is the provider's business.
  ...traitFields,
])

/** The texts of the files built from those in `dir`, by their names. Throws with every problem that the corrections leave. */
function build(dir: string): Record<'price-book.json' | 'model-traits.json', string> {
  const read = (name: string) => JSON.parse(readFileSync(join(dir, name), 'utf8'))
  const corrections: Corrections = read('corrections.json')
  const registry: { source: string; license_notice: string; models: Record<string, Row> } = read(corrections.registry)
  const builtin: { entries: Record<string, Row> } = read('builtin.json')
  const additions: { entries: Record<string, Row> } = read('additions.json')

  const problems: string[] = []
  const rows = correct(registry.models, corrections, problems)
  const entries: Record<string, Row> = {}
  for (const [key, row] of rows) entries[bookKey(key)] = encodeEntry(key, row, problems)
  for (const [key, entry] of Object.entries(additions.entries)) {
    if (key in entries) problems.push(`${key} is added and in the registry`)
    entries[key] = encodeBuiltin(withSource(key, entry, problems))
  }
  for (const [key, entry] of Object.entries(builtin.entries)) {
    if (key in entries) problems.push(`${key} is built in and in the registry`)
    entries[key] = encodeBuiltin(entry)
  }
  checkSnapshots(rows, entries, corrections.own_price_snapshots, problems)
  if (problems.length > 0) throw new Error(problems.map((problem) => `- ${problem}`).join('\n'))

  const sorted = Object.fromEntries(Object.entries(entries).sort(([a], [b]) => (a < b ? -1 : 1)))
  const book = {
    version: corrections.version,
    source: `${registry.source}; corrected by prices/corrections.json; with prices/additions.json; sim/* and ollama/* from prices/builtin.json`,
    license_notice: registry.license_notice,
    entries: sorted,
  }
  const text = `${JSON.stringify(book, null, 2)}\n`
  loadPriceBook(text) // The gateway must be able to load what we write.
  const traits = encodeTraits(registry, rows)
  loadModelTraits(traits)
  return { 'price-book.json': text, 'model-traits.json': traits }
}

/** What the registry says of its models beside prices and limits; names of rows that the book leaves out for a reason. */
function encodeTraits(registry: { source: string; license_notice: string; models: object }, rows: Map<string, Row>) {
  const models = [...rows].map(([key, row]) => [
    bookKey(key),
    Object.fromEntries(traitFields.flatMap((field) => (row[field] === undefined ? [] : [[field, row[field]]]))),
  ])
  const { source, license_notice } = registry
  const left_out = Object.keys(registry.models).filter((key) => !rows.has(key))
  const traits = {
    source,
    license_notice,
    left_out: left_out.map(bookKey).sort(),
    models: Object.fromEntries(models.sort()),
  }
  return `${JSON.stringify(traits, null, 2)}\n`
}

/** Applies the corrections to a copy. One that does not meet the value it was written for is a problem: the registry moved on. */
function correct(models: Record<string, Row>, corrections: Corrections, problems: string[]): Map<string, Row> {
  const rows = new Map(Object.entries(models).map(([key, row]) => [key, { ...row }]))
  for (const { models: dropped, into, reason } of corrections.drop) {
    if (!reason) problems.push(`dropping ${dropped.join(', ')} has no reason`)
    for (const key of dropped) if (!rows.delete(key)) problems.push(`${key} is dropped but not there`)
    if (into !== undefined && !rows.has(into))
      problems.push(`${into} takes over from ${dropped.join(', ')} but is not there`)
  }
  for (const { models: corrected, field, was, value, reason } of corrections.set) {
    if (!reason) problems.push(`${corrected.join(', ')}: the correction of ${field} has no reason`)
    for (const key of corrected) {
      const row = rows.get(key)
      if (row === undefined) {
        problems.push(`${key} is corrected but not there`)
        continue
      }
      if (JSON.stringify(row[field] ?? null) !== JSON.stringify(was)) {
        problems.push(
          `${key}: ${field} is ${JSON.stringify(row[field] ?? null)}, but the correction expects ${JSON.stringify(was)}`,
        )
      }
      if (value === null) delete row[field]
      else row[field] = value
    }
  }
  return rows
}

function bookKey(registryKey: string): string {
  const colon = registryKey.indexOf(':')
  const provider = providers[registryKey.slice(0, colon)]
  if (provider === undefined) throw new Error(`${registryKey}: no preset for this provider`)
  return `${provider}/${registryKey.slice(colon + 1)}`
}

function encodeEntry(key: string, row: Row, problems: string[]): Row {
  for (const field of Object.keys(row)) if (!knownFields.has(field)) problems.push(`${key}: ${field} is a new field`)
  const name = key.slice(key.indexOf(':') + 1)
  if (name !== name.toLowerCase()) problems.push(`${key}: a name of the API has no capital letters`)

  const base = readLines(key, row, baseFields, problems)
  const long = readLines(key, row, longFields, problems)
  const above = row.long_context_threshold_tokens
  if ((above === undefined) !== (Object.keys(long).length === 0)) problems.push(`${key}: half a long-context tier`)
  for (const [kind, pico] of Object.entries(long) as [UsageKind, bigint][]) {
    if (pico < (base[kind] ?? 0n)) problems.push(`${key}: ${kind} is cheaper in the long tier`)
  }
  if ((base.cache_read ?? 0n) > (base.input ?? 0n)) problems.push(`${key}: a cache hit costs more than the input`)
  return encode({
    aliases: row.model_aliases,
    price: completePrice({
      lines: base,
      ...(typeof above === 'number' ? { longContext: { aboveTokens: above, lines: long } } : {}),
    }),
    limits: readLimits(key, row, problems),
    reasoning: row.is_reasoning_model,
    streaming: row.supports_streaming,
    active: row.is_active,
    endpoint: readEndpoint(key, row, problems),
  })
}

/** An added price says where it was read, and when. The book's readers need neither. */
function withSource(key: string, { source, read, ...entry }: Row, problems: string[]): Row {
  if (typeof source !== 'string' || !source.startsWith('https://')) problems.push(`${key}: the addition has no source`)
  if (typeof read !== 'string' || !/^\d{4}-\d{2}-\d{2}$/.test(read))
    problems.push(`${key}: nobody says when it was read`)
  return entry
}

/** Built-in entries are written by hand in the book's own format; only their fallbacks are filled in. */
function encodeBuiltin(entry: Row): Row {
  const long = entry.longContext as { aboveTokens: number; lines: unknown } | undefined
  const price = completePrice({
    lines: parseLines(entry.lines),
    ...(long === undefined ? {} : { longContext: { aboveTokens: long.aboveTokens, lines: parseLines(long.lines) } }),
  })
  return encode({ ...entry, price })
}

/** One order of fields for every entry, so that a diff of two books shows prices and nothing else. */
function encode(entry: Row & { price: ReturnType<typeof completePrice> }): Row {
  const { longContext, lines } = entry.price
  return {
    lines: encodeLines(lines),
    ...(longContext === undefined
      ? {}
      : { longContext: { aboveTokens: longContext.aboveTokens, lines: encodeLines(longContext.lines) } }),
    limits: entry.limits,
    ...(entry.aliases === undefined ? {} : { aliases: entry.aliases }),
    reasoning: entry.reasoning,
    streaming: entry.streaming,
    active: entry.active,
    endpoint: entry.endpoint,
  }
}

function readLines(
  key: string,
  row: Row,
  fields: typeof baseFields,
  problems: string[],
): Partial<Record<UsageKind, bigint>> {
  const lines: Partial<Record<UsageKind, bigint>> = {}
  for (const [kind, names] of Object.entries(fields) as [UsageKind, string[]][]) {
    const given = names.filter((name) => row[name] !== undefined)
    const picos = new Set(given.map((name) => picoPerToken(row[name])))
    if (picos.size > 1) problems.push(`${key}: ${given.join(' and ')} differ`)
    for (const pico of picos) {
      if (pico === undefined) problems.push(`${key}: ${given.join(', ')} is not a price`)
      else lines[kind] = pico
    }
  }
  return lines
}

/** Dollars per million tokens are pico-dollars per token × 10⁻⁶. Read from the decimal digits: no float arithmetic. */
function picoPerToken(dollarsPerMillion: unknown): bigint | undefined {
  const parts = typeof dollarsPerMillion === 'number' ? /^(\d+)(?:\.(\d{1,6}))?$/.exec(String(dollarsPerMillion)) : null
  return parts === null ? undefined : BigInt(`${parts[1]}${(parts[2] ?? '').padEnd(6, '0')}`)
}

function readLimits(key: string, row: Row, problems: string[]): Row {
  const limits: Row = {}
  for (const [field, name] of [
    ['max_input_tokens', 'maxInputTokens'],
    ['max_output_tokens', 'maxOutputTokens'],
  ] as const) {
    if (row[field] === 0) problems.push(`${key}: ${field} is zero`)
    if (row[field] !== undefined) limits[name] = row[field]
  }
  return limits
}

/** Names of the registry that the book has others for. Google's own API carries the models that its OpenAI-compatible one serves as chat. */
const endpointNames: Record<string, string> = {
  generateContent: 'chat',
  embeddings: 'embedding',
  completions: 'completion',
}

function readEndpoint(key: string, row: Row, problems: string[]): unknown {
  const endpoint = row.api_endpoint
  if (typeof endpoint !== 'string') {
    problems.push(`${key}: no endpoint`)
    return undefined
  }
  return endpointNames[endpoint] ?? endpoint
}

/** A dated snapshot and its undated name are one model; where they differ, one of the rows is wrong. */
function checkSnapshots(rows: Map<string, Row>, entries: Record<string, Row>, own: string[], problems: string[]): void {
  for (const key of rows.keys()) {
    const undated = key.replace(/-\d{4}-\d{2}-\d{2}$|-\d{8}$/, '')
    if (undated === key || !rows.has(undated) || own.includes(key)) continue
    const comparable = (of: string) => JSON.stringify({ ...entries[bookKey(of)], aliases: undefined })
    if (comparable(key) !== comparable(undated)) problems.push(`${key} and ${undated} are one model and differ`)
  }
}

if (import.meta.url === pathToFileURL(process.argv[1] ?? '').href) {
  const { values } = parseArgs({
    options: { check: { type: 'boolean' }, dir: { type: 'string', default: join(import.meta.dirname, '../prices') } },
  })
  try {
    const built = build(values.dir)
    for (const [name, text] of Object.entries(built)) {
      const path = join(values.dir, name)
      if (values.check !== true) writeFileSync(path, text)
      else if (readFileSync(path, 'utf8') !== text)
        throw new Error(`${path} differs from a fresh build: run this tool without --check`)
    }
    process.stdout.write(`${values.dir}: ${loadPriceBook(built['price-book.json']).models().length} models\n`)
  } catch (error) {
    process.stderr.write(`${error instanceof Error ? error.message : String(error)}\n`)
    process.exitCode = 1
  }
}
