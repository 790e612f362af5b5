import type { WebSocket } from 'ws'
import { type Usage, type UsageSource, usageWithin } from '#billing/usage.ts'
import { endAttempt, type MeteredCall } from '#gateway/call.ts'
import { type Ending, settleInTime, voidCall } from '#gateway/finish-call.ts'
import { noteFault } from '#gateway/try-targets.ts'
import { AppError } from '#src/errors.ts'
import { countCodePoints } from '#wire/speech-count.ts'
import { readVendorFrame } from '#wire/speech-socket-frames.ts'
import { type OpenedSession, openSession } from './open-session.ts'
import { createSessionHold } from './session-hold.ts'
import type { Inbox } from './session-inbox.ts'
import { SessionRefusal } from './session-refusal.ts'
import type { SpeechGateway } from './speech.ts'
import { createStop } from './stop.ts'
import type { StreamTarget } from './stream-target.ts'

/** One admitted session of streaming speech. */
export interface SessionCall extends MeteredCall<StreamTarget> {
  /** The frame that begins it, as the upstream gets it. */
  start: Readonly<Record<string, unknown>>
}

interface Used {
  usage: Usage
  usageSource: UsageSource
}

/** One frame, and one session. */
const FRAME_CHARACTERS_MAX = 5_000
const SESSION_CHARACTERS_MAX = 100_000
/** What either side may leave unread before the other one waits. */
const WAITING_BYTES_MAX = 1024 * 1024

/** How a session came to its end, before it is settled. */
type Finish =
  | { how: 'finished'; characters: number | undefined; last: Buffer }
  | { how: 'client_abort' }
  | { how: 'fault'; code: string; last?: Buffer }
  | { how: 'cut_off'; reason: 'shutting_down' | 'ledger_unavailable' | 'hold_lost' }
  | { how: 'refused'; refusal: SessionRefusal }

/**
 * Carries one session between a client and an upstream. Every text is held before it goes to the vendor; what went there is
 * paid, however the session ends; the vendor's last word goes to the client when it is settled. Throws what the client is to
 * be told: AppError, SessionRefusal.
 */
export async function relaySession(
  gateway: SpeechGateway,
  socket: WebSocket,
  inbox: Inbox,
  call: SessionCall,
): Promise<void> {
  const stopping = createStop()
  const left = () => stopping.stop('client_abort')
  socket.once('close', left)
  const opening = {
    tick(nowMs: number) {
      if (nowMs - call.exchange.startedAt > call.route.timeouts.totalMs) stopping.stop('timeout_total')
    },
    cut: () => stopping.stop('shutting_down'),
  }
  gateway.openCalls.watch(opening)
  let opened: OpenedSession | undefined
  try {
    if (inbox.closed()) left()
    opened = await openSession(gateway, call, stopping)
  } finally {
    gateway.openCalls.unwatch(opening)
    socket.off('close', left)
  }
  if (opened === undefined) {
    const stopped = stopping.why() === 'shutting_down' ? new AppError('shutting_down') : undefined
    throw await voidCall(gateway, call, stopped)
  }
  const session = createSession(gateway, socket, inbox, call, opened)
  gateway.openCalls.watch(session)
  try {
    await session.run()
  } finally {
    gateway.openCalls.unwatch(session)
    opened.line.close()
  }
}

