import { assert } from '#lib/assert.ts'
import { type Attempted, beginAttempt, endAttempt, type MeteredCall } from './call.ts'
import { endsCall } from './dispatch/fault-effect.ts'
import { createHedge } from './dispatch/hedge.ts'
import type { Gateway } from './gateway.ts'
import type { CallTarget } from './target.ts'
import { isChainOver, noteFault } from './try-targets.ts'
import { CHAIN_OVER, SHUTTING_DOWN, type UpstreamFault } from './upstream-fault.ts'

/** A running attempt, as the race sees it. */
export interface Runner {
  /** Ends it without a further word to its lane. */
  abort(): void
  tick(nowMs: number): void
  /** Whether its provider may bill it. */
  sent(): boolean
  /** Whether something of its answer is here, though it may not be good enough to serve yet. */
  begun(): boolean
}

/** What the runner of one attempt tells of it. */
export interface Lane<T extends CallTarget = CallTarget> {
  /** Of the target in its route. */
  index: number
  target: T
  /** It has something for the client. False: another attempt serves, and this one is over. */
  serve(): boolean
  /** It has failed, also after it began to serve. */
  fail(fault: UpstreamFault): void
  /** The same target is asked once more, because the attempt so far came to `result`. */
  again(result: string): void
}

export interface RaceOptions<T extends CallTarget, R extends Runner> {
  /** Undefined never begins a second attempt beside the first. */
  hedgeAfterMs: number | undefined
  /** Whether anybody else may be asked; not once the client has left. */
  mayAsk: () => boolean
  /** What an attempt may cost that was sent and cut before it answered, in nano-dollars. */
  costNanos: (index: number) => bigint
  start: (lane: Lane<T>) => R
  /** An attempt has failed and nobody else is asked: it was serving, or the client has left. */
  onBroken: (lane: Lane<T>, fault: UpstreamFault) => void
}

interface Racer<T extends CallTarget, R extends Runner> {
  lane: Lane<T>
  runner: R
  attempted: Attempted
  running: boolean
}

/**
 * The attempts of one call as the plan gives them, and a second one beside a slow first. The first to serve wins; the other
 * one is cut at once, and what it may cost is the operator's. Failures wait for whoever still runs.
 */
export function createRace<T extends CallTarget, R extends Runner>(
  gateway: Gateway,
  call: MeteredCall<T>,
  options: RaceOptions<T, R>,
) {
  const { dispatch, route } = call
  const hedge = createHedge<T>({ afterMs: options.hedgeAfterMs, plan: dispatch })
  const racers: Racer<T, R>[] = []
  let winner: Racer<T, R> | undefined
  let turn = Promise.withResolvers<'ended' | 'failed'>()

  function begin(target: T): void {
    const number = racers.length
    const attempted = beginAttempt(call, target)
    const lane: Lane<T> = {
      index: route.targets.indexOf(target),
      target,
      serve: () => serve(number),
      fail: (fault) => failed(number, fault),
      again: (result) => again(number, result),
    }
    try {
      racers.push({ lane, attempted, running: true, runner: options.start(lane) })
    } catch (error) {
      endAttempt(call, 'internal', attempted)
      throw error
    }
  }

  function again(number: number, result: string): void {
    const racer = racers[number]
    if (racer === undefined) return
    endAttempt(call, result, racer.attempted)
    racer.attempted = beginAttempt(call, racer.lane.target)
  }

  function serve(number: number): boolean {
    const racer = racers[number]
    if (racer === undefined || racer === winner) return racer !== undefined
    if (!racer.running) return false
    const action = hedge.firstByte(number)
    assert(action.do === 'serve', 'whoever runs while nobody serves may serve')
    winner = racer
    call.dispatchedAt = racer.attempted.startedAt
    dispatch.answered(racer.lane.target)
    giveUp(action.cancel, 'lost')
    return true
  }

  function failed(number: number, fault: UpstreamFault): void {
    const racer = racers[number]
    if (racer === undefined || !racer.running) return
    racer.running = false
    racer.runner.abort()
    if (fault.timedOut && racer !== winner) bill(racer)
    const action = hedge.fault(number, fault)
    // Before the fault is reported: what is aborted last ends the plan.
    if (action.do === 'fail') giveUp(action.cancel, endsCall(fault) ? fault.code : 'given_up')
    noteFault(gateway, call, racer.lane.index, fault, racer.attempted)
    if (racer === winner || (action.do === 'fail' && !options.mayAsk())) options.onBroken(racer.lane, fault)
    else if (action.do === 'fail') turn.resolve('failed')
  }

  function giveUp(number: number | undefined, result: string): void {
    const racer = number === undefined ? undefined : racers[number]
    if (racer === undefined || !racer.running) return
    racer.running = false
    racer.runner.abort()
    bill(racer)
    endAttempt(call, result, racer.attempted)
    dispatch.report(racer.lane.target, 'aborted')
  }

  /** We hung up on a provider that had the request. */
  function bill({ runner, lane, attempted }: Racer<T, R>): void {
    if (runner.sent()) attempted.costNanos = options.costNanos(lane.index)
  }

  function running(): Racer<T, R>[] {
    return racers.filter((racer) => racer.running)
  }

  /** A fault of the call as a whole. */
  function failAll(fault: UpstreamFault): void {
    running()[0]?.lane.fail(fault)
  }

  function beginSecond(nowMs: number): void {
    const action = hedge.tick(nowMs)
    if (action.do !== 'start') return
    try {
      begin(action.candidate)
    } catch (error) {
      for (const number of racers.keys()) giveUp(number, 'internal')
      turn.reject(error)
    }
  }

  return {
    /** Asks one target; resolves when the call is over, or when nobody runs any more and all faults are noted. */
    attempt(target: T): Promise<'ended' | 'failed' | UpstreamFault> {
      if (gateway.openCalls.cutting) return Promise.resolve(SHUTTING_DOWN)
      turn = Promise.withResolvers()
      hedge.began(performance.now())
      begin(target)
      return turn.promise
    },

    tick(nowMs: number): void {
      for (const racer of running()) if (racer.running) racer.runner.tick(nowMs)
      if (winner !== undefined || running().some(({ runner }) => runner.begun())) return
      if (isChainOver(call, nowMs)) failAll(CHAIN_OVER)
      else if (options.mayAsk()) beginSecond(nowMs)
    },

    failAll,

    /** What runs, oldest first. */
    running,

    /** Whoever serves the client; it may have ended. */
    winner: () => winner,

    /** Gives up all that run but `kept`, through no fault of theirs. What `paid` has cost is part of the call's own price. */
    leave(why: string, { kept, paid }: { kept?: Racer<T, R> | undefined; paid?: Racer<T, R> | undefined } = {}): void {
      for (const [number, racer] of racers.entries()) if (racer !== kept) giveUp(number, why)
      if (paid !== undefined) delete paid.attempted.costNanos
    },

    /** The call is over once `ending` is. */
    finish(ending?: Promise<unknown>): void {
      if (winner !== undefined) dispatch.report(winner.lane.target, 'ok')
      turn.resolve(Promise.resolve(ending).then(() => 'ended'))
    },
  }
}
