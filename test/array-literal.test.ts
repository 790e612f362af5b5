import assert from 'node:assert/strict'
import { after, before, test } from 'node:test'
import fc from 'fast-check'
import { byteaArray, jsonLines, plainArray, textArray } from '#db/array-literal.ts'
import { createTestDatabase, type TestDatabase } from '#test/support/database.ts'

let database: TestDatabase
before(async () => {
  database = await createTestDatabase({ migrated: false })
})
after(() => database.close())

const same = <T>(value: T): T => value
const anyText = fc.string({ unit: 'binary' }).filter((text) => !text.includes('\0') && text.isWellFormed())
const awkward = ['', 'null', 'NULL', '"', '\\', '\\"', '{}', '{a,b}', ',', ' ', '\n', '\t\r', '$1', "'", 'ü', '🙂']

async function readBack(type: string, literal: string): Promise<unknown> {
  const { rows } = await database.db.query<{ value: unknown }>(`select $1::${type}[] as value`, [literal])
  return rows[0]?.value
}

test('texts arrive as they were, whatever is in them', async () => {
  const rows = [...awkward, null]
  assert.deepEqual(await readBack('text', textArray(rows, same)), rows)
  await fc.assert(
    fc.asyncProperty(fc.array(fc.option(anyText), { maxLength: 20 }), async (texts) => {
      assert.deepEqual(await readBack('text', textArray(texts, same)), texts)
    }),
    { seed: 1040, numRuns: 50 },
  )
})

test('numbers, identifiers and bytes arrive with their types', async () => {
  const id = '0193a5f0c1d27e4f8a6b0c9d8e7f6a5b'
  const numbers = [0n, -1n, 9_223_372_036_854_775_807n]
  assert.deepEqual(
    ((await readBack('bigint', plainArray(numbers, same))) as unknown[]).map(String),
    numbers.map(String),
  )
  assert.deepEqual(await readBack('smallint', plainArray([1, 6], same)), [1, 6])
  assert.deepEqual(await readBack('uuid', plainArray([id], same)), ['0193a5f0-c1d2-7e4f-8a6b-0c9d8e7f6a5b'])
  const bytes = [Buffer.alloc(0), Buffer.from([0, 0x22, 0x5c, 0xff])]
  assert.deepEqual(await readBack('bytea', byteaArray(bytes, same)), bytes)
  for (const empty of [plainArray([], same), textArray([], same), byteaArray([], same)]) assert.equal(empty, '{}')
})

test('JSON texts arrive as they were written', async () => {
  const texts = [...awkward, ...fc.sample(anyText, { seed: 1041, numRuns: 50 })].map((text) => JSON.stringify({ text }))
  for (const some of [texts, texts.slice(0, 1)]) {
    const { rows } = await database.db.query<{ value: string[] }>(`select string_to_array($1, e'\\n') as value`, [
      jsonLines(some, same),
    ])
    assert.deepEqual(rows[0]?.value, some)
  }
})
