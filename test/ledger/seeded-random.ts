/** Decisions that a seed makes again: mulberry32, small and the same everywhere. */
export function createSeededRandom(seed: number) {
  let state = seed | 0

  /** From 0 up to, not including, 1. */
  function next(): number {
    state = (state + 0x6d2b79f5) | 0
    let mixed = Math.imul(state ^ (state >>> 15), 1 | state)
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32
  }

  /** A whole number from `min` to `max`, both included. */
  const integer = (min: number, max: number) => min + Math.floor(next() * (max - min + 1))

  return {
    next,
    integer,
    chance: (probability: number) => next() < probability,
    pick: <const T>(list: readonly [T, ...T[]]): T => list[integer(0, list.length - 1)] ?? list[0],
    /** A seed for somebody who decides on his own. */
    fork: () => createSeededRandom(integer(0, 2 ** 31 - 1)),
  }
}

export type SeededRandom = ReturnType<typeof createSeededRandom>
