import assert from 'node:assert/strict'
import { request as httpRequest, type IncomingMessage } from 'node:http'
import { after, before, describe, test } from 'node:test'
import {
  createTestGateway,
  type Json,
  ONE_USD,
  openReply,
  type Reply,
  type TestGateway,
  type TestProject,
} from '#test/support/gateway.ts'
import { createRawUpstream, httpAnswer, type RawUpstream, streamHead } from '#test/support/raw-upstream.ts'
import { framesOf } from '#test/support/stream-text.ts'

// Messages and responses through the gateway as they are without it, where the upstream speaks them too.

let gateway: TestGateway
let project: TestProject
before(async () => {
  gateway = await createTestGateway()
  project = await gateway.openProject(ONE_USD)
})
after(() => gateway.close())

const SAID = 'naïve “quotes”, 日本 🚀 \\ and \u2028 \n'
const SCHEMA = { type: 'object', properties: { a: { type: 'string' } } }

interface Protocol {
  path: string
  body: Json
  tools: Json
  reasons: Json
}

const protocols: Record<'messages' | 'responses', Protocol> = {
  messages: {
    path: '/v1/messages',
    body: { max_tokens: 500, messages: [{ role: 'user', content: SAID }] },
    tools: { tools: [{ name: 'f', input_schema: SCHEMA }] },
    reasons: { thinking: { type: 'enabled', budget_tokens: 1_024 }, max_tokens: 4_000 },
  },
  responses: {
    path: '/v1/responses',
    body: { input: SAID, store: false },
    tools: { tools: [{ type: 'function', name: 'f', parameters: SCHEMA, strict: false }] },
    reasons: { reasoning: { summary: 'auto' }, include: ['reasoning.encrypted_content'] },
  },
}

/** Without the ids and times of an answer, which no two answers share. */
const anonymous = (text: string) =>
  text
    .replaceAll(/\b(msg|resp|rs|fc|toolu|call|chatcmpl)_sim[\w-]*/g, '$1_x')
    .replaceAll(/"(created_at|completed_at)":\d+/g, '"$1":0')
    .replaceAll(/RmxTaW0[\w+/=]*/g, 'seal')
    .replaceAll(/"obfuscation":"[^"]*"/g, '"obfuscation":""')
    .replaceAll(/"model":"(sim\/)?(echo|reasoner)"/g, '"model":"$2"')
const lf = (text: string) => text.replaceAll('\r\n', '\n')

async function direct(path: string, body: object): Promise<Reply> {
  const request = httpRequest(`${gateway.simulatorUrl}${path}`, { method: 'POST' })
  request.end(JSON.stringify(body))
  const response = await new Promise<IncomingMessage>((resolve, reject) => {
    request.on('response', resolve).on('error', reject)
  })
  return openReply(response).all()
}

