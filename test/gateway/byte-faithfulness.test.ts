import assert from 'node:assert/strict'
import { request as httpRequest, type IncomingMessage } from 'node:http'
import { after, before, test } from 'node:test'
import {
  createTestGateway,
  ONE_USD,
  openReply,
  type Reply,
  type TestGateway,
  type TestProject,
} from '#test/support/gateway.ts'
import { createRawUpstream, httpAnswer, type RawUpstream, streamHead } from '#test/support/raw-upstream.ts'
import { framesOf } from '#test/support/stream-text.ts'

// The same request directly and through the gateway: what differs is listed here, and nothing else does.

let gateway: TestGateway
let project: TestProject
before(async () => {
  gateway = await createTestGateway()
  project = await gateway.openProject(ONE_USD)
})
after(() => gateway.close())

async function direct(body: object): Promise<Reply> {
  const request = httpRequest(`${gateway.simulatorUrl}/v1/chat/completions`, { method: 'POST' })
  request.end(JSON.stringify({ ...body, model: 'echo' }))
  const response = await new Promise<IncomingMessage>((resolve, reject) => {
    request.on('response', resolve).on('error', reject)
  })
  return openReply(response).all()
}

const through = (body: object) => gateway.chat({ ...body, model: 'sim/echo' }, { key: project.secret })

/** Without the id and the second of an answer, which no two answers share. */
const anonymous = (text: string) =>
  text
    .replaceAll(/chatcmpl-sim-\w+/g, 'chatcmpl-x')
    .replaceAll(/call_[\w-]+/g, 'call_x')
    .replaceAll(/"created":\d+/g, '"created":0')

const MESSAGES = [{ role: 'user', content: 'naïve “quotes”, 日本 🚀 \\ and \u2028 \n' }]
const TOOLS = [
  { type: 'function', function: { name: 'f', parameters: { type: 'object', properties: { a: { type: 'string' } } } } },
]

const shapes: [name: string, body: object][] = [
  ['plain', {}],
  ['emoji', { sim: { unicode: true } }],
  ['tools', { tools: TOOLS }],
  ['several answers', { n: 3 }],
  ['shown reasoning', { sim: { show_reasoning: true, reasoning_tokens: 9 } }],
  ['no usage', { sim: { usage: 'none' } }],
  ['impossible usage', { sim: { usage: 'negative' } }],
  ['a filtered answer', { sim: { content_filter: 'answer' } }],
  ['CR LF', { sim: { crlf: true } }],
  ['data over two lines', { sim: { multiline_data: true } }],
  ['one byte at a time', { sim: { one_byte: true } }],
  ['characters cut in two', { sim: { split_utf8: true } }],
  ['a first chunk without choices', { sim: { empty_first: true } }],
  ['a byte order mark', { sim: { bom: true } }],
  ['a long line', { sim: { long_line_bytes: 200_000 } }],
  ['an empty answer', { sim: { tokens: 0 } }],
]

for (const [name, more] of shapes) {
  test(`a whole answer has the bytes that the provider sent: ${name}`, async () => {
    const body = { messages: MESSAGES, ...more }
    const [plain, relayed] = [await direct(body), await through(body)]
    assert.equal(relayed.status, 200)
    assert.equal(anonymous(relayed.text), anonymous(plain.text))
    assert.equal(relayed.headers['content-length'], String(relayed.body.length))
  })

  test(`a stream has the frames that the provider sent: ${name}`, async () => {
    const asked = { messages: MESSAGES, stream: true, stream_options: { include_usage: true }, ...more }
    const plain = framesOf(lf(anonymous((await direct(asked)).text)))
    const relayed = framesOf(lf(anonymous((await through(asked)).text)))
    assert.deepEqual(relayed.filter(isNotOurs), plain)
    assert.deepEqual(relayed.filter((frame) => !isNotOurs(frame)).length, 1)

    const { stream_options: _, ...unasked } = asked
    const shorter = framesOf(lf(anonymous((await through(unasked)).text)))
    assert.deepEqual(
      shorter.filter(isNotOurs),
      plain.filter((frame) => !isUsageChunk(frame)),
    )
  })
}

