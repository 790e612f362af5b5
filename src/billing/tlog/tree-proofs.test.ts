import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import { leafHashOfBytes, merkleRoot } from '#billing/merkle.ts'
import { type Bytes, rootFromPath } from '#billing/merkle-path.ts'
import { checkConsistency } from './check-consistency.ts'
import { foldSubtrees } from './tile-tree.ts'
import { consistencyRanges, inclusionRanges, type LeafRange, subtreesOf } from './tree-shape.ts'

// The leaves and proofs that implementations of Certificate Transparency test RFC 6962 with.
const knownLeaves = ['', '00', '10', '2021', '3031', '40414243', '5051525354555657', '606162636465666768696a6b6c6d6e6f']
const known = knownLeaves.map((leaf) => leafHashOfBytes(Buffer.from(leaf, 'hex')))
const knownConsistency = [
  { from: 1, to: 1, path: [] },
  {
    from: 1,
    to: 8,
    path: [
      '96a296d224f285c67bee93c30f8a309157f0daa35dc5b87e410b78630a09cfc7',
      '5f083f0a1a33ca076a95279832580db3e0ef4584bdff1f54c8a360f50de3031e',
      '6b47aaf29ee3c2af9af889bc1fb9254dabd31177f16232dd6aab035ca39bf6e4',
    ],
  },
  {
    from: 6,
    to: 8,
    path: [
      '0ebc5d3437fbe2db158b9f126a1d118e308181031d0a949f8dededebc558ef6a',
      'ca854ea128ed050b41b35ffc1b87b8eb2bde461e9e3b5596ece6b9d5975a0ae0',
      'd37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7',
    ],
  },
  {
    from: 2,
    to: 5,
    path: [
      '5f083f0a1a33ca076a95279832580db3e0ef4584bdff1f54c8a360f50de3031e',
      'bc1a0643b12e4d2d7c77918f44e0f4f79a838b6cf9ec5b5c283e1f4d88599e6b',
    ],
  },
]

test('consistency proofs of the known leaves are the known ones', () => {
  for (const { from, to, path } of knownConsistency)
    assert.deepEqual(hashesOf(known, consistencyRanges(from, to)).map(hexOf), path, `${from} to ${to}`)
})

test('for every pair of sizes up to 40 the ranges are those of the recursive definition, and the proof verifies', async () => {
  const leaves = numbered(40)
  for (let size = 0; size <= leaves.length; size += 1) {
    for (let oldSize = 0; oldSize <= size; oldSize += 1) {
      const path = hashesOf(leaves, consistencyRanges(oldSize, size))
      assert.deepEqual(path.map(hexOf), subproof(leaves.slice(0, size), oldSize).map(hexOf), `${oldSize} to ${size}`)
      assert(await checkConsistency(proofOf(leaves, oldSize, size)), `${oldSize} to ${size}`)
    }
  }
})

test('the subtrees of a range cover it once, in order, and fold to its root', () => {
  const leaves = numbered(130)
  for (let end = 1; end <= leaves.length; end += 1) {
    const parts = subtreesOf({ start: 0, end })
    let at = 0
    for (const { level, index } of parts) {
      assert.equal(index * 2 ** level, at)
      at += 2 ** level
    }
    assert.equal(at, end)
    assert.deepEqual(rangeHash(leaves, { start: 0, end }), merkleRoot(leaves.slice(0, end)))
  }
})

test('every inclusion and consistency proof of a random tree verifies', async () => {
  await fc.assert(
    fc.asyncProperty(fc.integer({ min: 1, max: 700 }), fc.nat(), fc.nat(), async (size, a, b) => {
      const leaves = numbered(size)
      const index = a % size
      const path = hashesOf(leaves, inclusionRanges(index, size)).map(bytesOf)
      const root = await rootFromPath({ leaf: bytesOf(leaves[index]), index, size, path })
      assert.deepEqual(root, bytesOf(merkleRoot(leaves)))
      assert(await checkConsistency(proofOf(leaves, b % (size + 1), size)))
    }),
    { numRuns: 150 },
  )
})

