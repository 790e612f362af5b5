import assert from 'node:assert/strict'
import { after, before, describe, test } from 'node:test'
import { createTestGateway, type Json, ONE_USD, type TestGateway, type TestProject } from '#test/support/gateway.ts'
import { putProtocolModels, textProtocols, upstreamOf } from '#test/support/protocol-models.ts'
import { createRawUpstream, httpAnswer, type RawUpstream, streamHead } from '#test/support/raw-upstream.ts'
import { putRouterConfig } from '#test/support/router-config.ts'
import { speakers } from '#test/support/speakers/speakers.ts'
import type { TextProtocol } from '#wire/neutral.ts'

// What cannot be carried to another protocol: named where the caller is content with less, refused where not or where the
// answer would be another one; and which targets a request is put to when they speak different protocols.

let gateway: TestGateway
let project: TestProject
before(async () => {
  gateway = await createTestGateway()
  project = await gateway.openProject(ONE_USD)
  await putProtocolModels(gateway, { echo: {} })
})
after(() => gateway.close())

const TURNS = [{ role: 'user' as const, text: 'What does a ledger know?' }]

interface Loss {
  from: TextProtocol
  to: TextProtocol
  members: Json
  /** What the header names. */
  dropped: string
}

const lost: Loss[] = [
  { from: 'chat', to: 'messages', members: { seed: 7, logit_bias: { 5: 1 } }, dropped: 'seed,logit_bias' },
  {
    from: 'chat',
    to: 'messages',
    members: { presence_penalty: 1, logprobs: true },
    dropped: 'presence_penalty,logprobs',
  },
  { from: 'chat', to: 'messages', members: { temperature: 1.7 }, dropped: 'temperature' },
  {
    from: 'chat',
    to: 'messages',
    members: { metadata: { a: 'b' }, prompt_cache_key: 'k' },
    dropped: 'prompt_cache_key,metadata',
  },
  { from: 'chat', to: 'messages', members: { response_format: { type: 'json_object' } }, dropped: 'response_format' },
  { from: 'chat', to: 'responses', members: { seed: 7, frequency_penalty: 1 }, dropped: 'seed,frequency_penalty' },
  {
    from: 'responses',
    to: 'chat',
    members: { truncation: 'auto', max_tool_calls: 3 },
    dropped: 'truncation,max_tool_calls',
  },
  { from: 'responses', to: 'messages', members: { prompt_cache_key: 'k' }, dropped: 'prompt_cache_key' },
  { from: 'messages', to: 'chat', members: { top_k: 5 }, dropped: 'top_k' },
  { from: 'messages', to: 'chat', members: { context_management: { edits: [] } }, dropped: 'context_management' },
  { from: 'messages', to: 'responses', members: { top_k: 5 }, dropped: 'top_k' },
  {
    from: 'messages',
    to: 'chat',
    members: { system: [{ type: 'text', text: 'Be brief.', cache_control: { type: 'ephemeral' } }] },
    dropped: 'system',
  },
]

for (const { from, to, members, dropped } of lost)
  test(`${from} over ${to} loses ${dropped}`, async () => {
    const { path, build, readError } = speakers[from]
    for (const stream of [false, true]) {
      const body = { ...build(`echo.${to}`, { turns: TURNS, stream }), ...members }
      const lax = await gateway.chat(body, { key: project.secret, path })
      assert.equal(lax.status, 200, lax.text)
      assert.equal(lax.headers['x-fluxgate-dropped'], dropped)
      const before = await project.wallet()
      const strict = await gateway.chat(body, {
        key: project.secret,
        path,
        headers: { 'x-fluxgate-translation': 'strict' },
      })
      assert.equal(strict.status, 400)
      const [first] = dropped.split(',')
      assert(readError(strict.json).includes(`'${first}'`), strict.text)
      assert.equal(paramOf(strict.json), first)
      assert.deepEqual(await project.wallet(), before, 'nothing is held')
    }
  })

