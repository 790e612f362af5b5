import { formatFixed } from '#lib/decimal.ts'
import { type ExportColumn, exportColumns } from './export-columns.ts'
import type { LogEntry } from './log-entry.ts'

/** RFC 4180 in UTF-8 with a line of names. Empty cells are what is not known. */
export async function* encodeCsv(pages: AsyncIterable<LogEntry[]>): AsyncGenerator<Uint8Array> {
  let text = `${exportColumns.map(({ name }) => name).join(',')}\r\n`
  for await (const page of pages) {
    for (const entry of page) text += csvLine(entry)
    yield Buffer.from(text)
    text = ''
  }
  if (text !== '') yield Buffer.from(text)
}

function csvLine(entry: LogEntry): string {
  let line = ''
  for (const column of exportColumns) line += `${line === '' ? '' : ','}${csvCell(column, entry)}`
  return `${line}\r\n`
}

function csvCell(column: ExportColumn, entry: LogEntry): string {
  switch (column.kind) {
    case 'text':
      return textCell(column.of(entry))
    case 'nanos': {
      const nanos = column.of(entry)
      return nanos === null ? '' : formatFixed(nanos, 9)
    }
    default:
      return String(column.of(entry) ?? '')
  }
}

// What makes a spreadsheet take a cell for a formula, or for a command, also as full-width signs.
const FORMULA = /^[=+\-@\t\r\n\uff1d\uff0b\uff0d\uff20]/
const SPECIAL = /[",\r\n]/

/** A text that a spreadsheet would run begins with an apostrophe, which it hides. */
export function textCell(text: string | null): string {
  if (text === null) return ''
  const safe = FORMULA.test(text) ? `'${text}` : text
  return SPECIAL.test(safe) ? `"${safe.replaceAll('"', '""')}"` : safe
}
