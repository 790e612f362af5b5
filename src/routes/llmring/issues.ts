import type { Problem } from '#src/errors.ts'

/** One thing that is wrong with a request, as llmring's clients know it from FastAPI. */
export interface Issue {
  type: string
  /** Where: `['body', 'messages', 0, 'role']`. */
  loc: (string | number)[]
  msg: string
  /** What was sent there, where that is short; else null. */
  input: unknown
}

/** What a compiled schema reports. */
export interface SchemaError {
  keyword: string
  instancePath: string
  params: Record<string, unknown>
  message?: string
}

const ISSUES_MAX = 100
const INPUT_CHARS_MAX = 100
const PATH_PARTS_MAX = 20

/** What is wrong with a value that its schema refuses; `part` is `body`, `query` or `path`. */
export function schemaIssues(errors: readonly SchemaError[], part: string, value: unknown): Issue[] {
  const issues = errors.flatMap(({ keyword, instancePath, params, message }): Issue[] => {
    // A line about all alternatives follows those about each.
    if (keyword === 'boolean' || keyword === 'const') return []
    const at = instancePath.split('/').slice(1).map(unescapePointer)
    if (keyword === 'required' && Array.isArray(params.requiredProperties))
      return params.requiredProperties.map((name) => missing([part, ...at, String(name)]))
    const input = at.reduce(memberOf, value)
    if (input === undefined || (input === null && at.length === 0)) return [missing([part, ...at])]
    const { type, msg } = describe(keyword, params, message, input)
    return [{ type, loc: place([part, ...at]), msg, input: shown(input) }]
  })
  return issues.slice(0, ISSUES_MAX)
}

/** What a rule refuses that no schema states. The path is that of a problem: `messages[0].content`. */
export function problemIssue({ path, message }: Problem, input: unknown = null): Issue {
  const parts = path.split(/[.[\]]+/).filter((part) => part !== '')
  return { type: 'value_error', loc: place(['body', ...parts]), msg: message, input: shown(input) }
}

function missing(loc: string[]): Issue {
  return { type: 'missing', loc: place(loc), msg: 'Field required', input: null }
}

/** The names and words of pydantic where it has some. */
function describe(
  keyword: string,
  params: Record<string, unknown>,
  message: string | undefined,
  input: unknown,
): Pick<Issue, 'type' | 'msg'> {
  const limit = String(params.limit)
  switch (keyword) {
    case 'type':
      return wrongType(String(params.type), input)
    case 'minLength':
      return { type: 'string_too_short', msg: `String should have at least ${limit} characters` }
    case 'maxLength':
      return { type: 'string_too_long', msg: `String should have at most ${limit} characters` }
    case 'minimum':
      return { type: 'greater_than_equal', msg: `Input should be greater than or equal to ${limit}` }
    case 'maximum':
      return { type: 'less_than_equal', msg: `Input should be less than or equal to ${limit}` }
    case 'minItems':
      return { type: 'too_short', msg: `List should have at least ${limit} items` }
    case 'maxItems':
      return { type: 'too_long', msg: `List should have at most ${limit} items` }
    case 'enum':
    case 'anyOf':
      return { type: 'literal_error', msg: 'Input should be one of the values that are allowed' }
    default:
      return { type: 'value_error', msg: message ?? 'Input is not valid' }
  }
}

const names: Readonly<Record<string, string>> = { object: 'dict', array: 'list', boolean: 'bool', integer: 'int' }
const words: Readonly<Record<string, string>> = { object: 'dictionary', array: 'list' }

function wrongType(type: string, input: unknown): Pick<Issue, 'type' | 'msg'> {
  if (type === 'integer' && typeof input === 'number')
    return Number.isInteger(input)
      ? { type: 'int_parsing_size', msg: 'Input should be below 2^53' }
      : { type: 'int_from_float', msg: 'Input should be a valid integer, got a number with a fractional part' }
  return { type: `${names[type] ?? type}_type`, msg: `Input should be a valid ${words[type] ?? type}` }
}

function place(parts: readonly string[]): (string | number)[] {
  return parts.slice(0, PATH_PARTS_MAX).map((part) => (/^\d{1,9}$/.test(part) ? Number(part) : shortened(part)))
}

function shown(input: unknown): unknown {
  if (typeof input === 'string') return input.isWellFormed() && input.length <= INPUT_CHARS_MAX ? input : null
  if (typeof input === 'number') return Number.isFinite(input) ? input : null
  return typeof input === 'boolean' ? input : null
}

function shortened(text: string): string {
  return text.toWellFormed().slice(0, INPUT_CHARS_MAX).toWellFormed()
}

function memberOf(value: unknown, name: string): unknown {
  return typeof value === 'object' && value !== null && Object.hasOwn(value, name)
    ? Reflect.get(value, name)
    : undefined
}

function unescapePointer(segment: string): string {
  return segment.replaceAll('~1', '/').replaceAll('~0', '~')
}