test('no proof verifies with one bit flipped, one hash more or less, or another size', async () => {
  await fc.assert(
    fc.asyncProperty(fc.integer({ min: 2, max: 300 }), fc.nat(), fc.nat(), async (size, a, bit) => {
      const leaves = numbered(size)
      const oldSize = 1 + (a % (size - 1))
      const proof = proofOf(leaves, oldSize, size)
      const flip = (hash: Bytes) => hash.map((byte, at) => (at === (bit >> 3) % 32 ? byte ^ (1 << (bit & 7)) : byte))
      const forged = [
        { ...proof, oldRoot: flip(proof.oldRoot) },
        { ...proof, root: flip(proof.root) },
        ...proof.path.map((hash, at) => ({ ...proof, path: proof.path.with(at, flip(hash)) })),
        { ...proof, path: proof.path.slice(1) },
        { ...proof, path: proof.path.slice(0, -1) },
        { ...proof, path: [...proof.path, proof.root] },
        { ...proof, oldSize: oldSize - 1 },
        { ...proof, oldSize: oldSize + 1 },
        { ...proof, oldSize: size, oldRoot: proof.root },
        { ...proof, oldSize: 0 },
      ]
      for (const [at, one] of forged.entries()) {
        // A proof is made for two sizes, but its hashes alone may fit others: the roots decide.
        if (one.path.length === proof.path.length && one.oldSize !== oldSize && one.oldSize > 0) continue
        assert.equal(await checkConsistency(one), false, `forgery ${at}`)
      }
    }),
    { numRuns: 100 },
  )
})

test('an old root never verifies under another size', async () => {
  const leaves = numbered(65)
  for (let oldSize = 1; oldSize < 65; oldSize += 1)
    for (const wrong of [oldSize - 1, oldSize + 1].filter((size) => size > 0 && size < 65)) {
      const claim = { ...proofOf(leaves, wrong, 65), oldRoot: proofOf(leaves, oldSize, 65).oldRoot }
      assert.equal(await checkConsistency(claim), false)
    }
})

test('what is no size has no proof', () => {
  for (const [index, size] of [
    [0, 0],
    [1, 1],
    [-1, 2],
    [0.5, 2],
    [0, 2 ** 53],
  ] as const)
    assert.throws(() => inclusionRanges(index, size), RangeError)
  for (const [from, to] of [
    [3, 2],
    [-1, 2],
    [1, Number.NaN],
  ] as const)
    assert.throws(() => consistencyRanges(from, to), RangeError)
})

function numbered(count: number): Buffer[] {
  return Array.from({ length: count }, (_, at) => leafHashOfBytes(Buffer.from(`leaf ${at}`)))
}

function proofOf(leaves: readonly Buffer[], oldSize: number, size: number) {
  return {
    oldSize,
    oldRoot: bytesOf(merkleRoot(leaves.slice(0, oldSize))),
    size,
    root: bytesOf(merkleRoot(leaves.slice(0, size))),
    path: hashesOf(leaves, consistencyRanges(oldSize, size)).map(bytesOf),
  }
}

function hashesOf(leaves: readonly Buffer[], ranges: readonly LeafRange[]): Buffer[] {
  return ranges.map((range) => rangeHash(leaves, range))
}

function rangeHash(leaves: readonly Buffer[], range: LeafRange): Buffer {
  return foldSubtrees(
    subtreesOf(range).map(({ level, index }) => merkleRoot(leaves.slice(index * 2 ** level, (index + 1) * 2 ** level))),
  )
}

/** PROOF(m, D) of RFC 6962 section 2.1.2, word for word. */
function subproof(leaves: readonly Buffer[], m: number, isWhole = true): Buffer[] {
  if (m === 0) return []
  if (m === leaves.length) return isWhole ? [] : [merkleRoot(leaves)]
  let k = 1
  while (k * 2 < leaves.length) k *= 2
  return m <= k
    ? [...subproof(leaves.slice(0, k), m, isWhole), merkleRoot(leaves.slice(k))]
    : [...subproof(leaves.slice(k), m - k, false), merkleRoot(leaves.slice(0, k))]
}

function bytesOf(buffer: Buffer | undefined): Bytes {
  assert(buffer !== undefined)
  return new Uint8Array(buffer)
}

function hexOf(buffer: Buffer): string {
  return buffer.toString('hex')
}
