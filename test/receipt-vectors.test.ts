import assert from 'node:assert/strict'
import { readdir, readFile } from 'node:fs/promises'
import { test } from 'node:test'
import { buildVectors, type VectorIndex } from '#test/receipt-vectors/build.ts'
import { judge } from '#test/receipt-vectors/judge.ts'

const folder = new URL('../src/billing/vectors/', import.meta.url)
const read = (name: string) => readFile(new URL(name, folder), 'utf8')
const index: VectorIndex = JSON.parse(await read('index.json'))

test('there are enough vectors: at least 5 good and 60 broken ones', () => {
  const good = index.vectors.filter((vector) => vector.expect === 'ok').length
  const broken = index.vectors.length - good
  assert.ok(good >= 5 && broken >= 60, `${good} good, ${broken} broken`)
})

test('the vectors are what their generator writes, byte for byte', async () => {
  const built = buildVectors()
  const found = (await readdir(folder)).filter((name) => name !== 'README.md')
  assert.deepEqual(found.sort(), [...built.keys()].sort())
  for (const [name, text] of built) assert.equal(await read(name), text, `${name}: run tools/build-receipt-vectors.ts`)
})

test('there are at least 40 broken documents, sets, proofs and checkpoints', () => {
  const all = [...index.documents, ...index.entries, ...index.sets, ...index.proofs, ...index.consistency]
  const broken = all.filter(({ expect }) => expect !== 'ok').length
  assert.ok(broken >= 40 && all.length - broken >= 20, `${all.length - broken} good, ${broken} broken`)
})

for (const vector of await judge(index, read))
  test(`${vector.name} ${vector.expect === 'ok' ? 'verifies' : `fails at ${vector.expect}`}: ${vector.why}`, () => {
    assert.equal(vector.found, vector.expect, vector.detail)
  })
