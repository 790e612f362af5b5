import type { Switches } from './switches.ts'

/** Keys whose calls are counted; the oldest is forgotten when one more arrives. */
const KEYS_MAX = 10_000

/** Remembers how many calls each `sim.key` made, for `fail_first` and `flap`. */
export function createFlapping() {
  const calls = new Map<string, number>()

  return {
    /** Counts this call and says whether it is one that fails. Without the switches every call is `steady`. */
    phase(sim: Switches): 'steady' | 'failing' | 'well' {
      if (sim.key === undefined || (sim.fail_first === undefined && sim.flap === undefined)) return 'steady'
      const before = calls.get(sim.key) ?? 0
      // Set again behind the others, so that the oldest key is the one that rested longest.
      calls.delete(sim.key)
      calls.set(sim.key, before + 1)
      if (calls.size > KEYS_MAX) for (const oldest of calls.keys()) if (calls.delete(oldest)) break
      if (sim.fail_first !== undefined && before < sim.fail_first) return 'failing'
      if (sim.flap === undefined) return 'well'
      // A flapping upstream fails so many times, is well as often, and fails again.
      const beyond = before - (sim.fail_first ?? 0)
      return Math.floor(beyond / sim.flap) % 2 === 0 ? 'failing' : 'well'
    },

    reset: () => calls.clear(),
  }
}
