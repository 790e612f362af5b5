import { type Bytes, HASH_BYTES, hashPair } from '#billing/merkle-path.ts'
import { isSize } from './tree-shape.ts'

/** Two trees of one log and the hashes that are to show that the second continues the first. */
export interface ConsistencyProof {
  oldSize: number
  oldRoot: Bytes
  size: number
  root: Bytes
  path: readonly Bytes[]
}

/**
 * Whether a tree begins with all leaves of an older one, in their order (RFC 9162 section 2.1.4.2). The empty tree is the beginning
 * of every tree. Never throws for a proof that is merely wrong; hashes that are not 32 bytes are.
 */
export async function checkConsistency({ oldSize, oldRoot, size, root, path }: ConsistencyProof): Promise<boolean> {
  if (!isSize(oldSize) || !isSize(size) || oldSize > size) return false
  if ([oldRoot, root, ...path].some((node) => node.byteLength !== HASH_BYTES)) return false
  if (oldSize === 0) return path.length === 0 && sameBytes(oldRoot, await emptyRoot())
  if (oldSize === size) return path.length === 0 && sameBytes(oldRoot, root)

  // The old tree is a complete subtree exactly when its size is a power of two; the proof then begins with its root.
  const [first, ...rest] = isPowerOfTwo(oldSize) ? [oldRoot, ...path] : path
  if (first === undefined) return false
  let index = oldSize - 1
  let last = size - 1
  while (index % 2 === 1) {
    index = Math.floor(index / 2)
    last = Math.floor(last / 2)
  }
  let old = first
  let node = first
  for (const sibling of rest) {
    if (last === 0) return false
    if (index % 2 === 1 || index === last) {
      old = await hashPair(sibling, old)
      node = await hashPair(sibling, node)
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
  return last === 0 && sameBytes(old, oldRoot) && sameBytes(node, root)
}

/** The root of a tree without leaves: SHA-256 of nothing. */
export async function emptyRoot(): Promise<Bytes> {
  return new Uint8Array(await crypto.subtle.digest('SHA-256', new Uint8Array()))
}

export function sameBytes(left: Uint8Array, right: Uint8Array): boolean {
  return left.length === right.length && left.every((byte, index) => byte === right[index])
}

function isPowerOfTwo(value: number): boolean {
  return Number.isInteger(Math.log2(value)) && 2 ** Math.log2(value) === value
}
