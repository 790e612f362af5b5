// The checking side of the Merkle tree, on WebCrypto alone so that it runs in a browser. merkle.ts builds the tree.

export type Bytes = Uint8Array<ArrayBuffer>

export const HASH_BYTES = 32

/** The same as leafHash of merkle.ts. */
export async function hashLeaf(text: string): Promise<Bytes> {
  return sha256(new TextEncoder().encode(`\0${text}`))
}

/** SHA-256 of a zero byte and these bytes: a leaf that is not text. */
export async function hashLeafBytes(data: Uint8Array): Promise<Bytes> {
  const leaf = new Uint8Array(1 + data.byteLength)
  leaf.set(data, 1)
  return sha256(leaf)
}

/**
 * The root that a leaf and its path lead to (RFC 9162 section 2.1.3.2), or undefined when no tree of this size has such a
 * path at this index. Throws RangeError for hashes that are not 32 bytes.
 */
export async function rootFromPath(proof: {
  leaf: Bytes
  index: number
  size: number
  path: readonly Bytes[]
}): Promise<Bytes | undefined> {
  for (const node of [proof.leaf, ...proof.path]) {
    if (node.byteLength !== HASH_BYTES) throw new RangeError('a node of the tree is 32 bytes')
  }
  if (!Number.isSafeInteger(proof.index) || !Number.isSafeInteger(proof.size)) return undefined
  if (proof.index < 0 || proof.index >= proof.size) return undefined

  let index = proof.index
  let last = proof.size - 1 // Index of the last node on the current level.
  let node = proof.leaf
  for (const sibling of proof.path) {
    if (last === 0) return undefined
    if (index % 2 === 1 || index === last) {
      node = await hashPair(sibling, node)
      // A last node without a sibling moves up until it has one on its left.
      while (index % 2 === 0 && index !== 0) {
        index = Math.floor(index / 2)
        last = Math.floor(last / 2)
      }
    } else {
      node = await hashPair(node, sibling)
    }
    index = Math.floor(index / 2)
    last = Math.floor(last / 2)
  }
  return last === 0 ? node : undefined
}

/** The root over leaf hashes in their order: the same as merkleRoot of merkle.ts. Throws RangeError for none. */
export async function rootOfLeaves(leaves: readonly Bytes[]): Promise<Bytes> {
  let level = leaves
  while (level.length > 1) {
    const above: Bytes[] = []
    for (let index = 0; index < level.length; index += 2) {
      const [left, right] = level.slice(index, index + 2)
      // The last one of an odd level moves up unchanged.
      if (left !== undefined) above.push(right === undefined ? left : await hashPair(left, right))
    }
    level = above
  }
  const [root] = level
  if (root === undefined) throw new RangeError('there is no leaf')
  return root
}

/** The inner node above two others. */
export async function hashPair(left: Bytes, right: Bytes): Promise<Bytes> {
  const pair = new Uint8Array(1 + 2 * HASH_BYTES)
  pair[0] = 1
  pair.set(left, 1)
  pair.set(right, 1 + HASH_BYTES)
  return sha256(pair)
}

async function sha256(bytes: Bytes): Promise<Bytes> {
  return new Uint8Array(await crypto.subtle.digest('SHA-256', bytes))
}
