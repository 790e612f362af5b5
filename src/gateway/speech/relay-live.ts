import { randomUUID } from 'node:crypto'
import type { IncomingMessage } from 'node:http'
import type { SpeechLine, SpeechLineHandler } from '#adapters/tts/speech-dial.ts'
import { upperBoundOf } from '#billing/price.ts'
import { beginAttempt, callHeaders, type Exchange, endAttempt, extendHold, type MeteredCall } from '#gateway/call.ts'
import { createClientStream } from '#gateway/client-stream.ts'
import { type Ending, settleInTime, voidCall } from '#gateway/finish-call.ts'
import { firstByteMs, noteFault, tryTargets } from '#gateway/try-targets.ts'
import {
  errorOfFaults,
  faultOfCredential,
  faultOfStatus,
  SHUTTING_DOWN,
  type UpstreamFault,
} from '#gateway/upstream-fault.ts'
import { AppError, errorBody } from '#src/errors.ts'
import { createNlsText, nlsCommand, nlsFaultClass, nlsStartPayload, readNlsEvent } from '#wire/transcription-nls.ts'
import type { LiveTarget } from './live-target.ts'
import type { SpeechGateway } from './speech.ts'
import { createStop, faultOfStop } from './stop.ts'

/** One admitted call whose audio comes while it is heard. */
export interface LiveCall extends MeteredCall<LiveTarget> {
  exchange: Exchange
}

/** 16 kHz, 16 bit, one channel. */
export const LIVE_BYTES_PER_SECOND = 32_000
/** Seconds that a hold grows by at once. */
export const LIVE_SECONDS_FIRST = 30
/** What the vendor takes in one message. */
const PIECE_BYTES = 3_200
const WAITING_BYTES_MAX = 1024 * 1024
const LOOK_MS = 20

interface Opened {
  index: number
  target: LiveTarget
  line: SpeechLine
  session: { appkey: string; taskId: string }
  listen(handler: Pick<SpeechLineHandler, 'onMessage' | 'onClose'>): void
}

type Over =
  | { how: 'completed' }
  | { how: 'fault'; fault: UpstreamFault }
  | { how: 'client_abort' }
  | { how: 'cut_off'; reason: 'insufficient_credits' | 'hold_lost' | 'ledger_unavailable' | 'shutting_down' }

/**
 * Hears a body of plain samples as it comes, and tells each sentence as an event. No second goes to the vendor that is not
 * held; what went there is paid. Throws AppError while nothing has been sent.
 */
