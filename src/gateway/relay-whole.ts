import { AppError } from '#src/errors.ts'
import { countTokens } from '#wire/count-tokens.ts'
import { type WholeFacts, WireError } from '#wire/protocol.ts'
import { type Attempt, startAttempt } from './attempt.ts'
import { beginAttempt, type Call, callHeaders, endAttempt, interpreterOf } from './call.ts'
import { endResponse } from './client-stream.ts'
import { countedUsage, findUsage } from './counted-usage.ts'
import { settleInTime, voidCall, withCallHeaders } from './finish-call.ts'
import type { Gateway } from './gateway.ts'
import type { Interpreter } from './interpreter.ts'
import { keepOutcome } from './keep-outcome.ts'
import { redact } from './redact.ts'
import { type Target, withCredential } from './target.ts'
import { firstByteMs, tryTargets } from './try-targets.ts'
import { SHUTTING_DOWN, type UpstreamFault } from './upstream-fault.ts'
import { upstreamRequest } from './upstream-request.ts'

interface Answered {
  /** As the client gets it. */
  body: Buffer
  headers: Record<string, string | string[] | undefined>
  facts: Extract<WholeFacts, { text: string }>
}

/**
 * Relays an answer that is not streamed: the body goes to the client after the settlement is committed, in its own protocol
 * as the provider sent it. Throws AppError when no target answers; its call is void then.
 */
export async function relayWhole(gateway: Gateway, call: Call): Promise<void> {
  const { res } = call.exchange
  let answered: { target: number; result: Answered | 'gone' } | undefined
  await tryTargets(gateway, call, async (index, target) => {
    const result = await attemptWhole(gateway, call, target)
    if (result !== 'gone' && !('facts' in result)) return result
    answered = { target: index, result }
    return 'ended'
  })
  if (answered === undefined) {
    const last = call.faults.at(-1)?.fault.code
    const error = await voidCall(gateway, call, last === 'shutting_down' ? new AppError(last) : undefined)
    if (!res.destroyed) throw error
  } else if (answered.result === 'gone') await settleGone(gateway, call, answered.target)
  else await deliver(gateway, call, answered.target, answered.result)
}

async function deliver(gateway: Gateway, call: Call, target: number, answered: Answered): Promise<void> {
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
  call.answeredAt = performance.now()
  endAttempt(call, 'client_abort')
  const served = call.route.targets[target]
  if (served !== undefined) call.dispatch.report(served, 'aborted')
  const { usage, usageSource } = countedUsage(call, 0)
  await settleInTime(gateway, call, {
    outcome: 'client_abort',
    usage,
    usageSource,
    target,
  })
}

function attemptWhole(gateway: Gateway, call: Call, target: Target): Promise<Answered | UpstreamFault | 'gone'> {
  const { res, startedAt } = call.exchange
  const { timeouts, limits, openCalls } = gateway
  if (openCalls.cutting) return Promise.resolve(SHUTTING_DOWN)
  beginAttempt(call, target)
  return new Promise((resolve) => {
    const chunks: Buffer[] = []
    let bytes = 0
    let headers: Answered['headers'] = {}
    let attempt: Attempt

    function over(result: Answered | UpstreamFault | 'gone'): void {
      openCalls.unwatch(watched)
      res.off('close', gone)
      call.answeredAt = performance.now()
      resolve(result)
    }

    function gone(): void {
      // What a model reasons unseen is only known at the end.
      if ((gateway.policy.clientAbort === 'drain' || target.hiddenReasoning) && attempt.sent()) return
      attempt.abort()
      over(attempt.sent() ? 'gone' : { class: 'caller', code: 'client_abort' })
    }

    const watched = {
      tick(nowMs: number) {
        if (nowMs - startedAt > call.route.timeouts.totalMs) {
          attempt.abort()
          over({ class: 'provider', code: 'timeout_total', timedOut: true })
        } else attempt.tick(nowMs)
      },
      cut() {
        attempt.abort()
        over(SHUTTING_DOWN)
      },
    }
    openCalls.watch(watched)
    res.on('close', gone)
    const interpreter = interpreterOf(call, target)
    // A whole answer begins when it is complete, so unless its model says otherwise its first byte may take as long as the
    // call.
    const patience = { ...call.route.timeouts, firstByteMs: firstByteMs(call, target, timeouts.totalMs) }
    attempt = startAttempt(gateway.upstream, target, upstreamRequest(call, target), patience, {
      onAnswer(received) {
        headers = received
      },
      onBody(chunk) {
        call.firstByteAt ??= performance.now()
        bytes += chunk.length
        chunks.push(chunk)
        if (bytes <= limits.answerBytesMax) return
        attempt.abort()
        over({ class: 'provider', code: 'answer_too_large' })
      },
      onEnd() {
        const body = chunks.length === 1 && chunks[0] !== undefined ? chunks[0] : Buffer.concat(chunks)
        over(readAnswer(interpreter, body, headers))
      },
      onFault: over,
    })
    if (res.destroyed) gone()
  })
}

function readAnswer(interpreter: Interpreter, body: Buffer, headers: Answered['headers']): Answered | UpstreamFault {
  const facts = interpreter.parseWhole(body.toString('utf8'))
  if ('fault' in facts) return { class: 'provider', code: facts.fault }
  try {
    return { body: interpreter.render(body), headers, facts }
  } catch (cause) {
    if (!(cause instanceof WireError)) throw cause
    return { class: 'provider', code: 'malformed', cause }
  }
}
