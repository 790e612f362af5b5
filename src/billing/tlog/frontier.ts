import { leafHashOfBytes, merkleRoot } from '#billing/merkle.ts'
import { foldSubtrees } from './tile-tree.ts'

/**
 * A tree reduced to the roots of its complete subtrees, from left to right: one for each bit of its size. Enough to add leaves and to
 * know the root. Synchronous, for Node.
 */
export interface Frontier {
  size: number
  peaks: readonly Buffer[]
}

/** The tree with more leaves at its end. */
export function extendFrontier(frontier: Frontier, leaves: readonly Uint8Array[]): Frontier {
  const peaks = [...frontier.peaks]
  let { size } = frontier
  for (const leaf of leaves) {
    let node = leafHashOfBytes(leaf)
    // Two complete subtrees of one height become one, as a carry does.
    for (let rest = size; rest % 2 === 1; rest = Math.floor(rest / 2)) node = merkleRoot([peaks.pop() ?? node, node])
    peaks.push(node)
    size += 1
  }
  return { size, peaks }
}

export function frontierRoot({ peaks }: Frontier): Buffer {
  return foldSubtrees(peaks)
}
