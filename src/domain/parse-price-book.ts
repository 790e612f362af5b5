import {
  completePrice,
  type Price,
  type PriceLines,
  PriceLinesError,
  parseLines,
  unpricedKinds,
} from '#billing/price.ts'
import type { UsageKind } from '#billing/usage.ts'
import { assert } from '#lib/assert.ts'
import { parseStrictJson } from '#lib/strict-json.ts'
import { type Endpoint, endpoints, type PriceBookEntry } from './price-book-entry.ts'

const BOOK_CHARS_MAX = 4_000_000
const ENTRIES_MAX = 20_000
const NAME_CHARS_MAX = 255
const LIMIT_TOKENS_MAX = 100_000_000

interface ParsedBook {
  version: string
  source: string
  entries: PriceBookEntry[]
}

type Fields = Record<string, unknown>

/** Strict: unknown fields, repeated keys, missing values and clashing names are problems, and all of them are reported. */
export function parsePriceBook(text: string): { book?: ParsedBook; problems: string[] } {
  const problems: string[] = []
  let value: unknown
  try {
    value = parseStrictJson(text, BOOK_CHARS_MAX)
  } catch (error) {
    return { problems: [error instanceof Error ? error.message : String(error)] }
  }
  const book = readObject(value, 'the book', ['version', 'source', 'license_notice', 'entries'], problems)
  const version = readText(book, 'version', 'the book', problems)
  const source = readText(book, 'source', 'the book', problems)
  if (book.license_notice !== undefined) readText(book, 'license_notice', 'the book', problems)
  const listed = isObject(book.entries) ? Object.entries(book.entries) : []
  if (listed.length === 0) problems.push('the book has no entries')
  if (listed.length > ENTRIES_MAX) return { problems: [`the book has more than ${ENTRIES_MAX} entries`] }

  const entries: PriceBookEntry[] = []
  for (const [key, fields] of listed) {
    const before = problems.length
    const entry = readEntry(key, fields, problems)
    if (problems.length === before && entry !== undefined) entries.push(entry)
  }
  checkAliases(listed, entries, problems)
  return problems.length > 0 ? { problems } : { book: { version, source, entries }, problems }
}

const entryFields = ['lines', 'longContext', 'limits', 'aliases', 'reasoning', 'streaming', 'active', 'endpoint']

function readEntry(key: string, value: unknown, problems: string[]): PriceBookEntry | undefined {
  const slash = key.indexOf('/')
  const provider = key.slice(0, Math.max(0, slash))
  const model = key.slice(slash + 1)
  if (!/^[a-z0-9][a-z0-9-]*$/.test(provider) || !isModelName(model, '*')) {
    problems.push(`${JSON.stringify(key)} is not provider/model`)
    return undefined
  }
  const fields = readObject(value, key, entryFields, problems)
  const endpoint = endpoints.find((name) => name === fields.endpoint)
  if (endpoint === undefined) problems.push(`${key}: endpoint is none of ${endpoints.join(', ')}`)
  const price = readPrice(key, fields, problems)
  const entry = {
    provider,
    model,
    aliases: readAliases(key, model, fields, problems),
    limits: readLimits(key, fields, problems),
    reasoning: readFlag(fields, 'reasoning', key, problems),
    streaming: readFlag(fields, 'streaming', key, problems),
    active: readFlag(fields, 'active', key, problems),
  }
  if (price === undefined || endpoint === undefined) return undefined
  checkPriced(key, price, endpoint, problems)
  return Object.freeze({ ...entry, price, endpoint })
}

function readPrice(key: string, fields: Fields, problems: string[]): Price | undefined {
  const lines = readLines(fields.lines, `${key}: lines`, problems)
  if (lines === undefined) return undefined
  if (fields.longContext === undefined) return completePrice({ lines })
  const long = readObject(fields.longContext, `${key}: longContext`, ['aboveTokens', 'lines'], problems)
  const longLines = readLines(long.lines, `${key}: longContext.lines`, problems)
  const aboveTokens = readLimit(long, 'aboveTokens', `${key}: longContext`, problems)
  if (longLines === undefined || aboveTokens === undefined) {
    problems.push(`${key}: longContext needs aboveTokens and lines`)
    return undefined
  }
  return completePrice({ lines, longContext: { aboveTokens, lines: longLines } })
}

