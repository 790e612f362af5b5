import type { ProtocolName } from './protocol.ts'
import type { EndState } from './script.ts'
import type { TrueUsage } from './usage.ts'

/** One call as the upstream saw it: the truth that a bill is compared with. Tokens are the simulator's own. */
export interface OracleCall {
  /** 1, 2, 3, … in the order of arrival. */
  sequence: number
  /** The request's `x-client-request-id`, if it had one. */
  clientRequestId: string | null
  protocol: ProtocolName
  /** Without the `sim/` prefix; empty when the request named no model that exists. */
  model: string
  stream: boolean
  /** The status that was sent; 0 when none was. */
  status: number
  state: 'open' | EndState
  startedAt: string
  promptTokens: number
  /** Parts of the prompt: read from a cache, written to one for five minutes or an hour, and what was sound. */
  cachedTokens: number
  cacheWriteTokens: number
  cacheWrite1hTokens: number
  audioPromptTokens: number
  /** Characters that were to be spoken. */
  characters: number
  /** Seconds of sound that were listened to. */
  seconds: number
  /** Written to a socket that was still open, hidden reasoning included. */
  completionTokens: number
  reasoningTokens: number
  /** Characters whose sound was written. */
  spokenCharacters: number
  /** Body bytes written, before compression. */
  bytes: number
  /** How long after the request the call ended, or the peer's leaving was noticed. */
  endedAfterMs: number | null
}

/** Sums over calls of one model. `cut` holds answers that began and did not end, by either side's doing. */
export interface OracleTotals {
  calls: number
  open: number
  finished: TokenTotals
  cut: TokenTotals
  /** Refusals and errors: they deliver nothing. */
  failed: number
  /** Calls whose client left, also counted in `cut`. */
  aborted: number
}

export type TokenTotals = { calls: number } & Units

type Units = Pick<
  OracleCall,
  | 'promptTokens'
  | 'cachedTokens'
  | 'cacheWriteTokens'
  | 'cacheWrite1hTokens'
  | 'audioPromptTokens'
  | 'completionTokens'
  | 'reasoningTokens'
  | 'characters'
  | 'spokenCharacters'
  | 'seconds'
>

export type Oracle = ReturnType<typeof createOracle>

/** What arrives with a call; the rest is counted while it runs. */
export interface CallStart extends Pick<OracleCall, 'clientRequestId' | 'protocol' | 'model' | 'stream'> {
  /** Of the answer, as far as it is used up whether or not the answer is delivered. */
  usage: TrueUsage
}

/** A call in progress. `generation` ties it to the totals it was counted in, which a reset replaces. */
export interface OpenCall extends OracleCall {
  startedMs: number
  generation: number
}

