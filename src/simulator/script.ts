import type { Answer, Plan } from './plan.ts'
import { defaultError, type Refusal, refuse } from './refusal.ts'
import { type Chunk, type Identity, renderChunks, renderCompletion } from './render.ts'
import type { Switches } from './switches.ts'

/** How a call ended as the upstream sees it. `aborted` is the peer's doing and never scripted. */
export type EndState = 'finished' | 'failed' | 'cut' | 'aborted'

/** One act of an answer. `pace` waits are counted from the previous deadline, so a late timer is made up for. */
export type Step =
  | { do: 'wait'; ms: number }
  | { do: 'head'; status: number; headers: string[] }
  | { do: 'send'; text: string; tokens: number; reasoning: number }
  | { do: 'end'; state: EndState }
  | { do: 'reset' }

const JSON_TYPE = 'application/json'
const SSE_TYPE = 'text/event-stream; charset=utf-8'

/** Chunks that share one write under the switch `merge`. */
const MERGE_CHUNKS = 8

/** The whole answer to one call as a sequence of acts: pure, so that every misbehaviour is a list to compare. */
export function* scriptCall(plan: Plan, identity: Identity, chunkMs = 0): Generator<Step, void, undefined> {
  if (plan.kind === 'silence') {
    yield { do: 'wait', ms: Number.POSITIVE_INFINITY }
    return
  }
  if (plan.sim.first_byte_ms !== undefined) yield { do: 'wait', ms: plan.sim.first_byte_ms }
  if (plan.kind === 'reset') {
    yield { do: 'reset' }
    return
  }
  if (plan.kind === 'refusal') yield* refusalSteps(plan.refusal, identity)
  else if (plan.stream) yield* streamSteps(plan, identity, plan.sim.chunk_ms ?? chunkMs)
  else yield* bodySteps(plan, identity)
}

function* refusalSteps(refusal: Refusal, identity: Identity): Generator<Step, void, undefined> {
  const { status, contentType, headers, body } = refusal
  yield { do: 'head', status, headers: [...typeAnd(identity, contentType), ...lengthOf(body), ...headers] }
  yield send(body)
  yield { do: 'end', state: 'failed' }
}

function* bodySteps(answer: Answer, identity: Identity): Generator<Step, void, undefined> {
  const { sim, usage } = answer
  const failed = sim.error_in_200 === true || sim.error_after !== undefined
  const broken = sim.malformed_after !== undefined || sim.end_after !== undefined
  const whole = failed ? errorBody(sim) : padded(sim, (extra) => renderCompletion(answer, identity, extra))
  const body = `${sim.bom === true ? '\ufeff' : ''}${broken ? firstHalf(whole) : whole}`

  const coding = sim.gzip === true ? ['content-encoding', 'gzip'] : lengthOf(body)
  yield { do: 'head', status: 200, headers: [...typeAnd(identity, JSON_TYPE), ...coding] }
  let rest = body
  if (sim.stall_after !== undefined || sim.cut_after !== undefined) {
    yield send(firstHalf(body))
    if (sim.stall_after !== undefined) yield { do: 'wait', ms: sim.stall_ms ?? Number.POSITIVE_INFINITY }
    if (sim.cut_after !== undefined) {
      yield { do: 'reset' }
      return
    }
    rest = body.slice(firstHalf(body).length)
  }
  // Tokens count as delivered with the end of a body that can be read.
  const delivers = !failed && !broken
  const tokens = delivers ? usage.completion : 0
  yield { do: 'send', text: rest, tokens, reasoning: delivers ? usage.reasoning : 0 }
  yield { do: 'end', state: failed ? 'failed' : broken ? 'cut' : 'finished' }
}