function readLines(value: unknown, at: string, problems: string[]): PriceLines | undefined {
  try {
    const lines = parseLines(value)
    if (Object.keys(lines).length > 0) return lines
    problems.push(`${at} are empty`)
  } catch (error) {
    assert(error instanceof PriceLinesError, 'parseLines throws PriceLinesError')
    for (const problem of error.problems) problems.push(`${at}: ${problem}`)
  }
  return undefined
}

/** What each surface must be able to charge, in one of these ways. */
const chargedBy: Record<Endpoint, readonly (readonly UsageKind[])[]> = {
  chat: [['input', 'output']],
  responses: [['input', 'output']],
  completion: [['input', 'output']],
  embedding: [['input']],
  speech: [['characters'], ['input', 'audio_output'], ['input', 'output']],
  transcription: [['seconds'], ['input', 'audio_input', 'output']],
  realtime: [],
  images: [],
}

/** Zero is a price and must be written; a model that answers with text needs both directions. */
function checkPriced(key: string, price: Price, endpoint: Endpoint, problems: string[]): void {
  const ways = chargedBy[endpoint].map((kinds) => unpricedKinds(price.lines, kinds))
  if (ways.some((missing) => missing.length === 0)) return
  for (const kind of ways[0] ?? []) problems.push(`${key}: ${kind} has no price`)
}

function readLimits(key: string, fields: Fields, problems: string[]): PriceBookEntry['limits'] {
  const limits = readObject(fields.limits, `${key}: limits`, ['maxInputTokens', 'maxOutputTokens'], problems)
  const maxInputTokens = readLimit(limits, 'maxInputTokens', key, problems)
  const maxOutputTokens = readLimit(limits, 'maxOutputTokens', key, problems)
  return {
    ...(maxInputTokens === undefined ? {} : { maxInputTokens }),
    ...(maxOutputTokens === undefined ? {} : { maxOutputTokens }),
  }
}

function readLimit(fields: Fields, name: string, at: string, problems: string[]): number | undefined {
  const value = fields[name]
  if (value === undefined) return undefined
  if (typeof value === 'number' && Number.isSafeInteger(value) && value > 0 && value <= LIMIT_TOKENS_MAX) return value
  problems.push(`${at}: ${name} is not a count from 1 to ${LIMIT_TOKENS_MAX}`)
  return undefined
}

function readAliases(key: string, model: string, fields: Fields, problems: string[]): readonly string[] {
  const value = fields.aliases
  if (value === undefined) return []
  const aliases = Array.isArray(value) ? value.filter((alias) => typeof alias === 'string' && isModelName(alias)) : []
  if (!Array.isArray(value) || aliases.length !== value.length) problems.push(`${key}: aliases are not a list of names`)
  if (model === '*' && aliases.length > 0) problems.push(`${key}: a wildcard has no aliases`)
  return Object.freeze(aliases)
}

/** A name means one thing: an alias is neither a model of its own nor the alias of two. */
function checkAliases(listed: [string, unknown][], entries: PriceBookEntry[], problems: string[]): void {
  const names = new Set(listed.map(([key]) => key))
  const owners = new Map<string, string>()
  for (const { provider, model, aliases } of entries) {
    for (const alias of aliases) {
      const key = `${provider}/${alias}`
      if (names.has(key)) problems.push(`${provider}/${model}: the alias ${alias} is a model of its own`)
      const owner = owners.get(key)
      if (owner !== undefined) problems.push(`${provider}/${model}: the alias ${alias} is also one of ${owner}`)
      owners.set(key, `${provider}/${model}`)
    }
  }
}

function isModelName(name: string, wildcard?: string): boolean {
  if (name === wildcard) return true
  return name.length <= NAME_CHARS_MAX && /^[\x21-\x7e]+$/.test(name) && !name.includes('*')
}

function readFlag(fields: Fields, name: string, at: string, problems: string[]): boolean {
  const value = fields[name]
  if (typeof value !== 'boolean') problems.push(`${at}: ${name} is not true or false`)
  return value === true
}

function readText(fields: Fields, name: string, at: string, problems: string[]): string {
  const value = fields[name]
  if (typeof value === 'string' && value !== '') return value
  problems.push(`${at}: ${name} is not a text`)
  return ''
}

/** An object with no other fields than these. What is not an object reads as an empty one. */
function readObject(value: unknown, at: string, known: readonly string[], problems: string[]): Fields {
  if (!isObject(value)) {
    problems.push(`${at}: not an object`)
    return {}
  }
  for (const name of Object.keys(value)) if (!known.includes(name)) problems.push(`${at}: ${name} is not a field`)
  return value
}

function isObject(value: unknown): value is Fields {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
}
