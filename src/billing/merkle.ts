// The building side of the Merkle tree of RFC 9162 section 2.1: synchronous, for the settling path. merkle-path.ts is the
// checking side, which also runs in browsers.

import { hash } from 'node:crypto'

const HASH_BYTES = 32

/** SHA-256 of a zero byte and the UTF-8 bytes of the text. The zero keeps a leaf from passing as an inner node. */
export function leafHash(text: string): Buffer {
  return sha256(`\0${text}`)
}

/** The same for a leaf that is bytes and no text. */
export function leafHashOfBytes(data: Uint8Array): Buffer {
  const leaf = Buffer.alloc(1 + data.byteLength)
  leaf.set(data, 1)
  return sha256(leaf)
}

/** The root over leaf hashes in their order. Throws RangeError for a leaf that is not 32 bytes. */
export function merkleRoot(leaves: readonly Uint8Array[]): Buffer {
  let level = checked(leaves)
  while (level.length > 1) level = parents(level)
  return level[0] ?? hash('sha256', '', 'buffer')
}

/** The same root for more leaves than memory should hold: they are pushed one after the other. */
export function createMerkleRoot() {
  // Roots of the complete subtrees so far, the largest first: those of the bits of `count`.
  const complete: Buffer[] = []
  let count = 0
  return {
    push(leaf: Uint8Array): void {
      let [node] = checked([leaf])
      for (let bits = count; bits % 2 === 1; bits = (bits - 1) / 2) {
        const left = complete.pop()
        if (left !== undefined && node !== undefined) node = parents([left, node])[0]
      }
      if (node !== undefined) complete.push(node)
      count += 1
    },

    root(): Buffer {
      const [first, ...rest] = complete.toReversed()
      if (first === undefined) return merkleRoot([])
      return rest.reduce((right, left) => parents([left, right])[0] ?? right, first)
    },
  }
}

/** The sibling hashes from one leaf up to the root, nearest first. Throws RangeError when there is no such leaf. */
export function inclusionPath(leaves: readonly Uint8Array[], index: number): Buffer[] {
  if (!Number.isInteger(index) || index < 0 || index >= leaves.length)
    throw new RangeError('there is no leaf at this index')
  const path: Buffer[] = []
  let at = index
  for (let level = checked(leaves); level.length > 1; level = parents(level)) {
    const sibling = level[at ^ 1]
    if (sibling !== undefined) path.push(sibling)
    at >>= 1
  }
  return path
}

/** The same paths for several leaves of one tree, which is hashed once. */
export function inclusionPaths(leaves: readonly Uint8Array[], indexes: readonly number[]): Buffer[][] {
  const levels = [checked(leaves)]
  for (let level = levels[0]; level !== undefined && level.length > 1; level = levels.at(-1))
    levels.push(parents(level))
  return indexes.map((index) => {
    if (!Number.isInteger(index) || index < 0 || index >= leaves.length)
      throw new RangeError('there is no leaf at this index')
    return levels.flatMap((level, height) => level[(index >> height) ^ 1] ?? [])
  })
}

/**
 * Pairs the nodes of one level; the last one of an odd level moves up unchanged. That gives the tree which the RFC
 * defines from the top, by splitting at the largest power of two.
 */
function parents(level: readonly Buffer[]): Buffer[] {
  const pair = Buffer.allocUnsafe(1 + 2 * HASH_BYTES)
  pair[0] = 1
  const above: Buffer[] = []
  for (let index = 0; index < level.length; index += 2) {
    const left = level[index]
    const right = level[index + 1]
    if (left === undefined) break
    if (right === undefined) {
      above.push(left)
      break
    }
    left.copy(pair, 1)
    right.copy(pair, 1 + HASH_BYTES)
    above.push(sha256(pair))
  }
  return above
}

/** By way of a Latin-1 string: a Buffer that the hash makes itself takes twice as long. */
function sha256(bytes: string | Buffer): Buffer {
  return Buffer.from(hash('sha256', bytes, 'latin1'), 'latin1')
}

function checked(leaves: readonly Uint8Array[]): Buffer[] {
  return leaves.map((leaf) => {
    if (leaf.byteLength !== HASH_BYTES) throw new RangeError('a leaf hash is 32 bytes')
    return Buffer.isBuffer(leaf) ? leaf : Buffer.from(leaf.buffer, leaf.byteOffset, leaf.byteLength)
  })
}
