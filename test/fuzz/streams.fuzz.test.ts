// Streams of all protocols, whole and damaged, in pieces of any size: what the relay makes of them.
import assert from 'node:assert/strict'
import { before, test } from 'node:test'
import fc from 'fast-check'
import { codecs, dialects } from '#gateway/codecs.ts'
import { createInterpreter } from '#gateway/interpreter.ts'
import { createStreamReader } from '#gateway/stream-reader.ts'
import type { Target } from '#gateway/target.ts'
import { fuzzSettings } from '#test/support/fuzz-settings.ts'
import { loadTokenizer } from '#wire/count-tokens.ts'
import type { AnswerEvent, TextProtocol } from '#wire/neutral.ts'
import { frameData } from '#wire/sse-frames.ts'
import { isProblem, type TextRequest } from '#wire/text-request.ts'

const protocols: readonly TextProtocol[] = ['chat', 'messages', 'responses']
const FRAME_BYTES_MAX = 64 * 1024
const options = { id: '0'.repeat(32), created: 1_700_000_000 }

const asked: Record<TextProtocol, object> = {
  chat: { model: 'm', stream: true, messages: [{ role: 'user', content: 'hi' }] },
  messages: { model: 'm', stream: true, max_tokens: 100, messages: [{ role: 'user', content: 'hi' }] },
  responses: { model: 'm', stream: true, input: 'hi' },
}

function requestIn(protocol: TextProtocol): TextRequest {
  const request = codecs[protocol].parse(JSON.stringify(asked[protocol]))
  assert(!isProblem(request), JSON.stringify(request))
  return request
}

/** As much of a target as interpreters look at. */
function targetOf(protocol: TextProtocol): Target {
  const priced = { model: 'm' } as Target['priced']
  return { protocol, priced, maxOutputTokens: 100, maxTokensMember: 'max_tokens', streamOptions: true } as Target
}

const text = fc.oneof(
  fc.string({ minLength: 1, maxLength: 12 }),
  fc.constantFrom('日本', '🚀', '"\\', '\n\n', 'data: x'),
)
const usage = { input: 3, cacheRead: 0, cacheWrite5m: 0, cacheWrite1h: 0, output: 4, reasoning: 0 }

const block = fc.oneof(
  fc.record({
    open: fc.constant<AnswerEvent>({ type: 'block', block: 'text' }),
    deltas: fc.array(text, { minLength: 1, maxLength: 5 }),
  }),
  fc.record({
    open: fc.constant<AnswerEvent>({ type: 'block', block: 'tool_call', id: 'call_1', name: 'look_up' }),
    deltas: fc.constantFrom(['{"a":', '1}'], ['{}'], ['{"text":"', 'x"}']),
  }),
)

/** An answer in neutral events: some blocks, then its end. */
const answer = fc
  .array(block, { minLength: 1, maxLength: 4 })
  .map((blocks): AnswerEvent[] => [
    { type: 'start', id: 'answer-1', model: 'm-1' },
    ...blocks.flatMap(({ open, deltas }, index): AnswerEvent[] => [
      open.type === 'block' && open.block === 'tool_call' ? { ...open, id: `call_${index}` } : open,
      ...deltas.map((delta): AnswerEvent => ({ type: 'delta', text: delta })),
    ]),
    { type: 'finish', finish: blocks.some(({ open }) => 'id' in open) ? 'tool_calls' : 'stop', usage },
  ])

function encodeIn(protocol: TextProtocol, events: readonly AnswerEvent[]): string[] {
  const dialect = dialects[protocol]
  assert(dialect !== undefined)
  const encoder = dialect.createEncoder({ ...options, includeUsage: true, request: requestIn(protocol) })
  const whole = events.map((event) => encoder.encode(event)).join('') + encoder.done()
  return whole.split(/(?<=\n\n)/)
}

/** Feeds bytes to the reader of one attempt and notes what the relay would see. */
function relay(client: TextProtocol, upstream: TextProtocol, bytes: Buffer, cuts: readonly number[]) {
  const request = requestIn(client)
  const interpreter = createInterpreter(request, targetOf(upstream), options)
  const { format, translator } = interpreter.stream()
  const seen = { sent: [] as Buffer[], last: undefined as Buffer | undefined, fault: undefined as string | undefined }
  const isOver = () => seen.last !== undefined || seen.fault !== undefined
  const reader = createStreamReader({
    frameBytesMax: FRAME_BYTES_MAX,
    format,
    ...(translator && { translator }),
    faultOfWhole: () => undefined,
    choices: 1,
    includeUsage: request.includeUsage,
    onText: () => assert(!isOver(), 'nothing follows the end'),
    onFrames(frames) {
      assert(!isOver(), 'nothing follows the end')
      seen.sent.push(frames)
    },
    onComplete(last) {
      assert(!isOver(), 'an answer ends once')
      seen.last = last
    },
    onFault({ code }) {
      assert(!isOver(), 'an answer ends once')
      seen.fault = code
    },
  })
  reader.onAnswer({ 'content-type': 'text/event-stream' })
  let at = 0
  for (const cut of [
    ...cuts.map((share) => Math.floor(share * bytes.length)).toSorted((a, b) => a - b),
    bytes.length,
  ]) {
    if (cut > at) reader.onBody(bytes.subarray(at, cut))
    at = Math.max(at, cut)
  }
  reader.onEnd()
  assert(isOver(), 'a stream that has ended is over')
  return { ...seen, usage: reader.usage() }
}

