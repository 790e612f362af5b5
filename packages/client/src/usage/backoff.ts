export interface BackoffOptions {
  /** The first wait, before jitter. */
  firstMs: number
  /** No wait is longer, but for one that the server asks for. */
  mostMs: number
}

/** How long to wait before the attempt after `failures` failed ones: doubled each time, and between half and all of that, by chance. */
export function backoffMs(failures: number, { firstMs, mostMs }: BackoffOptions, random = Math.random()): number {
  const full = Math.min(mostMs, firstMs * 2 ** Math.min(30, Math.max(0, failures - 1)))
  return full / 2 + (full / 2) * random
}

/** Waits that can be cut short. */
export interface Pause {
  /** Resolves after so long, or when woken. A wait that may end with the process does not keep it alive. */
  sleep(ms: number, options: { mayEndWithProcess: boolean }): Promise<void>
  wake(): void
}

export function createPause(): Pause {
  let wakeUp: () => void = () => undefined
  return {
    async sleep(ms, { mayEndWithProcess }) {
      await new Promise<void>((resolve) => {
        const timer: unknown = setTimeout(resolve, ms)
        wakeUp = () => {
          clearTimeout(timer as number)
          resolve()
        }
        // Node has timers that do not hold a process; browsers have no process.
        if (mayEndWithProcess && typeof timer === 'object' && timer !== null && 'unref' in timer)
          (timer as { unref(): void }).unref()
      })
    },
    wake: () => wakeUp(),
  }
}
