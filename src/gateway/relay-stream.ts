import { type CallEnd, pricedNanos } from '#domain/settlement.ts'
import { AppError, errorBody } from '#src/errors.ts'
import type { StreamVoice } from '#wire/protocol.ts'
import { type Attempt, startAttempt } from './attempt.ts'
import { beginAttempt, type Call, callHeaders, endAttempt, extendHold, interpreterOf } from './call.ts'
import { createClientStream, STREAM_HEADERS } from './client-stream.ts'
import { codecs } from './codecs.ts'
import { countedUsage, findUsage, type UsageFinding } from './counted-usage.ts'
import { createDeliveredText } from './delivered-text.ts'
import { type Ending, settleInTime, voidCall } from './finish-call.ts'
import type { Gateway } from './gateway.ts'
import { coveredTokens, nanosFor } from './hold-plan.ts'
import { createRecorder, keepOutcome } from './keep-outcome.ts'
import { createStreamReader } from './stream-reader.ts'
import type { Target } from './target.ts'
import { createTranche } from './tranche.ts'
import { firstByteMs, noteFault, tryTargets } from './try-targets.ts'
import { errorOfFaults, SHUTTING_DOWN, type UpstreamFault } from './upstream-fault.ts'
import { upstreamRequest } from './upstream-request.ts'

/**
 * Relays a stream: tries the targets until one delivers content, passes its frames on byte for byte, and sends the last
 * frames only after the settlement is committed. Resolves when the answer is over. Throws AppError while nothing has been
 * sent; later faults are told in the stream.
 */
export async function relayStream(gateway: Gateway, call: Call): Promise<void> {
  const relay = createRelay(gateway, call)
  gateway.openCalls.watch(relay)
  try {
    const served = await tryTargets(gateway, call, async (index, target) => {
      const fault = await relay.attempt(index, target)
      if (fault === 'ended' || !target.streamOptions || !refusesStreamOptions(call, fault)) return fault
      endAttempt(call, fault.code)
      const again = await relay.attempt(index, { ...target, streamOptions: false })
      if (again === 'ended' && relay.delivered()) rememberRefusal(target)
      return again
    })
    if (!served) await relay.fail()
  } finally {
    gateway.openCalls.unwatch(relay)
    relay.release()
  }
}

/**
 * We ask for usage on the caller's behalf; where that is refused, it is our fault and not his. Options of the caller's own
 * are his: what he can provoke must not change how others are metered.
 */
function refusesStreamOptions(call: Call, { class: kind, error }: UpstreamFault): boolean {
  if (kind !== 'caller' || error === undefined || call.request.members.has('stream_options')) return false
  if (error.param !== null) return error.param === 'stream_options' || error.param === 'stream_options.include_usage'
  return error.message.includes('stream_options')
}

const REFUSAL_REMEMBERED_MS = 3_600_000

/** Spares later calls the vain attempt, for a while. What is billed unseen is asked for every time. */
function rememberRefusal(target: Target): void {
  if (target.hiddenReasoning) return
  target.streamOptions = false
  setTimeout(() => {
    target.streamOptions = true
  }, REFUSAL_REMEMBERED_MS).unref()
}

/** How long an upstream that has said all may take to end its response, so that the connection can be used again. */
const LINGER_MS = 1_000

type StreamEnd = Pick<CallEnd, 'outcome' | 'reason' | 'chargeMax'> & UsageFinding

