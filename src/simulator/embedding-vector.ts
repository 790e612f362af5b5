import { createHash } from 'node:crypto'

/** A vector of length 1 that depends on nothing but the seed. */
export function embed(seed: string, dimensions: number): Float32Array {
  const vector = new Float32Array(dimensions)
  let state = createHash('sha256').update(seed).digest().readUInt32LE(0)
  let squares = 0
  for (let at = 0; at < dimensions; at += 1) {
    // A linear congruential generator: good enough to point into different directions.
    state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0
    const value = state / 2 ** 31 - 1
    vector[at] = value
    squares += value * value
  }
  const length = Math.sqrt(squares) || 1
  for (let at = 0; at < dimensions; at += 1) vector[at] = (vector[at] ?? 0) / length
  return vector
}
