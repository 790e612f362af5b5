const NAME_CHARS_MAX = 64
const CANDIDATES_MAX = 1_000

/**
 * Up to `max` candidates that a person may have meant, nearest first: another case, a few wrong characters, a longer or
 * shorter form. The part after the last slash counts as a name too. For messages only; a near name is never used.
 */
export function nearNames(name: string, candidates: readonly string[], max = 3): string[] {
  const asked = variants(name)
  return candidates
    .slice(0, CANDIDATES_MAX)
    .map((candidate) => ({ candidate, score: nearest(asked, variants(candidate)) }))
    .filter(({ score }) => score !== undefined)
    .sort((a, b) => (a.score ?? 0) - (b.score ?? 0) || (a.candidate < b.candidate ? -1 : 1))
    .slice(0, max)
    .map(({ candidate }) => candidate)
}

function variants(name: string): string[] {
  const whole = name.slice(0, NAME_CHARS_MAX).toLowerCase()
  const tail = whole.slice(whole.lastIndexOf('/') + 1)
  return tail === whole || tail === '' ? [whole] : [whole, tail]
}

function nearest(asked: string[], offered: string[]): number | undefined {
  let best: number | undefined
  for (const [i, one] of asked.entries()) {
    for (const [j, other] of offered.entries()) {
      const score = distance(one, other)
      if (score === undefined) continue
      const scored = score + (i + j) / 10 // A whole name is a little nearer than its tail.
      if (best === undefined || scored < best) best = scored
    }
  }
  return best
}

/** Edit distance up to a third of the shorter name; a prefix counts as the farthest that is still near. */
function distance(one: string, other: string): number | undefined {
  if (one === other) return 0
  const shorter = Math.min(one.length, other.length)
  const limit = Math.floor(shorter / 3)
  const edits = editDistance(one, other, limit)
  if (edits <= limit) return edits
  if (shorter >= 2 && (one.startsWith(other) || other.startsWith(one))) {
    return limit + 1 + Math.abs(one.length - other.length) / 100
  }
  return undefined
}

/** Levenshtein distance, or anything above `limit` once it cannot stay within. Looks at a band of that width only. */
function editDistance(one: string, other: string, limit: number): number {
  const beyond = limit + 1
  if (Math.abs(one.length - other.length) > limit) return beyond
  let above = new Uint8Array(other.length + 1).map((_, column) => column)
  let current = new Uint8Array(other.length + 1)
  for (let row = 1; row <= one.length; row += 1) {
    const from = Math.max(1, row - limit)
    const to = Math.min(other.length, row + limit)
    // Just outside the band lies what is too far; the first column is the cost of dropping everything so far.
    current[from - 1] = from === 1 ? row : beyond
    let best = current[from - 1] ?? beyond
    for (let column = from; column <= to; column += 1) {
      const replaced =
        (above[column - 1] ?? beyond) + (one.charCodeAt(row - 1) === other.charCodeAt(column - 1) ? 0 : 1)
      const dropped = column === row + limit ? beyond : (above[column] ?? beyond) + 1
      const edits = Math.min(replaced, dropped, (current[column - 1] ?? beyond) + 1)
      current[column] = edits
      if (edits < best) best = edits
    }
    if (best > limit) return beyond
    const reused = above
    above = current
    current = reused
  }
  return above[other.length] ?? beyond
}
