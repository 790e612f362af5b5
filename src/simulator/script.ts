import { type Plan, toldRefusal } from './plan.ts'
import type { Answer, Carriage, Chunk, ErrorPlace, Frame, Identity, Rendering } from './protocol.ts'
import type { Refusal } from './refusal.ts'
import type { Switches } from './switches.ts'
import { contentTypeOf, type Vendor } from './vendor.ts'

/** How a call ended as the upstream sees it. `aborted` is the peer's doing and never scripted. */
export type EndState = 'finished' | 'failed' | 'cut' | 'aborted'

/** One act of an answer. `pace` waits are counted from the previous deadline, so a late timer is made up for. */
export type Step =
  | { do: 'wait'; ms: number }
  | { do: 'head'; status: number; headers: string[]; encoding?: 'latin1' }
  | { do: 'send'; text: string; tokens: number; reasoning: number; characters?: number | undefined }
  | { do: 'end'; state: EndState }
  | { do: 'reset' }

/** Chunks that share one write under the switch `merge`. */
const MERGE_CHUNKS = 8

type FrameWriter = (frame: Frame) => string

/** The whole answer to one call as a sequence of acts: pure, so that every misbehaviour is a list to compare. */
export function* scriptCall<A extends Answer>(
  plan: Plan<A>,
  rendering: Rendering<A>,
  identity: Identity,
  chunkMs = 0,
): Generator<Step, void, undefined> {
  if (plan.kind === 'silence') {
    yield { do: 'wait', ms: Number.POSITIVE_INFINITY }
    return
  }
  if (plan.sim.first_byte_ms !== undefined) yield { do: 'wait', ms: plan.sim.first_byte_ms }
  if (plan.kind === 'reset') {
    yield { do: 'reset' }
    return
  }
  if (plan.kind === 'refusal') yield* refusalSteps(plan.refusal, rendering.vendor, identity)
  else if (plan.stream) yield* streamSteps(plan, rendering, identity, plan.sim.chunk_ms ?? chunkMs)
  else yield* bodySteps(plan, rendering, identity)
}

function* refusalSteps(refusal: Refusal, vendor: Vendor, identity: Identity): Generator<Step, void, undefined> {
  const body = vendor.errorBody(refusal, identity.requestId)
  const type = ['content-type', contentTypeOf(refusal), vendor.requestIdHeader, identity.requestId]
  yield { do: 'head', status: refusal.status, headers: [...type, ...lengthOf(body), ...refusal.headers] }
  yield send(body)
  yield { do: 'end', state: 'failed' }
}