/** Without these the answer would be another one: refused in any case. */
const essential: (Omit<Loss, 'dropped'> & { param: string })[] = [
  { from: 'chat', to: 'messages', members: { n: 2 }, param: 'n' },
  { from: 'chat', to: 'responses', members: { n: 2 }, param: 'n' },
  { from: 'chat', to: 'responses', members: { stop: ['x'] }, param: 'stop' },
  { from: 'messages', to: 'responses', members: { stop_sequences: ['x'] }, param: 'stop' },
  {
    from: 'chat',
    to: 'messages',
    members: {
      messages: [
        { role: 'user', content: [{ type: 'input_audio', input_audio: { data: 'UklGRg==', format: 'wav' } }] },
      ],
    },
    param: 'messages[0]',
  },
  {
    from: 'chat',
    to: 'messages',
    members: {
      messages: [
        { role: 'user', content: 'Hi' },
        { role: 'tool', tool_call_id: 'call_1', content: 'rain' },
      ],
    },
    param: 'messages[1]',
  },
  {
    from: 'chat',
    to: 'messages',
    members: {
      messages: [
        { role: 'user', content: 'Hi' },
        {
          role: 'assistant',
          tool_calls: [{ id: 'call_1', type: 'function', function: { name: 'f', arguments: '{"a":' } }],
        },
        { role: 'tool', tool_call_id: 'call_1', content: 'rain' },
      ],
    },
    param: 'messages[1]',
  },
  {
    from: 'responses',
    to: 'chat',
    members: { tools: [{ type: 'custom', name: 'grep' }] },
    param: 'tools[0]',
  },
]

for (const { from, to, members, param } of essential)
  test(`${from} over ${to} is refused for ${param}: ${JSON.stringify(members).slice(0, 60)}`, async () => {
    const own = await gateway.openProject(ONE_USD)
    const { path, build, readError } = speakers[from]
    const body = { ...build(`echo.${to}`, { turns: TURNS }), ...members }
    const reply = await gateway.chat(body, { key: own.secret, path })
    assert.equal(reply.status, 400, reply.text)
    assert(readError(reply.json).includes(`'${param}'`), reply.text)
    assert.equal(paramOf(reply.json), param)
    assert.equal(codeOf(reply.json), 'unsupported_parameter')
    assert.equal(reply.headers['x-should-retry'], 'false')
    await own.settled(0)
  })

for (const [name, param] of [
  ['previous_response_id', 'previous_response_id'],
  ['conversation', 'conversation'],
  ['store', 'store'],
  ['background', 'background'],
] as const)
  test(`responses that need state are refused: ${name}`, async () => {
    const value = name === 'store' || name === 'background' ? true : 'resp_1'
    for (const to of textProtocols) {
      const reply = await gateway.chat(
        { model: `echo.${to}`, input: 'Hi', [name]: value },
        { key: project.secret, path: '/v1/responses' },
      )
      assert.equal(reply.status, 400)
      assert.equal(reply.json.error.param, param)
      assert.match(reply.json.error.message, /nothing is stored here/)
    }
  })

test('how strict the translation is to be is told in two words', async () => {
  const reply = await gateway.chat(speakers.chat.build('echo.chat', { turns: TURNS }), {
    key: project.secret,
    headers: { 'x-fluxgate-translation': 'loose' },
  })
  assert.equal(reply.status, 400)
  assert.equal(reply.json.error.param, 'x-fluxgate-translation')
})

function paramOf(body: Json): unknown {
  return body.error.param ?? body.error.details?.param
}

function codeOf(body: Json): unknown {
  return body.error.code ?? body.error.details?.error_code
}

