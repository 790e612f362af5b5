import type { UpstreamFault } from '#gateway/upstream-fault.ts'
import { assert } from '#lib/assert.ts'
import { endsCall } from './fault-effect.ts'

/** What is to be done after an event. Numbers are those that began() and `start` gave. */
export type HedgeAction<C> =
  | { do: 'nothing' }
  /** The second attempt is this candidate's, under this number. */
  | { do: 'start'; attempt: number; candidate: C }
  /** This attempt serves the client; the other one, if there is one, is cut. */
  | { do: 'serve'; attempt: number; cancel: number | undefined }
  /** It came too late: another one serves. */
  | { do: 'cancel'; attempt: number }
  /** No attempt is left, or none should be: the other one, if there is one, is cut, and the plan says what is next. */
  | { do: 'fail'; cancel: number | undefined }

export interface HedgedAttempt {
  kind: 'first' | 'second'
  beganAtMs: number
  /** `lost`: it was cut in favour of another, and its provider may bill what it had done. */
  state: 'running' | 'won' | 'lost' | 'failed'
}

/**
 * Races a second attempt against a first that is slow to answer: once in a call, only before the first byte of either, only
 * where the plan has a healthy candidate to spare. Whoever answers first serves; a fault waits for the other one, unless it
 * is of the kind that no other candidate would mend. Drives nothing: the relay does what the actions say.
 */
export function createHedge<C>(options: {
  /** Undefined never starts a second attempt. */
  afterMs: number | undefined
  plan: { hedge(): C | undefined }
}) {
  const { afterMs, plan } = options
  const attempts: HedgedAttempt[] = []
  // Whether the one extra attempt of the call is spent, or the running attempt has been refused one.
  let spent = false
  let asked = false
  let decided = false

  function runningBut(attempt: number): number | undefined {
    const index = attempts.findIndex(({ state }, other) => other !== attempt && state === 'running')
    return index < 0 ? undefined : index
  }

  function lose(attempt: number | undefined): number | undefined {
    const loser = attempt === undefined ? undefined : attempts[attempt]
    if (loser !== undefined) loser.state = 'lost'
    return attempt
  }

  return {
    /** An attempt of the plan's next() begins. Returns its number. */
    began(nowMs: number): number {
      assert(!decided && runningBut(-1) === undefined, 'an attempt begins when no other one runs')
      attempts.push({ kind: 'first', beganAtMs: nowMs, state: 'running' })
      asked = false
      return attempts.length - 1
    },

    tick(nowMs: number): HedgeAction<C> {
      const running = attempts.at(-1)
      if (afterMs === undefined || spent || asked || decided) return NOTHING
      if (running?.state !== 'running' || nowMs - running.beganAtMs < afterMs) return NOTHING
      asked = true
      const candidate = plan.hedge()
      if (candidate === undefined) return NOTHING
      spent = true
      attempts.push({ kind: 'second', beganAtMs: nowMs, state: 'running' })
      return { do: 'start', attempt: attempts.length - 1, candidate }
    },

    /** The first content of an attempt has come; an error or an empty frame is none. */
    firstByte(attempt: number): HedgeAction<C> {
      const mine = attempts[attempt]
      if (mine?.state === 'won' || mine === undefined) return NOTHING
      if (mine.state !== 'running') return { do: 'cancel', attempt }
      decided = true
      mine.state = 'won'
      return { do: 'serve', attempt, cancel: lose(runningBut(attempt)) }
    },

    fault(attempt: number, fault: UpstreamFault): HedgeAction<C> {
      const mine = attempts[attempt]
      // What happens to the winner is a failure half-way, and what happens to a loser is of no interest.
      if (mine?.state !== 'running') return NOTHING
      mine.state = 'failed'
      const other = runningBut(attempt)
      if (other === undefined) return { do: 'fail', cancel: undefined }
      return fault.class === 'caller' || endsCall(fault) ? { do: 'fail', cancel: lose(other) } : NOTHING
    },

    /** Which attempt serves, and what became of each, in the order in which they began. */
    outcome(): { winner: number | undefined; attempts: readonly HedgedAttempt[] } {
      const winner = attempts.findIndex(({ state }) => state === 'won')
      return { winner: winner < 0 ? undefined : winner, attempts }
    },
  }
}

const NOTHING = { do: 'nothing' } as const
