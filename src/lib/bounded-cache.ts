import { assert } from './assert.ts'

/** A map with a size limit and a deadline per entry. When it is full, the entry that was set first makes room. */
export function createBoundedCache<Value>(options: { entriesMax: number }) {
  assert(options.entriesMax > 0, 'a cache holds at least one entry')
  const entries = new Map<string, { value: Value; until: number }>()
  return {
    get(key: string): Value | undefined {
      const entry = entries.get(key)
      if (entry === undefined) return undefined
      if (entry.until > performance.now()) return entry.value
      entries.delete(key)
      return undefined
    },

    set(key: string, value: Value, ttlMs: number): void {
      entries.delete(key)
      if (entries.size >= options.entriesMax) {
        const [oldest] = entries.keys()
        if (oldest !== undefined) entries.delete(oldest)
      }
      entries.set(key, { value, until: performance.now() + ttlMs })
    },

    delete(key: string): void {
      entries.delete(key)
    },

    clear(): void {
      entries.clear()
    },

    get size(): number {
      return entries.size
    },
  }
}
