import { AppError } from '#src/errors.ts'

/** Something that watches its own deadlines. `nowMs` is monotonic. */
export interface Ticking {
  /** Where it stands among the watched; set by watch() alone. */
  place?: number | undefined
  tick(nowMs: number): void
  /** The process is about to end: finish at once, with a proper last frame. */
  cut(): void
}

export interface OpenCallsOptions {
  callsMax: number
  /** What the bodies of all open calls may take up together. */
  bodyBytesMax: number
  tickMs: number
  /** A call broke while its deadlines were looked at; it is cut, the others go on. */
  onBroken: (error: unknown) => void
}

/**
 * The calls that run in this process: their number is limited, one timer serves the deadlines of all, and shutdown waits
 * for them.
 */
export function createOpenCalls(options: OpenCallsOptions) {
  // A list whose places are known, not a Set: V8 links the tables that a busy Set outgrows, and they keep what was in them.
  const ticking: Ticking[] = []
  let open = 0
  let bodyBytes = 0
  let draining = false
  let cutting = false
  let whenIdle: (() => void) | undefined

  const timer = setInterval(() => {
    const nowMs = performance.now()
    for (const call of [...ticking]) guarded(call, () => call.tick(nowMs))
  }, options.tickMs)
  timer.unref()

  function cut(): void {
    cutting = true
    for (const call of [...ticking]) guarded(call, () => call.cut())
  }

  function guarded(call: Ticking, work: () => void): void {
    try {
      work()
    } catch (error) {
      unwatch(call)
      options.onBroken(error)
    }
  }

  function watch(call: Ticking): void {
    if (call.place === undefined) call.place = ticking.push(call) - 1
  }

  function unwatch(call: Ticking): void {
    const { place } = call
    if (place === undefined) return
    call.place = undefined
    const last = ticking.pop()
    if (last === undefined || last === call) return
    ticking[place] = last
    last.place = place
  }

  return {
    /** Counts a call in. Throws AppError: shutting_down, overloaded. Every enter() has one leave(). */
    enter(): void {
      if (draining) throw new AppError('shutting_down', { headers: { 'retry-after': '1', connection: 'close' } })
      if (open >= options.callsMax) throw new AppError('overloaded', { headers: { 'retry-after': '1' } })
      open += 1
    },

    leave(): void {
      open -= 1
      if (open === 0) whenIdle?.()
    },

    /** Counts bytes of a body in. Throws AppError overloaded; what was counted goes with releaseBody. */
    holdBody(bytes: number): void {
      if (bodyBytes + bytes > options.bodyBytesMax)
        throw new AppError('overloaded', {
          message: 'The gateway is busy with large requests. Try again soon.',
          headers: { 'retry-after': '1' },
        })
      bodyBytes += bytes
    },

    releaseBody(bytes: number): void {
      bodyBytes -= bytes
    },

    watch,
    unwatch,

    get size(): number {
      return open
    },

    /** Ends every call now, with a proper last frame. */
    cut,

    /** Whether calls were cut: one that was not running yet must not begin. */
    get cutting(): boolean {
      return cutting
    },

    /** Refuses new calls, waits for the open ones up to the deadline, then cuts them and waits for their settlement. */
    async drain(deadlineMs: number): Promise<void> {
      draining = true
      if (open > 0) {
        const idle = new Promise<void>((resolve) => {
          whenIdle = resolve
        })
        const deadline = setTimeout(cut, deadlineMs)
        await idle
        clearTimeout(deadline)
      }
      clearInterval(timer)
    },
  }
}

export type OpenCalls = ReturnType<typeof createOpenCalls>
