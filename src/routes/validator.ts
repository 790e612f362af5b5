import type { FastifySchemaCompiler } from 'fastify'
import type { TSchema } from 'typebox'
import { Compile } from 'typebox/compile'

/**
 * Checks requests against their schema to the letter: nothing is converted, dropped or filled in, but for the integers of
 * a query, which arrive as text.
 */
export const strictValidator: FastifySchemaCompiler<TSchema> = ({ schema, httpPart }) => {
  const compiled = Compile(schema)
  const integers = httpPart === 'querystring' ? integerMembers(schema) : []
  return (value: unknown) => {
    const checked = integers.length === 0 ? value : readIntegers(value, integers)
    if (compiled.Check(checked)) return { value: checked }
    return { error: compiled.Errors(checked) }
  }
}

function integerMembers(schema: TSchema): string[] {
  const properties = Reflect.get(schema, 'properties') as Record<string, { type?: string }> | undefined
  return Object.entries(properties ?? {}).flatMap(([name, member]) => (member.type === 'integer' ? [name] : []))
}

function readIntegers(value: unknown, names: string[]): unknown {
  const copy: Record<string, unknown> = { ...(value as Record<string, unknown>) }
  for (const name of names) {
    const text = copy[name]
    if (typeof text === 'string' && /^(0|[1-9][0-9]{0,14})$/.test(text)) copy[name] = Number(text)
  }
  return copy
}
