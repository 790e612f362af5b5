import { setTimeout as delay } from 'node:timers/promises'

const MINUTE_MS = 60_000
const TRIES_MAX = 4
const minuteNow = () => Math.floor(Date.now() / MINUTE_MS)

/**
 * Runs `work` in one minute of the clock, in which rates are counted: a minute that is about to end is waited out, and when one
 * ended all the same, what was seen says nothing and is seen again.
 */
export async function inOneMinute<T>(neededMs: number, work: () => Promise<T>): Promise<T> {
  for (let tries = 1; ; tries += 1) {
    const left = MINUTE_MS - (Date.now() % MINUTE_MS)
    if (left < neededMs) await delay(left + 20)
    const minute = minuteNow()
    try {
      const result = await work()
      if (minuteNow() === minute || tries === TRIES_MAX) return result
    } catch (error) {
      if (minuteNow() === minute || tries === TRIES_MAX) throw error
    }
  }
}
