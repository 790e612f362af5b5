export type Pacer = ReturnType<typeof createPacer>

/**
 * Wakes callbacks at whole milliseconds. All that are due in the same millisecond share one timer, so a thousand
 * paced streams cost a few timers, not one for each chunk. Times are those of `performance.now()`.
 */
export function createPacer() {
  const slots = new Map<number, { timer: NodeJS.Timeout; waiting: Set<() => void> }>()

  function fire(slot: number): void {
    const waiting = slots.get(slot)?.waiting
    slots.delete(slot)
    for (const wake of waiting ?? []) wake()
  }

  return {
    /** Calls `wake` once at `dueMs` or soon after. The returned function cancels it. */
    at(dueMs: number, wake: () => void): () => void {
      const slot = Math.ceil(dueMs)
      let entry = slots.get(slot)
      if (entry === undefined) {
        entry = { timer: setTimeout(fire, Math.max(slot - performance.now(), 1), slot), waiting: new Set() }
        slots.set(slot, entry)
      }
      const { timer, waiting } = entry
      waiting.add(wake)
      return () => {
        waiting.delete(wake)
        if (waiting.size > 0 || slots.get(slot)?.waiting !== waiting) return
        clearTimeout(timer)
        slots.delete(slot)
      }
    },

    /** How many milliseconds have somebody waiting. */
    pending: () => slots.size,
  }
}
