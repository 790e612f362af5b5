import type { IncomingMessage } from 'node:http'
import { requireModel } from '#domain/allowed-models.ts'
import { withMembers } from '#lib/json-members.ts'
import { type CountTokensRequest, parseCountTokensRequest } from '#wire/anthropic-messages-request.ts'
import { startAttempt } from './attempt.ts'
import { authenticate } from './authenticate.ts'
import type { Exchange } from './call.ts'
import { forwardedHeaders } from './forwarded-headers.ts'
import type { Gateway } from './gateway.ts'
import { parseBody } from './parse-body.ts'
import { readBody } from './read-body.ts'
import type { Target } from './target.ts'
import { errorOfFaults, SHUTTING_DOWN, type UpstreamFault } from './upstream-fault.ts'
import { withBodyBudget } from './with-body-budget.ts'

const ANSWER_BYTES_MAX = 64 * 1024

export interface PromptCount {
  inputTokens: number
  /** `provider`: by whom the model is served; `counted`: by our own tokenizer, which differs from others by some per cent. */
  source: 'provider' | 'counted' | 'estimated'
}

/**
 * How many tokens a messages request has. Costs nothing and generates nothing, so nothing is held: where the provider counts,
 * it is asked; elsewhere we count. Throws AppError.
 */
export async function handleCount(gateway: Gateway, req: IncomingMessage, exchange: Exchange): Promise<PromptCount> {
  const key = await authenticate(gateway, req)
  exchange.forwarded = forwardedHeaders(req, 'messages')
  return withBodyBudget(gateway, async (onBytes) => {
    const request = parseBody(parseCountTokensRequest, await readBody(gateway, req, onBytes))
    const route = gateway.routes.resolve(request.model, 'messages')
    requireModel(key, route.model)
    const counting = route.targets.find(({ countPath }) => countPath !== undefined)
    if (counting === undefined) {
      const { tokens, exact } = request.countPrompt()
      return { inputTokens: tokens, source: exact ? 'counted' : 'estimated' }
    }
    return { inputTokens: await askProvider(gateway, exchange, counting, request), source: 'provider' }
  })
}

async function askProvider(
  gateway: Gateway,
  exchange: Exchange,
  target: Target,
  { text, members }: CountTokensRequest,
): Promise<number> {
  const body = withMembers(text, members, { model: JSON.stringify(target.priced.model) })
  const result = await ask(gateway, exchange, { ...target, path: target.countPath ?? target.path }, body)
  if (typeof result === 'number') return result
  throw errorOfFaults([result])
}

function ask(gateway: Gateway, exchange: Exchange, target: Target, body: string): Promise<number | UpstreamFault> {
  const { openCalls, timeouts, upstream } = gateway
  return new Promise((resolve) => {
    const chunks: Buffer[] = []
    let bytes = 0
    const patience = { firstByteMs: timeouts.firstByteMs, idleMs: timeouts.idleMs }
    const request = { body, requestId: exchange.id, headers: exchange.forwarded }
    const attempt = startAttempt(upstream, target, request, patience, {
      onAnswer: () => undefined,
      onBody(chunk) {
        bytes += chunk.length
        if (bytes <= ANSWER_BYTES_MAX) chunks.push(chunk)
        else over({ class: 'provider', code: 'answer_too_large' })
      },
      onEnd: () => over(readCount(Buffer.concat(chunks).toString('utf8'))),
      onFault: over,
    })
    const gone = () => over({ class: 'caller', code: 'client_abort' })
    const watched = { tick: attempt.tick, cut: () => over(SHUTTING_DOWN) }
    openCalls.watch(watched)
    exchange.res.on('close', gone)

    function over(result: number | UpstreamFault): void {
      attempt.abort()
      openCalls.unwatch(watched)
      exchange.res.off('close', gone)
      resolve(result)
    }
  })
}

function readCount(text: string): number | UpstreamFault {
  const malformed: UpstreamFault = { class: 'provider', code: 'malformed' }
  try {
    const { input_tokens } = JSON.parse(text) as { input_tokens?: unknown }
    return typeof input_tokens === 'number' && Number.isSafeInteger(input_tokens) && input_tokens >= 0
      ? input_tokens
      : malformed
  } catch {
    return malformed
  }
}
