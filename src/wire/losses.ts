import type { Loss } from './neutral.ts'

/** More than this tells nobody more. */
const LOSSES_MAX = 64

/** Notes a member that is not carried. Essential: the answer would be another one without it. */
export type Lose = (path: string, message: string, essential?: boolean) => void

/** Collects losses; of those that say the same only the first is kept, so that a long conversation says it once. */
export function createLosses(): { losses: Loss[]; lose: Lose } {
  const losses: Loss[] = []
  const said = new Set<string>()
  return {
    losses,
    lose(path, message, essential = false) {
      const words = `${essential} ${message}`
      if (said.has(words)) return
      if (losses.length >= LOSSES_MAX) {
        // Whatever is essential decides whether the request is sent at all.
        if (!essential) return
        losses.pop()
      }
      said.add(words)
      losses.push({ path, message, essential })
    },
  }
}