function createSession(
  gateway: SpeechGateway,
  socket: WebSocket,
  inbox: Inbox,
  call: SessionCall,
  { index, target, line, first, listen }: OpenedSession,
) {
  const { timeouts } = call.route
  const hold = createSessionHold(gateway, call)
  const over = Promise.withResolvers<Finish>()
  let finish: Finish | undefined
  let sent = 0
  let poor = false
  let canceled = false
  let heardAt = performance.now()
  let fullSince: number | undefined

  function end(how: Finish): void {
    if (finish !== undefined) return
    finish = how
    over.resolve(how)
    inbox.stop()
  }

  function forward(data: Buffer | string, isBinary: boolean): void {
    call.firstByteAt ??= performance.now()
    socket.send(data, { binary: isBinary }, () => {
      if (fullSince === undefined || socket.bufferedAmount > WAITING_BYTES_MAX) return
      fullSince = undefined
      line.resume()
    })
    if (socket.bufferedAmount <= WAITING_BYTES_MAX || fullSince !== undefined) return
    fullSince = performance.now()
    line.pause()
  }

  function heard(data: Buffer, isBinary: boolean): void {
    if (finish !== undefined) return
    heardAt = performance.now()
    if (isBinary) {
      forward(data, true)
      return
    }
    const text = data.toString('utf8')
    const { event, characters, code } = readVendorFrame(text)
    if (event === 'session.finished') end({ how: 'finished', characters, last: data })
    else if (event === 'error') end({ how: 'fault', code: vendorCode(code), last: data })
    else forward(text, false)
  }

  listen({
    onMessage: heard,
    onClose({ fault }) {
      if (canceled) end({ how: 'client_abort' })
      else end({ how: 'fault', code: fault })
    },
  })

  /** Takes the client's frames one by one; each text waits for its cover. */
  async function speak(): Promise<void> {
    for (let frame = await inbox.next(); frame !== undefined && finish === undefined; frame = await inbox.next()) {
      if (poor) continue
      if (frame.event === 'text') await say(frame.text)
      else if (frame.event === 'finish') line.send(FINISH)
      else if (frame.event === 'cancel') {
        canceled = true
        line.send(CANCEL)
      } else throw new SessionRefusal('invalid_frame', 'A session takes text, finish and cancel.')
    }
  }

  async function say(text: string): Promise<void> {
    const characters = countCodePoints(text)
    if (characters > FRAME_CHARACTERS_MAX)
      throw new SessionRefusal('text_too_long', `A frame holds at most ${FRAME_CHARACTERS_MAX} characters.`)
    if (sent + characters > SESSION_CHARACTERS_MAX)
      throw new SessionRefusal('text_too_long', `A session holds at most ${SESSION_CHARACTERS_MAX} characters.`)
    const covered = await hold.cover(sent + characters, sent)
    if (finish !== undefined) return
    if (covered === 'lost') end({ how: 'cut_off', reason: 'hold_lost' })
    else if (covered === 'away') end({ how: 'cut_off', reason: 'ledger_unavailable' })
    else if (covered === 'insufficient') {
      // What was paid is spoken to its end; then the client is told.
      poor = true
      line.send(FINISH)
    } else {
      sent += characters
      line.send(JSON.stringify({ event: 'text', text }))
      while (line.waiting() > WAITING_BYTES_MAX && finish === undefined) await delay(BACKLOG_LOOK_MS)
    }
  }

  /** What was sent, which is what is charged where the vendor does not say better. */
  function counted(): Used {
    const calls = target.priced.price.lines.calls === undefined ? {} : { calls: 1 }
    return { usage: { characters: sent, ...calls }, usageSource: 'counted' }
  }

  /** The vendor's own figure where this session can have used it. */
  function told(reported: number | undefined): Used & { reason?: string } {
    const own = counted()
    if (reported === undefined) return { ...own, reason: 'usage_missing' }
    const possible = reported > 0 && usageWithin({ characters: reported }, { ...NO_TOKENS, charactersMax: sent }).ok
    if (!possible) return { ...own, reason: 'usage_impossible' }
    return { usage: { ...own.usage, characters: reported }, usageSource: 'provider' }
  }

  async function settle(how: Finish): Promise<void> {
    call.answeredAt = performance.now()
    const at = { target: index }
    if (how.how === 'fault') noteFault(gateway, call, index, { class: 'provider', code: how.code })
    else if (how.how !== 'finished') {
      call.dispatch.report(target, 'aborted')
      endAttempt(call, how.how === 'cut_off' ? how.reason : 'client_abort')
    }
    const ending = endingOf(how)
    const nothing = sent === 0
    const settled = await settleInTime(
      gateway,
      call,
      nothing
        ? {
            outcome: 'void',
            reason: ending.reason ?? 'nothing_said',
            usage: {},
            usageSource: 'none',
            ...at,
          }
        : { ...ending, ...at },
    )
    if (settled === undefined) throw new AppError('settlement_pending')
  }

  function endingOf(how: Finish): Omit<Ending, 'target'> {
    if (how.how === 'finished') {
      const found = told(how.characters)
      return poor ? { ...found, ...POOR } : { outcome: 'complete' as const, ...found }
    }
    const own = counted()
    if (how.how === 'client_abort') return { outcome: 'client_abort' as const, ...own }
    if (how.how === 'cut_off') return { outcome: 'cut_off' as const, ...own, reason: how.reason }
    if (how.how === 'refused') return { outcome: 'cut_off' as const, ...own, reason: how.refusal.code }
    const free = gateway.policy.upstreamError === 'free'
    return { outcome: 'upstream_error' as const, ...own, reason: how.code, ...(free && { chargeMax: 0n }) }
  }

  return {
    async run(): Promise<void> {
      for (const { data, isBinary } of first) forward(isBinary ? data : data.toString('utf8'), isBinary)
      const speaking = speak().then(
        () => {
          if (inbox.closed()) end({ how: 'client_abort' })
        },
        (error: unknown) => {
          if (!(error instanceof SessionRefusal)) throw error
          end({ how: 'refused', refusal: error })
        },
      )
      await Promise.race([over.promise, speaking.then(() => over.promise)])
      const how = await over.promise
      if (how.how === 'client_abort' || how.how === 'refused') line.send(CANCEL)
      await settle(how)
      if (how.how === 'finished') forward(how.last.toString('utf8'), false)
      if (how.how === 'fault' && how.last !== undefined) forward(how.last.toString('utf8'), false)
      if (how.how === 'refused') throw how.refusal
      if (poor) throw new AppError('insufficient_quota')
      if (how.how === 'fault') throw new AppError('upstream_failed')
      if (how.how === 'cut_off')
        throw new AppError(how.reason === 'shutting_down' ? 'shutting_down' : 'ledger_unavailable')
    },

    tick(nowMs: number): void {
      if (finish !== undefined) return
      if (fullSince !== undefined && nowMs - fullSince > gateway.timeouts.clientStallMs) {
        socket.terminate()
        end({ how: 'client_abort' })
      } else if (nowMs - call.exchange.startedAt > timeouts.totalMs)
        end({ how: 'refused', refusal: new SessionRefusal('session_too_long', 'The session has lasted too long.') })
      else if (nowMs - Math.max(heardAt, inbox.lastAt()) > timeouts.idleMs)
        end({ how: 'refused', refusal: new SessionRefusal('idle_timeout', 'Neither side has said anything for long.') })
    },

    cut(): void {
      end({ how: 'cut_off', reason: 'shutting_down' })
    },
  }
}

const FINISH = JSON.stringify({ event: 'finish' })
const CANCEL = JSON.stringify({ event: 'cancel' })
const POOR = { outcome: 'cut_off', reason: 'insufficient_credits' } as const
const NO_TOKENS = { promptTokensMax: 0, completionTokensMax: 0 }
const BACKLOG_LOOK_MS = 20

function delay(ms: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, ms))
}

/** A vendor's code as receipts may hold it. */
function vendorCode(code: string | undefined): string {
  return code !== undefined && /^[a-z0-9_]{1,40}$/i.test(code) ? `vendor_${code.toLowerCase()}` : 'error_in_stream'
}
