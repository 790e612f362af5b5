// The building side: the right edge of a tree of tiles, which grows leaf by leaf. Synchronous, for Node.

import { leafHashOfBytes, merkleRoot } from '#billing/merkle.ts'
import { encodeTilePath, hashesAt, TILE_WIDTH, type TilePath } from './tile-path.ts'
import { subtreesOf } from './tree-shape.ts'

const HASH_BYTES = 32

/** A tile and its bytes. */
export interface Tile extends TilePath {
  path: string
  bytes: Buffer
}

/** The unfinished tile of each level, lowest first: all that is needed to go on. At most 255 hashes a level. */
export type TileEdge = readonly (readonly Buffer[])[]

export interface TileTree {
  readonly size: number
  /** Adds a leaf of at most 65,535 bytes and returns the tiles that became full, the entries first. */
  append(leaf: Uint8Array): Tile[]
  /** The partial tiles of the tree as it is, the entries first. */
  partials(): Tile[]
  root(): Buffer
  /** One that grows apart from this. */
  copy(): TileTree
}

/**
 * A tree that remembers its right edge alone, so that any number of leaves costs the same memory. `edge` and `entries` are those of a
 * tree of `size` leaves: what its partial tiles hold, and the leaves of the lowest one.
 */
export function createTileTree(start: { size: number; edge: TileEdge; entries: readonly Uint8Array[] }): TileTree {
  let size = start.size
  const edge = start.edge.map((hashes) => [...hashes])
  let entries = [...start.entries]
  for (const [level, hashes] of edge.entries())
    if (hashes.length !== hashesAt(level, size) % TILE_WIDTH)
      throw new RangeError('the edge is not of a tree of this size')
  if (edge.length < levelsOf(size) || entries.length !== size % TILE_WIDTH)
    throw new RangeError('the edge is not of a tree of this size')

  /** A hash at the end of a level; a full tile goes out and its root to the level above. */
  function push(level: number, hash: Buffer, full: Tile[]): void {
    edge[level] ??= []
    const hashes = edge[level]
    hashes.push(hash)
    if (hashes.length < TILE_WIDTH) return
    full.push(tileOfHashes(level, hashesAt(level, size) / TILE_WIDTH - 1, hashes))
    edge[level] = []
    push(level + 1, merkleRoot(hashes), full)
  }

  return {
    get size() {
      return size
    },

    append(leaf) {
      const full: Tile[] = []
      size += 1
      entries.push(leaf)
      if (entries.length === TILE_WIDTH) {
        full.push(tileOfEntries((size - TILE_WIDTH) / TILE_WIDTH, entries))
        entries = []
      }
      push(0, leafHashOfBytes(leaf), full)
      return full
    },

    partials() {
      const tiles = edge.flatMap((hashes, level) =>
        hashes.length === 0 ? [] : [tileOfHashes(level, (hashesAt(level, size) - hashes.length) / TILE_WIDTH, hashes)],
      )
      return entries.length === 0 ? tiles : [tileOfEntries((size - entries.length) / TILE_WIDTH, entries), ...tiles]
    },

    root: () => rootOfEdge(edge),

    copy: () => createTileTree({ size, edge, entries }),
  }
}

export function emptyTileTree(): TileTree {
  return createTileTree({ size: 0, edge: [], entries: [] })
}

/** Levels of tiles that a tree of this size has. */
export function levelsOf(size: number): number {
  let levels = 0
  while (hashesAt(levels, size) > 0) levels += 1
  return levels
}

/** Length-prefixed leaves, as `tile/entries/` holds them. */
export function encodeEntries(leaves: readonly Uint8Array[]): Buffer {
  return Buffer.concat(leaves.flatMap((leaf) => [Buffer.from([leaf.byteLength >> 8, leaf.byteLength & 0xff]), leaf]))
}

/** The leaves of a bundle of entries; undefined when the bytes do not divide into exactly `count`. */
export function decodeEntries(bytes: Uint8Array, count: number): Uint8Array[] | undefined {
  const leaves: Uint8Array[] = []
  let at = 0
  while (leaves.length < count && at + 2 <= bytes.byteLength) {
    const length = ((bytes[at] ?? 0) << 8) | (bytes[at + 1] ?? 0)
    if (at + 2 + length > bytes.byteLength) return undefined
    leaves.push(bytes.subarray(at + 2, at + 2 + length))
    at += 2 + length
  }
  return leaves.length === count && at === bytes.byteLength ? leaves : undefined
}

/** The hashes of a tile, 32 bytes each. Throws RangeError for bytes that are no whole number of them. */
export function splitHashes(bytes: Uint8Array): Buffer[] {
  if (bytes.byteLength % HASH_BYTES !== 0) throw new RangeError('a tile is a whole number of hashes')
  const buffer = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength)
  return Array.from({ length: buffer.length / HASH_BYTES }, (_, at) =>
    buffer.subarray(at * HASH_BYTES, (at + 1) * HASH_BYTES),
  )
}

/** The hash of a range of leaves from those of its subtrees, left to right. */
export function foldSubtrees(hashes: readonly Buffer[]): Buffer {
  return hashes.length === 0 ? merkleRoot([]) : hashes.reduceRight((right, left) => merkleRoot([left, right]))
}

/** From the lowest level up: the subtrees of a level stand left of everything below it. */
function rootOfEdge(edge: TileEdge): Buffer {
  const peaks = edge.flatMap((hashes) =>
    subtreesOf({ start: 0, end: hashes.length })
      .map(({ level, index }) => merkleRoot(hashes.slice(index * 2 ** level, (index + 1) * 2 ** level)))
      .reverse(),
  )
  return foldSubtrees(peaks.reverse())
}

function tileOfHashes(level: number, index: number, hashes: readonly Buffer[]): Tile {
  const tile = { level, index, width: hashes.length }
  return { ...tile, path: encodeTilePath(tile), bytes: Buffer.concat(hashes) }
}

function tileOfEntries(index: number, leaves: readonly Uint8Array[]): Tile {
  const tile = { level: 'entries' as const, index, width: leaves.length }
  return { ...tile, path: encodeTilePath(tile), bytes: encodeEntries(leaves) }
}
