/** Numbers as runs without a hole, `[first, last]` both included, in ascending order and never adjacent. */
export type NumberRanges = readonly (readonly [number, number])[]

export const NUMBER_RANGES_MAX = 1_000

/** The ranges of numbers that ascend. */
export function toRanges(ascending: Iterable<number>): NumberRanges {
  const ranges: [number, number][] = []
  for (const number of ascending) {
    const last = ranges.at(-1)
    if (last !== undefined && last[1] === number - 1) last[1] = number
    else ranges.push([number, number])
  }
  return ranges
}

export function isNumberRanges(value: unknown): value is NumberRanges {
  if (!Array.isArray(value) || value.length === 0 || value.length > NUMBER_RANGES_MAX) return false
  let before = -1
  for (const range of value as unknown[]) {
    if (!Array.isArray(range) || range.length !== 2) return false
    const [first, last] = range as unknown[]
    if (!Number.isSafeInteger(first) || !Number.isSafeInteger(last)) return false
    // One that touches the range before it would be a second way to write both.
    if (Number(first) < 1 || Number(first) <= before + 1 || Number(last) < Number(first)) return false
    before = Number(last)
  }
  return true
}

/** How many numbers they hold. Exact: 1,000 ranges below 2^53 could hold more than a double counts, so it is a bigint. */
export function countOf(ranges: NumberRanges): bigint {
  return ranges.reduce((sum, [first, last]) => sum + BigInt(last) - BigInt(first) + 1n, 0n)
}

export function includes(ranges: NumberRanges, number: number): boolean {
  return ranges.some(([first, last]) => first <= number && number <= last)
}

/** Whether no number is in both. */
export function areDisjoint(left: NumberRanges, right: NumberRanges): boolean {
  return !left.some(([first, last]) => right.some(([from, to]) => first <= to && from <= last))
}

/** The ranges of either, merged. */
export function union(left: NumberRanges, right: NumberRanges): NumberRanges {
  const merged: [number, number][] = []
  for (const [first, last] of [...left, ...right].sort((a, b) => a[0] - b[0])) {
    const before = merged.at(-1)
    if (before !== undefined && first <= before[1] + 1) before[1] = Math.max(before[1], last)
    else merged.push([first, last])
  }
  return merged
}

/** The numbers of the first that are not in the second. */
export function subtract(from: NumberRanges, what: NumberRanges): NumberRanges {
  const rest: [number, number][] = []
  let next = 0
  for (const [first, last] of from) {
    let at = first
    while (next < what.length && (what[next]?.[1] ?? 0) < at) next += 1
    for (let index = next; index < what.length; index += 1) {
      const [cut, cutEnd] = what[index] ?? [0, 0]
      if (cut > last) break
      if (cut > at) rest.push([at, cut - 1])
      at = cutEnd + 1
    }
    if (at <= last) rest.push([at, last])
  }
  return rest
}
