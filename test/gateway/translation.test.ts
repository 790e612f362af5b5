import assert from 'node:assert/strict'
import { after, before, describe, test } from 'node:test'
import type { Receipt } from '#billing/receipt.ts'
import {
  createTestGateway,
  ONE_USD,
  type Reply,
  type TestGateway,
  type TestProject,
  until,
} from '#test/support/gateway.ts'
import { expectTruth, type ModelOptions, putProtocolModels, textProtocols } from '#test/support/protocol-models.ts'
import type { Ask, Broken, Said, Turn } from '#test/support/speakers/speaker.ts'
import { speakers } from '#test/support/speakers/speakers.ts'
import { createWiretap, type Wiretap } from '#test/support/wiretap.ts'

// Every client protocol against every upstream protocol, whole and streamed. What the client is told must be valid where it
// stands, what the provider is asked must mean what the client asked, and each call is settled once at what the provider knows.

let gateway: TestGateway
let tap: Wiretap
before(async () => {
  gateway = await createTestGateway()
  tap = await createWiretap(gateway.simulatorUrl)
  const models: Record<string, ModelOptions> = {
    echo: {},
    unicode: { sim: { unicode: true, split_utf8: true } },
    twice: { sim: { tool_calls: 2 } },
    cached: { sim: { prompt_tokens: 100, cached_tokens: 60, cache_write_tokens: 10 } },
    reasoner: { model: 'reasoner', sim: { show_reasoning: true, reject_foreign_reasoning: true } },
    caller: { model: 'reasoner', sim: { show_reasoning: true, reject_foreign_reasoning: true, tool_calls: 1 } },
    filtered: { sim: { tokens: 40, content_filter: 'answer' } },
    broken: { sim: { status: 503 } },
    long: { sim: { context_length: true } },
    hidden: { sim: { error_in_200: true } },
    breaking: { sim: { tokens: 50, chunk_ms: 15, error_after: 5 } },
    cut: { sim: { tokens: 50, chunk_ms: 15, cut_after: 5 } },
    endless: { model: 'large', sim: { tokens: 2_000, chunk_ms: 5 } },
    late: { sim: { first_byte_ms: 60_000 } },
    large: { model: 'large', sim: { tokens: 3_000, chunk_ms: 1, chunk_tokens: 20 } },
    unmarked: { sim: { no_done: true } },
  }
  for (const options of Object.values(models)) options.baseURL = tap.url
  await putProtocolModels(gateway, models)
})
after(async () => {
  await gateway.close()
  await tap.close()
})

const SAID = 'What does a ledger know?'
const ECHO = /You said: What does a ledger know\?$/
const TURNS: Turn[] = [{ role: 'user', text: SAID }]
const TOOLS = ['get_weather', 'get_tide'].map((name) => ({
  name,
  schema: { type: 'object', properties: { city: { type: 'string' } }, required: ['city'] },
}))
const SCHEMA = {
  type: 'object',
  properties: { answer: { type: 'integer' }, why: { type: 'string' } },
  required: ['answer', 'why'],
  additionalProperties: false,
}
const PNG = 'data:image/png;base64,iVBORw0KGgo='

