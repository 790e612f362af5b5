// What holds for any request and answer, whichever of the two protocols it goes through and in whatever order.
import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import { decodeMessagesAnswer } from './anthropic-decode-answer.ts'
import { decodeMessagesRequest } from './anthropic-decode-request.ts'
import { createMessagesEventDecoder } from './anthropic-decode-stream.ts'
import { encodeMessagesAnswer } from './anthropic-encode-answer.ts'
import { encodeMessagesRequest } from './anthropic-encode-request.ts'
import { createMessagesEventEncoder } from './anthropic-encode-stream.ts'
import { decodeChatAnswer } from './chat-decode-answer.ts'
import { decodeChatRequest } from './chat-decode-request.ts'
import { createChatEventDecoder } from './chat-decode-stream.ts'
import { encodeChatAnswer } from './chat-encode-answer.ts'
import { encodeChatRequest } from './chat-encode-request.ts'
import { createChatEventEncoder } from './chat-encode-stream.ts'
import type { JsonObject } from './json-values.ts'
import type { AnswerEvent, Message, NeutralAnswer, NeutralRequest, NeutralUsage, Part } from './neutral.ts'
import { type EventDecoder, type EventEncoder, WireError } from './protocol.ts'
import { frameData } from './sse-frames.ts'

const options = { id: 'f'.repeat(32), created: 1, request: { model: 'm' } }
const seed = 17

const words = fc
  .array(fc.oneof(fc.constantFrom('"', '\\', '\n', 'data: ', '日', '🚀', '}'), fc.string({ maxLength: 5 })), {
    maxLength: 4,
  })
  .map((parts) => `x${parts.join('')}x`)
const name = fc.stringMatching(/^[a-z_]{1,12}$/)
const args = fc
  .dictionary(name, fc.oneof(words, fc.nat(), fc.boolean()), { maxKeys: 3 })
  .map((value) => JSON.stringify(value))
const toolId = fc.oneof(
  fc.stringMatching(/^call_[A-Za-z0-9]{6,12}$/),
  fc.uuid(),
  fc.stringMatching(/^toolu_[a-z]{4,8}$/),
)
const schema = fc.dictionary(name, fc.constant({ type: 'string' }), { noNullPrototype: true }).map((properties) => ({
  type: 'object',
  properties,
  additionalProperties: false,
}))

const textPart = words.map((text): Part => ({ type: 'text', text }))
const picture = fc.constantFrom<Part>(
  { type: 'image', url: 'https://example.com/a.png' },
  { type: 'image', url: 'data:image/png;base64,iVBO' },
  { type: 'file', data: 'JVBE', mediaType: 'application/pdf', name: 'a.pdf' },
)

/** A turn of the user, one of the model with calls, and the results of these. */
const exchange = fc
  .record({
    asked: fc.tuple(textPart, fc.array(picture, { maxLength: 2 })),
    said: fc.option(textPart),
    calls: fc.uniqueArray(fc.record({ id: toolId, name, arguments: args, result: words }), {
      maxLength: 3,
      selector: ({ id }) => id,
    }),
  })
  .map(({ asked: [first, others], said, calls }): Message[] => {
    const called: Part[] = calls.map(({ result: _, ...call }) => ({ type: 'tool_call', ...call }))
    const results: Part[] = calls.map(({ id, result }) => ({
      type: 'tool_result',
      id,
      content: [{ type: 'text', text: result }],
      isError: false,
    }))
    const answer = [...(said === null ? [] : [said]), ...called]
    return [
      { role: 'user', parts: [first, ...others] },
      ...(answer.length === 0 ? [] : [{ role: 'assistant' as const, parts: answer }]),
      ...(results.length === 0 ? [] : [{ role: 'user' as const, parts: results }]),
    ]
  })

