import { assert } from '#lib/assert.ts'

/**
 * How many calls each target is serving right now, in this process. Whoever enters leaves once. Only targets that are
 * serving are remembered, so the memory is bounded by the calls that are open.
 */
export function createInflight() {
  const counts = new Map<string, number>()
  return {
    /** False, and nothing is counted, when `max` calls are there already. Undefined has no limit. */
    tryEnter(id: string, max?: number): boolean {
      const count = counts.get(id) ?? 0
      if (max !== undefined && count >= max) return false
      counts.set(id, count + 1)
      return true
    },

    leave(id: string): void {
      const count = counts.get(id)
      assert(count !== undefined, 'only a call that has entered leaves')
      if (count === 1) counts.delete(id)
      else counts.set(id, count - 1)
    },

    count(id: string): number {
      return counts.get(id) ?? 0
    },

    /** All targets that are serving, for metrics. */
    snapshot(): { id: string; count: number }[] {
      return [...counts].map(([id, count]) => ({ id, count }))
    },
  }
}

export type Inflight = ReturnType<typeof createInflight>
