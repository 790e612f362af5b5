// Which subtrees make up a root or a proof: index arithmetic alone, for trees of up to 2^53 - 1 leaves. Whoever builds a proof
// looks the hashes up in tiles or in memory.

/** The leaves from `start` up to, and not including, `end`. */
export interface LeafRange {
  start: number
  end: number
}

/** A complete subtree: the 2^level leaves from index × 2^level on. */
export interface Subtree {
  level: number
  index: number
}

/**
 * The complete subtrees that a range consists of, from left to right. The hash of the range is theirs, folded from the right:
 * H(first, H(second, … last)). That is the tree of RFC 6962 for the ranges that occur in one: `start` is a multiple of every
 * power of two below the length.
 */
export function subtreesOf({ start, end }: LeafRange): Subtree[] {
  const parts: Subtree[] = []
  for (let at = start; at < end; ) {
    let level = 0
    for (let width = 2; at % width === 0 && at + width <= end; width *= 2) level += 1
    parts.push({ level, index: at / 2 ** level })
    at += 2 ** level
  }
  return parts
}

/** What the hashes of an inclusion proof cover, from the leaf's sibling up (RFC 6962 section 2.1.1). Throws RangeError. */
export function inclusionRanges(index: number, size: number): LeafRange[] {
  if (!isSize(size) || !isSize(index) || index >= size) throw new RangeError(`there is no leaf ${index} in ${size}`)
  const ranges: LeafRange[] = []
  let start = 0
  let end = size
  while (end - start > 1) {
    const middle = start + splitOf(end - start)
    if (index < middle) {
      ranges.push({ start: middle, end })
      end = middle
    } else {
      ranges.push({ start, end: middle })
      start = middle
    }
  }
  return ranges.reverse()
}

/** What the hashes of a consistency proof cover, in the order of RFC 6962 section 2.1.2. Throws RangeError. */
export function consistencyRanges(oldSize: number, size: number): LeafRange[] {
  if (!isSize(oldSize) || !isSize(size) || oldSize > size)
    throw new RangeError(`a tree of ${oldSize} is no part of one of ${size}`)
  if (oldSize === 0) return []
  const ranges: LeafRange[] = []
  let start = 0
  let end = size
  while (oldSize < end) {
    const middle = start + splitOf(end - start)
    if (oldSize <= middle) {
      ranges.push({ start: middle, end })
      end = middle
    } else {
      ranges.push({ start, end: middle })
      start = middle
    }
  }
  // The old tree itself is not in its proof: who asks has its root. A part of it that begins later is.
  if (start > 0) ranges.push({ start, end })
  return ranges.reverse()
}

/** Whether this can be the size of a tree: a whole number below 2^53. */
export function isSize(value: number): boolean {
  return Number.isSafeInteger(value) && value >= 0
}

/** The largest power of two below a number of leaves: where the RFC splits a tree. */
function splitOf(leaves: number): number {
  let split = 1
  while (split * 2 < leaves) split *= 2
  return split
}
