import type { TtsAnswer } from '#adapters/tts/adapter.ts'
import { pricedNanos } from '#domain/settlement.ts'
import { beginAttempt, callHeaders, type Exchange, endAttempt, headerText, type MeteredCall } from '#gateway/call.ts'
import { type Ending, settleInTime, voidCall } from '#gateway/finish-call.ts'
import type { Gateway } from '#gateway/gateway.ts'
import { createRecorder, keepOutcome } from '#gateway/keep-outcome.ts'
import { firstByteMs, noteFault, tryTargets } from '#gateway/try-targets.ts'
import { faultOfCredential, SHUTTING_DOWN, type UpstreamFault } from '#gateway/upstream-fault.ts'
import { AppError } from '#src/errors.ts'
import { createAudioSink } from './audio-sink.ts'
import { usageOfPart, usageOfWhole } from './speech-meter.ts'
import type { SpeechOffer } from './speech-offers.ts'
import type { SpeechTarget } from './speech-target.ts'
import { createStop, faultOfStop, type StopReason } from './stop.ts'
import { thrownFault } from './thrown-fault.ts'

/** One admitted call for speech. */
export interface SpeechCall extends MeteredCall<SpeechTarget> {
  exchange: Exchange
  /** What each target is asked for. */
  offers: ReadonlyMap<SpeechTarget, SpeechOffer>
  /** As the client asked; a target may speak with another one. */
  voice: string | undefined
}

/**
 * Tries the targets until one has audio, and passes it on at the client's pace; the last byte leaves when the call is
 * settled. Throws AppError while nothing has been sent. A fault behind the first byte breaks the connection off: audio has no
 * place for an error.
 */
export async function relaySpeech(gateway: Gateway, call: SpeechCall): Promise<void> {
  const relay = createRelay(gateway, call)
  gateway.openCalls.watch(relay)
  try {
    if (await tryTargets(gateway, call, relay.attempt)) return
    const last = call.faults.at(-1)?.fault.code
    const error = await voidCall(gateway, call, last === 'shutting_down' ? new AppError(last) : undefined)
    if (!call.exchange.res.destroyed) throw error
  } finally {
    gateway.openCalls.unwatch(relay)
  }
}