for (const from of textProtocols)
  for (const to of textProtocols)
    for (const stream of [false, true])
      describe(`${from} over ${to}, ${stream ? 'streamed' : 'whole'}`, () => {
        const speaker = speakers[from]

        const post = (project: TestProject, name: string, ask: Ask): Promise<Reply> =>
          gateway.chat(speaker.build(`${name}.${to}`, { ...ask, stream }), { key: project.secret, path: speaker.path })

        function readReply(reply: Reply): Said | Broken {
          assert.equal(reply.status, 200, reply.text)
          assert(reply.whole)
          assert.match(String(reply.headers['content-type']), stream ? /^text\/event-stream/ : /^application\/json/)
          return stream ? speaker.readStream(reply.text) : speaker.readWhole(reply.json)
        }

        /** What a request loses on its way, as the header tells. */
        async function say(project: TestProject, name: string, ask: Ask, lost?: string): Promise<Said> {
          const reply = await post(project, name, ask)
          const said = readReply(reply)
          assert(!('message' in said), JSON.stringify(said))
          assert.equal(reply.headers['x-fluxgate-dropped'], lost)
          return said
        }

        /** What the provider was asked for a call, read in its own protocol. */
        function asked(receipt: Receipt | undefined) {
          const found = tap.asked(receipt?.receipt_id ?? '')
          assert(found !== undefined)
          assert.equal(found.path, speakers[to].path)
          assert.doesNotMatch(found.body.model, /\./, 'the upstream has a name of its own for the model')
          assert.equal(found.body.stream ?? false, stream)
          return speakers[to].readRequest(found.body)
        }

        /** The provider was asked what the client asked. */
        function expectSame(receipt: Receipt | undefined, ask: Ask): void {
          const { maxTokens: _, reasoning: __, ...want } = speaker.readRequest(speaker.build('any', ask))
          const { maxTokens: ___, reasoning: ____, ...got } = asked(receipt)
          assert.deepEqual(got, want)
        }

        test('plain text, a system prompt and a history', async () => {
          const project = await gateway.openProject(ONE_USD)
          const first = await say(project, 'echo', { system: 'Be brief.', turns: TURNS })
          assert.match(first.text, ECHO)
          assert.equal(first.finish, 'stop')
          const turns: Turn[] = [...TURNS, { role: 'model', replay: first.replay }, { role: 'user', text: 'And then?' }]
          const second = await say(project, 'echo', { system: 'Be brief.', turns, maxTokens: 300 })
          assert.match(second.text, /You said: And then\?$/)
          const receipts = await project.settled(2)
          for (const [index, receipt] of receipts.entries()) {
            expectTruth(gateway, receipt, to)
            const { usage } = index === 0 ? first : second
            assert.equal(BigInt(usage.input + usage.output), BigInt(receipt.charged_nanousd))
          }
          expectSame(receipts[1], { system: 'Be brief.', turns })
          assert.equal(asked(receipts[1]).maxTokens, 300)
        })

        test('characters of every length, cut anywhere', async () => {
          const project = await gateway.openProject(ONE_USD)
          const { text } = await say(project, 'unicode', { turns: [{ role: 'user', text: 'naïve “quotes”, 日本 🚀' }] })
          assert.match(text, /日 本,🚀öö/)
          assert.doesNotMatch(text, /\ufffd/)
          const [receipt] = await project.settled(1)
          assert(receipt !== undefined)
          expectTruth(gateway, receipt, to)
          assert.deepEqual(asked(receipt).texts, ['naïve “quotes”, 日本 🚀'])
        })

        test('what was cached', async () => {
          const project = await gateway.openProject(ONE_USD)
          const { usage } = await say(project, 'cached', { turns: TURNS })
          assert.equal(usage.input, 100)
          assert.equal(usage.cached, 60)
          const [receipt] = await project.settled(1)
          assert(receipt !== undefined)
          expectTruth(gateway, receipt, to)
        })

        for (const [name, calls] of [
          ['echo', 1],
          ['twice', 2],
        ] as const)
          test(`tools: ${calls} called, their results answered`, async () => {
            const project = await gateway.openProject(ONE_USD)
            const first = await say(project, name, { turns: TURNS, tools: TOOLS })
            assert.equal(first.finish, 'tool_calls')
            assert.deepEqual(
              first.calls.map((call) => call.name),
              TOOLS.slice(0, calls).map((tool) => tool.name),
            )
            for (const call of first.calls) assert.equal(typeof (call.arguments as { city: unknown }).city, 'string')
            const prefix = from === 'messages' ? /^toolu_/ : /^call_/
            for (const { id } of first.calls) assert.match(id, prefix)
            const ask: Ask = {
              tools: TOOLS,
              turns: [
                ...TURNS,
                { role: 'model', replay: first.replay },
                // The results in another order than the calls.
                {
                  role: 'results',
                  results: first.calls.map(({ id, name: tool }) => ({ id, text: `of ${tool}` })).reverse(),
                },
              ],
            }
            const second = await say(project, 'echo', ask)
            assert.equal(second.finish, 'stop')
            const receipts = await project.settled(2)
            for (const receipt of receipts) expectTruth(gateway, receipt, to)
            expectSame(receipts[0], { turns: TURNS, tools: TOOLS })
            expectSame(receipts[1], ask)
            const ids = (protocol: string) => (protocol === 'messages' ? /"toolu_sim/ : /"call_sim/)
            if (from !== to) assert.match(JSON.stringify(tap.asked(receipts[1]?.receipt_id ?? '')?.body), ids(to))
          })

        test('reasoning is shown, and goes back to its provider as it was', async () => {
          const project = await gateway.openProject(ONE_USD)
          // Elsewhere there are efforts only.
          const lost = from === 'messages' && to !== 'messages' ? 'thinking.budget_tokens' : undefined
          const first = await say(project, 'caller', { turns: TURNS, tools: TOOLS, thinks: true }, lost)
          assert.notEqual(first.reasoning, '')
          assert.equal(first.finish, 'tool_calls')
          const ask: Ask = {
            thinks: true,
            tools: TOOLS,
            turns: [
              ...TURNS,
              { role: 'model', replay: first.replay },
              { role: 'results', results: first.calls.map(({ id }) => ({ id, text: 'rain' })) },
            ],
          }
          await say(project, 'reasoner', ask, lost)
          const receipts = await project.settled(2)
          for (const receipt of receipts) {
            expectTruth(gateway, receipt, to)
            assert.equal(receipt.usage.reasoning, 64)
          }
          const [replayed] = asked(receipts[1]).reasoning
          assert.equal(replayed?.text, first.reasoning)
          // The simulator's own seal.
          if (to !== 'chat') assert.match(replayed?.proof ?? '', /^RmxTaW0/)
        })

        test('structured output', async () => {
          const project = await gateway.openProject(ONE_USD)
          const ask = { turns: TURNS, schema: SCHEMA }
          const { text, finish } = await say(project, 'echo', ask)
          assert.equal(finish, 'stop')
          assert.deepEqual(Object.keys(JSON.parse(text)), ['answer', 'why'])
          const [receipt] = await project.settled(1)
          assert(receipt !== undefined)
          expectTruth(gateway, receipt, to)
          expectSame(receipt, ask)
        })

        for (const image of [PNG, 'https://example.com/a.png?b=c'])
          test(`a picture: ${image.slice(0, 5)}`, async () => {
            const project = await gateway.openProject(ONE_USD)
            const ask: Ask = { turns: [{ role: 'user', text: SAID, image }] }
            await say(project, 'echo', ask)
            const [receipt] = await project.settled(1)
            assert(receipt !== undefined)
            expectTruth(gateway, receipt, to)
            expectSame(receipt, ask)
            assert.deepEqual(asked(receipt).images, [image])
          })

        test('an answer that ends at its limit', async () => {
          const project = await gateway.openProject(ONE_USD)
          const said = await say(project, 'echo', { turns: TURNS, maxTokens: 7 })
          assert.equal(said.finish, 'length')
          assert.equal(said.usage.output, 7)
          const [receipt] = await project.settled(1)
          assert(receipt !== undefined)
          expectTruth(gateway, receipt, to)
        })

        test('an answer that is filtered', async () => {
          const project = await gateway.openProject(ONE_USD)
          const said = await say(project, 'filtered', { turns: TURNS })
          assert.equal(said.finish, 'content_filter')
          const [receipt] = await project.settled(1)
          assert(receipt !== undefined)
          expectTruth(gateway, receipt, to)
        })

        for (const [name, status, says] of [
          ['broken', 502, /upstream/],
          ['hidden', 502, /upstream/],
          ['long', 400, /maximum|too long/],
        ] as const)
          test(`an error before the first byte: ${name}`, async () => {
            const project = await gateway.openProject(ONE_USD)
            const reply = await post(project, name, { turns: TURNS })
            assert.equal(reply.status, status, reply.text)
            assert.match(speaker.readError(reply.json), says)
            assert.equal(reply.headers['request-id'] !== undefined, from === 'messages')
            const [receipt] = await project.settled(1)
            assert.equal(receipt?.outcome, 'void')
            assert.equal(receipt.charged_nanousd, '0')
          })

        test('the client leaves', async () => {
          const project = await gateway.openProject(ONE_USD)
          const left = new AbortController()
          const body = speaker.build(`${stream ? 'endless' : 'late'}.${to}`, { turns: TURNS, stream })
          const opening = gateway.open(body, { key: project.secret, path: speaker.path, signal: left.signal })
          if (stream) await (await opening).until((text) => text.includes('dger'))
          else {
            void opening.catch(() => undefined)
            await until('the upstream is asked', async () => (await gateway.running(project)).length === 1)
          }
          left.abort()
          const [receipt] = await project.settled(1)
          assert(receipt !== undefined)
          assert.equal(receipt.outcome, 'client_abort')
          assert.equal(receipt.usage_source, 'counted')
          await until('the upstream is closed', () => gateway.seen(receipt)[0]?.state === 'aborted', 1_000)
          assert.equal((receipt.usage.output ?? 0) > 0, stream)
        })

        if (stream) {
          for (const name of ['breaking', 'cut'])
            test(`an error inside of the stream: ${name}`, async () => {
              const project = await gateway.openProject(ONE_USD)
              const reply = await post(project, name, { turns: TURNS })
              const said = readReply(reply)
              assert('message' in said, 'the client is told')
              assert.match(said.message, /upstream/)
              assert.match(said.text, /^Hello! This is/)
              const [receipt] = await project.settled(1)
              assert.equal(receipt?.outcome, 'upstream_error')
              assert.equal(receipt.usage_source, 'counted')
              assert((receipt.usage.output ?? 0) >= 4)
            })

          test('an answer whose end mark is missing is whole', async () => {
            const project = await gateway.openProject(ONE_USD)
            const said = await post(project, 'unmarked', { turns: TURNS })
            const read = readReply(said)
            const [receipt] = await project.settled(1)
            // Only chat's providers are known for it, and a response without its last event has no usage and no end.
            if (to === 'responses') {
              assert('message' in read)
              assert.equal(receipt?.outcome, 'upstream_error')
            } else {
              assert(!('message' in read), JSON.stringify(read))
              assert.match(read.text, ECHO)
              assert.equal(receipt?.outcome, 'complete')
            }
          })
        }

        test('the wallet runs dry', async () => {
          const project = await gateway.openProject(2_000n)
          const said = await say(project, 'large', { turns: TURNS })
          assert.equal(said.finish, 'length')
          const [receipt] = await project.settled(1)
          assert(receipt !== undefined)
          assert.equal(receipt.outcome, stream ? 'cut_off' : 'complete')
          assert((receipt.usage.output ?? 0) > 500)
          assert(BigInt(receipt.charged_nanousd) <= 2_000n)
          if (!stream) expectTruth(gateway, receipt, to)
        })
      })