const request: fc.Arbitrary<NeutralRequest> = fc
  .record(
    {
      stream: fc.boolean(),
      system: fc.option(textPart).map((part) => (part === null ? [] : [part])),
      messages: fc.tuple(fc.array(exchange, { maxLength: 3 }), textPart).map(([turns, last]): Message[] => {
        const seen = new Set<string>()
        const kept = turns.filter((messages) => {
          const ids = messages.flatMap(({ parts }) =>
            parts.flatMap((part) => (part.type === 'tool_call' ? [part.id] : [])),
          )
          if (ids.some((id) => seen.has(id))) return false
          for (const id of ids) seen.add(id)
          return true
        })
        return [...kept.flat(), { role: 'user', parts: [last] }]
      }),
      tools: fc.array(
        fc.record(
          { name, description: words, parameters: schema, strict: fc.constant(true) },
          { requiredKeys: ['name', 'parameters'], noNullPrototype: true },
        ),
        { minLength: 1, maxLength: 3 },
      ),
      toolChoice: fc.oneof(
        fc.constantFrom({ type: 'auto' as const }, { type: 'required' as const }),
        name.map((tool) => ({ type: 'tool' as const, name: tool })),
      ),
      parallelToolCalls: fc.boolean(),
      maxTokens: fc.integer({ min: 1, max: 100_000 }),
      temperature: fc.constantFrom(0, 0.5, 1),
      stop: fc.array(words, { minLength: 1, maxLength: 4 }),
      format: schema.map((each) => ({ type: 'json_schema' as const, name: 'answer', schema: each, strict: true })),
      user: fc.stringMatching(/^u[a-z0-9]{8,20}$/),
    },
    { requiredKeys: ['stream', 'system', 'messages', 'tools', 'maxTokens', 'toolChoice'], noNullPrototype: true },
  )
  .map((value) => value as NeutralRequest)

/** What a request says, whatever messages it is spread over. */
function meaning({ messages, system, ...rest }: NeutralRequest) {
  const said: { role: string; part: unknown }[] = []
  for (const { role, parts } of messages) {
    for (const part of parts) {
      const last = said.at(-1)
      const before = last?.role === role ? (last.part as Part) : undefined
      if (part.type === 'text' && before?.type === 'text') before.text += part.text
      else if (part.type === 'tool_call') said.push({ role, part: { ...part, arguments: JSON.parse(part.arguments) } })
      else said.push({ role, part: { ...part } })
    }
  }
  return { ...rest, system: system.map((part) => (part.type === 'text' ? part.text : '')).join('\n\n'), said }
}

const viaChat = (value: NeutralRequest) => {
  const { body, losses } = encodeChatRequest(value, { maxTokensMember: 'max_tokens', streamOptions: true })
  const decoded = decodeChatRequest(JSON.parse(JSON.stringify(body)))
  assert.deepEqual([...losses, ...decoded.losses], [])
  return decoded.request
}
const viaMessages = (value: NeutralRequest) => {
  const { body, losses } = encodeMessagesRequest(value, { maxOutputTokens: 100, model: 'claude-sonnet-4-5' })
  const decoded = decodeMessagesRequest(JSON.parse(JSON.stringify(body)))
  assert.deepEqual([...losses, ...decoded.losses], [])
  return decoded.request
}

test('a request means the same through chat, through messages, and through both', () => {
  fc.assert(
    fc.property(request, (value) => {
      const want = meaning(value)
      assert.deepEqual(meaning(viaChat(value)), want)
      assert.deepEqual(meaning(viaMessages(value)), want)
      assert.deepEqual(meaning(viaMessages(viaChat(value))), want)
      assert.deepEqual(meaning(viaChat(viaMessages(value))), want)
    }),
    { numRuns: 300, seed },
  )
})

const count = fc.nat(100_000)
const usage: fc.Arbitrary<NeutralUsage> = fc
  .tuple(count, count, count, count)
  .map(([input, cacheRead, output, reasoning]) => ({
    input: input + cacheRead,
    cacheRead,
    cacheWrite5m: 0,
    cacheWrite1h: 0,
    output: output + reasoning,
    reasoning,
  }))

const answerPart: fc.Arbitrary<Part> = fc.oneof(
  textPart,
  words.map((text): Part => ({ type: 'reasoning', text, origin: 'chat' })),
  fc.record({ id: toolId, name, arguments: args }).map((call): Part => ({ type: 'tool_call', ...call })),
)
const answer: fc.Arbitrary<NeutralAnswer> = fc
  .record({ parts: fc.array(answerPart, { maxLength: 6 }), usage, length: fc.boolean() })
  .map(({ parts, usage: used, length }) => ({
    id: 'a1',
    model: 'm1',
    parts,
    finish: length ? 'length' : parts.some(({ type }) => type === 'tool_call') ? 'tool_calls' : 'stop',
    usage: used,
  }))

/** What an answer says, of each kind in order: chat has no order between kinds. */
function content({ parts, finish, usage: used }: Omit<NeutralAnswer, 'id' | 'model'>) {
  const all = (type: 'text' | 'reasoning') => parts.map((part) => (part.type === type ? part.text : '')).join('')
  const calls = parts.flatMap((part) =>
    part.type === 'tool_call' ? [[part.id, part.name, JSON.parse(part.arguments || '{}')]] : [],
  )
  return { text: all('text'), reasoning: all('reasoning'), calls, finish, usage: used }
}

