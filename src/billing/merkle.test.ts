import assert from 'node:assert/strict'
import { hash } from 'node:crypto'
import { test } from 'node:test'
import { inclusionPath, leafHash, merkleRoot } from './merkle.ts'
import { hashLeaf, rootFromPath } from './merkle-path.ts'

// The eight leaves and the roots that Certificate Transparency implementations test RFC 6962 with.
const knownLeaves = ['', '00', '10', '2021', '3031', '40414243', '5051525354555657', '606162636465666768696a6b6c6d6e6f']
const knownRoots = [
  'e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855',
  '6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d',
  'fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125',
  'aeb6bcfe274b70a14fb067a5e5578264db0fa9b51af5e0ba159158f329e06e77',
  'd37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7',
  '4e3bbb1f7b478dcfe71fb631631519a3bca12c9aefca1612bfce4c13a86264d4',
  '76e67dadbcdf1e10e1b74ddc608abd2f98dfb16fbce75277b5232a127f2087ef',
  'ddb89be403809e325750d3d263cd78929c2942b7942a34b77e122c9594a74c8c',
  '5dc9da79a70659a9ad559cb701ded9a2ab9d823aad2f4960cfe370eff4604328',
]
const knownPathOfFive = [
  'bc1a0643b12e4d2d7c77918f44e0f4f79a838b6cf9ec5b5c283e1f4d88599e6b',
  'ca854ea128ed050b41b35ffc1b87b8eb2bde461e9e3b5596ece6b9d5975a0ae0',
  'd37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7',
]

const bytes = (buffer: Buffer) => new Uint8Array(buffer)
const known = knownLeaves.map((leaf) => leafHash(Buffer.from(leaf, 'hex').toString('latin1')))
const numbered = Array.from({ length: 70 }, (_, index) => leafHash(`leaf ${index}`))

for (const [size, root] of knownRoots.entries()) {
  test(`the root of the first ${size} known leaves is the known one`, () => {
    assert.equal(merkleRoot(known.slice(0, size)).toString('hex'), root)
  })
}

test('the path of leaf 5 of 8 is the known one', () => {
  assert.deepEqual(
    inclusionPath(known, 5).map((node) => node.toString('hex')),
    knownPathOfFive,
  )
})

test('both sides hash a leaf alike, beyond ASCII too', async () => {
  for (const text of ['', 'x', 'é😀\u0000', '{"a":1}']) assert.deepEqual(await hashLeaf(text), bytes(leafHash(text)))
})

test('for every size up to 70, every leaf leads to the root', async () => {
  for (let size = 1; size <= numbered.length; size += 1) {
    const leaves = numbered.slice(0, size)
    const root = bytes(merkleRoot(leaves))
    assert.deepEqual(root, bytes(rootFromTheTop(leaves)))
    for (const [index, leaf] of leaves.entries()) {
      const path = inclusionPath(leaves, index).map(bytes)
      assert.deepEqual(await rootFromPath({ leaf: bytes(leaf), index, size, path }), root, `${index} of ${size}`)
    }
  }
})

test('no other place, leaf or length of path leads to the root', async () => {
  let refused = 0
  for (let size = 2; size <= 20; size += 1) {
    const leaves = numbered.slice(0, size)
    const root = bytes(merkleRoot(leaves))
    for (const [index, leafBuffer] of leaves.entries()) {
      const path = inclusionPath(leaves, index).map(bytes)
      const leaf = bytes(leafBuffer)
      const elsewhere = leaves.keys().filter((other) => other !== index)
      for (const forged of [
        ...elsewhere.map((other) => ({ leaf, index: other, size, path })),
        { leaf, index, size, path: path.slice(1) },
        { leaf, index, size, path: path.slice(0, -1) },
        { leaf, index, size, path: [...path, leaf] },
        { leaf: root, index, size, path },
        { leaf: root, index, size, path: [] },
      ]) {
        assert.notDeepEqual(await rootFromPath(forged), root, `${index} of ${size}, forged as ${forged.index}`)
        refused += 1
      }
    }
  }
  assert.equal(refused, 3705)
})

for (const { name, change } of [
  { name: 'an index beyond the tree', change: { index: 3 } },
  { name: 'a negative index', change: { index: -1 } },
  { name: 'a fraction of an index', change: { index: 0.5 } },
  { name: 'an empty tree', change: { index: 0, size: 0 } },
  { name: 'a size beyond 2^53', change: { size: 2 ** 53 } },
]) {
  test(`rootFromPath finds no root for ${name}`, async () => {
    const leaves = numbered.slice(0, 3)
    const leaf = bytes(leaves[0] ?? Buffer.alloc(32))
    const proof = { leaf, index: 0, size: 3, path: inclusionPath(leaves, 0).map(bytes), ...change }
    assert.equal(await rootFromPath(proof), undefined)
  })
}

test('hashes of another length are refused on both sides', async () => {
  assert.throws(() => merkleRoot([Buffer.alloc(31)]), RangeError)
  await assert.rejects(
    rootFromPath({ leaf: new Uint8Array(32), index: 0, size: 2, path: [new Uint8Array(33)] }),
    RangeError,
  )
})

test('there is no path for a leaf that is not there', () => {
  for (const index of [-1, 2, 0.5]) assert.throws(() => inclusionPath(numbered.slice(0, 2), index), RangeError)
})

test('building a root leaves the leaves as they were', () => {
  const before = Buffer.concat(numbered)
  merkleRoot(numbered)
  assert.deepEqual(Buffer.concat(numbered), before)
})

/** The definition of RFC 9162 section 2.1.1, word for word: split at the largest power of two below the size. */
function rootFromTheTop(leaves: readonly Buffer[]): Buffer {
  const [first] = leaves
  if (leaves.length === 1 && first !== undefined) return first
  const split = 2 ** Math.ceil(Math.log2(leaves.length) - 1)
  const halves = [rootFromTheTop(leaves.slice(0, split)), rootFromTheTop(leaves.slice(split))]
  return hash('sha256', Buffer.concat([Buffer.from([1]), ...halves]), 'buffer')
}
