import { TRANCHE_TOKENS_FIRST } from './hold-plan.ts'

const EXTEND_AT = 0.7
/** Early enough that the record is there before a whole tranche has gone out since the last one. */
const RECORD_EVERY = TRANCHE_TOKENS_FIRST * EXTEND_AT
/** After a ledger that was away has been asked in vain, so much is delivered before it is asked again. */
const RETRY_TOKENS = 64
/** Tokenizers differ. Only an upstream that writes this much more than its limit, by our count, does not keep to it. */
const OVERSHOOT = 1.5

export interface TrancheOptions {
  /** Output tokens that the hold covers at the start, and the most that the call can need. */
  covered: number
  outputTokensMax: number
  /**
   * Asks for a hold that covers `tokens`, and records the progress with it; resolves to what the hold covers then, or
   * `lost` when it is gone.
   */
  extend: (tokens: number) => Promise<number | 'lost'>
  /** Puts the progress right by counting, before anything is done for an estimate. */
  recount: () => number
  /** The stream runs ahead of its hold: stop reading until resumed. */
  pause: () => void
  resume: () => void
  /** The wallet covers no more, or the hold is gone. */
  onEmpty: (reason: 'insufficient_credits' | 'hold_lost' | 'ledger_unavailable') => void
}

/**
 * Keeps the hold of a running stream ahead of what it delivers: at 70 % of what is covered it asks for the next tranche,
 * each twice as large as the one before. Keeps the record of its progress close behind: whatever becomes of this process, at
 * most TRANCHE_TOKENS_FIRST tokens are delivered and not recorded. A stream that catches up with its hold or runs away from
 * its record waits; one that the wallet no longer covers ends.
 */
export function createTranche(options: TrancheOptions) {
  let covered = options.covered
  let step = TRANCHE_TOKENS_FIRST
  let asking = false
  let waiting = false
  let refused = false
  let progress = 0
  let recorded = 0
  let askAgainAt = 0

  async function ask(): Promise<void> {
    asking = true
    const at = progress
    const grows = mayGrow()
    const wanted = grows ? nextCover() : covered
    let result: number | 'lost' | 'away'
    try {
      result = await options.extend(wanted)
    } catch {
      result = 'away'
    }
    asking = false
    if (result === 'lost') {
      options.onEmpty('hold_lost')
      return
    }
    if (result === 'away') {
      // What is held and recorded may allow more: a later delivery asks again.
      askAgainAt = progress + RETRY_TOKENS
      if (progress >= limit()) options.onEmpty('ledger_unavailable')
      return
    }
    recorded = at
    if (grows) {
      refused = result < wanted
      step *= 2
    }
    covered = Math.max(covered, result)
    if (progress < limit()) goOn()
    else atTheEnd()
  }

  /** The most that the call should need is covered. */
  function isWhole(): boolean {
    return covered >= options.outputTokensMax
  }

  function allowed(): number {
    return isWhole() ? Math.max(covered, options.outputTokensMax * OVERSHOOT) : covered
  }

  /** How far the stream may go before something has to be committed. */
  function limit(): number {
    return Math.min(allowed(), recorded + TRANCHE_TOKENS_FIRST)
  }

  function nextCover(): number {
    return isWhole() ? Math.max(covered, progress) + step : Math.min(covered + step, options.outputTokensMax)
  }

  function mayGrow(): boolean {
    return !refused && (isWhole() ? progress >= allowed() : progress >= covered * EXTEND_AT)
  }

  function isDue(): boolean {
    return progress >= askAgainAt && (mayGrow() || progress >= recorded + RECORD_EVERY)
  }

  function goOn(): void {
    if (waiting) options.resume()
    waiting = false
  }

  function atTheEnd(): void {
    progress = options.recount()
    if (progress < limit()) {
      goOn()
      return
    }
    if (refused && progress >= allowed()) {
      options.onEmpty('insufficient_credits')
      return
    }
    if (!waiting) options.pause()
    waiting = true
    if (!asking) void ask()
  }

  return {
    /** Call after every delivery with the output tokens so far, by estimate. */
    advance(tokens: number): void {
      progress = tokens
      if (!asking && isDue()) {
        progress = options.recount()
        if (isDue()) void ask()
      }
      if (progress >= limit() && !waiting) atTheEnd()
    },
  }
}
