import assert from 'node:assert/strict'
import { readdir, readFile } from 'node:fs/promises'
import { test } from 'node:test'
import { verifyBundleText } from '#billing/verify-receipt.ts'
import { buildVectors, type VectorIndex } from '#test/receipt-vectors/build.ts'

const folder = new URL('../src/billing/vectors/', import.meta.url)
const read = (name: string) => readFile(new URL(name, folder), 'utf8')
const index: VectorIndex = JSON.parse(await read('index.json'))
const keys: unknown = JSON.parse(await read(index.keys))

test('there are enough vectors: at least 5 good and 60 broken ones', () => {
  const good = index.vectors.filter((vector) => vector.expect === 'ok').length
  const broken = index.vectors.length - good
  assert.ok(good >= 5 && broken >= 60, `${good} good, ${broken} broken`)
})

test('the vectors are what their generator writes, byte for byte', async () => {
  const built = buildVectors()
  const found = (await readdir(folder)).filter((name) => name.endsWith('.json'))
  assert.deepEqual(found.sort(), [...built.keys()].sort())
  for (const [name, text] of built) assert.equal(await read(name), text, `${name}: run tools/build-receipt-vectors.ts`)
})

for (const { file, expect, why } of index.vectors) {
  test(`${file} ${expect === 'ok' ? 'verifies' : `fails at ${expect}`}: ${why}`, async () => {
    const { ok, steps } = await verifyBundleText(await read(file), keys)
    const failed = steps.find((step) => step.reached && !step.ok)?.name
    assert.equal(failed ?? 'ok', expect, JSON.stringify(steps, null, 1))
    assert.equal(ok, expect === 'ok')
  })
}
