import type { Answer, CallRequest } from './protocol.ts'
import { badRequest, htmlRefusal, type Refusal } from './refusal.ts'
import { hasFault, type Switches, withoutFaults } from './switches.ts'
import type { Vendor } from './vendor.ts'

/** What to do with one request: answer, refuse, or misbehave before any header. */
export type Plan<A extends Answer> =
  | A
  | { kind: 'refusal'; refusal: Refusal; sim: Switches }
  | { kind: 'silence' }
  | { kind: 'reset'; sim: Switches }

/** Who answers, and in whose words it is refused. */
interface Answering<R extends CallRequest, A extends Answer> {
  vendor: Vendor
  compose(request: R): A
}

/** What a request is answered with. `phase` says where a flapping key stands; without `sim.key` it is `steady`. */
export function planCall<R extends CallRequest, A extends Answer>(
  request: R,
  phase: 'steady' | 'failing' | 'well',
  { vendor, compose }: Answering<R, A>,
): Plan<A> {
  const sim = phase === 'well' ? withoutFaults(request.sim) : request.sim
  if (phase === 'failing' && !hasFault(sim)) return { kind: 'refusal', refusal: vendor.defaultRefusal(500), sim }
  if (sim.no_response === true) return { kind: 'silence' }
  if (sim.reset === true) return { kind: 'reset', sim }
  const refusal = findRefusal(request, sim, vendor)
  if (refusal !== undefined) return { kind: 'refusal', refusal, sim }
  return compose(sim === request.sim ? request : { ...request, sim })
}

/** The error that the switches `status`, `retry_after…` and `error` describe. */
export function toldRefusal(sim: Switches, vendor: Vendor): Refusal {
  const headers: string[] = []
  if (sim.retry_after !== undefined) headers.push('retry-after', sim.retry_after)
  if (sim.retry_after_ms !== undefined) headers.push('retry-after-ms', String(sim.retry_after_ms))
  const status = sim.status ?? 500
  if (sim.error !== undefined) return { status, headers, error: sim.error, verbatim: true }
  return vendor.defaultRefusal(status, headers)
}

function findRefusal(request: CallRequest, sim: Switches, vendor: Vendor): Refusal | undefined {
  if (sim.reject_stream_options === true && request.hasStreamOptions) {
    return badRequest('Unrecognized request argument supplied: stream_options', 'stream_options')
  }
  if (sim.reject_prefill === true && request.lastRole === 'assistant') return vendor.prefill()
  if (sim.reject_foreign_reasoning === true && request.foreignReasoning !== undefined) {
    return badRequest(request.foreignReasoning, null, 'invalid_encrypted_content')
  }
  if (sim.context_length === true) return vendor.contextLength(request.promptTokens)
  if (sim.content_filter === 'prompt') return vendor.contentFilter()
  if (sim.html_error === true) return htmlRefusal(sim.status ?? 502)
  // With an error inside a 200, the status only picks which error it is.
  const inBand = sim.error_in_200 === true || sim.error_after !== undefined
  return sim.status === undefined || inBand ? undefined : toldRefusal(sim, vendor)
}