test('a whole answer says the same through chat, through messages, and through both', () => {
  const chat = (value: NeutralAnswer) => decodeChatAnswer(JSON.parse(JSON.stringify(encodeChatAnswer(value, options))))
  const messages = (value: NeutralAnswer) =>
    decodeMessagesAnswer(JSON.parse(JSON.stringify(encodeMessagesAnswer(value, options))))
  fc.assert(
    fc.property(answer, (value) => {
      const want = content(value)
      assert.deepEqual(content(chat(value)), want)
      assert.deepEqual(content(messages(value)), want)
      assert.deepEqual(content(messages(chat(value))), want)
      assert.deepEqual(content(chat(messages(value))), want)
      assert.deepEqual(
        messages(value).parts.map(({ type }) => type),
        value.parts.map(({ type }) => type),
      )
    }),
    { numRuns: 300, seed },
  )
})

test('whole reasoning comes back to the protocol that made it', () => {
  const origins = fc.constantFrom('chat' as const, 'responses' as const, 'messages' as const)
  fc.assert(
    fc.property(words, origins, words, (text, origin, signature) => {
      const part: Part = { type: 'reasoning', text, origin, ...(origin !== 'chat' && { signature }) }
      const { content: blocks } = encodeMessagesAnswer({ id: '', model: '', parts: [part], finish: 'stop' }, options)
      const back = decodeMessagesRequest({ messages: [{ role: 'assistant', content: blocks }] })
      assert.deepEqual(back.request.messages, [{ role: 'assistant', parts: [part] }])

      const { choices } = encodeChatAnswer({ id: '', model: '', parts: [part], finish: 'stop' }, options)
      const [{ message }] = choices as [{ message: object }]
      assert.deepEqual(decodeChatRequest({ messages: [message] }).request.messages[0]?.parts, [part])
    }),
    { numRuns: 100, seed },
  )
})

/** An answer as it is streamed: its text in pieces. */
function eventsOf(value: NeutralAnswer, pieces: number): AnswerEvent[] {
  const events: AnswerEvent[] = [{ type: 'start', id: value.id, model: value.model }]
  for (const part of value.parts) {
    if (part.type === 'tool_call') events.push({ type: 'block', block: part.type, id: part.id, name: part.name })
    else if (part.type === 'reasoning') events.push({ type: 'block', block: part.type, origin: part.origin })
    else if (part.type === 'text') events.push({ type: 'block', block: part.type })
    const text =
      part.type === 'tool_call' ? part.arguments : part.type === 'text' || part.type === 'reasoning' ? part.text : ''
    const chars = [...text]
    const size = Math.max(1, Math.ceil(chars.length / pieces))
    for (let at = 0; at < chars.length; at += size)
      events.push({ type: 'delta', text: chars.slice(at, at + size).join('') })
  }
  events.push({ type: 'finish', finish: value.finish, ...(value.usage !== undefined && { usage: value.usage }) })
  return events
}

function through(encoder: EventEncoder, decoder: EventDecoder, events: AnswerEvent[]): AnswerEvent[] {
  const frames = events.map((event) => encoder.encode(event)).join('') + encoder.done()
  const data = frames.split(/(?<=\n\n)/).map((frame) => frameData(frame) ?? '')
  return [...data.flatMap((each) => decoder.decode(each)), ...decoder.end()]
}

/** The answer that a stream adds up to; blocks must not overlap, and nothing may stand outside of one. */
function collected(events: AnswerEvent[]): NeutralAnswer {
  const [first, ...rest] = events
  assert(first?.type === 'start')
  const last = rest.pop()
  assert(last?.type === 'finish')
  const parts: Part[] = []
  for (const event of rest) {
    if (event.type === 'block') {
      if (event.block === 'tool_call') parts.push({ type: 'tool_call', id: event.id, name: event.name, arguments: '' })
      else if (event.block === 'reasoning') parts.push({ type: 'reasoning', text: '', origin: event.origin })
      else parts.push({ type: event.block, text: '' })
      continue
    }
    assert(event.type === 'delta')
    const part = parts.at(-1)
    assert(part !== undefined)
    if (part.type === 'tool_call') part.arguments += event.text
    else if (part.type === 'text' || part.type === 'reasoning') part.text += event.text
  }
  return {
    id: first.id,
    model: first.model,
    parts,
    finish: last.finish,
    ...(last.usage !== undefined && { usage: last.usage }),
  }
}

