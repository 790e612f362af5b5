import { AppError } from '#src/errors.ts'
import { countTokens } from '#wire/count-tokens.ts'
import { type Call, callHeaders } from './call.ts'
import { endResponse } from './client-stream.ts'
import { countedUsage, findUsage, promptNanos } from './counted-usage.ts'
import { settleInTime, voidCall, withCallHeaders } from './finish-call.ts'
import type { Gateway } from './gateway.ts'
import { keepOutcome } from './keep-outcome.ts'
import { createRace, type Runner } from './race.ts'
import { redact } from './redact.ts'
import { type Target, withCredential } from './target.ts'
import { tryTargets } from './try-targets.ts'
import { SHUTTING_DOWN, TOTAL_OVER } from './upstream-fault.ts'
import { startWholeAttempt, type WholeAnswer } from './whole-attempt.ts'

/**
 * Relays an answer that is not streamed: the body goes to the client after the settlement is committed, in its own protocol
 * as the provider sent it. Throws AppError when no target answers; its call is void then.
 */
export async function relayWhole(gateway: Gateway, call: Call): Promise<void> {
  const { res } = call.exchange
  const relay = createRelay(gateway, call)
  gateway.openCalls.watch(relay)
  res.on('close', relay.clientGone)
  try {
    await tryTargets(gateway, call, (_index, target) => relay.attempt(target))
  } finally {
    gateway.openCalls.unwatch(relay)
    res.off('close', relay.clientGone)
    call.answeredAt = performance.now()
  }
  const end = relay.end()
  if (end === undefined) {
    const last = call.faults.at(-1)?.fault.code
    const error = await voidCall(gateway, call, last === 'shutting_down' ? new AppError(last) : undefined)
    if (!res.destroyed) throw error
  } else if (end === 'unsent') await voidCall(gateway, call, undefined, 'client_abort')
  else if (end.answer === 'none') await settleGone(gateway, call, end.target)
  else await deliver(gateway, call, end.target, end.answer)
}

/** `none`: the client has left. `unsent`: and nothing had been asked of anybody. */
type WholeEnd = { target: number; answer: WholeAnswer | 'none' } | 'unsent'

function createRelay(gateway: Gateway, call: Call) {
  const { exchange, route } = call
  let draining = false
  let end: WholeEnd | undefined

  const race = createRace<Target, Runner>(gateway, call, {
    hedgeAfterMs: route.hedgeAfterMs,
    mayAsk: () => !draining,
    costNanos: (index) => promptNanos(call, index),
    start: (lane) => startWholeAttempt(gateway, call, { lane, patience: patienceWith(lane.target), onAnswer }),
    // The client has left, and what was drained for it has failed.
    onBroken: () => race.finish(),
  })

  function onAnswer(target: number, answer: WholeAnswer): void {
    over({ target, answer })
  }

  /**
   * A whole answer begins when it is complete. A model of the router config says how long that may take; without one the
   * first byte has the time of the call.
   */
  function patienceWith(target: Target) {
    const { firstByteMs, idleMs, totalMs } = route.timeouts
    const own = route.configVersion === undefined ? totalMs : firstByteMs
    return { idleMs, firstByteMs: target.firstByteMs ?? own }
  }

  function over(how: WholeEnd): void {
    end = how
    race.finish()
  }

  function clientGone(): void {
    const running = race.running()
    if (end !== undefined || running.length === 0) return
    // What a model reasons unseen is only known at the end.
    const mustDrain = (at: Target) => gateway.policy.clientAbort === 'drain' || at.hiddenReasoning
    const sent = running.filter(({ runner }) => runner.sent())
    const kept = sent.find(({ lane }) => mustDrain(lane.target))
    const paid = kept ?? sent[0]
    race.leave('client_abort', { kept, paid })
    if (kept !== undefined) draining = true
    else over(paid === undefined ? 'unsent' : { target: paid.lane.index, answer: 'none' })
  }

  return {
    clientGone,

    /** Tries one target, as the race does. */
    attempt(target: Target) {
      const running = race.attempt(target)
      if (exchange.res.destroyed) clientGone()
      return running
    },

    /** Undefined: nobody has answered. */
    end: () => end,

    tick(nowMs: number): void {
      if (nowMs - exchange.startedAt > route.timeouts.totalMs) race.failAll(TOTAL_OVER)
      else race.tick(nowMs)
    },

    cut: () => race.failAll(SHUTTING_DOWN),
  }
}

async function deliver(gateway: Gateway, call: Call, target: number, answered: WholeAnswer): Promise<void> {
  const { body, headers, facts } = answered
  const { res } = call.exchange
  const { usage, usageSource, reason } = findUsage(call, target, facts.usage, () => countTokens(facts.text))
  const settled = await settleInTime(gateway, call, {
    outcome: res.destroyed ? 'client_abort' : 'complete',
    ...(reason !== undefined && { reason }),
    usage,
    usageSource,
    target,
    ...(facts.identity.model !== undefined && { modelUsed: facts.identity.model }),
    ...(facts.identity.id !== undefined && { upstreamId: facts.identity.id }),
  })
  if (settled === undefined) throw withCallHeaders(call, new AppError('settlement_pending'))
  const head = {
    'content-type': jsonType(headers['content-type']),
    'x-content-type-options': 'nosniff',
    'content-length': String(body.length),
    'cache-control': 'no-store',
    ...callHeaders(call),
    'x-fluxgate-charged-nanousd': String(settled.charged ?? 0n),
    ...upstreamName(headers['x-request-id'] ?? headers['request-id'], call.route.targets[target]),
  }
  if (call.idempotency !== undefined) await keepOutcome(gateway, call, { headers: head, body })
  res.writeHead(200, head)
  endResponse(res, body, gateway.timeouts.clientStallMs)
}

function upstreamName(id: string | string[] | undefined, target: Target | undefined): Record<string, string> {
  const plain = plainHeader(id)
  if (plain === undefined || withCredential(target, (key) => redact(plain, key)) !== plain) return {}
  return { 'x-upstream-request-id': plain }
}

/** The body has been parsed as JSON, so no browser may take it for a page, whatever its provider calls it. */
function jsonType(type: string | string[] | undefined): string {
  const plain = plainHeader(type)
  return plain !== undefined && /^application\/(?:[\w.-]+\+)?json(?:; ?charset=[\w-]+)?$/i.test(plain)
    ? plain
    : 'application/json'
}

/** The header of an upstream as far as it can be sent on: once, short, visible ASCII. */
function plainHeader(value: string | string[] | undefined): string | undefined {
  return typeof value === 'string' && /^[\x20-\x7e]{1,200}$/.test(value) ? value : undefined
}

/** The client hung up before the answer was there: the provider was asked, so the prompt is paid. */
async function settleGone(gateway: Gateway, call: Call, target: number): Promise<void> {
  await settleInTime(gateway, call, { outcome: 'client_abort', ...countedUsage(call, 0), target })
}
