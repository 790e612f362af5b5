// Array parameters as the text that PostgreSQL reads. The driver would write the same from a JavaScript array, but it
// quotes and escapes every number, and copies every text twice.

/** Of numbers or UUIDs: nothing in them needs quotes. */
export function plainArray<Row>(rows: readonly Row[], of: (row: Row) => string | number | bigint): string {
  let text = ''
  for (const row of rows) text += text === '' ? `{${of(row)}` : `,${of(row)}`
  return text === '' ? '{}' : `${text}}`
}

/** Of any text. */
export function textArray<Row>(rows: readonly Row[], of: (row: Row) => string | null): string {
  let text = ''
  for (const row of rows) {
    const value = of(row)
    text += text === '' ? '{' : ','
    text += value === null ? 'NULL' : `"${/["\\]/.test(value) ? value.replace(/["\\]/g, '\\$&') : value}"`
  }
  return text === '' ? '{}' : `${text}}`
}

/** Of byte strings. */
export function byteaArray<Row>(rows: readonly Row[], of: (row: Row) => Buffer): string {
  let text = ''
  for (const row of rows) {
    const bytes = of(row)
    text += text === '' ? '{' : ','
    text += bytes.length === 0 ? '"\\\\x"' : `"\\\\x${bytes.toString('hex')}"`
  }
  return text === '' ? '{}' : `${text}}`
}

/**
 * Of JSON texts, for `string_to_array($1, e'\n')`: JSON written without indentation holds no line break, so nothing is
 * escaped. None of them may be empty.
 */
export function jsonLines<Row>(rows: readonly Row[], of: (row: Row) => string): string {
  let text = ''
  for (const row of rows) text += text === '' ? of(row) : `\n${of(row)}`
  return text
}