function* bodySteps<A extends Answer>(
  answer: A,
  rendering: Rendering<A>,
  identity: Identity,
): Generator<Step, void, undefined> {
  const { sim, usage } = answer
  const failed = sim.error_in_200 === true || sim.error_after !== undefined
  const broken = sim.malformed_after !== undefined || sim.end_after !== undefined
  const whole = failed
    ? rendering.failedBody(errorPlace(answer, rendering, identity, 0))
    : padded(sim, (extra) => rendering.body(answer, identity, extra))
  const body = `${sim.bom === true ? '\ufeff' : ''}${broken ? firstHalf(whole) : whole}`

  const coding = sim.gzip === true ? ['content-encoding', 'gzip'] : lengthOf(body)
  yield head(rendering, rendering.carriage(answer), identity, coding)
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

function* streamSteps<A extends Answer>(
  answer: A,
  rendering: Rendering<A>,
  identity: Identity,
  chunkMs: number,
): Generator<Step, void, undefined> {
  const { sim } = answer
  const carriage = rendering.carriage(answer)
  const write = frameWriter(sim, carriage)
  const coding = sim.gzip === true ? ['content-encoding', 'gzip'] : []
  yield head(rendering, carriage, identity, ['cache-control', 'no-cache', ...coding])
  if (sim.bom === true && carriage.events) yield send('\ufeff')
  let framesSent = 0
  const failing = (): string | undefined => {
    const frame = rendering.errorFrame(errorPlace(answer, rendering, identity, framesSent))
    return frame && write(frame)
  }
  const breaking = () => write(rendering.brokenFrame)
  if (sim.error_in_200 === true) {
    yield send(failing() ?? rendering.failedBody(errorPlace(answer, rendering, identity, 0)))
    yield { do: 'end', state: 'failed' }
    return
  }
  let sent = 0
  let looked = -1
  for (const chunk of rendering.chunks(answer, identity)) {
    // A fault strikes once, when so many content chunks are out and another chunk would follow.
    if (chunk.part !== 'opening' && looked !== sent) {
      looked = sent
      const struck = yield* strike(sim, sent, failing, breaking)
      if (struck) return
    }
    if (chunk.part === 'mark' && sim.no_done === true) continue
    if (sim.comments === true && carriage.events && chunk.data !== '[DONE]')
      yield send(sim.crlf === true ? ': ping\r\n\r\n' : ': ping\n\n')
    const text = write(padsChunk(chunk, sim, sent) ? longer(chunk, sim) : chunk)
    yield { do: 'send', text, tokens: chunk.tokens, reasoning: chunk.reasoning, characters: chunk.characters }
    framesSent += 1
    if (chunk.part !== 'content') continue
    sent += 1
    if (chunkMs === 0) continue
    if (sim.merge !== true) yield { do: 'wait', ms: chunkMs }
    else if (sent % MERGE_CHUNKS === 0) yield { do: 'wait', ms: chunkMs * MERGE_CHUNKS }
  }
  yield { do: 'end', state: 'finished' }
}

/** The faults that strike after `sent` content chunks. Returns true when the stream is over. */
function* strike(
  sim: Switches,
  sent: number,
  failing: () => string | undefined,
  breaking: () => string,
): Generator<Step, boolean, undefined> {
  if (sim.stall_after === sent) yield { do: 'wait', ms: sim.stall_ms ?? Number.POSITIVE_INFINITY }
  if (sim.malformed_after === sent) yield send(breaking())
  const failure = sim.error_after === sent ? failing() : undefined
  if (failure !== undefined) {
    yield send(failure)
    yield { do: 'end', state: 'cut' }
    return true
  }
  // Where nothing can be said any more, an error is a connection that breaks.
  if (sim.cut_after === sent || sim.error_after === sent) {
    yield { do: 'reset' }
    return true
  }
  if (sim.end_after === sent) {
    yield { do: 'end', state: 'cut' }
    return true
  }
  return false
}

/** The first content chunk is the one that `long_line_bytes` makes long. */
function padsChunk(chunk: Chunk, sim: Switches, sent: number): boolean {
  return sim.long_line_bytes !== undefined && chunk.part === 'content' && sent === 0 && chunk.data.endsWith('}')
}

function longer(chunk: Chunk, sim: Switches): Frame {
  return { ...chunk, data: padded(sim, (extra) => `${chunk.data.slice(0, -1)}${extra}}`) }
}

/** A JSON object filled up to the size that `long_line_bytes` names, by a member that nobody reads. */
function padded(sim: Switches, render: (extra: string) => string): string {
  if (sim.long_line_bytes === undefined) return render('')
  const missing = sim.long_line_bytes - Buffer.byteLength(render(',"padding":""'))
  return render(`,"padding":"${'x'.repeat(Math.max(missing, 0))}"`)
}

/** What writes one part of a stream: a server-sent event, with the line ends and splits that were asked for, or bytes. */
function frameWriter(sim: Switches, carriage: Carriage): FrameWriter {
  if (!carriage.events) return ({ data }) => data
  if (sim.crlf !== true && sim.multiline_data !== true) {
    return ({ data, event }) => (event === undefined ? `data: ${data}\n\n` : `event: ${event}\ndata: ${data}\n\n`)
  }
  const end = sim.crlf === true ? '\r\n' : '\n'
  return ({ data, event }) => {
    // The lines of one event are joined by a line feed, which JSON allows between members.
    const lines = sim.multiline_data === true ? data.replace(/,(?="\w+":)/, `,${end}data: `) : data
    return `${event === undefined ? '' : `event: ${event}${end}`}data: ${lines}${end}${end}`
  }
}

function errorPlace<A extends Answer>(
  answer: A,
  { vendor }: Rendering<A>,
  identity: Identity,
  framesSent: number,
): ErrorPlace<A> {
  return { refusal: toldRefusal(answer.sim, vendor), answer, identity, framesSent }
}

/** About half of a text, never ending inside a surrogate pair. */
function firstHalf(text: string): string {
  return text.slice(0, Math.floor(text.length / 2)).replace(/[\ud800-\udbff]$/, '')
}

function send(text: string): Step & { do: 'send' } {
  return { do: 'send', text, tokens: 0, reasoning: 0 }
}

function head<A extends Answer>(
  { vendor }: Rendering<A>,
  { contentType, encoding }: Carriage,
  { requestId }: Identity,
  more: readonly string[],
): Step {
  const headers = ['content-type', contentType, vendor.requestIdHeader, requestId, ...more]
  return { do: 'head', status: 200, headers, ...(encoding === 'latin1' && { encoding }) }
}

function lengthOf(body: string): string[] {
  return ['content-length', String(Buffer.byteLength(body))]
}
