import type { EncodedEntry } from './usage-entry.ts'

/** Where entries wait. One reader at a time: `peek`, then `remove` what was dealt with. */
export interface UsageQueue {
  /** Keeps an entry, behind all others. Returns how many entries were dropped for it. Never throws. */
  push(entry: EncodedEntry): number
  /** The oldest entries, as many as fit, at least one if there is any. They stay until they are removed. */
  peek(limits: { entries: number; bytes: number }): Promise<readonly string[]>
  /** Removes the first entries of what `peek` returned last. */
  remove(count: number): void
  /** How many wait. */
  readonly waiting: number
  /** Whether what still waits is there at the next start. */
  readonly isDurable: boolean
  /** Calls back when entries have come that were not pushed: those that another process has left. */
  onFound?(listener: () => void): void
  close(): void
}

/** Keeps entries in memory. When full, the oldest go, but not those that are being sent. */
export function createMemoryQueue(limits: { entriesMax: number; bytesMax: number }): UsageQueue {
  const entries = new Map<number, EncodedEntry>()
  let next = 0
  let bytes = 0
  let peeked: number[] = []

  function forget(id: number): void {
    bytes -= entries.get(id)?.bytes ?? 0
    entries.delete(id)
  }

  return {
    push(entry) {
      entries.set(next, entry)
      next += 1
      bytes += entry.bytes
      if (entries.size <= limits.entriesMax && bytes <= limits.bytesMax) return 0
      const held = new Set(peeked)
      let dropped = 0
      for (const id of entries.keys()) {
        if (entries.size <= limits.entriesMax && bytes <= limits.bytesMax) break
        if (held.has(id)) continue
        forget(id)
        dropped += 1
      }
      return dropped
    },
    async peek({ entries: count, bytes: size }) {
      peeked = []
      const found: string[] = []
      let length = 0
      for (const [id, entry] of entries) {
        if (found.length >= count || (found.length > 0 && length + entry.bytes > size)) break
        peeked.push(id)
        found.push(entry.json)
        length += entry.bytes
      }
      return found
    },
    remove(count) {
      for (const id of peeked.slice(0, count)) forget(id)
      peeked = []
    },
    get waiting() {
      return entries.size
    },
    isDurable: false,
    close() {
      entries.clear()
      peeked = []
      bytes = 0
    },
  }
}