describe('targets of several protocols', () => {
  let mixed: TestGateway
  let broken: RawUpstream
  before(async () => {
    mixed = await createTestGateway()
    broken = await createRawUpstream((socket) => socket.write(httpAnswer('{}', {}, '503 Service Unavailable')))
    const model = (...upstreams: object[]) => ({ upstreams: upstreams.map((each, at) => ({ id: `u${at}`, ...each })) })
    const falling = textProtocols.flatMap((from) =>
      textProtocols.flatMap((to) =>
        [false, true].map((stream) => {
          // Each call meets targets of its own: what has failed once is avoided for a while.
          const name = `${from}.${to}.${stream}`
          const others = textProtocols.filter((each) => each !== to)
          const failing = others.map((each) => upstreamOf(mixed, each, { baseURL: `${broken.url}/${name}` }))
          return [name, model(...failing, upstreamOf(mixed, to))]
        }),
      ),
    )
    const both = model(upstreamOf(mixed, 'messages'), upstreamOf(mixed, 'chat'))
    await putRouterConfig(mixed.url, { llm: { models: { ...Object.fromEntries(falling), both } } })
  })
  after(async () => {
    await mixed.close()
    await broken.close()
  })

  for (const from of textProtocols)
    for (const to of textProtocols)
      for (const stream of [false, true])
        test(`${from} falls back over two protocols to ${to}${stream ? ', streamed' : ''}`, async () => {
          const own = await mixed.openProject(ONE_USD)
          const { path, build, readStream, readWhole } = speakers[from]
          const reply = await mixed.chat(build(`${from}.${to}.${stream}`, { turns: TURNS, stream }), {
            key: own.secret,
            path,
          })
          assert.equal(reply.status, 200, reply.text)
          const said = stream ? readStream(reply.text) : readWhole(reply.json)
          assert(!('message' in said))
          assert.match(said.text, /What does a ledger know\?$/)
          const [receipt] = await own.settled(1)
          assert.deepEqual(
            receipt?.attempt_list?.map(({ protocol, result }) => [protocol, result]),
            [...textProtocols.filter((each) => each !== to).map((each) => [each, 'status_503']), [to, 'ok']],
          )
        })

  test('a request goes only to targets that it can be put to', async () => {
    const own = await mixed.openProject(ONE_USD)
    const reply = await mixed.chat({ ...speakers.chat.build('both', { turns: TURNS }), n: 2 }, { key: own.secret })
    assert.equal(reply.status, 200, reply.text)
    assert.equal(reply.json.choices.length, 2)
    assert.equal(reply.headers['x-fluxgate-dropped'], undefined)
    const strict = await mixed.chat(
      { ...speakers.chat.build('both', { turns: TURNS }), seed: 7 },
      { key: own.secret, headers: { 'x-fluxgate-translation': 'strict' } },
    )
    assert.equal(strict.status, 200, strict.text)
    for (const receipt of await own.settled(2))
      assert.deepEqual(
        receipt.attempt_list?.map(({ protocol }) => protocol),
        ['chat'],
      )
  })
})

// The simulator refuses nothing in words.
describe('a refusal', () => {
  let upstream: RawUpstream
  before(async () => {
    upstream = await createRawUpstream((socket, { head, body }) => {
      const protocol = textProtocols.find((each) => head.includes(` ${speakers[each].path} `)) ?? 'chat'
      const { whole, events } = refusals[protocol]
      if (!body.includes('"stream":true')) socket.write(httpAnswer(JSON.stringify(whole)))
      else {
        const frames = events.map((event: Json) =>
          protocol === 'chat'
            ? `data: ${JSON.stringify(event)}\n\n`
            : `event: ${event.type}\ndata: ${JSON.stringify(event)}\n\n`,
        )
        socket.end(streamHead() + frames.join('') + (protocol === 'chat' ? 'data: [DONE]\n\n' : ''))
      }
    })
    await putProtocolModels(gateway, { refusing: { baseURL: upstream.url } })
  })
  after(() => upstream.close())

  for (const from of textProtocols)
    for (const to of textProtocols)
      for (const stream of [false, true])
        test(`${from} over ${to}${stream ? ', streamed' : ''}`, async () => {
          const own = await gateway.openProject(ONE_USD)
          const { path, build, readStream, readWhole } = speakers[from]
          const reply = await gateway.chat(build(`refusing.${to}`, { turns: TURNS, stream }), { key: own.secret, path })
          assert.equal(reply.status, 200, reply.text)
          const said = stream ? readStream(reply.text) : readWhole(reply.json)
          assert(!('message' in said), reply.text)
          // Messages has no place for a refusal's words but the text, and ends with the reason.
          if (from === 'messages' || to === 'messages') {
            assert.equal(said.text, 'I will not.')
            assert.equal(said.finish, 'content_filter')
          } else {
            assert.equal(said.refusal, 'I will not.')
            assert.equal(said.finish, 'stop')
          }
          const [receipt] = await own.settled(1)
          assert.equal(receipt?.outcome, 'complete')
          assert.deepEqual({ ...receipt.usage }, { input: 9, output: 4 })
        })
})

