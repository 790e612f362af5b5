import { assert } from './assert.ts'

/** What is left after one more. */
export interface Allowance {
  allowed: boolean
  remaining: number
  /** Until the window ends. */
  resetMs: number
}

/** Counts per subject in windows that begin with the first of them. When there are too many subjects, the oldest is forgotten. */
export function createWindowLimiter(options: { subjectsMax: number }) {
  assert(options.subjectsMax > 0, 'a limiter knows at least one subject')
  const windows = new Map<string, { count: number; endsAt: number }>()
  return {
    /** Counts one more, also when it is refused. */
    take(subject: string, limit: { max: number; windowMs: number }): Allowance {
      const now = performance.now()
      let window = windows.get(subject)
      if (window === undefined || window.endsAt <= now) {
        windows.delete(subject)
        if (windows.size >= options.subjectsMax) {
          const [oldest] = windows.keys()
          if (oldest !== undefined) windows.delete(oldest)
        }
        window = { count: 0, endsAt: now + limit.windowMs }
        windows.set(subject, window)
      }
      window.count += 1
      return {
        allowed: window.count <= limit.max,
        remaining: Math.max(0, limit.max - window.count),
        resetMs: window.endsAt - now,
      }
    },
  }
}
