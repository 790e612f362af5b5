import { type Member, topLevelMembers } from '#lib/json-members.ts'
import { isAbsent, isObject, type JsonObject } from './json-values.ts'
import { findSpeltOtherwise } from './spelt-otherwise.ts'
import { isProblem, type RequestProblem } from './text-request.ts'

const MODEL_CHARS_MAX = 255
/** Parts of the body are written out again, which recurses: deeper nesting would overflow the stack. */
const LEVELS_MAX = 128

/** A body that names its model. */
export interface NamedBody {
  body: JsonObject
  members: Map<string, Member>
  model: string
}

/** What requests of all protocols begin with. */
export interface RequestHead extends NamedBody {
  stream: boolean
}

/** Checks what every request must have. Throws SyntaxError for text that is not JSON. */
export function parseRequestHead(text: string): RequestHead | RequestProblem {
  const named = parseNamedBody(text)
  if (isProblem(named)) return named
  const stream = named.body.stream ?? false
  if (typeof stream !== 'boolean') return problem('stream', 'must be a boolean')
  return { ...named, stream }
}

/** The same but for `stream`. */
export function parseNamedBody(text: string): NamedBody | RequestProblem {
  const body: unknown = JSON.parse(text)
  if (!isObject(body)) return problem('', 'the body must be a JSON object')
  if (nestsDeeper(body, LEVELS_MAX)) return problem('', `the body must nest at most ${LEVELS_MAX} levels deep`)
  const members = topLevelMembers(text)
  if (!(members instanceof Map)) return problem(members.duplicate, 'the member stands twice')
  const spelt = findSpeltOtherwise(members.keys())
  if (spelt !== undefined) return spelt
  const { model } = body
  if (typeof model !== 'string' || model === '') return problem('model', 'must be a non-empty string')
  if (model.length > MODEL_CHARS_MAX) return problem('model', `must be at most ${MODEL_CHARS_MAX} characters`)
  // The name stands on the receipt and in the database, which hold neither.
  if (/\p{Cc}|\p{Cs}/u.test(model)) return problem('model', 'must be text without control characters')
  return { body, members, model }
}

const OTHER_PRICES = 'is not supported: what it chooses has another price than the model that is asked for'
const unpricedMembers: Readonly<Record<string, string>> = {
  plugins: 'is not supported: plugins are billed apart from tokens',
  models: OTHER_PRICES,
  route: OTHER_PRICES,
  provider: OTHER_PRICES,
  preset: OTHER_PRICES,
}

/** Members by which a provider would charge another price than the book's: that never shows in the usage. */
export function findUnpricedMember(body: JsonObject): RequestProblem | undefined {
  if (!isAbsent(body.service_tier) && body.service_tier !== 'auto' && body.service_tier !== 'default')
    return problem('service_tier', 'must be auto or default: other tiers have other prices')
  for (const [name, message] of Object.entries(unpricedMembers))
    if (!isAbsent(body[name]) && body[name] !== false) return problem(name, message)
  return undefined
}

/** The first of `names` that is there and no number. */
export function findNonNumber(body: JsonObject, names: readonly string[]): RequestProblem | undefined {
  const name = names.find((each) => !isAbsent(body[each]) && typeof body[each] !== 'number')
  return name === undefined ? undefined : problem(name, 'must be a number')
}

export function isCount(value: unknown): value is number {
  return typeof value === 'number' && Number.isSafeInteger(value) && value >= 1
}

export function problem(path: string, message: string): RequestProblem {
  return { path, message }
}

function nestsDeeper(value: unknown, levels: number): boolean {
  if (typeof value !== 'object' || value === null) return false
  if (levels === 0) return true
  if (Array.isArray(value)) return value.some((member) => nestsDeeper(member, levels - 1))
  const members = value as Record<string, unknown>
  for (const name in members) if (nestsDeeper(members[name], levels - 1)) return true
  return false
}
