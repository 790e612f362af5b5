import { type Call, interpreterOf } from './call.ts'
import { answerLimit } from './hold-plan.ts'
import type { Target } from './target.ts'

export interface UpstreamCall {
  body: string
  /** What the provider is asked to log. */
  requestId: string
  /** Of the client's own. */
  headers: Readonly<Record<string, string>>
}

/** The request as this target gets it, limited to what is held. */
export function upstreamRequest(call: Call, target: Target): UpstreamCall {
  const limit = answerLimit(call.request, call.plan, target, call.held)
  return {
    body: interpreterOf(call, target).body(target, limit),
    requestId: call.requestId,
    headers: target.protocol === call.request.protocol ? call.exchange.forwarded : NO_HEADERS,
  }
}

const NO_HEADERS = {}
