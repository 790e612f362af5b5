import { type Call, interpreterOf } from './call.ts'
import { answerLimit } from './hold-plan.ts'
import type { Target } from './target.ts'

/** The request as this target gets it, limited to what is held. */
export function upstreamBody(call: Call, target: Target): string {
  return interpreterOf(call, target).body(target, answerLimit(call.request, call.plan, target, call.held))
}