/** Everything that a client gets of a translated stream is whole frames of valid JSON. */
function expectValidFrames(bytes: Buffer): void {
  for (const frame of bytes.toString('utf8').split(/(?<=\n\n)/)) {
    if (frame === '') continue
    assert(frame.endsWith('\n\n'), `half a frame: ${frame}`)
    const data = frameData(frame)
    if (data !== undefined && data !== '[DONE]') JSON.parse(data)
  }
}

type Damage = (frames: string[], at: number) => string[]
const damages: Damage[] = [
  (frames, at) => frames.toSpliced(at, 1),
  (frames, at) => frames.toSpliced(at, 0, frames[at] ?? ''),
  (frames, at) => [...frames.slice(0, at), ...frames.slice(at).toReversed()],
  (frames, at) => frames.slice(0, at),
  (frames, at) => frames.with(at, (frames[at] ?? '').slice(0, -5)),
  (frames, at) => frames.with(at, (frames[at] ?? '').replaceAll('"', "'")),
  (frames, at) => frames.with(at, (frames[at] ?? '').replace(/[0-9]/, '-')),
  (frames, at) => frames.with(at, (frames[at] ?? '').replace(/\{/, '{"error":{"message":"no"},')),
  (frames, at) => frames.toSpliced(at, 0, 'data: {}\n\n'),
  (frames, at) => frames.toSpliced(at, 0, 'data: null\n\n'),
  (frames, at) => frames.toSpliced(at, 0, 'data: [1]\n\n'),
  (frames, at) => frames.toSpliced(at, 0, 'event: ping\ndata: {"type":"ping"}\n\n'),
  (frames, at) => frames.toSpliced(at, 0, ': a comment\n\n', '\n\n', 'retry: 1\n\n'),
  (frames, at) => frames.toSpliced(at, 0, `data: ${'x'.repeat(70_000)}\n\n`),
  (frames, at) => frames.toSpliced(at, 0, '<html>\n\n'),
]

before(loadTokenizer)

for (const client of protocols)
  for (const upstream of protocols) {
    const pair = client === upstream ? `${client}` : `${client} from ${upstream}`

    test(`a whole stream arrives whole, however it is cut: ${pair}`, () => {
      fc.assert(
        fc.property(answer, fc.array(fc.double({ min: 0, max: 1, noNaN: true }), { maxLength: 8 }), (events, cuts) => {
          const bytes = Buffer.from(encodeIn(upstream, events).join(''))
          const seen = relay(client, upstream, bytes, cuts)
          assert.equal(seen.fault, undefined)
          assert(seen.usage !== undefined)
          const uncut = relay(client, upstream, bytes, [])
          const all = (one: typeof seen) => Buffer.concat([...one.sent, one.last ?? Buffer.alloc(0)]).toString('utf8')
          assert.equal(all(seen), all(uncut))
          expectValidFrames(Buffer.from(all(seen)))
        }),
        fuzzSettings(60),
      )
    })

    test(`a damaged stream ends once, and what was translated is valid: ${pair}`, () => {
      const damage = fc.tuple(fc.nat({ max: damages.length - 1 }), fc.nat({ max: 40 }))
      const cuts = fc.array(fc.double({ min: 0, max: 1, noNaN: true }), { maxLength: 4 })
      fc.assert(
        fc.property(answer, fc.array(damage, { minLength: 1, maxLength: 3 }), cuts, (events, plan, at) => {
          let frames = encodeIn(upstream, events)
          for (const [kind, place] of plan)
            if (frames.length > 0) frames = damages[kind]?.(frames, place % frames.length) ?? frames
          const seen = relay(client, upstream, Buffer.from(frames.join('')), at)
          if (client !== upstream) expectValidFrames(Buffer.concat([...seen.sent, seen.last ?? Buffer.alloc(0)]))
        }),
        fuzzSettings(150),
      )
    })

    test(`bytes of any kind end as a fault or an answer, never as an exception: ${pair}`, () => {
      const junk = fc.oneof(
        fc.uint8Array({ maxLength: 400 }).map((bytes) => Buffer.from(bytes)),
        fc
          .array(fc.json(), { maxLength: 6 })
          .map((list) => Buffer.from(list.map((json) => `data: ${json}\n\n`).join(''))),
      )
      fc.assert(
        fc.property(junk, (bytes) => {
          relay(client, upstream, bytes, [0.3, 0.6])
        }),
        fuzzSettings(150),
      )
    })
  }
