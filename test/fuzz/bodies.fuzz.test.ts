// Request and answer bodies of any shape: what the parsers and translators make of them.
import assert from 'node:assert/strict'
import { before, test } from 'node:test'
import fc from 'fast-check'
import { codecs } from '#gateway/codecs.ts'
import { canTranslate, createInterpreter } from '#gateway/interpreter.ts'
import type { Target } from '#gateway/target.ts'
import { fuzzSettings } from '#test/support/fuzz-settings.ts'
import { loadTokenizer } from '#wire/count-tokens.ts'
import { type Protocol, WireError } from '#wire/protocol.ts'
import { isProblem } from '#wire/text-request.ts'

const protocols = Object.keys(codecs) as Protocol[]
const options = { id: '0'.repeat(32), created: 1_700_000_000 }

function targetOf(protocol: Protocol): Target {
  const priced = { model: 'the "model"' } as Target['priced']
  return { protocol, priced, maxOutputTokens: 4_096, maxTokensMember: 'max_tokens', streamOptions: true } as Target
}

const json = fc.jsonValue({ maxDepth: 3 })
const role = fc.constantFrom('system', 'developer', 'user', 'assistant', 'tool', 'function', 'nobody')
const kinds = [
  'text',
  'image_url',
  'image',
  'input_text',
  'input_image',
  'tool_use',
  'tool_result',
  'thinking',
  'refusal',
]
const part = fc.oneof(
  json,
  fc.record(
    {
      type: fc.constantFrom(...kinds, 'output_text', 'document', 'input_audio', 'redacted_thinking', 'reasoning'),
      text: fc.oneof(fc.string(), json),
      id: fc.oneof(fc.string(), json),
      name: fc.oneof(fc.string(), json),
      input: json,
      content: json,
      tool_use_id: fc.string(),
      image_url: fc.oneof(fc.constant({ url: 'data:image/png;base64,AAAA' }), json),
      source: fc.oneof(fc.constant({ type: 'base64', media_type: 'image/png', data: 'AAAA' }), json),
      thinking: fc.oneof(fc.string(), json),
      signature: fc.oneof(fc.string(), json),
    },
    { requiredKeys: ['type'] },
  ),
)
const message = fc.oneof(
  json,
  fc.record(
    {
      role,
      type: fc.constantFrom('message', 'function_call', 'function_call_output', 'reasoning', 'item_reference'),
      content: fc.oneof(fc.string(), fc.array(part, { maxLength: 3 }), json),
      tool_calls: fc.oneof(
        fc.constant([{ id: 'call_1', type: 'function', function: { name: 'f', arguments: '{"a":1}' } }]),
        json,
      ),
      tool_call_id: fc.string(),
      call_id: fc.string(),
      arguments: fc.string(),
      output: fc.oneof(fc.string(), json),
      name: fc.string(),
      summary: json,
    },
    { requiredKeys: ['role'] },
  ),
)
const tool = fc.oneof(
  json,
  fc.constant({ type: 'function', function: { name: 'f', parameters: { type: 'object' } } }),
  fc.constant({ type: 'function', name: 'f', parameters: { type: 'object' } }),
  fc.constant({ name: 'f', input_schema: { type: 'object' } }),
)
const body = fc.record(
  {
    model: fc.oneof(fc.constant('m'), json),
    messages: fc.oneof(fc.array(message, { minLength: 1, maxLength: 4 }), json),
    input: fc.oneof(fc.string(), fc.array(message, { minLength: 1, maxLength: 4 }), json),
    prompt: fc.oneof(fc.string(), fc.array(fc.nat()), json),
    system: fc.oneof(fc.string(), fc.array(part, { maxLength: 2 }), json),
    instructions: fc.oneof(fc.string(), json),
    max_tokens: fc.oneof(fc.integer({ min: -1, max: 9_000 }), json),
    max_output_tokens: fc.oneof(fc.integer({ min: -1, max: 9_000 }), json),
    stream: fc.oneof(fc.boolean(), json),
    tools: fc.oneof(fc.array(tool, { maxLength: 2 }), json),
    tool_choice: fc.oneof(fc.constantFrom('auto', 'none', 'required', 'any'), json),
    temperature: fc.oneof(fc.double({ min: 0, max: 2, noNaN: true }), json),
    stop: fc.oneof(fc.string(), fc.array(fc.string()), json),
    response_format: fc.oneof(fc.constant({ type: 'json_object' }), json),
    thinking: fc.oneof(fc.constant({ type: 'enabled', budget_tokens: 2_048 }), json),
    reasoning: fc.oneof(fc.constant({ effort: 'low' }), json),
    reasoning_effort: fc.oneof(fc.constantFrom('low', 'high'), json),
    metadata: json,
    text: json,
  },
  { requiredKeys: ['model'] },
)

