/** Deeper than any schema a tool declares; a schema that refers to itself ends here. */
const DEPTH_MAX = 8
/** Values in one sample: what is left of a wider schema is null. */
const VALUES_MAX = 500

/**
 * A value that fits a JSON schema, always the same one. Knows types, enum, const, default, examples, bounds of numbers
 * and lengths, common formats, local references and the first branch of a union; `pattern` is not followed.
 */
export function sampleJson(schema: unknown): unknown {
  return sample(schema, { root: schema, left: VALUES_MAX }, 0)
}

type Schema = Record<string, unknown>
type Budget = { root: unknown; left: number }

function sample(schema: unknown, budget: Budget, depth: number): unknown {
  budget.left -= 1
  if (budget.left < 0) return null
  if (!isSchema(schema)) return schema === false ? null : 'sample'
  if ('const' in schema) return schema.const
  if (Array.isArray(schema.enum) && schema.enum.length > 0) return schema.enum[0]
  if ('default' in schema) return schema.default
  if (Array.isArray(schema.examples) && schema.examples.length > 0) return schema.examples[0]
  if (depth >= DEPTH_MAX) return null
  if (typeof schema.$ref === 'string') return sample(resolve(schema.$ref, budget.root), budget, depth + 1)
  const union = schema.anyOf ?? schema.oneOf
  if (Array.isArray(union) && union.length > 0) return sample(union[0], budget, depth + 1)
  if (Array.isArray(schema.allOf) && schema.allOf.length > 0) {
    const parts = schema.allOf.map((part) => sample(part, budget, depth + 1))
    return parts.every(isSchema) ? Object.assign({}, ...parts) : parts[0]
  }
  return sampleOfType(schema, budget, depth)
}

function sampleOfType(schema: Schema, budget: Budget, depth: number): unknown {
  const type = Array.isArray(schema.type) ? schema.type[0] : schema.type
  switch (type ?? (isSchema(schema.properties) ? 'object' : 'string')) {
    case 'object':
      return sampleObject(schema, budget, depth)
    case 'array': {
      const length = Math.min(Math.max(numberOf(schema.minItems) ?? 1, 0), 100)
      return Array.from({ length }, () => sample(schema.items ?? { type: 'string' }, budget, depth + 1))
    }
    case 'integer':
      return Math.ceil(sampleNumber(schema))
    case 'number':
      return sampleNumber(schema)
    case 'boolean':
      return true
    case 'null':
      return null
    default:
      return sampleString(schema)
  }
}

function sampleObject(schema: Schema, budget: Budget, depth: number): Schema {
  const properties = isSchema(schema.properties) ? schema.properties : {}
  const names = Object.keys(properties)
  // Near the bottom only what is required is filled in, so that a recursive schema ends.
  const required = Array.isArray(schema.required) ? schema.required : []
  const kept = depth < DEPTH_MAX / 2 ? names : names.filter((name) => required.includes(name))
  return Object.fromEntries(kept.map((name) => [name, sample(properties[name], budget, depth + 1)]))
}

function sampleNumber(schema: Schema): number {
  const above = numberOf(schema.exclusiveMinimum)
  const floor = numberOf(schema.minimum) ?? (above === undefined ? undefined : above + 1)
  const ceiling = numberOf(schema.maximum) ?? numberOf(schema.exclusiveMaximum)
  if (floor !== undefined) return floor
  return ceiling === undefined || ceiling > 1 ? 1 : ceiling - 1
}

const formats = new Map(
  Object.entries({
    date: '2026-01-01',
    'date-time': '2026-01-01T00:00:00Z',
    time: '00:00:00Z',
    email: 'sample@example.com',
    uri: 'https://example.com/',
    uuid: '00000000-0000-4000-8000-000000000000',
  }),
)

function sampleString(schema: Schema): string {
  const named = typeof schema.format === 'string' ? formats.get(schema.format) : undefined
  if (named !== undefined) return named
  const shortest = Math.min(numberOf(schema.minLength) ?? 0, 1000)
  return 'sample'.padEnd(shortest, '.').slice(0, Math.max(numberOf(schema.maxLength) ?? Number.POSITIVE_INFINITY, 0))
}

function resolve(reference: string, root: unknown): unknown {
  if (!reference.startsWith('#')) return true
  let at = root
  for (const step of reference.slice(1).split('/').filter(Boolean)) {
    const name = step.replaceAll('~1', '/').replaceAll('~0', '~')
    at = isSchema(at) ? at[name] : undefined
  }
  return at ?? true
}

function numberOf(value: unknown): number | undefined {
  return typeof value === 'number' && Number.isFinite(value) ? value : undefined
}

function isSchema(value: unknown): value is Schema {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
}
