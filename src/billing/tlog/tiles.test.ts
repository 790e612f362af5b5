import assert from 'node:assert/strict'
import { hash } from 'node:crypto'
import { test } from 'node:test'
import fc from 'fast-check'
import { encodeTilePath, parseTilePath } from './tile-path.ts'
import { createTileTree, decodeEntries, emptyTileTree, splitHashes, type Tile } from './tile-tree.ts'

for (const [path, tile] of [
  ['tile/0/000', { level: 0, index: 0, width: 256 }],
  ['tile/0/x001/x234/067', { level: 0, index: 1_234_067, width: 256 }],
  ['tile/63/999.p/255', { level: 63, index: 999, width: 255 }],
  ['tile/entries/x001/000.p/1', { level: 'entries', index: 1000, width: 1 }],
] as const)
  test(`${path} is a tile`, () => {
    assert.deepEqual(parseTilePath(path), tile)
    assert.equal(encodeTilePath(tile), path)
  })

for (const path of [
  '',
  'tile/0/0',
  'tile/0/00',
  'tile/00/000',
  'tile/64/000',
  'tile/-1/000',
  'tile/0/1000',
  'tile/0/001/000',
  'tile/0/x000/000',
  'tile/0/x001/x000',
  'tile/0/000.p/0',
  'tile/0/000.p/256',
  'tile/0/000.p/01',
  'tile/0/000.p/',
  'tile/0/000/',
  '/tile/0/000',
  'tile/0/../000',
  'tile/0/%30%30%30',
  'tile/0/٠٠٠',
  'tile/0/000\n',
  'tile/0/000\0',
  'tile/data/000',
  'tile/entries/x999/x999/x999/x999/x999/999',
])
  test(`no tile: ${JSON.stringify(path)}`, () => {
    assert.equal(parseTilePath(path), undefined)
  })

test('any tile has one address', () => {
  const level = fc.oneof(fc.integer({ min: 0, max: 63 }), fc.constant('entries' as const))
  fc.assert(
    fc.property(level, fc.nat(2 ** 40), fc.integer({ min: 1, max: 256 }), (at, index, width) => {
      const tile = { level: at, index, width }
      assert.deepEqual(parseTilePath(encodeTilePath(tile)), tile)
    }),
  )
})

test('a tree of 70,000 leaves has the tiles of the example, each computed again from its definition', () => {
  const leaves = Array.from({ length: 70_000 }, (_, at) => Buffer.from(`leaf ${at}`))
  const tree = emptyTileTree()
  const tiles: Tile[] = []
  for (const leaf of leaves) tiles.push(...tree.append(leaf))
  const partials = tree.partials()
  const count = (level: Tile['level']) => tiles.filter((tile) => tile.level === level).length
  assert.deepEqual([count(0), count('entries'), count(1), count(2)], [273, 273, 1, 0])
  assert.deepEqual(
    partials.map(({ path }) => path),
    ['tile/entries/273.p/112', 'tile/0/273.p/112', 'tile/1/001.p/17', 'tile/2/000.p/1'],
  )
  const hashes = leaves.map((leaf) => sha256(Buffer.from([0]), leaf))
  assert.deepEqual(tree.root(), mth(hashes))
  for (const { level, index, width, bytes } of [...tiles, ...partials]) {
    if (level === 'entries') {
      const start = index * 256
      assert.deepEqual(decodeEntries(bytes, width)?.map(String), leaves.slice(start, start + width).map(String))
      continue
    }
    const span = 256 ** level
    const expected = Array.from({ length: width }, (_, at) => {
      const start = (index * 256 + at) * span
      return mth(hashes.slice(start, start + span))
    })
    assert(bytes.equals(Buffer.concat(expected)), `tile ${level} ${index}`)
  }
})

test('a tree goes on from its edge as if it had never stopped', () => {
  fc.assert(
    fc.property(fc.nat(600), fc.nat(600), (first, more) => {
      const leaves = Array.from({ length: first + more }, (_, at) => Buffer.from(`leaf ${at}`))
      const whole = emptyTileTree()
      for (const leaf of leaves.slice(0, first)) whole.append(leaf)
      const partials = whole.partials()
      const edge = [0, 1, 2].map((level) => {
        const tile = partials.find((one) => one.level === level)
        return tile === undefined ? [] : splitHashes(tile.bytes)
      })
      const entries = leaves.slice(first - (first % 256), first)
      const resumed = createTileTree({ size: first, edge, entries })
      for (const leaf of leaves.slice(first)) assert.deepEqual(resumed.append(leaf), whole.append(leaf))
      assert.deepEqual(resumed.partials(), whole.partials())
      assert.deepEqual(resumed.root(), whole.root())
    }),
    { numRuns: 40 },
  )
})

test('an edge of another size is refused', () => {
  assert.throws(() => createTileTree({ size: 1, edge: [], entries: [] }), RangeError)
  assert.throws(() => createTileTree({ size: 256, edge: [[]], entries: [] }), RangeError)
  assert.throws(() => createTileTree({ size: 0, edge: [[Buffer.alloc(32)]], entries: [] }), RangeError)
})

/** MTH(D) of RFC 6962 section 2.1 over leaf hashes, word for word. */
function mth(hashes: readonly Buffer[]): Buffer {
  const [only] = hashes
  if (only !== undefined && hashes.length === 1) return only
  let k = 1
  while (k * 2 < hashes.length) k *= 2
  return sha256(Buffer.from([1]), mth(hashes.slice(0, k)), mth(hashes.slice(k)))
}

function sha256(...parts: Buffer[]): Buffer {
  return hash('sha256', Buffer.concat(parts), 'buffer')
}
