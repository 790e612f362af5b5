import { assert } from './assert.ts'

/** Nobody else may wait. */
export class GateFullError extends Error {
  override readonly name = 'GateFullError'
}

/** Lets a few do something at a time, and some more wait for it, in the order of their coming. */
export function createGate(options: { runningMax: number; waitingMax: number }) {
  assert(options.runningMax > 0, 'a gate lets somebody through')
  const waiting: (() => void)[] = []
  let running = 0
  return {
    /** Throws GateFullError without calling `work`. */
    async run<Result>(work: () => Promise<Result>): Promise<Result> {
      if (running < options.runningMax) running += 1
      else {
        if (waiting.length >= options.waitingMax) throw new GateFullError('too many wait already')
        // Whoever leaves hands its place over, so `running` stays as it is.
        await new Promise<void>((resolve) => waiting.push(resolve))
      }
      try {
        return await work()
      } finally {
        const next = waiting.shift()
        if (next === undefined) running -= 1
        else next()
      }
    },
  }
}
