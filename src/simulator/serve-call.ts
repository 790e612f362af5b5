import type { IncomingMessage, ServerResponse } from 'node:http'
import { createFlapping } from './flapping.ts'
import type { OpenCall, Oracle } from './oracle.ts'
import { createPacer } from './pacer.ts'
import { type Plan, planCall } from './plan.ts'
import { play } from './player.ts'
import type { Answer, CallRequest, Identity, Protocol } from './protocol.ts'
import type { Refusal } from './refusal.ts'
import { scriptCall } from './script.ts'
import { sendBody } from './send-body.ts'
import { NO_SWITCHES } from './switches.ts'
import { NO_USAGE } from './usage.ts'

/** Up to here a plain answer surely fits the socket's buffer, so that sending it needs no watching. */
const PLAIN_TOKENS_MAX = 4096

/** Answers calls of every protocol: plans, and plays the plan on the response while the oracle counts. */
export function createCalls(options: { oracle: Oracle; chunkMs: number }) {
  const { oracle, chunkMs } = options
  const pacer = createPacer()
  const flapping = createFlapping()
  const bootId = Date.now().toString(36)

  function identify(call: OpenCall, prefix: string): Identity {
    const serial = `sim-${bootId}${call.sequence.toString(36).padStart(6, '0')}`
    return { id: `${prefix}${serial}`, serial, requestId: `req-${serial}`, created: Math.floor(Date.now() / 1000) }
  }

  return <R extends CallRequest, A extends Answer>(
    protocol: Protocol<R, A>,
    request: IncomingMessage,
    response: ServerResponse,
    read: { body: unknown } | Refusal,
  ): void => {
    const parsed: R | Refusal = 'status' in read ? read : protocol.parse(read.body)
    const refused = isRefusal(parsed)
    const plan: Plan<A> = refused
      ? { kind: 'refusal', refusal: parsed, sim: NO_SWITCHES }
      : planCall(parsed, flapping.phase(parsed.sim), protocol)
    const clientRequestId = request.headers['x-client-request-id']
    const call = oracle.open({
      clientRequestId: typeof clientRequestId === 'string' ? clientRequestId : null,
      protocol: protocol.name,
      model: refused ? '' : parsed.model,
      stream: !refused && parsed.stream,
      usage: plan.kind === 'answer' ? plan.usage : { ...NO_USAGE, prompt: refused ? 0 : parsed.promptTokens },
    })
    const identity = identify(call, protocol.idPrefix)
    if (plan.kind === 'answer' && !plan.stream && plan.sim === NO_SWITCHES && isSmall(plan)) {
      sendPlain(protocol, plan, identity, response, call)
      return
    }
    const sim = plan.kind === 'silence' ? NO_SWITCHES : plan.sim
    play({ response, steps: scriptCall(plan, protocol, identity, chunkMs), sim, call, oracle, pacer })
  }

  /** The path of benchmarks: one body, one write, no listener. */
  function sendPlain<R extends CallRequest, A extends Answer>(
    protocol: Protocol<R, A>,
    answer: A,
    identity: Identity,
    response: ServerResponse,
    call: OpenCall,
  ): void {
    const json = protocol.body(answer, identity, '')
    if (response.destroyed) {
      oracle.close(call, 'aborted')
      return
    }
    const { contentType } = protocol.carriage(answer)
    const requestId = { header: protocol.vendor.requestIdHeader, id: identity.requestId }
    call.status = 200
    call.bytes = sendBody(response, 200, json, contentType, requestId)
    call.completionTokens = answer.usage.completion
    call.reasoningTokens = answer.usage.reasoning
    oracle.close(call, 'finished')
  }
}

/** Answers without tokens, such as vectors, may be long all the same. */
function isSmall({ usage: { completion } }: Answer): boolean {
  return completion > 0 && completion <= PLAIN_TOKENS_MAX
}

function isRefusal(parsed: CallRequest | Refusal): parsed is Refusal {
  return 'status' in parsed
}