for (const [protocol, { path, body, tools, reasons }] of Object.entries(protocols))
  describe(`${protocol}: an answer is what the provider sent`, () => {
    const shapes: [name: string, more: Json, model?: string][] = [
      ['plain', {}],
      ['emoji', { sim: { unicode: true } }],
      ['tools', { ...tools, sim: { tool_calls: 2 } }],
      ['reasoning', { ...reasons, sim: { show_reasoning: true } }, 'reasoner'],
      ['a filtered answer', { sim: { tokens: 40, content_filter: 'answer' } }],
      ['a limit', { max_tokens: 5, max_output_tokens: 5 }],
      ['what was cached', { sim: { prompt_tokens: 100, cached_tokens: 60, cache_write_tokens: 10 } }],
      ['impossible usage', { sim: { usage: 'negative' } }],
      ['CR LF', { sim: { crlf: true } }],
      ['comments', { sim: { comments: true } }],
      ['data over two lines', { sim: { multiline_data: true } }],
      ['one byte at a time', { sim: { one_byte: true } }],
      ['characters cut in two', { sim: { split_utf8: true } }],
      ['a byte order mark', { sim: { bom: true } }],
      ['a long line', { sim: { long_line_bytes: 200_000 } }],
    ]
    for (const [name, more, model = 'echo'] of shapes)
      for (const stream of [false, true])
        test(`${name}${stream ? ', streamed' : ''}`, async () => {
          const asked = { ...body, ...more, ...(stream && { stream }) }
          const plain = await direct(path, { ...asked, model })
          const relayed = await gateway.chat({ ...asked, model: `sim/${model}` }, { key: project.secret, path })
          assert.equal(relayed.status, 200, relayed.text)
          if (!stream) {
            assert.equal(anonymous(relayed.text), anonymous(plain.text))
            assert.equal(relayed.headers['content-length'], String(relayed.body.length))
            return
          }
          const ours = (frame: string) => frame.startsWith(': fluxgate ')
          const frames = framesOf(lf(anonymous(relayed.text)))
          assert.deepEqual(
            frames.filter((frame) => !ours(frame)),
            framesOf(lf(anonymous(plain.text))),
          )
          assert.equal(frames.filter(ours).length, 1)
        })
  })

const MESSAGE =
  '{ "id":"msg_1", "type" : "message","role":"assistant","model":"m", "content":[{"type":"text","text":"h\\u0069"}],\n"stop_reason":"end_turn","stop_sequence":null,"usage":{"input_tokens":1,"output_tokens":1,"x":1.0},"n":9007199254740993 }\n'
const RESPONSE =
  '{ "id":"resp_1", "object" : "response","created_at":1,"model":"m","status":"completed","error":null,"output":[{"id":"msg_1","type":"message","role":"assistant","status":"completed","content":[{"type":"output_text","text":"h\\u0069","annotations":[]}]}],\n"usage":{"input_tokens":1,"output_tokens":1,"total_tokens":2,"x":1.0},"n":9007199254740993 }\n'
const COUNT = '{"input_tokens":7}'

