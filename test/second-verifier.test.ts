import assert from 'node:assert/strict'
import { spawnSync } from 'node:child_process'
import { readFile } from 'node:fs/promises'
import { test } from 'node:test'
import { fileURLToPath } from 'node:url'
import type { VectorIndex } from '#test/receipt-vectors/build.ts'
import { judge } from '#test/receipt-vectors/judge.ts'
import { whyNoPython } from '#test/support/python.ts'

const folder = new URL('../src/billing/vectors/', import.meta.url)
const script = fileURLToPath(new URL('../tools/verify_receipt.py', import.meta.url))

test('2 independent verifiers agree on the first failing step of every vector', { skip: whyNoPython() }, async (t) => {
  const read = (file: string) => readFile(new URL(file, folder), 'utf8')
  const index: VectorIndex = JSON.parse(await read('index.json'))
  const { status, stdout, stderr } = spawnSync('python3', [script, 'vectors', fileURLToPath(folder)], {
    encoding: 'utf8',
  })
  assert.equal(status, 0, stderr)
  const theirs: Record<string, string> = JSON.parse(stdout)
  const ours = await judge(index, read)
  const disagreements = ours.filter(({ name, found }) => theirs[name] !== found)
  assert.deepEqual(
    disagreements.map(({ name, found }) => `${name}: ${found} here, ${theirs[name]} there`),
    [],
  )
  assert.deepEqual(Object.keys(theirs).toSorted(), ours.map(({ name }) => name).toSorted())
  t.diagnostic(`2 independent verifiers, ${ours.length} vectors, ${disagreements.length} disagreements`)
})
