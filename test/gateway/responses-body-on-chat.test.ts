import assert from 'node:assert/strict'
import { after, before, test } from 'node:test'
import { createTestGateway, ONE_USD, type TestGateway } from '#test/support/gateway.ts'
import { expectTruth, putProtocolModels, textProtocols } from '#test/support/protocol-models.ts'
import { chat } from '#test/support/speakers/chat.ts'
import { responses } from '#test/support/speakers/responses.ts'

// Cursor sends bodies of the responses protocol to the address of chat, and wants chat's answer.

let gateway: TestGateway
before(async () => {
  gateway = await createTestGateway()
  await putProtocolModels(gateway, { echo: {} })
})
after(() => gateway.close())

const TURNS = [{ role: 'user' as const, text: 'What does a ledger know?' }]
const TOOLS = [{ name: 'get_weather', schema: { type: 'object', properties: { city: { type: 'string' } } } }]

for (const to of textProtocols)
  for (const stream of [false, true])
    test(`served by an upstream that speaks ${to}${stream ? ', streamed' : ''}`, async () => {
      const project = await gateway.openProject(ONE_USD)
      const post = async (body: object) => {
        const reply = await gateway.chat(
          { ...body, stream, ...(stream && { stream_options: { include_usage: true } }) },
          { key: project.secret },
        )
        assert.equal(reply.status, 200, reply.text)
        const said = stream ? chat.readStream(reply.text) : chat.readWhole(reply.json)
        assert(!('message' in said))
        return said
      }
      const model = `echo.${to}`
      const plain = await post(responses.build(model, { system: 'Be brief.', turns: TURNS, maxTokens: 300 }))
      assert.match(plain.text, /What does a ledger know\?$/)
      assert.match((await post({ model, input: 'Hi' })).text, /You said: Hi$/)
      const called = await post(responses.build(model, { turns: TURNS, tools: TOOLS }))
      assert.deepEqual(
        called.calls.map(({ name }) => name),
        ['get_weather'],
      )
      for (const receipt of await project.settled(3)) expectTruth(gateway, receipt, to)
    })

test('what chat cannot say is named where the answer is the same without it', async () => {
  const project = await gateway.openProject(ONE_USD)
  const body = { model: 'echo.chat', input: 'Hi', store: true, truncation: 'auto', prompt_cache_key: 'k' }
  const lax = await gateway.chat(body, { key: project.secret })
  assert.equal(lax.status, 200, lax.text)
  assert.equal(lax.headers['x-fluxgate-dropped'], 'truncation,prompt_cache_key,store')
  const strict = await gateway.chat(body, { key: project.secret, headers: { 'x-fluxgate-translation': 'strict' } })
  assert.equal(strict.json.error.param, 'truncation')
  await project.settled(1)
})

test('what chat cannot do without is refused with its place in the body that was sent', async () => {
  const project = await gateway.openProject(ONE_USD)
  for (const [members, param] of [
    [{ tools: [{ type: 'custom', name: 'grep' }] }, 'tools[0]'],
    [{ input: [{ type: 'item_reference', id: 'msg_1' }] }, 'input[0]'],
    [{ previous_response_id: 'resp_1' }, 'previous_response_id'],
  ] as const) {
    const { status, json } = await gateway.chat(
      { model: 'echo.chat', input: 'Hi', ...members },
      { key: project.secret },
    )
    assert.equal(status, 400, param)
    assert.equal(json.error.param, param)
  }
  const neither = await gateway.chat({ model: 'echo.chat' }, { key: project.secret })
  assert.equal(neither.json.error.param, 'messages')
  await project.settled(0)
})
