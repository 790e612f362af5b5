/** Members of a model in the format of llmring's registry that are read here; all others are left out. */
export type ModelFields = Readonly<Record<string, string | number | boolean | readonly string[]>>

const TEXT_CHARS_MAX = 4_000
const LIST_MAX = 100
const DOLLARS_MAX = 1_000_000

const PRICE = /^(?:dollars_per_million_tokens_[a-z0-9_]{1,60}|cache_storage_cost_per_million_tokens_per_hour)$/
const COUNT = /^(?:max_input_tokens|max_output_tokens|long_context_threshold_tokens|min_recommended_reasoning_tokens)$/
const FLAG = /^(?:supports_[a-z_]{1,60}|is_active|is_reasoning_model)$/
const TEXT =
  /^(?:display_name|description|model_family|tool_call_format|api_endpoint|added_date|release_date|deprecated_date)$/

/** Whether a member is a price: dollars, as a number. */
export function isPriceField(name: string): boolean {
  return PRICE.test(name)
}

export function isFields(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
}

/** The known members of a row. Null is absent; a known member that is not what it should be throws Error. */
export function readModelFields(model: string, row: unknown): ModelFields {
  if (!isFields(row)) throw new Error(`${model} is not an object`)
  const fields: Record<string, ModelFields[string]> = {}
  for (const [name, value] of Object.entries(row)) {
    if (value === null || value === undefined) continue
    const kind = kindOf(name)
    if (kind === undefined) continue
    if (!kind.accepts(value)) throw new Error(`${name} of ${model} is not ${kind.words}`)
    fields[name] = value as ModelFields[string]
  }
  return fields
}

interface Kind {
  words: string
  accepts(value: unknown): boolean
}

const price: Kind = {
  words: 'a price',
  accepts: (value) => typeof value === 'number' && value >= 0 && value <= DOLLARS_MAX,
}
const count: Kind = {
  words: 'a count',
  accepts: (value) => typeof value === 'number' && Number.isSafeInteger(value) && value >= 0,
}
const flag: Kind = { words: 'true or false', accepts: (value) => typeof value === 'boolean' }
const text: Kind = { words: 'a text', accepts: isText }
const list: Kind = {
  words: 'a list of names',
  accepts: (value) => Array.isArray(value) && value.length <= LIST_MAX && value.every(isText),
}

function kindOf(name: string): Kind | undefined {
  if (PRICE.test(name)) return price
  if (COUNT.test(name)) return count
  if (FLAG.test(name)) return flag
  if (TEXT.test(name)) return text
  return name === 'model_aliases' ? list : undefined
}

function isText(value: unknown): boolean {
  return typeof value === 'string' && value.length <= TEXT_CHARS_MAX && value.isWellFormed()
}