export async function relayLive(gateway: SpeechGateway, req: IncomingMessage, call: LiveCall): Promise<void> {
  const stopping = createStop()
  let heardAt = performance.now()
  let over: ((how: Over) => void) | undefined
  const end = (how: Over) => over?.(how)
  const client = createClientStream({
    res: call.exchange.res,
    headers: () => callHeaders(call),
    keepAliveMs: gateway.timeouts.keepAliveMs,
    stallMs: gateway.timeouts.clientStallMs,
    onFull: () => undefined,
    onDrain: () => undefined,
    onGone() {
      stopping.stop('client_abort')
      end({ how: 'client_abort' })
    },
  })
  const watched = {
    tick(nowMs: number) {
      if (opened !== undefined) client.tick(nowMs)
      const late = nowMs - call.exchange.startedAt > call.route.timeouts.totalMs
      if (late) stopping.stop('timeout_total')
      const silent = opened !== undefined && nowMs - heardAt > call.route.timeouts.idleMs
      if (late || silent)
        end({
          how: 'fault',
          fault: { class: 'provider', code: late ? 'timeout_total' : 'timeout_idle', timedOut: true },
        })
    },
    cut() {
      stopping.stop('shutting_down')
      end({ how: 'cut_off', reason: 'shutting_down' })
    },
  }
  let opened: Opened | undefined
  gateway.openCalls.watch(watched)
  try {
    opened = await openLive(gateway, call, stopping)
    if (opened === undefined) {
      client.release()
      const error = await voidCall(
        gateway,
        call,
        stopping.why() === 'shutting_down' ? new AppError('shutting_down') : undefined,
      )
      if (!call.exchange.res.destroyed) throw error
      return
    }
    await carry(opened)
  } finally {
    gateway.openCalls.unwatch(watched)
    opened?.line.close()
  }

  async function carry({ index, target, line, session, listen }: Opened): Promise<void> {
    const finished = Promise.withResolvers<Over>()
    over = finished.resolve
    const text = createNlsText()
    let bytes = 0
    let ended = false
    let poor = false
    listen({
      onMessage(data) {
        heardAt = performance.now()
        const event = readNlsEvent(data.toString('utf8'))
        const delta = text.push(event)
        if (delta !== undefined) {
          call.firstByteAt ??= performance.now()
          client.write(sse({ type: 'transcript.text.delta', delta }))
        }
        if (event.kind === 'completed') finished.resolve({ how: 'completed' })
        if (event.kind === 'failed') finished.resolve({ how: 'fault', fault: failed(event.status) })
      },
      onClose: ({ fault }) => finished.resolve({ how: 'fault', fault: { class: 'provider', code: fault } }),
    })
    if (stopping.why() === 'client_abort') finished.resolve({ how: 'client_abort' })
    void finished.promise.then(() => {
      ended = true
      if (!req.destroyed) req.resume()
    })

    const speaking = (async () => {
      for await (const chunk of req as AsyncIterable<Buffer>) {
        if (ended || poor) continue
        heardAt = performance.now()
        const covered = await cover(gateway, call, bytes + chunk.length, bytes)
        if (ended) continue
        if (covered === 'insufficient') {
          poor = true
          stop()
        } else if (covered === 'held') {
          bytes += chunk.length
          for (let at = 0; at < chunk.length; at += PIECE_BYTES) line.send(chunk.subarray(at, at + PIECE_BYTES))
          while (line.waiting() > WAITING_BYTES_MAX && !ended)
            await new Promise((resolve) => setTimeout(resolve, LOOK_MS))
        } else finished.resolve({ how: 'cut_off', reason: covered === 'lost' ? 'hold_lost' : 'ledger_unavailable' })
      }
      if (!ended && !poor) stop()
    })()
    // A body that breaks off is a client that has left.
    speaking.catch(() => finished.resolve({ how: 'client_abort' }))

    function stop(): void {
      line.send(nlsCommand(session, 'StopTranscription', id32()))
    }

    const first = await finished.promise
    const how: Over = poor && first.how === 'completed' ? { how: 'cut_off', reason: 'insufficient_credits' } : first
    call.answeredAt = performance.now()
    const seconds = Math.ceil(bytes / LIVE_BYTES_PER_SECOND)
    if (how.how === 'fault') noteFault(gateway, call, index, how.fault)
    else if (first.how !== 'completed') {
      call.dispatch.report(target, 'aborted')
      endAttempt(call, how.how === 'cut_off' ? how.reason : 'client_abort')
    }
    const settled = await settleInTime(gateway, call, endingOf(gateway, how, seconds, index))
    if (settled === undefined) client.end(errorFrame(new AppError('settlement_pending')))
    else if (how.how === 'completed')
      client.end(sse({ type: 'transcript.text.done', text: text.text(), usage: { type: 'duration', seconds } }))
    else if (how.how === 'fault') client.end(errorFrame(errorOfFaults([{ ...how.fault, class: 'provider' }])))
    else if (how.how === 'cut_off') client.end(errorFrame(new AppError(codes[how.reason])))
  }
}

const codes = {
  insufficient_credits: 'insufficient_quota',
  hold_lost: 'ledger_unavailable',
  ledger_unavailable: 'ledger_unavailable',
  shutting_down: 'shutting_down',
} as const

function endingOf(gateway: SpeechGateway, how: Over, seconds: number, target: number): Ending {
  const reason = how.how === 'fault' ? how.fault.code : how.how === 'cut_off' ? how.reason : undefined
  const why = reason === undefined ? {} : { reason }
  if (seconds === 0)
    return { outcome: 'void', reason: reason ?? 'nothing_heard', usage: {}, usageSource: 'none', target }
  const used = { usage: { seconds }, usageSource: 'counted' as const, target }
  if (how.how === 'completed') return { outcome: 'complete', ...used }
  if (how.how === 'client_abort') return { outcome: 'client_abort', ...used }
  if (how.how === 'cut_off') return { outcome: 'cut_off', ...used, ...why }
  const free = gateway.policy.upstreamError === 'free'
  return { outcome: 'upstream_error', ...used, ...why, ...(free && { chargeMax: 0n }) }
}

