import { type CallEnd, pricedNanos } from '#domain/settlement.ts'
import { AppError, errorBody } from '#src/errors.ts'
import type { StreamVoice } from '#wire/protocol.ts'
import { type Call, callHeaders, extendHold } from './call.ts'
import { createClientStream, STREAM_HEADERS } from './client-stream.ts'
import { codecs } from './codecs.ts'
import { countedUsage, findUsage, promptNanos, type UsageFinding } from './counted-usage.ts'
import { createDeliveredText } from './delivered-text.ts'
import { type Ending, settleInTime, voidCall } from './finish-call.ts'
import type { Gateway } from './gateway.ts'
import { coveredTokens, nanosFor } from './hold-plan.ts'
import { createRecorder, keepOutcome } from './keep-outcome.ts'
import { createRace, type Lane } from './race.ts'
import { type StreamAttempt, startStreamAttempt } from './stream-attempt.ts'
import type { Target } from './target.ts'
import { createTranche } from './tranche.ts'
import { tryTargets } from './try-targets.ts'
import { errorOfFaults, SHUTTING_DOWN, TOTAL_OVER, type UpstreamFault } from './upstream-fault.ts'

/**
 * Relays a stream: tries the targets until one delivers content, passes its frames on byte for byte, and sends the last
 * frames only after the settlement is committed. Resolves when the answer is over. Throws AppError while nothing has been
 * sent; later faults are told in the stream.
 */
export async function relayStream(gateway: Gateway, call: Call): Promise<void> {
  const relay = createRelay(gateway, call)
  gateway.openCalls.watch(relay)
  try {
    const served = await tryTargets(gateway, call, (_index, target) => relay.attempt(target))
    if (!served) await relay.fail()
  } finally {
    gateway.openCalls.unwatch(relay)
    relay.release()
  }
}

/** How long an upstream that has said all may take to end its response, so that the connection can be used again. */
const LINGER_MS = 1_000

type StreamEnd = Pick<CallEnd, 'outcome' | 'reason' | 'chargeMax'> & UsageFinding

