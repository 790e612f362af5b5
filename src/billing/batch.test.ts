import assert from 'node:assert/strict'
import { test } from 'node:test'
import { canonicalJson } from '#lib/canonical-json.ts'
import { type BatchProof, batchStatement, encodeBundle, parseBatchProof } from './batch.ts'

const hash = Buffer.alloc(32, 1).toString('base64')
const proof: BatchProof = {
  id: '0193a5f0-c1d2-7e4f-8a6b-0c9d8e7f6a5b',
  key_id: 'rk_0123456789abcdef',
  n: 5,
  path: [hash, hash, hash],
  pos: 4,
  root: hash,
  sig: Buffer.alloc(64, 2).toString('base64'),
}

test('the statement of a batch is five lines of known bytes', () => {
  const statement = Buffer.from(batchStatement(proof)).toString('latin1')
  assert.equal(statement, `fluxgate-batch/2\n0193a5f0-c1d2-7e4f-8a6b-0c9d8e7f6a5b\n5\n${hash}\n`)
})

test('a bundle is canonical and passes the stored text on byte for byte', () => {
  const text = encodeBundle('{"alias_name":"é😀"}', proof)
  assert.equal(text, canonicalJson({ receipt: { alias_name: 'é😀' }, batch: proof }))
})

test('a proof reads back', () => assert.deepEqual(parseBatchProof({ ...proof }), proof))

for (const { name, value, field } of [
  { name: 'no object', value: [], field: 'batch' },
  { name: 'a field too many', value: { ...proof, note: 1 }, field: 'batch' },
  { name: 'a line feed in the id', value: { ...proof, id: 'a\n5' }, field: 'id' },
  { name: 'an empty id', value: { ...proof, id: '' }, field: 'id' },
  { name: 'the name of an API key', value: { ...proof, key_id: 'key_a' }, field: 'key_id' },
  { name: 'an empty batch', value: { ...proof, n: 0, pos: 0 }, field: 'n' },
  { name: 'a size as text', value: { ...proof, n: '5' }, field: 'n' },
  { name: 'a huge batch', value: { ...proof, n: 65_537 }, field: 'n' },
  { name: 'a place behind the last', value: { ...proof, pos: 5 }, field: 'pos' },
  { name: 'a negative place', value: { ...proof, pos: -1 }, field: 'pos' },
  { name: 'a path that is no list', value: { ...proof, path: {} }, field: 'path' },
  { name: 'a path of 17 hashes', value: { ...proof, path: Array(17).fill(hash) }, field: 'path' },
  { name: 'a short hash in the path', value: { ...proof, path: [hash.slice(4)] }, field: 'path' },
  {
    name: 'a root in Base64url',
    value: { ...proof, root: Buffer.alloc(32, 255).toString('base64url') },
    field: 'root',
  },
  {
    name: 'a root with stray bits',
    value: { ...proof, root: hash.replace('E=', 'F=') },
    field: 'root',
  },
  { name: 'a signature of 63 bytes', value: { ...proof, sig: Buffer.alloc(63).toString('base64') }, field: 'sig' },
]) {
  test(`parseBatchProof refuses ${name}`, () => {
    assert.throws(() => parseBatchProof(value), { name: 'BatchFormatError', field })
  })
}