/** Counts what the simulator delivered: the last `capacity` calls one by one, and totals over all since a reset. */
export function createOracle(options: { capacity: number }) {
  const { capacity } = options
  let ring: (OpenCall | undefined)[] = []
  let last = 0
  let generation = 0
  let totals = new Map<string, OracleTotals>()

  function totalsOf(model: string): OracleTotals {
    let sums = totals.get(model)
    if (sums === undefined) {
      sums = { calls: 0, open: 0, finished: emptyTokens(), cut: emptyTokens(), failed: 0, aborted: 0 }
      totals.set(model, sums)
    }
    return sums
  }

  function held(sequence: number): OpenCall | undefined {
    const call = ring[sequence % capacity]
    return call?.sequence === sequence ? call : undefined
  }

  return {
    /** Begins a record. The simulator writes its fields until `close`. */
    open(start: CallStart): OpenCall {
      last += 1
      const { usage } = start
      const call: OpenCall = {
        sequence: last,
        clientRequestId: start.clientRequestId,
        protocol: start.protocol,
        model: start.model,
        stream: start.stream,
        status: 0,
        state: 'open',
        startedAt: '',
        promptTokens: usage.prompt,
        cachedTokens: usage.cached,
        cacheWriteTokens: usage.cacheWrite5m,
        cacheWrite1hTokens: usage.cacheWrite1h,
        audioPromptTokens: usage.audioPrompt,
        characters: usage.characters,
        seconds: usage.seconds,
        completionTokens: 0,
        reasoningTokens: 0,
        spokenCharacters: 0,
        bytes: 0,
        endedAfterMs: null,
        startedMs: performance.now(),
        generation,
      }
      ring[last % capacity] = call
      const sums = totalsOf(call.model)
      sums.calls += 1
      sums.open += 1
      return call
    },

    /** Ends a record and adds it to the totals. Only the first end of a call counts. */
    close(call: OpenCall, state: EndState): void {
      if (call.state !== 'open') return
      call.state = state
      call.endedAfterMs = performance.now() - call.startedMs
      if (call.generation !== generation) return
      const sums = totalsOf(call.model)
      sums.open -= 1
      if (state === 'failed') {
        sums.failed += 1
        return
      }
      if (state === 'aborted') sums.aborted += 1
      const tokens = state === 'finished' ? sums.finished : sums.cut
      tokens.calls += 1
      addUnits(tokens, call)
    },

    /** Sums per model and over all models, since the start or the last reset. */
    totals(): { all: OracleTotals; models: Record<string, OracleTotals> } {
      const all: OracleTotals = {
        calls: 0,
        open: 0,
        finished: emptyTokens(),
        cut: emptyTokens(),
        failed: 0,
        aborted: 0,
      }
      for (const sums of totals.values()) {
        all.calls += sums.calls
        all.open += sums.open
        all.failed += sums.failed
        all.aborted += sums.aborted
        addTokens(all.finished, sums.finished)
        addTokens(all.cut, sums.cut)
      }
      return { all, models: structuredClone(Object.fromEntries(totals)) }
    },

    /** Held calls in order of arrival, from the one behind sequence number `after`; all of them by default. */
    calls(page: { after?: number; limit?: number } = {}): OracleCall[] {
      const first = Math.max((page.after ?? 0) + 1, last - capacity + 1, 1)
      const found: OracleCall[] = []
      for (let sequence = first; sequence <= last; sequence += 1) {
        if (found.length >= (page.limit ?? capacity)) break
        const call = held(sequence)
        if (call !== undefined) found.push(publish(call))
      }
      return found
    },

    /** The call with this sequence number, or every held call with this client request id, oldest first. */
    find(id: string | number): OracleCall[] {
      if (typeof id === 'number') {
        const call = held(id)
        return call === undefined ? [] : [publish(call)]
      }
      // A scan, because an index would cost every call and only tests look up.
      const found = ring.filter((call): call is OpenCall => call?.clientRequestId === id)
      return found.sort((left, right) => left.sequence - right.sequence).map(publish)
    },

    /** Forgets calls and totals; sequence numbers go on. A call that is still open then counts nowhere. */
    reset(): void {
      ring = []
      totals = new Map()
      generation += 1
    },
  }
}

const originMs = performance.timeOrigin

function publish(call: OpenCall): OracleCall {
  const { startedMs, generation: _, ...seen } = call
  return { ...seen, startedAt: new Date(originMs + startedMs).toISOString() }
}

function emptyTokens(): TokenTotals {
  return {
    calls: 0,
    promptTokens: 0,
    cachedTokens: 0,
    cacheWriteTokens: 0,
    cacheWrite1hTokens: 0,
    audioPromptTokens: 0,
    completionTokens: 0,
    reasoningTokens: 0,
    characters: 0,
    spokenCharacters: 0,
    seconds: 0,
  }
}

function addTokens(sum: TokenTotals, more: TokenTotals): void {
  sum.calls += more.calls
  addUnits(sum, more)
}

function addUnits(sum: Units, more: Units): void {
  sum.promptTokens += more.promptTokens
  sum.cachedTokens += more.cachedTokens
  sum.cacheWriteTokens += more.cacheWriteTokens
  sum.cacheWrite1hTokens += more.cacheWrite1hTokens
  sum.audioPromptTokens += more.audioPromptTokens
  sum.completionTokens += more.completionTokens
  sum.reasoningTokens += more.reasoningTokens
  sum.characters += more.characters
  sum.spokenCharacters += more.spokenCharacters
  sum.seconds += more.seconds
}
