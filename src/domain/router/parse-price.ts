import {
  completePrice,
  type Price,
  type PriceLines,
  PriceLinesError,
  parseLines,
  REQUEST_NANOS_MAX,
  unpricedKinds,
} from '#billing/price.ts'
import { TOKENS_PER_REQUEST_MAX, type UsageKind } from '#billing/usage.ts'
import { assert } from '#lib/assert.ts'
import { at, createProblems, own, type Problems, readInteger, readObject } from './read-json.ts'
import type { JsonObject, PriceDocument } from './router-document.ts'
import type { Surface } from './snapshot.ts'

/** Of each surface, the sets of kinds of which one must be priced before a call can be charged at all. */
const neededKinds: Readonly<Record<Surface, readonly (readonly UsageKind[])[]>> = {
  llm: [['input', 'output']],
  embedding: [['input']],
  tts: [['characters'], ['seconds'], ['calls'], ['input', 'audio_output'], ['audio_output']],
  asr: [['seconds'], ['calls'], ['audio_input', 'output'], ['audio_input'], ['input', 'output']],
}

/** Whether a price can charge a call of this surface. */
export function coversSurface(price: Price, surface: Surface): boolean {
  return neededKinds[surface].some((kinds) => unpricedKinds(price.lines, kinds).length === 0)
}

/** How the kinds of a surface read in a message: `characters, or seconds, or calls`. */
export function wordsForNeeded(surface: Surface): string {
  return neededKinds[surface].map((kinds) => kinds.join(' and ')).join(', or ')
}

/** Reports what is wrong with the `price` and the `priceRef` of a model or an upstream. */
export function parsePricing(fields: JsonObject, path: string, surface: Surface, problems: Problems): void {
  const price = own(fields, 'price')
  const ref = own(fields, 'priceRef')
  if (price !== undefined) parsePrice(price, at(path, 'price'), surface, problems)
  if (ref === undefined) return
  if (price !== undefined) problems.add(at(path, 'priceRef'), 'cannot stand beside price: one of them would be ignored')
  if (typeof ref !== 'string' || !/^[a-z0-9][a-z0-9-]*\/[\x21-\x7e]{1,255}$/.test(ref))
    problems.add(at(path, 'priceRef'), "must be 'provider/model' of the price book")
}

/** The price of a document that parsePricing has accepted. */
export function readPrice(document: PriceDocument): Price {
  const problems = createProblems()
  const price = parsePrice(document, 'price', undefined, problems)
  assert(price !== undefined && problems.list.length === 0, 'a price of an accepted document can be read')
  return price
}

function parsePrice(value: unknown, path: string, surface: Surface | undefined, problems: Problems): Price | undefined {
  const fields = readObject(value, path, ['lines', 'longContext', 'minimumNanousd'], problems)
  if (fields === undefined) return undefined
  const before = problems.list.length
  const lines = parsePriceLines(own(fields, 'lines'), at(path, 'lines'), problems)
  const longContext = parseLongContext(own(fields, 'longContext'), at(path, 'longContext'), problems)
  const minimum = parseMinimum(own(fields, 'minimumNanousd'), at(path, 'minimumNanousd'), problems)
  if (lines === undefined || problems.list.length > before) return undefined
  const price = completePrice({
    lines,
    ...(longContext !== undefined && { longContext }),
    ...(minimum !== undefined && { minimum }),
  })
  if (surface !== undefined && !coversSurface(price, surface))
    problems.add(at(path, 'lines'), `must price ${wordsForNeeded(surface)}`)
  return price
}

function parsePriceLines(value: unknown, path: string, problems: Problems): PriceLines | undefined {
  try {
    const lines = parseLines(value)
    if (Object.keys(lines).length > 0) return lines
    problems.add(path, 'must not be empty')
  } catch (error) {
    if (!(error instanceof PriceLinesError)) throw error
    for (const problem of error.problems) problems.add(path, problem)
  }
  return undefined
}

function parseLongContext(value: unknown, path: string, problems: Problems): Price['longContext'] {
  if (value === undefined) return undefined
  const fields = readObject(value, path, ['aboveTokens', 'lines'], problems)
  if (fields === undefined) return undefined
  const aboveTokens = readInteger(fields, 'aboveTokens', path, { min: 1, max: TOKENS_PER_REQUEST_MAX }, problems)
  const lines = parsePriceLines(own(fields, 'lines'), at(path, 'lines'), problems)
  if (aboveTokens !== undefined && lines !== undefined) return { aboveTokens, lines }
  if (own(fields, 'aboveTokens') === undefined) problems.add(at(path, 'aboveTokens'), 'is missing')
  return undefined
}

function parseMinimum(value: unknown, path: string, problems: Problems): bigint | undefined {
  if (value === undefined) return undefined
  const text = typeof value === 'string' && /^(?:0|[1-9][0-9]{0,15})$/.test(value) ? value : undefined
  if (text !== undefined && BigInt(text) <= REQUEST_NANOS_MAX) return BigInt(text)
  return problems.add(path, `must be a decimal string of nano-dollars, at most '${REQUEST_NANOS_MAX}'`)
}
