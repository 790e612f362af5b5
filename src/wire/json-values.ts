export type JsonObject = Record<string, unknown>

export function isObject(value: unknown): value is JsonObject {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
}

/** The objects of a list; a value of another type has none. */
export function objectsOf(value: unknown): JsonObject[] {
  return Array.isArray(value) ? value.filter(isObject) : []
}

/** A member's text, or '' where it is none. */
export function textAt(from: JsonObject, key: string): string {
  const value = from[key]
  return typeof value === 'string' ? value : ''
}

/** The value that stands for absence in requests: providers read null as if the member were missing. */
export function isAbsent(value: unknown): value is null | undefined {
  return value === undefined || value === null
}

/** Text, or undefined for anything else. */
export function asText(value: unknown): string | undefined {
  return typeof value === 'string' ? value : undefined
}

/** A number that is one, or undefined for anything else. */
export function asNumber(value: unknown): number | undefined {
  return typeof value === 'number' && Number.isFinite(value) ? value : undefined
}

/** A value from outside, named in a message or a header: short and printable. String() would throw for some objects. */
export function nameOf(value: unknown): string {
  if (typeof value !== 'string') return value === null ? 'null' : typeof value
  return value.slice(0, 64).replaceAll(/[^\x20-\x7e]/g, '?')
}

/** The object that a whole answer is; undefined for anything else. Some servers begin it with a byte order mark. */
export function parseAnswerObject(body: string): JsonObject | undefined {
  try {
    const value: unknown = JSON.parse(body.startsWith('\ufeff') ? body.slice(1) : body)
    return isObject(value) ? value : undefined
  } catch {
    return undefined
  }
}
