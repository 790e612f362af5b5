// RFC 8785 (JSON Canonicalization Scheme) restricted to values that every language reads the same way:
// strings, booleans, integers below 2^53, arrays and objects. There is no null: what is unknown is absent.

export const JSON_DEPTH_MAX = 32
export const JSON_CHARS_MAX = 1_048_576

export type CanonicalJsonErrorCode =
  | 'json_too_large'
  | 'json_too_deep'
  | 'json_syntax'
  | 'json_not_canonical'
  | 'json_duplicate_key'
  | 'json_number_refused'
  | 'json_text_refused'
  | 'json_value_refused'

/** Why a value or a text has no canonical form. The message names the place, never the content. */
export class CanonicalJsonError extends Error {
  override readonly name = 'CanonicalJsonError'
  readonly code: CanonicalJsonErrorCode

  constructor(code: CanonicalJsonErrorCode, message: string) {
    super(message)
    this.code = code
  }
}

/** The one canonical text of a value. Throws CanonicalJsonError for anything outside the subset, `undefined` included. */
export function canonicalJson(value: unknown): string {
  return encode(value, '$', 0)
}

/** Reads a text only if it is the canonical text of its value: no white space, sorted keys, no key twice, no 1.0. */
export function parseCanonicalJson(text: string, charsMax: number = JSON_CHARS_MAX): unknown {
  if (text.length > charsMax) {
    throw new CanonicalJsonError('json_too_large', `the text is longer than ${charsMax} characters`)
  }
  let value: unknown
  try {
    value = JSON.parse(text)
  } catch {
    throw new CanonicalJsonError('json_syntax', 'the text is not JSON')
  }
  // Encoding again catches every second way to write the same value, a repeated key among them.
  if (canonicalJson(value) !== text) {
    throw new CanonicalJsonError('json_not_canonical', 'the text is not in canonical form')
  }
  return value
}

function encode(value: unknown, place: string, depth: number): string {
  switch (typeof value) {
    case 'string':
      return encodeString(value, place)
    case 'number':
      if (!Number.isSafeInteger(value) || Object.is(value, -0)) {
        throw new CanonicalJsonError('json_number_refused', `${place} is not an integer below 2^53`)
      }
      return `${value}`
    case 'boolean':
      return value ? 'true' : 'false'
    case 'object':
      if (value === null) break
      if (depth >= JSON_DEPTH_MAX) {
        throw new CanonicalJsonError('json_too_deep', `${place} is nested deeper than ${JSON_DEPTH_MAX}`)
      }
      return Array.isArray(value) ? encodeArray(value, place, depth + 1) : encodeObject(value, place, depth + 1)
  }
  throw new CanonicalJsonError('json_value_refused', `${place} is ${value === null ? 'null' : `a ${typeof value}`}`)
}

function encodeString(text: string, place: string): string {
  // JSON.stringify escapes a lone surrogate; RFC 8785 forbids one, and UTF-8 cannot carry it.
  if (!text.isWellFormed()) throw new CanonicalJsonError('json_text_refused', `${place} holds a lone surrogate`)
  return JSON.stringify(text)
}

function encodeArray(items: readonly unknown[], place: string, depth: number): string {
  let text = '['
  for (let index = 0; index < items.length; index += 1) {
    text += (index === 0 ? '' : ',') + encode(items[index], `${place}[${index}]`, depth)
  }
  return `${text}]`
}

function encodeObject(value: object, place: string, depth: number): string {
  const prototype: unknown = Object.getPrototypeOf(value)
  if (prototype !== Object.prototype && prototype !== null) {
    throw new CanonicalJsonError('json_value_refused', `${place} is not a plain object`)
  }
  let text = '{'
  // The default sort compares UTF-16 code units, which is what RFC 8785 section 3.2.3 asks for.
  for (const [index, key] of Object.keys(value).sort().entries()) {
    const inner = `${place}.${shown(key)}`
    const member: unknown = Reflect.get(value, key)
    text += `${index === 0 ? '' : ','}${encodeString(key, inner)}:${encode(member, inner, depth)}`
  }
  return `${text}}`
}

/** A key as it may stand in a message: short and plain, whoever chose it. */
function shown(key: string): string {
  return /^[\w-]{1,40}$/.test(key) ? key : '(key)'
}
