import { merkleRoot } from '#billing/merkle.ts'
import { encodeTilePath, type TilePath, tileOf } from '#billing/tlog/tile-path.ts'
import { foldSubtrees, splitHashes } from '#billing/tlog/tile-tree.ts'
import {
  consistencyRanges,
  inclusionRanges,
  type LeafRange,
  type Subtree,
  subtreesOf,
} from '#billing/tlog/tree-shape.ts'

/** Hands over the bytes of a tile: from files, or from another server. Throws when it is not there. */
export type TileReader = (tile: TilePath) => Promise<Uint8Array>

/** A tile is not what its address promises. */
export class TileError extends Error {
  override readonly name = 'TileError'
}

/**
 * Proofs about a tree of `size` leaves out of its tiles. Reads each tile once, and for a proof at most two of each level; trees have seven
 * levels of tiles at most. Nothing is verified: tiles that lie make proofs that do not verify.
 */
export function createTileProofs(read: TileReader, size: number) {
  const tiles = new Map<string, Promise<Buffer[]>>()

  function hashesOf(tile: TilePath): Promise<Buffer[]> {
    const path = encodeTilePath(tile)
    const known = tiles.get(path)
    if (known !== undefined) return known
    const reading = read(tile).then((bytes) => {
      if (bytes.byteLength !== tile.width * 32) throw new TileError(`${path} is not ${tile.width} hashes`)
      return splitHashes(bytes)
    })
    tiles.set(path, reading)
    return reading
  }

  async function subtree(part: Subtree): Promise<Buffer> {
    const { tile, at, count } = tileOf(part, size)
    return merkleRoot((await hashesOf(tile)).slice(at, at + count))
  }

  async function range(leaves: LeafRange): Promise<Buffer> {
    return foldSubtrees(await Promise.all(subtreesOf(leaves).map(subtree)))
  }

  return {
    leafHash: (index: number): Promise<Buffer> => subtree({ level: 0, index }),
    root: (): Promise<Buffer> => range({ start: 0, end: size }),
    /** From the leaf's sibling up. Throws RangeError for a leaf that is not in the tree. */
    inclusion: (index: number): Promise<Buffer[]> => Promise.all(inclusionRanges(index, size).map(range)),
    /** From a tree of `oldSize` leaves to this one. Throws RangeError for a size that is none of its past. */
    consistency: (oldSize: number): Promise<Buffer[]> => Promise.all(consistencyRanges(oldSize, size).map(range)),
  }
}