describe('a request is what the client sent', () => {
  let upstream: RawUpstream
  let raw: TestGateway
  let rich: TestProject
  before(async () => {
    upstream = await createRawUpstream((socket, { head }) => {
      const answer = head.includes('count_tokens') ? COUNT : head.includes('/responses') ? RESPONSE : MESSAGE
      socket.write(httpAnswer(answer))
    })
    raw = await createTestGateway({ env: { FLUXGATE_SIM_URL: upstream.url } })
    rich = await raw.openProject(ONE_USD)
  })
  after(async () => {
    await raw.close()
    await upstream.close()
  })

  /** What the provider received for a request of exactly these bytes. */
  async function received(path: string, text: string, headers: Record<string, string> = {}) {
    const before = upstream.requests.length
    const reply = await raw.chat(text, { key: rich.secret, path, headers })
    assert.equal(reply.status, 200, reply.text)
    assert.equal(upstream.requests.length, before + 1)
    const { head = '', body } = upstream.requests[before] ?? {}
    return { head, body: body?.toString() ?? '', reply }
  }

  // The order of members, spaces, escapes, numbers, and what nobody here knows; thinking that was signed elsewhere.
  const messages = (model: string) =>
    ` {\n "max_tokens":  64 ,"model" : "${model}","temperature":1.0,"x":1e+2,"y":-0,"system":[{"type":"text","text":"\\u00e9\\/é","cache_control":{"ttl":"1h","type":"ephemeral"}}],` +
    '"messages":[{"role":"user","content":"a"},{"role":"assistant","content":[{"type":"thinking","thinking":"Hm\\u002e","signature":"EqQBCgIYAhIM1gbcDa9GJwZA2b3hGgxBdjrkzLoky3dl1pk="},{"type":"redacted_thinking","data":"EmwKAhgB"},{"type":"text","text":"b"}]},{"role":"user","content":"c"}],\n' +
    '"metadata":{"user_id":"u_1"},"context_management":{"edits":[{"type":"clear_tool_uses_20250919"}]},"z":{"b":1,"a":[ ]}  }\n'

  test('messages: bytes, and the answer too', async () => {
    const { body, reply, head } = await received('/v1/messages', messages('sim/echo'))
    assert.equal(body, messages('echo'))
    assert.equal(reply.text, MESSAGE)
    assert.match(head, /^POST \/v1\/messages HTTP\/1\.1/)
  })

  test('messages: the query that Claude Code sends is no part of the address', async () => {
    const { body } = await received('/v1/messages?beta=true', messages('sim/echo'))
    assert.equal(body, messages('echo'))
  })

  test('count_tokens: bytes, and nothing is charged', async () => {
    const { seq } = await rich.wallet()
    const { body, reply, head } = await received('/v1/messages/count_tokens', messages('sim/echo'))
    assert.equal(body, messages('echo'))
    assert.match(head, /^POST \/v1\/messages\/count_tokens HTTP\/1\.1/)
    assert.deepEqual(reply.json, { input_tokens: 7 })
    assert.equal(reply.headers['x-fluxgate-usage-source'], 'provider')
    assert.equal((await rich.wallet()).seq, seq)
  })

  test('responses: bytes but for store, which is set where it is missing', async () => {
    const text = (model: string, rest: string) =>
      ` {"input" : [{"type":"reasoning","id":"rs_1","summary":[ ],"encrypted_content":"gAAAAABo\\u002b"},{"role":"user","content":"\\u00e9\\/é"}],"model":"${model}","x":1e+2${rest}}`
    const stated = ',"store" : false , "include":["reasoning.encrypted_content"]'
    const kept = await received('/v1/responses', text('sim/echo', stated))
    assert.equal(
      kept.body.replace('"store" : false', '"store":false'),
      text('echo', stated).replace('"store" : false', '"store":false'),
    )
    assert.equal(kept.reply.text, RESPONSE)
    const added = await received('/v1/responses', text('sim/echo', ''))
    assert.equal(added.body, text('echo', ',"store":false'))
    const nulled = await received('/v1/responses', text('sim/echo', ',"store":null'))
    assert.equal(nulled.body, text('echo', ',"store":false'))
  })

  test('anthropic-version and anthropic-beta pass, other headers of the client do not', async () => {
    const { head } = await received('/v1/messages', messages('sim/echo'), {
      'anthropic-version': '2023-06-01',
      'anthropic-beta': 'interleaved-thinking-2025-05-14,context-1m-2025-08-07',
      'anthropic-dangerous-direct-browser-access': 'true',
      cookie: 'c=d',
      'x-forwarded-for': '10.0.0.1',
      'x-app': 'cli',
      'x-stainless-lang': 'js',
      'user-agent': 'claude-cli/2.0',
    })
    assert.match(head, /^anthropic-version: 2023-06-01$/m)
    assert.match(head, /^anthropic-beta: interleaved-thinking-2025-05-14,context-1m-2025-08-07$/m)
    assert.doesNotMatch(head, /dangerous|cookie|forwarded|x-app|stainless|claude-cli|fg_key|authorization|x-api-key/i)
  })

  test('a version is stated where the client states none', async () => {
    const { head } = await received('/v1/messages', messages('sim/echo'))
    assert.match(head, /^anthropic-version: 2023-06-01$/m)
    assert.doesNotMatch(head, /anthropic-beta/)
  })

  test('headers of Anthropic do not pass to other protocols, nor wild ones to its own', async () => {
    const text = '{"model":"sim/echo","input":"a","store":false}'
    const other = await received('/v1/responses', text, { 'anthropic-beta': 'x', 'openai-beta': 'y' })
    assert.doesNotMatch(other.head, /anthropic|openai-beta/i)
    const wild = await received('/v1/messages', messages('sim/echo'), { 'anthropic-beta': 'x'.repeat(1_001) })
    assert.doesNotMatch(wild.head, /anthropic-beta/)
  })

  test('what the provider says of itself does not reach the client', async () => {
    upstream.answerWith((socket) =>
      socket.write(
        httpAnswer(MESSAGE, {
          'set-cookie': 'a=b',
          'anthropic-organization-id': 'org-ours',
          'anthropic-ratelimit-requests-remaining': '1',
          'request-id': 'req_theirs',
        }),
      ),
    )
    const { reply } = await received('/v1/messages', messages('sim/echo'))
    assert.equal(reply.headers['set-cookie'], undefined)
    assert.equal(reply.headers['anthropic-organization-id'], undefined)
    assert.equal(reply.headers['x-upstream-request-id'], 'req_theirs')
    assert.match(String(reply.headers['request-id']), /^req_[0-9a-f]{32}$/)
  })

  test('a stream passes with what nobody here knows', async () => {
    const events = [
      'event: message_start\ndata: {"type":"message_start","message":{"id":"msg_1","type":"message","role":"assistant","model":"m","content":[],"stop_reason":null,"usage":{"input_tokens":3,"output_tokens":1,"q":1.0}} }\n\n',
      'event: ping\ndata: {"type": "ping"}\n\n',
      'event: content_block_start\ndata: {"type":"content_block_start","index":0,"content_block":{"type":"thinking","thinking":"","signature":""}}\n\n',
      'event: content_block_delta\ndata: {"type":"content_block_delta","index":0,"delta":{"type":"thinking_delta","thinking":"H\\u006d"}}\n\n',
      'event: content_block_delta\ndata: {"type":"content_block_delta","index":0,"delta":{"type":"signature_delta","signature":"EqQB+/=="}}\n\n',
      'event: content_block_stop\ndata: {"type":"content_block_stop","index":0}\n\n',
      'event: brand_new\ndata: {"type":"brand_new","n":9007199254740993}\n\n',
      'event: message_delta\ndata: {"type":"message_delta","delta":{"stop_reason":"end_turn","stop_sequence":null},"usage":{"output_tokens":2},"context_management":{"applied_edits":[]}}\n\n',
      'event: message_stop\ndata: {"type":"message_stop"}\n\n',
    ]
    upstream.answerWith((socket) => socket.end(streamHead() + events.join('')))
    const text = messages('sim/echo').replace('"x":', '"stream":true,"x":')
    const { body, reply } = await received('/v1/messages', text)
    assert.equal(body, text.replace('sim/echo', 'echo'))
    assert.deepEqual(
      framesOf(reply.text).filter((frame) => !frame.startsWith(':')),
      events,
    )
    const receipt = (await rich.receipts()).at(-1)
    assert.deepEqual({ ...receipt?.usage }, { input: 3, output: 2 })
  })

  for (const [path, body, error] of [
    [
      '/v1/messages',
      messages('sim/echo'),
      {
        type: 'error',
        error: { type: 'invalid_request_error', message: 'messages: roles must alternate' },
        request_id: 'r',
      },
    ],
    [
      '/v1/responses',
      '{"model":"sim/echo","input":"a"}',
      {
        error: {
          message: "Unknown parameter: 'x'.",
          type: 'invalid_request_error',
          param: 'x',
          code: 'unknown_parameter',
        },
      },
    ],
  ] as const)
    test(`the provider's own refusal is told: ${path}`, async () => {
      upstream.answerWith((socket) => socket.write(httpAnswer(JSON.stringify(error), {}, '400 Bad Request')))
      const { status, json } = await raw.chat(body, { key: rich.secret, path })
      assert.equal(status, 400)
      assert.equal(json.error.type, 'invalid_request_error')
      assert.equal(json.error.message, error.error.message)
      if ('param' in error.error) {
        assert.equal(json.error.param, error.error.param)
        assert.equal(json.error.code, error.error.code)
      } else assert.equal(json.type, 'error')
    })
})