const chatUsage = { prompt_tokens: 9, completion_tokens: 4, total_tokens: 13 }
const responsesUsage = {
  input_tokens: 9,
  input_tokens_details: { cached_tokens: 0 },
  output_tokens: 4,
  output_tokens_details: { reasoning_tokens: 0 },
  total_tokens: 13,
}
const refusalItem = {
  id: 'msg_1',
  type: 'message',
  status: 'completed',
  role: 'assistant',
  content: [{ type: 'refusal', refusal: 'I will not.' }],
}
const response = {
  id: 'resp_1',
  object: 'response',
  created_at: 1,
  model: 'echo',
  status: 'completed',
  error: null,
  incomplete_details: null,
  store: false,
  output: [refusalItem],
  usage: responsesUsage,
}
const message = { id: 'msg_1', type: 'message', role: 'assistant', model: 'echo', stop_sequence: null }
const chunk = { id: 'chatcmpl-1', object: 'chat.completion.chunk', created: 1, model: 'echo' }
const at = { item_id: 'msg_1', output_index: 0, content_index: 0 }

/** How each provider refuses, as their documentation has it. */
const refusals: Record<TextProtocol, { whole: Json; events: Json[] }> = {
  chat: {
    whole: {
      ...chunk,
      object: 'chat.completion',
      choices: [
        { index: 0, message: { role: 'assistant', content: null, refusal: 'I will not.' }, finish_reason: 'stop' },
      ],
      usage: chatUsage,
    },
    events: [
      { ...chunk, choices: [{ index: 0, delta: { role: 'assistant', content: '' }, finish_reason: null }] },
      { ...chunk, choices: [{ index: 0, delta: { refusal: 'I will' }, finish_reason: null }] },
      { ...chunk, choices: [{ index: 0, delta: { refusal: ' not.' }, finish_reason: null }] },
      { ...chunk, choices: [{ index: 0, delta: {}, finish_reason: 'stop' }] },
      { ...chunk, choices: [], usage: chatUsage },
    ],
  },
  responses: {
    whole: response,
    events: [
      { type: 'response.created', response: { ...response, status: 'in_progress', output: [], usage: null } },
      {
        type: 'response.output_item.added',
        output_index: 0,
        item: { ...refusalItem, status: 'in_progress', content: [] },
      },
      { type: 'response.content_part.added', ...at, part: { type: 'refusal', refusal: '' } },
      { type: 'response.refusal.delta', ...at, delta: 'I will not.' },
      { type: 'response.refusal.done', ...at, refusal: 'I will not.' },
      { type: 'response.content_part.done', ...at, part: { type: 'refusal', refusal: 'I will not.' } },
      { type: 'response.output_item.done', output_index: 0, item: refusalItem },
      { type: 'response.completed', response },
    ].map((event, index) => ({ ...event, sequence_number: index })),
  },
  messages: {
    whole: {
      ...message,
      content: [{ type: 'text', text: 'I will not.' }],
      stop_reason: 'refusal',
      usage: { input_tokens: 9, output_tokens: 4 },
    },
    events: [
      {
        type: 'message_start',
        message: { ...message, content: [], stop_reason: null, usage: { input_tokens: 9, output_tokens: 1 } },
      },
      { type: 'content_block_start', index: 0, content_block: { type: 'text', text: '' } },
      { type: 'content_block_delta', index: 0, delta: { type: 'text_delta', text: 'I will not.' } },
      { type: 'content_block_stop', index: 0 },
      { type: 'message_delta', delta: { stop_reason: 'refusal', stop_sequence: null }, usage: { output_tokens: 4 } },
      { type: 'message_stop' },
    ],
  },
}
