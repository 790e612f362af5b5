/** The members of a JSON object, none of them looked at yet. */
export type Fields = Record<string, unknown>

export function isFields(value: unknown): value is Fields {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
}

/** A whole number of at least `min`. */
export function isWhole(value: unknown, min = 1): value is number {
  return typeof value === 'number' && Number.isInteger(value) && value >= min
}

/** A text member, or nothing: never a value of another type. */
export function textAt(fields: Fields, name: string): string {
  const value = fields[name]
  return typeof value === 'string' ? value : ''
}
