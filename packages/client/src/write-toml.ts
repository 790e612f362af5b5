import { LockfileError } from './errors.ts'
import { isTable, type LockTable, type LockValue } from './lock-value.ts'
import { pythonFloat } from './python-json.ts'

/**
 * Writes TOML in the layout that llmring's own writer has, so that a file which both edit changes only where it was edited: plain
 * members first, then lists of tables, then tables level by level. Throws LockfileError for null, which TOML does not have.
 */
export function writeToml(document: LockTable): string {
  const root = writeSection(document, '')
  let text = root.body
  let level = root.tables
  while (level.length > 0) {
    const next: Section[] = []
    for (const { name, table } of level) {
      const { body, tables } = writeSection(table, name)
      if (body !== '' || tables.length === 0) {
        if (text !== '' && !text.endsWith('\n\n')) text += '\n'
        text += `[${name}]\n${body}`
      }
      next.push(...tables)
    }
    level = next
  }
  return text
}

interface Section {
  name: string
  table: LockTable
}

function writeSection(table: LockTable, name: string): { body: string; tables: Section[] } {
  let plain = ''
  let lists = ''
  const tables: Section[] = []
  for (const [key, value] of Object.entries(table)) {
    const written = writeKey(key)
    const place = name === '' ? written : `${name}.${written}`
    if (isTable(value)) tables.push({ name: place, table: value })
    else if (Array.isArray(value) && value.length > 0 && value.every(isTable)) lists += writeTables(value, place)
    else plain += `${written} = ${writeValue(value, place)}\n`
  }
  return { body: plain + lists, tables }
}

function writeTables(items: readonly LockTable[], name: string): string {
  let text = ''
  for (const item of items) {
    const { body, tables } = writeSection(item, name)
    text += `[[${name}]]\n${body}\n`
    let level = tables
    while (level.length > 0) {
      const next: Section[] = []
      for (const { name: place, table } of level) {
        const inner = writeSection(table, place)
        text += `[${place}]\n${inner.body}`
        next.push(...inner.tables)
      }
      level = next
    }
  }
  return text
}

function writeValue(value: LockValue, place: string): string {
  if (value === null) {
    const problem = { severity: 'error', at: place, message: 'is null, which TOML does not have' } as const
    throw new LockfileError('lockfile_invalid', `${problem.at} ${problem.message}`, { problems: [problem] })
  }
  if (typeof value === 'string') return writeText(value)
  // As llmring writes them: 1e-7, where Python and JSON have 1e-07.
  if (typeof value === 'number') return pythonFloat(value).replace(/(e[+-])0/, '$1')
  if (Array.isArray(value)) return `[${value.map((item) => ` ${writeValue(item, place)},`).join('')}]`
  if (isTable(value)) {
    const members = Object.entries(value).map(
      ([key, member]) => `${writeKey(key)} = ${writeValue(member, `${place}.${key}`)}`,
    )
    return `{ ${members.join(', ')} }`
  }
  return `${value}`
}

function writeKey(key: string): string {
  return /^[\w-]+$/.test(key) ? key : writeText(key)
}

/** JSON's escapes are TOML's; the one control character that JSON leaves bare is DEL. */
function writeText(text: string): string {
  return JSON.stringify(text).replaceAll('\u007f', '\\u007f')
}
