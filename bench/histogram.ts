/** Values from here on share buckets; below, each has its own. 2048 keeps every bucket within 0.1 % of its value. */
const EXACT_BELOW = 2048
const HALF = EXACT_BELOW / 2
const DOUBLINGS_MAX = 20
const BUCKETS = EXACT_BELOW + DOUBLINGS_MAX * HALF
/** Larger values are counted as this one: about 36 minutes in microseconds. */
const VALUE_MAX = 2 ** 31 - 1

export type Histogram = ReturnType<typeof createHistogram>

/**
 * A histogram with buckets that widen with the value, as HdrHistogram's do: fixed memory, a percentile is at most
 * 0.1 % above the true one. Holds whole numbers; latencies go in as microseconds.
 */
export function createHistogram() {
  const counts = new Uint32Array(BUCKETS)
  let count = 0
  let sum = 0
  let max = 0
  let min = Number.POSITIVE_INFINITY

  return {
    /** Adds a value; a fraction is rounded, a negative counts as zero. */
    record(value: number): void {
      const whole = Math.min(Math.max(Math.round(value), 0), VALUE_MAX)
      const bucket = bucketOf(whole)
      counts[bucket] = (counts[bucket] ?? 0) + 1
      count += 1
      sum += whole
      if (whole > max) max = whole
      if (whole < min) min = whole
    },

    /** The smallest value that `share` (0 to 1) of all values do not exceed, or 0 without values. */
    percentile(share: number): number {
      const rank = Math.max(Math.ceil(share * count), 1)
      let seen = 0
      for (const [bucket, held] of counts.entries()) {
        seen += held
        if (seen >= rank) return Math.min(highestOf(bucket), max)
      }
      return 0
    },

    count: () => count,
    max: () => max,
    min: () => (count === 0 ? 0 : min),
    mean: () => (count === 0 ? 0 : sum / count),
  }
}

function bucketOf(value: number): number {
  if (value < EXACT_BELOW) return value
  const doublings = 31 - Math.clz32(value) - 10
  return EXACT_BELOW + (doublings - 1) * HALF + (value >>> doublings) - HALF
}

/** The largest value that falls into a bucket. */
function highestOf(bucket: number): number {
  if (bucket < EXACT_BELOW) return bucket
  const doublings = Math.floor((bucket - EXACT_BELOW) / HALF) + 1
  const mantissa = ((bucket - EXACT_BELOW) % HALF) + HALF
  return (mantissa + 1) * 2 ** doublings - 1
}