function createRelay(gateway: Gateway, call: SpeechCall) {
  const { exchange, route } = call
  const recorder = createRecorder(call)
  const stopping = createStop()
  let sent = false
  let gone = false
  let draining = false
  let offered: SpeechOffer | undefined
  let head: Record<string, string> = {}
  const sink = createAudioSink({
    res: exchange.res,
    headers: () => head,
    stallMs: gateway.timeouts.clientStallMs,
    onGone: clientGone,
  })

  /** Tokens are only known at the end: hanging up before it must not make them free. */
  function clientGone(): void {
    gone = true
    const drain = gateway.policy.clientAbort === 'drain' || offered?.meter.exact === false
    if (drain && sent) draining = true
    else stopping.stop('client_abort')
  }

  /** What an adapter throws; what is no fault of anybody is our own. */
  function faultOf(error: unknown): UpstreamFault {
    const why = stopping.why()
    if (why !== undefined) return faultOfStop(why)
    const fault = thrownFault(error)
    if (fault === undefined) throw error
    return fault
  }

  async function speak(target: SpeechTarget, offer: SpeechOffer): Promise<TtsAnswer | UpstreamFault> {
    let access: Awaited<ReturnType<SpeechTarget['open']>>
    try {
      access = await target.open()
    } catch (cause) {
      return faultOfCredential(cause)
    }
    const names = target.adapter.id === 'openai' ? { 'x-client-request-id': call.requestId } : {}
    try {
      return await target.adapter.speak(offer.input, {
        key: access.key,
        headers: { ...names, ...access.headers },
        baseUrl: target.baseUrl,
        params: target.params,
        signal: stopping.signal,
        limits: {
          audioBytesMax: gateway.limits.answerBytesMax,
          firstByteMs: firstByteMs(call, target, route.timeouts.firstByteMs),
          idleMs: route.timeouts.idleMs,
        },
        onSent() {
          sent = true
        },
      })
    } catch (error) {
      return faultOf(error)
    }
  }

  async function settle(ending: Ending): Promise<boolean> {
    call.answeredAt = performance.now()
    return (await settleInTime(gateway, call, ending)) !== undefined
  }

  /** Nobody's fault: the target is let go. */
  function release(target: SpeechTarget, why: StopReason): void {
    call.dispatch.report(target, 'aborted')
    endAttempt(call, why)
  }

  /** The client left, or we were told to stop, before there was audio. */
  async function endUnheard(index: number, target: SpeechTarget, offer: SpeechOffer): Promise<'ended'> {
    release(target, 'client_abort')
    await settle(
      sent
        ? { outcome: 'client_abort', ...usageOfPart(offer.meter), target: index }
        : { outcome: 'void', reason: 'client_abort', usage: {}, usageSource: 'none', target: index },
    )
    return 'ended'
  }

  /** Audio went out and no more will come. */
  async function endCut(index: number, target: SpeechTarget, offer: SpeechOffer, fault: UpstreamFault) {
    const used = usageOfPart(offer.meter)
    const stopped = stopping.why()
    if (stopped === 'client_abort' || stopped === 'shutting_down') {
      release(target, stopped)
      const why = stopped === 'client_abort' ? ({ outcome: 'client_abort' } as const) : CUT_OFF
      await settle({ ...why, ...used, target: index })
    } else {
      noteFault(gateway, call, index, fault)
      const free = gateway.policy.upstreamError === 'free'
      await settle({
        outcome: gone ? 'client_abort' : 'upstream_error',
        ...used,
        reason: fault.code,
        target: index,
        ...(free && { chargeMax: 0n }),
      })
    }
    sink.break()
  }

  async function pass(index: number, target: SpeechTarget, offer: SpeechOffer, answer: TtsAnswer): Promise<'ended'> {
    exchange.dropped = answer.dropped
    head = headOf(call, offer, answer)
    call.firstByteAt ??= performance.now()
    call.dispatch.answered(target)
    try {
      for await (const piece of answer.body) {
        recorder.add(piece)
        await sink.write(piece)
        if (stopping.why() !== undefined) break
      }
    } catch (error) {
      await endCut(index, target, offer, faultOf(error))
      return 'ended'
    }
    const stopped = stopping.why()
    if (stopped !== undefined) {
      await endCut(index, target, offer, faultOfStop(stopped))
      return 'ended'
    }
    const settled = await settle({
      outcome: gone ? 'client_abort' : 'complete',
      ...usageOfWhole(offer.meter, answer.usage()),
      target: index,
      ...(answer.upstreamRequestId !== undefined && { upstreamId: answer.upstreamRequestId }),
    })
    if (!settled) {
      gateway.log.warn({ receipt: call.requestId }, 'audio was broken off: its settlement is late')
      sink.break()
      return 'ended'
    }
    const body = recorder.body()
    if (body !== undefined && !gone) await keepOutcome(gateway, call, { headers: head, body })
    sink.end()
    return 'ended'
  }

  return {
    async attempt(index: number, target: SpeechTarget): Promise<UpstreamFault | 'ended'> {
      if (gateway.openCalls.cutting) return SHUTTING_DOWN
      const offer = call.offers.get(target)
      if (offer === undefined) throw new Error('every target of a call has an offer')
      offered = offer
      sent = false
      const attempted = beginAttempt(call, target)
      const answer = await speak(target, offer)
      if (!('class' in answer)) return await pass(index, target, offer, answer)
      // We hung up on a provider that had the text, and may bill it.
      if (sent && answer.timedOut)
        attempted.costNanos = pricedNanos(call.context, index, usageOfPart(offer.meter).usage)
      const stopped = stopping.why()
      if (stopped === 'shutting_down') return SHUTTING_DOWN
      if (stopped === 'client_abort') return await endUnheard(index, target, offer)
      if (!draining) return answer
      // Nobody listens any more, so no other target is asked.
      noteFault(gateway, call, index, answer)
      await settle({ outcome: 'void', reason: answer.code, usage: {}, usageSource: 'none', target: index })
      return 'ended'
    },

    tick(nowMs: number): void {
      sink.tick(nowMs)
      if (nowMs - exchange.startedAt > route.timeouts.totalMs) stopping.stop('timeout_total')
    },

    cut(): void {
      stopping.stop('shutting_down')
    },
  }
}

const CUT_OFF = { outcome: 'cut_off', reason: 'shutting_down' } as const

function headOf(call: SpeechCall, { input }: SpeechOffer, answer: TtsAnswer): Record<string, string> {
  const mapped = call.voice !== undefined && input.voice !== undefined && input.voice !== call.voice
  return {
    'content-type': answer.contentType,
    'x-content-type-options': 'nosniff',
    'cache-control': 'no-store',
    ...callHeaders(call),
    ...(mapped && { 'x-fluxgate-voice': headerText(input.voice ?? '') }),
  }
}