before(loadTokenizer)

for (const protocol of protocols)
  test(`a request of any shape is read, refused with its place, or no JSON: ${protocol}`, () => {
    fc.assert(
      fc.property(fc.oneof({ weight: 5, arbitrary: body }, { weight: 1, arbitrary: json }), (value) => {
        const text = JSON.stringify(value)
        const request = codecs[protocol].parse(text)
        if (isProblem(request)) {
          assert.equal(typeof request.path, 'string')
          assert(request.message.length > 0)
          return
        }
        assert(request.countPrompt().tokens >= 0)
        for (const spoken of protocols) {
          if (spoken !== protocol && !canTranslate(protocol, spoken)) continue
          const interpreter = createInterpreter(request, targetOf(spoken), options)
          const sent = JSON.parse(interpreter.body(targetOf(spoken), 7)) as { model?: unknown }
          assert.equal(sent.model, 'the "model"')
        }
      }),
      fuzzSettings(250),
    )
  })

for (const protocol of protocols)
  test(`text that is no JSON is a SyntaxError and nothing else: ${protocol}`, () => {
    fc.assert(
      fc.property(fc.string({ unit: 'binary', maxLength: 60 }), (text) => {
        try {
          codecs[protocol].parse(text)
        } catch (error) {
          assert(error instanceof SyntaxError)
        }
      }),
      fuzzSettings(200),
    )
  })

const answerBody = fc.record(
  {
    id: fc.oneof(fc.string(), json),
    model: fc.oneof(fc.string(), json),
    choices: fc.oneof(
      fc.array(
        fc.record({ index: fc.nat(), message, finish_reason: fc.oneof(fc.constantFrom('stop', 'length'), json) }),
      ),
      json,
    ),
    content: fc.oneof(fc.array(part, { maxLength: 3 }), json),
    output: fc.oneof(fc.array(message, { maxLength: 3 }), json),
    status: fc.oneof(fc.constantFrom('completed', 'incomplete', 'failed'), json),
    stop_reason: fc.oneof(fc.constantFrom('end_turn', 'tool_use', 'max_tokens'), json),
    type: fc.oneof(fc.constantFrom('message', 'error'), json),
    object: fc.oneof(fc.constantFrom('response', 'chat.completion', 'list'), json),
    usage: fc.oneof(
      fc.record({
        prompt_tokens: fc.nat(),
        completion_tokens: fc.nat(),
        input_tokens: fc.nat(),
        output_tokens: fc.nat(),
      }),
      json,
    ),
    data: json,
    error: fc.oneof(fc.constant(null), json),
  },
  { requiredKeys: [] },
)

const minimal: Partial<Record<Protocol, object>> = {
  chat: { model: 'm', messages: [{ role: 'user', content: 'hi' }] },
  messages: { model: 'm', max_tokens: 10, messages: [{ role: 'user', content: 'hi' }] },
  responses: { model: 'm', input: 'hi' },
}

for (const [client, asked] of Object.entries(minimal) as [Protocol, object][])
  for (const upstream of Object.keys(minimal) as Protocol[])
    test(`an answer of any shape is a fault, or is told as one of the client's: ${client} from ${upstream}`, () => {
      const request = codecs[client].parse(JSON.stringify(asked))
      assert(!isProblem(request))
      const interpreter = createInterpreter(request, targetOf(upstream), options)
      fc.assert(
        fc.property(fc.oneof({ weight: 5, arbitrary: answerBody }, { weight: 1, arbitrary: json }), (value) => {
          const text = JSON.stringify(value)
          const facts = interpreter.parseWhole(text)
          if ('fault' in facts) return
          assert.equal(typeof facts.text, 'string')
          assert(['usage', 'absent', 'impossible'].includes(interpreter.decodeUsage(facts.usage).outcome))
          try {
            JSON.parse(interpreter.render(Buffer.from(text)).toString('utf8'))
          } catch (error) {
            assert(error instanceof WireError, String(error))
          }
        }),
        fuzzSettings(250),
      )
    })
