/** How long a fuzz test tries: bounded and repeatable in the suite, as asked for by `npm run fuzz`. */
export function fuzzSettings(runs: number): { numRuns: number; seed: number } {
  const { FUZZ_FACTOR = '1', FUZZ_SEED = '20261122' } = process.env
  return { numRuns: Math.max(1, Math.round(runs * Number(FUZZ_FACTOR))), seed: Number(FUZZ_SEED) }
}
