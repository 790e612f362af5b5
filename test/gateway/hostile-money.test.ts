import assert from 'node:assert/strict'
import { after, before, test } from 'node:test'
import { createTestGateway, ONE_USD, type TestGateway, type TestProject } from '#test/support/gateway.ts'
import { createRawUpstream, httpAnswer, type RawUpstream, streamHead } from '#test/support/raw-upstream.ts'
import { putRouterConfig } from '#test/support/router-config.ts'
import { loadTokenizer } from '#wire/count-tokens.ts'

// Ways to be answered for less than it costs.

let upstream: RawUpstream
let gateway: TestGateway
let project: TestProject

before(async () => {
  await loadTokenizer()
  upstream = await createRawUpstream(() => undefined)
  gateway = await createTestGateway()
  project = await gateway.openProject(10n * ONE_USD)
  const price = { lines: { input: '1000', output: '1000' } }
  const models = ['chat', 'messages', 'responses', 'completions'].map((protocol) => [
    protocol,
    { upstreams: [{ preset: 'sim', baseURL: `${upstream.url}/v1`, protocols: [protocol], keys: [], price }] },
  ])
  await putRouterConfig(gateway.url, { llm: { models: Object.fromEntries(models) } })
})
after(async () => {
  await gateway.close()
  await upstream.close()
})

const user = (content: unknown) => [{ role: 'user', content }]
let calls = 0
async function lastReceipt() {
  calls += 1
  const receipt = (await project.settled(calls)).at(-1)
  assert(receipt !== undefined)
  return receipt
}

const documents: [path: string, model: string, body: object, answer: object][] = [
  [
    '/v1/messages',
    'messages',
    {
      messages: user([{ type: 'document', source: { type: 'url', url: 'https://example.com/a.pdf' } }]),
      max_tokens: 9,
    },
    {
      type: 'message',
      content: [{ type: 'text', text: 'long' }],
      stop_reason: 'end_turn',
      usage: { input_tokens: 900_000, output_tokens: 1 },
    },
  ],
  [
    '/v1/chat/completions',
    'chat',
    { messages: user([{ type: 'file', file: { file_id: 'file-1' } }]), max_tokens: 9 },
    {
      choices: [{ index: 0, message: { role: 'assistant', content: 'long' }, finish_reason: 'stop' }],
      usage: { prompt_tokens: 900_000, completion_tokens: 1 },
    },
  ],
]
for (const [path, model, body, answer] of documents)
  test(`a document that fills a long context is charged as the provider counts it: ${path}`, async () => {
    upstream.answerWith((socket) => socket.end(httpAnswer(JSON.stringify(answer))))
    const reply = await gateway.chat({ model, ...body }, { key: project.secret, path })
    assert.equal(reply.status, 200, reply.text)
    const receipt = await lastReceipt()
    assert.deepEqual([receipt.usage_source, receipt.charged_nanousd], ['provider', '900001'])
  })

test('who leaves before the count comes pays for the input of a custom tool', async () => {
  const frame = (delta: object) => `data: ${JSON.stringify({ id: 'c', choices: [{ index: 0, delta }] })}\n\n`
  const input = frame({ tool_calls: [{ index: 0, type: 'custom', custom: { input: ' word' } }] })
  upstream.answerWith((socket) => {
    socket.write(streamHead() + frame({ tool_calls: [{ index: 0, type: 'custom', custom: { name: 'f', input: '' } }] }))
    socket.write(input.repeat(500))
  })
  const body = { model: 'chat', stream: true, messages: user('hi'), tools: [{ type: 'custom', custom: { name: 'f' } }] }
  const reply = await gateway.open(body, { key: project.secret })
  await reply.until((text) => text.split(' word').length > 500)
  reply.hangUp()
  const receipt = await lastReceipt()
  assert.equal(receipt.outcome, 'client_abort')
  assert.equal(receipt.usage.output, 501)
})
