import { assert } from '#lib/assert.ts'

export interface HealthOptions {
  /** Milliseconds of a clock that never goes back. */
  now: () => number
  /** 0 to below 1; Math.random where nothing is said. */
  random?: () => number
  /** Cooldown after the first failure, before jitter; it doubles with every further one. */
  baseMs: number
  /** No cooldown is longer, whatever the provider asks for. */
  maxMs: number
  /** Ids that are remembered at once. The one that failed longest ago makes room. */
  entriesMax: number
}

/** What opened an id, as far as it is worth remembering. */
export interface HealthReason {
  class?: string | undefined
  code: string
  status?: number | undefined
  timedOut?: boolean | undefined
}

export interface Failure {
  /** What the provider asked for: the cooldown is at least this long, up to the maximum. */
  retryAfterMs?: number | undefined
  /** In place of the memory's own base, for what does not pass by itself. */
  baseMs?: number | undefined
  /** When the call was sent that fails now; now where nothing is said. */
  sentAtMs?: number | undefined
  reason?: HealthReason | undefined
}

export interface HealthEntry {
  id: string
  state: 'open' | 'half_open'
  /** On the memory's own clock. */
  openUntilMs: number
  /** How long that still is; 0 when it is over. */
  openForMs: number
  /** Whether a probe is on its way. */
  probing: boolean
  failures: number
  reason: HealthReason | undefined
}

interface Memory {
  failures: number
  openedAtMs: number
  openUntilMs: number
  /** When the last call was sent that has failed. */
  failedSentAtMs: number
  /** When the running probe is given up as lost; undefined while none runs. */
  probeUntilMs: number | undefined
  reason: HealthReason | undefined
}

/**
 * Remembers what failed lately. An id is closed (not remembered) until it fails, then open for a cooldown, then half-open:
 * one call at a time may probe it, and its success forgets everything. The memory belongs to this process.
 */
export function createHealth(options: HealthOptions) {
  const { now, random = Math.random, baseMs, maxMs, entriesMax } = options
  assert(baseMs > 0 && baseMs <= maxMs, 'a cooldown is positive and has a maximum')
  assert(entriesMax > 0, 'the memory holds at least one id')
  // In the order of the last failure.
  const memories = new Map<string, Memory>()

  /** Between a half and the whole of the exponential time, so that processes do not probe in step. */
  function cooldownMs(failures: number, failure: Failure): number {
    const whole = Math.min(maxMs, (failure.baseMs ?? baseMs) * 2 ** Math.min(failures - 1, 40))
    return Math.min(maxMs, Math.max(whole * (0.5 + random() / 2), failure.retryAfterMs ?? 0))
  }

  function isProbing(memory: Memory, nowMs: number): boolean {
    return memory.probeUntilMs !== undefined && nowMs < memory.probeUntilMs
  }

  return {
    now,

    /** Nothing is remembered: every id is usable. */
    get quiet(): boolean {
      return memories.size === 0
    },

    /** `probe`: half-open, and nobody is probing. An id that is being probed is open since its cooldown ended. */
    usable(id: string): 'yes' | 'probe' | { openUntilMs: number } {
      const memory = memories.get(id)
      if (memory === undefined) return 'yes'
      const nowMs = now()
      if (nowMs < memory.openUntilMs || isProbing(memory, nowMs)) return { openUntilMs: memory.openUntilMs }
      return 'probe'
    },

    /** Takes the probe of a half-open id. False when the id is not half-open, or somebody else has it. */
    probe(id: string): boolean {
      const memory = memories.get(id)
      const nowMs = now()
      if (memory === undefined || nowMs < memory.openUntilMs || isProbing(memory, nowMs)) return false
      // A probe that nobody answers for must not keep the id from ever being tried again.
      memory.probeUntilMs = nowMs + maxMs
      return true
    },

    /**
     * Opens the id. What fails while it is open, or was sent before it was opened, tells of the same outage: it adds nothing
     * but what the provider asks for.
     */
    failed(id: string, failure: Failure = {}): void {
      const nowMs = now()
      const { sentAtMs = nowMs, retryAfterMs = 0 } = failure
      const known = memories.get(id)
      if (known !== undefined && (nowMs < known.openUntilMs || sentAtMs < known.openedAtMs)) {
        known.failedSentAtMs = Math.max(known.failedSentAtMs, sentAtMs)
        known.openUntilMs = Math.max(known.openUntilMs, nowMs + Math.min(maxMs, retryAfterMs))
        return
      }
      // What failed long ago and has not been asked since is as good as new.
      const stale = known === undefined || nowMs - known.openUntilMs > maxMs
      const failures = stale ? 1 : known.failures + 1
      memories.delete(id)
      if (memories.size >= entriesMax) {
        const [oldest] = memories.keys()
        if (oldest !== undefined) memories.delete(oldest)
      }
      memories.set(id, {
        failures,
        openedAtMs: nowMs,
        openUntilMs: nowMs + cooldownMs(failures, failure),
        failedSentAtMs: sentAtMs,
        probeUntilMs: undefined,
        reason: failure.reason,
      })
    },

    /** Closes the id, unless a call has failed that was sent after the one that succeeds now. */
    succeeded(id: string, sentAtMs: number = now()): void {
      const memory = memories.get(id)
      if (memory !== undefined && memory.failedSentAtMs <= sentAtMs) memories.delete(id)
    },

    /** The probe decided nothing: the next call may probe. */
    released(id: string): void {
      const memory = memories.get(id)
      if (memory !== undefined) memory.probeUntilMs = undefined
    },

    /** What opened the id; undefined where it is closed. */
    reasonOf(id: string): HealthReason | undefined {
      return memories.get(id)?.reason
    },

    /** Undefined where the id is closed. */
    entry(id: string): HealthEntry | undefined {
      const memory = memories.get(id)
      return memory === undefined ? undefined : entryOf(id, memory)
    },

    /** Everything that is not closed. */
    snapshot(): HealthEntry[] {
      return [...memories].map(([id, memory]) => entryOf(id, memory))
    },
  }

  function entryOf(id: string, memory: Memory): HealthEntry {
    const nowMs = now()
    return {
      id,
      state: nowMs < memory.openUntilMs ? 'open' : 'half_open',
      openUntilMs: memory.openUntilMs,
      openForMs: Math.max(0, memory.openUntilMs - nowMs),
      probing: isProbing(memory, nowMs),
      failures: memory.failures,
      reason: memory.reason,
    }
  }
}

export type Health = ReturnType<typeof createHealth>
