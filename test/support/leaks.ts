import assert from 'node:assert/strict'
import type { Db } from '#db/pool.ts'

/** Less than this is found by chance. */
const BASE64_BYTES_MIN = 12

/** Every row of every table, as text: bytes as hex digits. */
export async function dumpDatabase(db: Db): Promise<string> {
  const { rows: tables } = await db.query<{ name: string }>(
    `select format('%I.%I', table_schema, table_name) as name from information_schema.tables
     where table_schema not in ('pg_catalog', 'information_schema')`,
  )
  let text = ''
  for (const { name } of tables) {
    const { rows } = await db.query<{ row: string }>(`select t::text as row from ${name} t`)
    text += `${name}\n${rows.map(({ row }) => row).join('\n')}\n`
  }
  return text
}

/** None of the marks is in a text, in none of the ways that a program may have spelled it. */
export function expectWithout(place: string, text: string, marks: readonly string[]): void {
  const lower = text.toLowerCase()
  for (const mark of marks)
    for (const spelling of spellings(mark)) {
      const at = lower.indexOf(spelling.toLowerCase())
      assert(at === -1, `'${mark}' is in ${place}: ${text.slice(Math.max(0, at - 200), at + 200)}`)
    }
}

function spellings(mark: string): string[] {
  const bytes = Buffer.from(mark)
  return [
    mark,
    mark.replaceAll('/', '\\/').replaceAll('+', '\\u002b'),
    encodeURIComponent(mark),
    bytes.toString('hex'),
    ...base64Of(bytes),
  ]
}

/** In the middle of longer text Base64 is shifted by up to two bytes, and its ends depend on what is around. */
function base64Of(bytes: Buffer): string[] {
  if (bytes.length < BASE64_BYTES_MIN) return []
  return [0, 1, 2].map((shift) =>
    Buffer.concat([Buffer.alloc(shift), bytes])
      .toString('base64')
      .slice(4, -4),
  )
}