test('a stream says the same through chat, through messages, and through both', () => {
  const chat = (events: AnswerEvent[]) =>
    through(createChatEventEncoder({ ...options, includeUsage: true }), createChatEventDecoder(), events)
  const messages = (events: AnswerEvent[]) =>
    through(createMessagesEventEncoder(options), createMessagesEventDecoder(), events)
  fc.assert(
    fc.property(answer, fc.integer({ min: 1, max: 5 }), (value, pieces) => {
      const events = eventsOf(value, pieces)
      const want = content(value)
      for (const got of [chat(events), messages(events), messages(chat(events)), chat(messages(events))]) {
        const found = collected(got)
        assert.deepEqual(content(found), want)
        assert.equal(found.id, 'a1')
      }
    }),
    { numRuns: 300, seed },
  )
})

const members = fc.constantFrom(
  ...['id', 'model', 'type', 'error', 'usage', 'content', 'choices', 'delta', 'message', 'index', 'role', 'messages'],
  ...['text', 'thinking', 'signature', 'tool_calls', 'function', 'name', 'arguments', 'input', 'content_block', 'data'],
  ...[
    'finish_reason',
    'stop_reason',
    'reasoning_content',
    'reasoning_details',
    'tools',
    'tool_choice',
    'source',
    'url',
  ],
  ...[
    'image_url',
    'system',
    'thinking',
    'output_config',
    'response_format',
    'constructor',
    '__proto__',
    'toString',
    'tool_use_id',
  ],
)
const texts = fc.constantFrom(
  ...[
    'message_start',
    'content_block_start',
    'content_block_delta',
    'content_block_stop',
    'message_delta',
    'message_stop',
  ],
  ...[
    'text',
    'tool_use',
    'tool_result',
    'thinking',
    'image',
    'document',
    'user',
    'assistant',
    'tool',
    'system',
    'function',
  ],
  ...[
    'text_delta',
    'input_json_delta',
    'base64',
    'image_url',
    'file',
    'stop',
    'tool_calls',
    '{}',
    'constructor',
    'enabled',
  ],
)
const { json } = fc.letrec((tie) => ({
  json: fc.oneof(
    { maxDepth: 6 },
    texts,
    fc.jsonValue({ maxDepth: 1 }),
    fc.array(tie('json'), { maxLength: 3 }),
    fc.dictionary(members, tie('json'), { maxKeys: 6 }),
  ),
}))
const object = fc
  .dictionary(members, json, { maxKeys: 8 })
  .map((value): JsonObject => JSON.parse(JSON.stringify(value)))

function onlyWireErrors(run: () => void): void {
  try {
    run()
  } catch (error) {
    assert(error instanceof WireError, String(error))
  }
}

test('whatever an upstream says is understood or a WireError', () => {
  fc.assert(
    fc.property(fc.array(fc.oneof(object, json), { maxLength: 6 }), (values) => {
      const list: unknown[] = JSON.parse(JSON.stringify(values))
      for (const value of list) {
        onlyWireErrors(() => encodeMessagesAnswer(decodeChatAnswer(value), options))
        onlyWireErrors(() => encodeChatAnswer(decodeMessagesAnswer(value), options))
      }
      for (const create of [createChatEventDecoder, createMessagesEventDecoder]) {
        const decoder = create()
        const encoders = [
          createMessagesEventEncoder(options),
          createChatEventEncoder({ ...options, includeUsage: true }),
        ]
        onlyWireErrors(() => {
          for (const value of list)
            for (const event of decoder.decode(JSON.stringify(value) ?? ''))
              for (const each of encoders) each.encode(event)
          for (const event of decoder.end()) for (const each of encoders) each.encode(event)
        })
      }
    }),
    { numRuns: 2_000, seed },
  )
})

test('whatever a client sends is translated or lost, and never thrown at', () => {
  const target = { maxTokensMember: 'max_tokens', streamOptions: true, maxOutputTokens: 100 } as const
  fc.assert(
    fc.property(object, (body) => {
      for (const decode of [decodeChatRequest, decodeMessagesRequest]) {
        const { request: decoded } = decode(body)
        JSON.stringify([encodeChatRequest(decoded, target).body, encodeMessagesRequest(decoded, target).body])
      }
    }),
    { numRuns: 2_000, seed },
  )
})