function createRelay(gateway: Gateway, call: Call) {
  const { request, exchange } = call
  const timeouts = { ...gateway.timeouts, ...call.route.timeouts }
  let delivered = createDeliveredText()
  const pausedBy = { client: false, hold: false }
  let target = 0
  let running:
    | {
        attempt: Attempt
        reader: ReturnType<typeof createStreamReader>
        voice: StreamVoice
        over: (how: UpstreamFault | Promise<'ended'>) => void
      }
    | undefined
  const recorder = createRecorder(call)
  let contentSent = false
  let draining = false
  let ending: Promise<'ended'> | undefined

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
    return running?.voice ?? freshVoice()
  }

  function freshVoice(): StreamVoice {
    const fallback = { id: exchange.id, model: request.model, created: Math.floor(Date.now() / 1000) }
    return codecs[request.protocol].format({ includeUsage: request.includeUsage, fallback })
  }

  function pause(by: 'client' | 'hold'): void {
    if (!pausedBy.client && !pausedBy.hold) running?.attempt.pause()
    pausedBy[by] = true
  }

  function resume(by: 'client' | 'hold'): void {
    if (!pausedBy[by]) return
    pausedBy[by] = false
    if (!pausedBy.client && !pausedBy.hold) running?.attempt.resume()
  }

  /** Settles the call, then ends the client's stream with `tail`; once. */
  function end(how: StreamEnd, tail: (charged: bigint) => (Buffer | string)[]): void {
    if (ending !== undefined) return
    call.answeredAt = performance.now()
    const { id, model } = running?.reader.identity() ?? {}
    const names = { ...(model !== undefined && { modelUsed: model }), ...(id !== undefined && { upstreamId: id }) }
    ending = finish({ ...how, ...names, target }, tail)
    running?.over(ending)
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

  function complete(last: Buffer): void {
    const found = findUsage(call, target, running?.reader.usage(), () => delivered.count())
    const outcome = draining ? 'client_abort' : 'complete'
    end({ outcome, ...found }, (charged) => [last, receiptComment(charged), voice().done()])
  }

  function clientGone(): void {
    if (ending !== undefined || running === undefined) return
    // What a model reasons unseen is only known at the end: hanging up before it must not make it free.
    const drain = gateway.policy.clientAbort === 'drain' || call.route.targets[target]?.hiddenReasoning === true
    if (drain && running.attempt.sent()) {
      draining = true
      resume('client')
      return
    }
    running.attempt.abort()
    leave('client_abort')
    // Nobody can bill a request that never left.
    if (running.attempt.sent()) end({ outcome: 'client_abort', ...countedUsage(call, delivered.count()) }, () => [])
    else end({ outcome: 'void', reason: 'client_abort', usage: {}, usageSource: 'none' }, () => [])
  }

  /** The attempt is given up, through no fault of the upstream. */
  function leave(why: string): void {
    const at = call.route.targets[target]
    if (at !== undefined) call.dispatch.report(at, 'aborted')
    endAttempt(call, why)
  }

  /** The upstream failed: before content the next target may serve, afterwards the client is told in the stream. */
  function failed(fault: UpstreamFault): void {
    if (ending !== undefined) return
    running?.attempt.abort()
    if (!contentSent && !draining) {
      running?.over(fault)
      return
    }
    noteFault(gateway, call, target, fault)
    if (!contentSent) {
      end({ outcome: 'void', reason: fault.code, usage: {}, usageSource: 'none' }, () => [])
      return
    }
    const free = gateway.policy.upstreamError === 'free'
    end(
      {
        outcome: draining ? 'client_abort' : 'upstream_error',
        reason: fault.code,
        ...countedUsage(call, delivered.count()),
        ...(free && { chargeMax: 0n }),
      },
      (charged) => [receiptComment(charged), errorFrame(errorOfFaults([{ ...fault, class: 'provider' }]), voice())],
    )
  }

  /** We end the stream ourselves: cleanly, with what was delivered charged. */
  function cut(reason: 'insufficient_credits' | 'hold_lost' | 'ledger_unavailable' | 'shutting_down'): void {
    if (ending !== undefined || running === undefined) return
    running.attempt.abort()
    leave(reason)
    const counted = countedUsage(call, delivered.count())
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

  /** The first content goes out: from here no other target can serve. */
  function served(): void {
    contentSent = true
    call.firstByteAt ??= performance.now()
    const at = call.route.targets[target]
    if (at !== undefined) call.dispatch.answered(at)
  }

  function trancheFor(at: Target) {
    return createTranche({
      covered: coveredTokens(request, call.plan, at, call.held),
      outputTokensMax: call.plan.outputTokensMax,
      recount: () => delivered.recount(),
      pause: () => pause('hold'),
      resume: () => resume('hold'),
      onEmpty: cut,
      async extend(tokens) {
        const { usage } = countedUsage(call, delivered.count())
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
    /** Whether content has gone out. */
    delivered(): boolean {
      return contentSent
    },

    /** Tries one target. Resolves to `ended` when the call is over, or to the fault that leaves the client unserved. */
    attempt(index: number, at: Target): Promise<UpstreamFault | 'ended'> {
      if (ending !== undefined) return ending
      if (gateway.openCalls.cutting) return Promise.resolve(SHUTTING_DOWN)
      target = index
      delivered = createDeliveredText()
      beginAttempt(call, at)
      const tranche = trancheFor(at)
      return new Promise((resolve) => {
        const interpreter = interpreterOf(call, at)
        const { format, voice: said, translator } = interpreter.stream()
        const reader = createStreamReader({
          frameBytesMax: gateway.limits.frameBytesMax,
          format,
          ...(translator && { translator }),
          faultOfWhole(body) {
            const facts = interpreter.parseWhole(body)
            return 'fault' in facts ? facts.fault : undefined
          },
          choices: request.choices,
          includeUsage: request.includeUsage,
          onText: (text) => delivered.add(text),
          onFrames(bytes) {
            if (ending !== undefined) return
            if (!contentSent) served()
            recorder.add(bytes)
            client.write(bytes)
            tranche.advance(delivered.estimate())
          },
          onComplete: complete,
          onFault: failed,
        })
        const patience = { ...timeouts, firstByteMs: firstByteMs(call, at, timeouts.firstByteMs) }
        const attempt = startAttempt(gateway.upstream, at, upstreamRequest(call, at), patience, reader)
        running = { attempt, reader, voice: said, over: resolve }
        if (exchange.res.destroyed) clientGone()
      })
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
      running?.attempt.tick(nowMs)
      if (nowMs - exchange.startedAt <= timeouts.totalMs) return
      failed({ class: 'provider', code: 'timeout_total', timedOut: true })
    },

    cut(): void {
      if (contentSent) {
        cut('shutting_down')
        return
      }
      failed(SHUTTING_DOWN)
    },

    /** The call is over. */
    release(): void {
      const attempt = running?.attempt
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