/** What so many bytes of audio cost at most, in nano-dollars. */
export function liveNanos(targets: readonly { price: Parameters<typeof upperBoundOf>[1] }[], bytes: number): bigint {
  const seconds = Math.ceil(bytes / LIVE_BYTES_PER_SECOND)
  return targets.reduce((most, { price }) => {
    const nanos = upperBoundOf({ seconds }, price)
    return nanos > most ? nanos : most
  }, 0n)
}

async function cover(
  gateway: SpeechGateway,
  call: LiveCall,
  bytes: number,
  sent: number,
): Promise<'held' | 'insufficient' | 'lost' | 'away'> {
  const { targets } = call.context
  const needed = liveNanos(targets, bytes)
  if (needed <= call.held) return 'held'
  const seconds = Math.ceil(sent / LIVE_BYTES_PER_SECOND)
  try {
    const extended = await extendHold(gateway, call, {
      nanos: liveNanos(targets, bytes + LIVE_SECONDS_FIRST * LIVE_BYTES_PER_SECOND),
      accrued: liveNanos(targets, sent),
      accruedUsage: JSON.stringify({ usage: { seconds }, target: 0 }),
    })
    if (extended === 'lost') return 'lost'
  } catch {
    return 'away'
  }
  return needed <= call.held ? 'held' : 'insufficient'
}

async function openLive(
  gateway: SpeechGateway,
  call: LiveCall,
  stopping: ReturnType<typeof createStop>,
): Promise<Opened | undefined> {
  let opened: Opened | undefined
  await tryTargets(gateway, call, async (index, target) => {
    if (gateway.openCalls.cutting) return SHUTTING_DOWN
    beginAttempt(call, target)
    const result = await dial(gateway, call, index, target, stopping.signal)
    const why = stopping.why()
    if ('class' in result) return why === undefined ? result : faultOfStop(why)
    call.dispatch.answered(target)
    opened = result
    return 'ended'
  })
  return opened
}

async function dial(
  gateway: SpeechGateway,
  call: LiveCall,
  index: number,
  target: LiveTarget,
  signal: AbortSignal,
): Promise<Opened | UpstreamFault> {
  let at: { url: string; appkey: string }
  try {
    at = await target.open()
  } catch (cause) {
    return faultOfCredential(cause)
  }
  if (signal.aborted) return { class: 'provider', code: 'client_abort' }
  const session = { appkey: at.appkey, taskId: id32() }
  return await new Promise((resolve) => {
    let later: Pick<SpeechLineHandler, 'onMessage' | 'onClose'> | undefined
    const patience = firstByteMs(call, target, call.route.timeouts.firstByteMs)
    const timer = setTimeout(() => fail({ class: 'provider', code: 'timeout_first_byte', timedOut: true }), patience)
    const given = () => fail({ class: 'provider', code: 'client_abort' })
    signal.addEventListener('abort', given, { once: true })
    const done = (result: Opened | UpstreamFault) => {
      clearTimeout(timer)
      signal.removeEventListener('abort', given)
      resolve(result)
    }
    const fail = (fault: UpstreamFault) => {
      if (fault.class === 'credential') target.rejected()
      line.drop()
      done(fault)
    }
    const line = gateway.speech.dial(
      { url: at.url, headers: {} },
      {
        onOpen: () => line.send(nlsCommand(session, 'StartTranscription', id32(), nlsStartPayload(target.options))),
        onMessage(data, isBinary) {
          if (later !== undefined) {
            later.onMessage(data, isBinary)
            return
          }
          const event = readNlsEvent(data.toString('utf8'))
          if (event.kind === 'failed') fail(failed(event.status))
          if (event.kind !== 'started') return
          done({
            index,
            target,
            line,
            session,
            listen(handler) {
              later = handler
            },
          })
        },
        onClose({ fault, status }) {
          if (later !== undefined) later.onClose({ fault })
          else if (status !== undefined) fail(faultOfStatus(status, {}, '', undefined))
          else fail({ class: 'provider', code: fault })
        },
      },
    )
  })
}

function failed(status: number): UpstreamFault {
  return { class: nlsFaultClass(status), code: status === 0 ? 'malformed_frame' : `vendor_${status}` }
}

function sse(event: object): string {
  return `data: ${JSON.stringify(event)}\n\n`
}

function errorFrame(error: AppError): string {
  return `event: error\n${sse({ type: 'error', ...errorBody(error) })}`
}

function id32(): string {
  return randomUUID().replaceAll('-', '')
}