function* streamSteps(answer: Answer, identity: Identity, chunkMs: number): Generator<Step, void, undefined> {
  const { sim } = answer
  const frame = frameEncoder(sim)
  const coding = sim.gzip === true ? ['content-encoding', 'gzip'] : []
  yield { do: 'head', status: 200, headers: [...typeAnd(identity, SSE_TYPE), 'cache-control', 'no-cache', ...coding] }
  if (sim.bom === true) yield send('\ufeff')
  if (sim.error_in_200 === true) {
    yield send(frame(errorBody(sim)))
    yield { do: 'end', state: 'failed' }
    return
  }
  let sent = 0
  let looked = -1
  for (const chunk of renderChunks(answer, identity)) {
    // A fault strikes once, when so many content chunks are out and another chunk would follow.
    if (chunk.part !== 'opening' && looked !== sent) {
      looked = sent
      const struck = yield* strike(sim, sent, frame)
      if (struck) return
    }
    if (sim.comments === true) yield send(sim.crlf === true ? ': ping\r\n\r\n' : ': ping\n\n')
    yield { ...send(frame(chunkText(chunk, sim, sent))), tokens: chunk.tokens, reasoning: chunk.reasoning }
    if (chunk.part !== 'content') continue
    sent += 1
    if (chunkMs === 0) continue
    if (sim.merge !== true) yield { do: 'wait', ms: chunkMs }
    else if (sent % MERGE_CHUNKS === 0) yield { do: 'wait', ms: chunkMs * MERGE_CHUNKS }
  }
  if (sim.no_done !== true) yield send(frame('[DONE]'))
  yield { do: 'end', state: 'finished' }
}

/** The faults that strike after `sent` content chunks. Returns true when the stream is over. */
function* strike(sim: Switches, sent: number, frame: (data: string) => string): Generator<Step, boolean, undefined> {
  if (sim.stall_after === sent) yield { do: 'wait', ms: sim.stall_ms ?? Number.POSITIVE_INFINITY }
  if (sim.malformed_after === sent) yield send(frame('{"id":"chatcmpl-sim","object":"chat.completion.ch'))
  if (sim.error_after === sent) {
    yield send(frame(errorBody(sim)))
    yield { do: 'end', state: 'cut' }
    return true
  }
  if (sim.cut_after === sent) {
    yield { do: 'reset' }
    return true
  }
  if (sim.end_after === sent) {
    yield { do: 'end', state: 'cut' }
    return true
  }
  return false
}

/** The JSON of a chunk; the first content chunk is the one that `long_line_bytes` makes long. */
function chunkText(chunk: Chunk, sim: Switches, sent: number): string {
  if (sim.long_line_bytes === undefined || chunk.part !== 'content' || sent > 0) return chunk.json
  return padded(sim, (extra) => `${chunk.json.slice(0, -1)}${extra}}`)
}

/** A JSON object filled up to the size that `long_line_bytes` names, by a member that nobody reads. */
function padded(sim: Switches, render: (extra: string) => string): string {
  if (sim.long_line_bytes === undefined) return render('')
  const missing = sim.long_line_bytes - Buffer.byteLength(render(',"padding":""'))
  return render(`,"padding":"${'x'.repeat(Math.max(missing, 0))}"`)
}

/** One server-sent event around a line of data, with the line ends and splits that were asked for. */
function frameEncoder(sim: Switches): (data: string) => string {
  if (sim.crlf !== true && sim.multiline_data !== true) return (data) => `data: ${data}\n\n`
  const end = sim.crlf === true ? '\r\n' : '\n'
  return (data) => {
    // The lines of one event are joined by a line feed, which JSON allows between members.
    const lines = sim.multiline_data === true ? data.replace(',"choices":', `,${end}data: "choices":`) : data
    return `data: ${lines}${end}${end}`
  }
}

/** About half of a text, never ending inside a surrogate pair. */
function firstHalf(text: string): string {
  return text.slice(0, Math.floor(text.length / 2)).replace(/[\ud800-\udbff]$/, '')
}

function errorBody(sim: Switches): string {
  return refuse(200, sim.error ?? defaultError(sim.status ?? 500)).body
}

function send(text: string): Step & { do: 'send' } {
  return { do: 'send', text, tokens: 0, reasoning: 0 }
}

function typeAnd(identity: Identity, type: string): string[] {
  return ['content-type', type, 'x-request-id', identity.requestId]
}

function lengthOf(body: string): string[] {
  return ['content-length', String(Buffer.byteLength(body))]
}
