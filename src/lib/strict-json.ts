import { CanonicalJsonError, JSON_CHARS_MAX, JSON_DEPTH_MAX } from './canonical-json.ts'

/**
 * JSON.parse for text that somebody may have forged: white space and key order are free, but a repeated key, a number
 * that is not a plain integer below 2^53, a lone surrogate or deep nesting throws CanonicalJsonError. What it returns is
 * what every other parser makes of the same text. With `fractions` other numbers are read as well, if they are finite.
 */
export function parseStrictJson(
  text: string,
  charsMax: number = JSON_CHARS_MAX,
  { fractions = false }: { fractions?: boolean } = {},
): unknown {
  if (text.length > charsMax) {
    throw new CanonicalJsonError('json_too_large', `the text is longer than ${charsMax} characters`)
  }
  // Scanned first, so that the depth is known to be harmless before anything is built.
  scan(text, fractions)
  try {
    return JSON.parse(text)
  } catch {
    throw new CanonicalJsonError('json_syntax', 'the text is not JSON')
  }
}

/** Looks at each token and leaves the grammar to JSON.parse. */
function scan(text: string, fractions: boolean): void {
  const open: Set<string>[] = [] // The keys seen so far in each open object; unused for an array.
  let at = 0
  while (at < text.length) {
    const char = text.charAt(at)
    if (char === '"') {
      const end = stringEnd(text, at)
      const value = stringValue(text.slice(at, end))
      at = nextToken(text, end)
      if (text.charAt(at) === ':') noteKey(open.at(-1), value)
      continue
    }
    if (char === '{' || char === '[') {
      if (open.length >= JSON_DEPTH_MAX) {
        throw new CanonicalJsonError('json_too_deep', `the text nests deeper than ${JSON_DEPTH_MAX}`)
      }
      open.push(new Set())
    } else if (char === '}' || char === ']') {
      open.pop()
    } else if (char === '-' || (char >= '0' && char <= '9')) {
      const end = numberEnd(text, at)
      checkNumber(text.slice(at, end), fractions)
      at = end
      continue
    }
    at += 1
  }
}

function stringEnd(text: string, start: number): number {
  for (let at = start + 1; at < text.length; at += 1) {
    const char = text.charAt(at)
    if (char === '\\') at += 1
    else if (char === '"') return at + 1
  }
  throw new CanonicalJsonError('json_syntax', 'a string does not end')
}

function stringValue(literal: string): string {
  let value: unknown
  try {
    value = JSON.parse(literal)
  } catch {
    throw new CanonicalJsonError('json_syntax', 'a string is not valid JSON')
  }
  if (typeof value !== 'string' || !value.isWellFormed()) {
    throw new CanonicalJsonError('json_text_refused', 'a string holds a lone surrogate')
  }
  return value
}

function nextToken(text: string, start: number): number {
  let at = start
  while (at < text.length && ' \t\n\r'.includes(text.charAt(at))) at += 1
  return at
}

function noteKey(keys: Set<string> | undefined, key: string): void {
  if (keys === undefined) throw new CanonicalJsonError('json_syntax', 'a key stands outside an object')
  if (keys.has(key)) throw new CanonicalJsonError('json_duplicate_key', 'an object has the same key twice')
  keys.add(key)
}

function numberEnd(text: string, start: number): number {
  let at = start + 1
  while (at < text.length && '0123456789+-.eE'.includes(text.charAt(at))) at += 1
  return at
}

function checkNumber(literal: string, fractions: boolean): void {
  if (fractions && Number.isFinite(Number(literal))) return
  if (!/^(?:0|-?[1-9][0-9]*)$/.test(literal) || !Number.isSafeInteger(Number(literal))) {
    throw new CanonicalJsonError('json_number_refused', 'a number is not written as a plain integer below 2^53')
  }
}
