import type { IncomingMessage, ServerResponse } from 'node:http'
import { type ChatRequest, parseChatRequest } from './chat-request.ts'
import { createFlapping } from './flapping.ts'
import type { OpenCall, Oracle } from './oracle.ts'
import { createPacer } from './pacer.ts'
import { type Answer, type Plan, planCall } from './plan.ts'
import { play } from './player.ts'
import { badRequest, type Refusal } from './refusal.ts'
import { type Identity, renderCompletion } from './render.ts'
import { scriptCall } from './script.ts'
import { sendJson } from './send-json.ts'
import { NO_SWITCHES } from './switches.ts'

/** Up to here a plain answer surely fits the socket's buffer, so that sending it needs no watching. */
const PLAIN_TOKENS_MAX = 4096

/** Answers chat completions: parses, plans, and plays the plan on the response while the oracle counts. */
export function createChat(options: { oracle: Oracle; chunkMs: number }) {
  const { oracle, chunkMs } = options
  const pacer = createPacer()
  const flapping = createFlapping()
  const bootId = Date.now().toString(36)

  function identify(call: OpenCall): Identity {
    const serial = `sim-${bootId}${call.sequence.toString(36).padStart(6, '0')}`
    return { id: `chatcmpl-${serial}`, requestId: `req-${serial}`, created: Math.floor(Date.now() / 1000) }
  }

  /** The path of benchmarks: one body, one write, no listener. */
  function sendPlain(response: ServerResponse, answer: Answer, call: OpenCall): void {
    const { id, requestId, created } = identify(call)
    const json = renderCompletion(answer, { id, requestId, created })
    if (response.destroyed) {
      oracle.close(call, 'aborted')
      return
    }
    call.status = 200
    call.bytes = sendJson(response, 200, json, requestId)
    call.completionTokens = answer.usage.completion
    call.reasoningTokens = answer.usage.reasoning
    oracle.close(call, 'finished')
  }

  return (request: IncomingMessage, response: ServerResponse, body: string): void => {
    const parsed = parseBody(body)
    const refused = 'status' in parsed
    const plan: Plan = refused
      ? { kind: 'refusal', refusal: parsed, sim: NO_SWITCHES }
      : planCall(parsed, flapping.phase(parsed.sim))
    const usage = plan.kind === 'answer' ? plan.usage : undefined
    const clientRequestId = request.headers['x-client-request-id']
    const call = oracle.open({
      clientRequestId: typeof clientRequestId === 'string' ? clientRequestId : null,
      model: refused ? '' : parsed.model,
      stream: !refused && parsed.stream,
      promptTokens: usage?.prompt ?? (refused ? 0 : parsed.promptTokens),
      cachedTokens: usage?.cached ?? 0,
    })
    if (plan.kind === 'answer' && !plan.stream && plan.sim === NO_SWITCHES) {
      if (plan.usage.completion <= PLAIN_TOKENS_MAX) {
        sendPlain(response, plan, call)
        return
      }
    }
    const sim = plan.kind === 'silence' ? NO_SWITCHES : plan.sim
    play({ response, steps: scriptCall(plan, identify(call), chunkMs), sim, call, oracle, pacer })
  }
}

function parseBody(body: string): ChatRequest | Refusal {
  let json: unknown
  try {
    json = JSON.parse(body)
  } catch {
    return badRequest('We could not parse the JSON body of your request.', null)
  }
  return parseChatRequest(json)
}