const lf = (text: string) => text.replaceAll('\r\n', '\n')
const isNotOurs = (frame: string) => !frame.startsWith(': fluxgate ')
const isUsageChunk = (frame: string) => /"choices":\[\],?.*"usage":\{/s.test(frame)

test('a gzipped answer is handed over decoded and says so', async () => {
  for (const stream of [false, true]) {
    const body = { messages: MESSAGES, stream }
    const [plain, relayed] = [await through(body), await through({ ...body, sim: { gzip: true } })]
    assert.equal(relayed.headers['content-encoding'], undefined)
    const comparable = (text: string) => anonymous(text).replaceAll(/rcp_\w+/g, 'rcp_x')
    assert.equal(comparable(relayed.text), comparable(plain.text))
  }
})

const ANSWER =
  '{ "id" : "c1", "model":"m1",\n"choices":[{"index":0,"message":{"role":"assistant","content":"h\\u0069"},"finish_reason":"stop"}],"usage":{"prompt_tokens":1,"completion_tokens":1,"x":1.0}, "n":9007199254740993 }\n'

/** What the provider received for a request of exactly these bytes, with the model's name put back. */
async function received(text: string, upstream: RawUpstream, raw: TestGateway, key: string): Promise<string> {
  const before = upstream.requests.length
  const { status, text: answer } = await raw.chat(text, { key })
  assert.equal(status, 200, answer)
  assert.equal(upstream.requests.length, before + 1)
  return upstream.requests[before]?.body.toString() ?? ''
}

test('the provider gets the bytes of the client but for what the gateway has to change', async (t) => {
  const upstream = await createRawUpstream((socket, { body }) => {
    if (!body.includes('"stream":true')) socket.write(httpAnswer(ANSWER))
    else
      socket.end(
        `${streamHead()}data: {"choices":[{"index":0,"delta":{"content":"a"},"finish_reason":"stop"}]}\n\ndata: [DONE]\n\n`,
      )
  })
  const raw = await createTestGateway({ env: { FLUXGATE_SIM_URL: upstream.url } })
  t.after(async () => {
    await raw.close()
    await upstream.close()
  })
  const rich = await raw.openProject(ONE_USD)
  const poor = await raw.openProject(500_000n)
  const send = (text: string) => received(text, upstream, raw, rich.secret)

  await t.test('spaces, numbers, escapes and unknown members stay as they are', async () => {
    const text = (model: string) =>
      ` {\n  "model" : "${model}" ,\t"seed":9007199254740993,"temperature":1.0,"x":1e+2,"y":-0,\n"messages":[{"role":"user","content":"\\u00e9\\/é"}],"z":{"b":1,"a":[ ]}  }\n`
    assert.equal(await send(text('sim/echo')), text('echo'))
  })

  await t.test('a stream gets stream_options, in place where they stand already', async () => {
    const text = (model: string, options: string) =>
      `{"stream":true${options},"model":"${model}","messages":[{"role":"user","content":"a"}]}`
    const added = await send(text('sim/echo', ''))
    assert.equal(added, `${text('echo', '').slice(0, -1)},"stream_options":{"include_usage":true}}`)
    const off = ',"stream_options":{ "include_usage": false, "x":1 }'
    assert.equal(await send(text('sim/echo', off)), text('echo', ',"stream_options":{"include_usage":true,"x":1}'))
    const on = ',"stream_options":{ "include_usage" : true }'
    assert.equal(await send(text('sim/echo', on)), text('echo', on))
    const none = ',"stream_options":null'
    assert.equal(await send(text('sim/echo', none)), text('echo', ',"stream_options":{"include_usage":true}'))
  })

  await t.test(
    'a limit is lowered only where the wallet does not cover it, under the name that the caller used',
    async () => {
      const text = (model: string, limit: string) =>
        `{"model":"${model}","messages":[{"role":"user","content":"a"}]${limit}}`
      const lowered = async (limit: string) => received(text('sim/echo', limit), upstream, raw, poor.secret)
      assert.equal(await lowered(',"max_tokens": 20'), text('echo', ',"max_tokens": 20'))
      const [, ours] = /,"max_tokens":(\d+)}$/.exec(await lowered('')) ?? []
      assert(Number(ours) >= 16 && Number(ours) < 4_096, `lowered to ${ours}`)
      assert.match(await lowered(',"max_completion_tokens": 4000'), /,"max_completion_tokens": \d{2,3}}$/)
      assert.match(await lowered(',"max_tokens": 4000'), /,"max_tokens": \d{2,3}}$/)
      const both = await lowered(',"max_tokens":4000,"max_completion_tokens":4000')
      assert.match(both, /,"max_tokens":(\d{2,3}),"max_completion_tokens":\1}$/, 'both names are lowered alike')
    },
  )

  await t.test('the answer is the bytes of the provider, numbers and spaces too', async () => {
    const { text, headers } = await raw.chat({ model: 'sim/echo', messages: MESSAGES }, { key: rich.secret })
    assert.equal(text, ANSWER)
    assert.equal(headers['content-type'], 'application/json')
  })

  await t.test('headers of the client do not reach the provider, nor those of the provider the client', async () => {
    upstream.answerWith((socket) =>
      socket.write(
        httpAnswer(ANSWER, { 'set-cookie': 'a=b', 'openai-organization': 'org-ours', 'x-request-id': 'up-1' }),
      ),
    )
    const { headers } = await raw.chat(
      { model: 'sim/echo', messages: MESSAGES },
      {
        key: rich.secret,
        headers: { cookie: 'c=d', 'openai-organization': 'org-theirs', 'x-forwarded-for': '10.0.0.1' },
      },
    )
    assert.equal(headers['set-cookie'], undefined)
    assert.equal(headers['openai-organization'], undefined)
    assert.equal(headers['x-upstream-request-id'], 'up-1')
    const { head } = upstream.requests.at(-1) ?? { head: '' }
    assert.doesNotMatch(head, /cookie|organization|forwarded|authorization|fg_key/i)
    assert.match(head, /^POST \/v1\/chat\/completions HTTP\/1\.1/)
    assert.match(head, /x-client-request-id: [0-9a-f]{32}/)
    assert.match(head, /accept-encoding: identity/)
  })

  await t.test('a member that stands twice is refused, and nobody is asked', async () => {
    const before = upstream.requests.length
    for (const text of [
      '{"model":"sim/echo","model":"sim/free","messages":[]}',
      '{"model":"sim/echo","messages":[],"mess\\u0061ges":[]}',
    ]) {
      const { status, json } = await raw.chat(text, { key: rich.secret })
      assert.equal(status, 400)
      assert.equal(json.error.code, 'body_invalid')
    }
    assert.equal(upstream.requests.length, before)
  })
})
