import type { FastifySchemaCompiler } from 'fastify'
import type { Static, TSchema } from 'typebox'
import { Compile } from 'typebox/compile'
import { AppError } from '#src/errors.ts'
import { schemaIssues } from './issues.ts'

/**
 * Checks requests as pydantic does, because llmring's clients count on it: members that a schema does not name are ignored,
 * null stands for a member that may be absent, numbers may come as text. Nothing else is converted: a fraction is no
 * integer, true is no number.
 */
export const lenientValidator: FastifySchemaCompiler<TSchema> = ({ schema, httpPart }) => {
  const part = httpPart === 'querystring' ? 'query' : (httpPart ?? 'body')
  const read = createLenientReader(schema, part)
  return (value: unknown) => {
    try {
      return { value: read(value) }
    } catch (error) {
      if (!(error instanceof AppError)) throw error
      return { error: httpPart === 'params' ? new AppError('not_found') : error }
    }
  }
}

/** The same for one value, such as an item of a batch. What it returns throws AppError body_invalid. */
export function createLenientReader<Schema extends TSchema>(
  schema: Schema,
  part: string,
): (value: unknown) => Static<Schema> {
  const compiled = Compile(schema)
  return (value) => {
    const read = readLenient(schema as SchemaNode, value)
    if (compiled.Check(read)) return read as Static<Schema>
    throw invalid(schemaIssues(compiled.Errors(read), part, read))
  }
}

/** The 422 of this surface. */
export function invalid(issues: ReturnType<typeof schemaIssues>): AppError {
  return new AppError('body_invalid', { status: 422, publicDetails: { detail: issues } })
}

interface SchemaNode {
  type?: string
  properties?: Record<string, SchemaNode>
  required?: string[]
  items?: SchemaNode
  additionalProperties?: unknown
}

const booleans = new Map([
  ...['true', 't', 'yes', 'y', 'on', '1'].map((word) => [word, true] as const),
  ...['false', 'f', 'no', 'n', 'off', '0'].map((word) => [word, false] as const),
])

/** Copies what the schema names; what it leaves open stays as it is. The depth is that of the schema. */
function readLenient(schema: SchemaNode, value: unknown): unknown {
  switch (schema.type) {
    case 'integer':
      return typeof value === 'string' ? fromText(value, /^[+-]?\d{1,30}(?:\.0{1,10})?$/) : value
    case 'number':
      return typeof value === 'string'
        ? fromText(value, /^[+-]?\d{1,400}(?:\.\d{1,400})?(?:[eE][+-]?\d{1,4})?$/)
        : value
    case 'boolean':
      return typeof value === 'string' ? (booleans.get(value.trim().toLowerCase()) ?? value) : value
    case 'array': {
      const { items } = schema
      return Array.isArray(value) && items !== undefined ? value.map((item) => readLenient(items, item)) : value
    }
    case 'object':
      return readObject(schema, value)
    default:
      return value
  }
}

function readObject({ properties, required, additionalProperties }: SchemaNode, value: unknown): unknown {
  if (properties === undefined || typeof value !== 'object' || value === null || Array.isArray(value)) return value
  const read: Record<string, unknown> = additionalProperties === true ? { ...value } : {}
  for (const [name, schema] of Object.entries(properties)) {
    if (!Object.hasOwn(value, name)) continue
    const member: unknown = Reflect.get(value, name)
    if (member === null && required?.includes(name) !== true) delete read[name]
    else read[name] = readLenient(schema, member)
  }
  return read
}

function fromText(text: string, pattern: RegExp): unknown {
  const trimmed = text.trim()
  return pattern.test(trimmed) ? Number(trimmed) : text
}