function createRelay(gateway: Gateway, call: Call) {
  const { request, exchange } = call
  const timeouts = { ...gateway.timeouts, ...call.route.timeouts }
  const pausedBy = { client: false, hold: false }
  // Whose price the call has.
  let target = 0
  let tranche: ReturnType<typeof createTranche> | undefined
  const recorder = createRecorder(call)
  let contentSent = false
  let draining = false
  let ending: Promise<'ended'> | undefined

  const mayAsk = () => !draining && ending === undefined
  const race = createRace<Target, StreamAttempt>(gateway, call, {
    hedgeAfterMs: call.route.hedgeAfterMs,
    mayAsk,
    costNanos: (index) => promptNanos(call, index),
    start(lane) {
      target = lane.index
      const firstByteMs = lane.target.firstByteMs ?? timeouts.firstByteMs
      return startStreamAttempt(gateway, call, {
        patience: { ...timeouts, firstByteMs },
        lane,
        mayAsk,
        onFrames: (bytes) => passOn(lane, bytes),
        onComplete: (last) => complete(lane, last),
      })
    },
    onBroken: broken,
  })

  const client = createClientStream({
    res: exchange.res,
    headers: () => callHeaders(call),
    keepAliveMs: timeouts.keepAliveMs,
    stallMs: timeouts.clientStallMs,
    onFull: () => pause('client'),
    onDrain: () => resume('client'),
    onGone: clientGone,
  })

  /** Says what is ours: as part of the running answer, or by itself where none has begun for the client. */
  function voice(): StreamVoice {
    return race.winner()?.runner.voice() ?? freshVoice()
  }

  function freshVoice(): StreamVoice {
    const fallback = { id: exchange.id, model: request.model, created: Math.floor(Date.now() / 1000) }
    return codecs[request.protocol].format({ includeUsage: request.includeUsage, fallback })
  }

  function pause(by: 'client' | 'hold'): void {
    if (!isPaused()) race.winner()?.runner.pause()
    pausedBy[by] = true
  }

  function isPaused(): boolean {
    return pausedBy.client || pausedBy.hold
  }

  function resume(by: 'client' | 'hold'): void {
    if (!pausedBy[by]) return
    pausedBy[by] = false
    if (!isPaused()) race.winner()?.runner.resume()
  }

  /** Settles the call, then ends the client's stream with `tail`; once. */
  function end(how: StreamEnd, tail: (charged: bigint) => (Buffer | string)[]): void {
    if (ending !== undefined) return
    call.answeredAt = performance.now()
    const { id, model } = race.winner()?.runner.identity() ?? {}
    const names = { ...(model !== undefined && { modelUsed: model }), ...(id !== undefined && { upstreamId: id }) }
    ending = finish({ ...how, ...names, target }, tail)
    race.finish(ending)
  }

  async function finish(how: Ending, tail: (charged: bigint) => (Buffer | string)[]): Promise<'ended'> {
    const result = await settleInTime(gateway, call, how)
    if (result === undefined) {
      client.end(errorFrame(new AppError('settlement_pending'), voice()))
      return 'ended'
    }
    const last = Buffer.concat(tail(result.charged ?? 0n).map((part) => Buffer.from(part)))
    recorder.add(last)
    const body = how.outcome === 'complete' || how.outcome === 'cut_off' ? recorder.body() : undefined
    if (body !== undefined)
      await keepOutcome(gateway, call, { headers: { ...STREAM_HEADERS, ...callHeaders(call) }, body })
    client.end(last)
    return 'ended'
  }

  function receiptComment(charged: bigint): string {
    return `: fluxgate receipt=rcp_${call.requestId} charged_nanousd=${charged}\n\n`
  }

  function passOn(lane: Lane<Target>, bytes: Buffer): void {
    if (ending !== undefined || !lane.serve()) return
    if (!contentSent) begin(lane)
    recorder.add(bytes)
    client.write(bytes)
    tranche?.advance(delivered().estimate())
  }

  /** The first content goes out: from here no other target can serve. */
  function begin({ index, target: at }: Lane<Target>): void {
    contentSent = true
    call.firstByteAt ??= performance.now()
    target = index
    tranche = trancheFor(at)
    if (isPaused()) race.winner()?.runner.pause()
  }

  function delivered() {
    return race.winner()?.runner.delivered() ?? createDeliveredText()
  }

  function complete(lane: Lane<Target>, last: Buffer): void {
    if (ending !== undefined || !lane.serve()) return
    target = lane.index
    const found = findUsage(call, target, race.winner()?.runner.usage(), () => delivered().count())
    const outcome = draining ? 'client_abort' : 'complete'
    end({ outcome, ...found }, (charged) => [last, receiptComment(charged), voice().done()])
  }

  function clientGone(): void {
    const running = race.running()
    if (ending !== undefined || running.length === 0) return
    // What a model reasons unseen is only known at the end: hanging up before it must not make it free.
    const mustDrain = (at: Target) => gateway.policy.clientAbort === 'drain' || at.hiddenReasoning
    const sent = running.filter(({ runner }) => runner.sent())
    const kept = sent.find((racer) => mustDrain(racer.lane.target))
    const paid = kept ?? sent[0]
    if (paid !== undefined) target = paid.lane.index
    race.leave('client_abort', { kept, paid })
    if (kept !== undefined) {
      draining = true
      resume('client')
    } else if (paid === undefined) {
      // Nobody can bill a request that never left.
      end({ outcome: 'void', reason: 'client_abort', usage: {}, usageSource: 'none' }, () => [])
    } else end({ outcome: 'client_abort', ...countedUsage(call, delivered().count()) }, () => [])
  }

  /** The upstream failed and no other may serve: after content the client is told in the stream. */
  function broken({ index }: Lane<Target>, fault: UpstreamFault): void {
    if (ending !== undefined) return
    target = index
    if (!contentSent) {
      end({ outcome: 'void', reason: fault.code, usage: {}, usageSource: 'none' }, () => [])
      return
    }
    const free = gateway.policy.upstreamError === 'free'
    end(
      {
        outcome: draining ? 'client_abort' : 'upstream_error',
        reason: fault.code,
        ...countedUsage(call, delivered().count()),
        ...(free && { chargeMax: 0n }),
      },
      (charged) => [receiptComment(charged), errorFrame(errorOfFaults([{ ...fault, class: 'provider' }]), voice())],
    )
  }

  /** We end the stream ourselves: cleanly, with what was delivered charged. */
  function cut(reason: 'insufficient_credits' | 'hold_lost' | 'ledger_unavailable' | 'shutting_down'): void {
    if (ending !== undefined) return
    race.leave(reason, { paid: race.winner() })
    const counted = countedUsage(call, delivered().count())
    end({ outcome: 'cut_off', reason, ...counted }, (charged) => {
      const saying = voice()
      if (reason !== 'insufficient_credits') {
        const error = new AppError(reason === 'shutting_down' ? reason : 'ledger_unavailable')
        return [receiptComment(charged), errorFrame(error, saying)]
      }
      const last = saying.cut({
        reason,
        fallback: { id: `chatcmpl-${exchange.id}`, model: call.route.model },
        created: Math.floor(Date.now() / 1000),
        choices: request.choices,
        usage: counted.usage,
      })
      return [last, receiptComment(charged), saying.done()]
    })
  }

  function trancheFor(at: Target) {
    return createTranche({
      covered: coveredTokens(request, call.plan, at, call.held),
      outputTokensMax: call.plan.outputTokensMax,
      recount: () => delivered().recount(),
      pause: () => pause('hold'),
      resume: () => resume('hold'),
      onEmpty: cut,
      async extend(tokens) {
        const { usage } = countedUsage(call, delivered().count())
        const extended = await extendHold(gateway, call, {
          nanos: nanosFor(request, call.plan, at, tokens),
          accrued: pricedNanos(call.context, target, usage),
          accruedUsage: JSON.stringify({ usage, target }),
        })
        return extended === 'lost' ? 'lost' : coveredTokens(request, call.plan, at, call.held)
      },
    })
  }

  return {
    /** Tries one target, as the race does. */
    attempt(at: Target): Promise<UpstreamFault | 'ended' | 'failed'> {
      if (ending !== undefined) return ending
      const over = race.attempt(at)
      if (exchange.res.destroyed) clientGone()
      return over
    },

    /** No target is left. Throws while the status line has not gone out. */
    async fail(): Promise<void> {
      const last = call.faults.at(-1)?.fault.code
      const failure = voidCall(gateway, call, last === 'shutting_down' ? new AppError(last) : undefined)
      ending = failure.then(() => 'ended' as const)
      const error = await failure
      if (!client.started()) {
        client.release()
        throw error
      }
      client.end(errorFrame(error, freshVoice()))
    },

    tick(nowMs: number): void {
      if (ending !== undefined) return
      client.tick(nowMs)
      if (nowMs - exchange.startedAt > timeouts.totalMs) race.failAll(TOTAL_OVER)
      else race.tick(nowMs)
    },

    cut(): void {
      if (contentSent) cut('shutting_down')
      else race.failAll(SHUTTING_DOWN)
    },

    /** The call is over. */
    release(): void {
      const attempt = race.winner()?.runner
      if (attempt === undefined || attempt.over()) return
      const untilMs = performance.now() + LINGER_MS
      const lingering = {
        tick(nowMs: number): void {
          if (attempt.over() || nowMs > untilMs) lingering.cut()
        },
        cut(): void {
          attempt.abort()
          gateway.openCalls.unwatch(lingering)
        },
      }
      gateway.openCalls.watch(lingering)
    },
  }
}

function errorFrame(error: AppError, voice: StreamVoice): string {
  const { message, type, param, code } = errorBody(error).error
  return voice.error({ message, type, param, code, status: error.status })
}
