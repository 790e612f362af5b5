import assert from 'node:assert/strict'
import { after, before, test } from 'node:test'
import { Compile } from 'typebox/schema'
import { deriveEnvelopeKey, sealEnvelope } from '#lib/envelope.ts'
import { createTestGateway, type Json, type Reply, type TestGateway, until } from '#test/support/gateway.ts'
import { createRawUpstream, httpAnswer, type RawUpstream } from '#test/support/raw-upstream.ts'
import { putModels, replaceCiphertext } from '#test/support/routed-models.ts'

const ROUTE = 'POST /v1/route:explain'
const MESSAGES = [{ role: 'user', content: 'Explain yourself.' }]

let gateway: TestGateway
let upstream: RawUpstream
let answerSchema: Json
const secrets = ['key-of-nobody-else', 'another-key-of-ours']
before(async () => {
  gateway = await createTestGateway({ env: { UPSTREAM_COOLDOWN_MS: '60000' } })
  upstream = await createRawUpstream((socket) => socket.write(httpAnswer('{"error":{"message":"no"}}', {}, '500 Oops')))
  const { json } = await gateway.chat(undefined, { method: 'GET', path: '/openapi.json' })
  answerSchema = json.paths['/v1/route:explain'].post.responses
})
after(async () => {
  await gateway.close()
  await upstream.close()
})

async function explain(body: unknown, more: { key?: string | null; headers?: Record<string, string> } = {}) {
  const project = await gateway.openProject(1_000_000_000n)
  const reply = await gateway.chat(body, { key: project.secret, ...more, path: '/v1/route:explain' })
  const schema = answerSchema[reply.status]?.content?.['application/json']?.schema
  assert(schema !== undefined, `${ROUTE} may answer ${reply.status}: ${reply.text}`)
  const [valid, errors] = Compile(schema).Errors(reply.json)
  assert(valid, `${ROUTE} ${reply.status}: ${JSON.stringify(errors)} in ${reply.text}`)
  expectDiscreet(reply)
  await project.settled(0)
  return reply
}

/** Not a word about where upstreams are, or what their keys are. */
function expectDiscreet({ text }: Reply): void {
  for (const secret of [...secrets, upstream.url, gateway.simulatorUrl, new URL(upstream.url).host, '/v1/chat'])
    assert(!text.includes(secret), `${secret} in ${text}`)
}

/** A model with a group of everything that can be said of a candidate. */
async function putEverything(): Promise<number> {
  const [first = '', second = ''] = secrets
  const version = await putModels(gateway, {
    m: {
      upstreams: [
        { id: 'native', url: gateway.simulatorUrl, nanosPerToken: 2, more: { maxConcurrency: 5 } },
        { id: 'foreign', url: gateway.simulatorUrl, more: { protocols: ['messages'], overrideModel: 'free' } },
        { id: 'keyed', url: upstream.url, keys: [first, second] },
        { id: 'mute', url: gateway.simulatorUrl, more: { protocols: ['embeddings'] } },
      ],
      routing: { groups: [{ id: 'g', upstreamIds: ['native', 'foreign', 'keyed', 'mute'] }] },
      hedge: { afterMs: 1_500 },
      fullChainTimeoutMs: 9_000,
    },
  })
  const stranger = deriveEnvelopeKey(Buffer.alloc(32, 98))
  const envelope = sealEnvelope(stranger, { modelName: 'm', keyEntryId: 'keyed-2' }, Buffer.from(second))
  await replaceCiphertext(gateway, 'keyed-2', envelope)
  return version + 1
}

test(`${ROUTE} 200: every candidate in its order, with what speaks for and against it`, async () => {
  const config_version = await putEverything()
  const { status, json } = await explain({ model: 'm', stream: true, max_tokens: 500 })
  assert.equal(status, 200)
  assert.deepEqual(
    { ...json, candidates: undefined, hold: undefined },
    {
      object: 'route_explanation',
      model: 'm',
      protocol: 'chat',
      stream: true,
      config_version,
      hold: undefined,
      timeouts: { attempt_ms: 30_000, chain_ms: 9_000, idle_ms: 60_000, total_ms: 600_000 },
      hedge_after_ms: 1_500,
      candidates: undefined,
      excluded: [
        { upstream: 'keyed', provider: 'keyed', model: 'echo', reason: 'decrypt_failed', group: 0 },
        { upstream: 'mute', provider: 'mute', model: 'echo', reason: 'protocol_unsupported', group: 0 },
      ],
    },
  )
  assert.deepEqual(
    json.candidates.map(({ upstream, protocol, translated, verdict, in_flight, max_in_flight, group }: Json) => ({
      ...{ upstream, protocol, translated, verdict, in_flight, max_in_flight, group },
    })),
    [
      {
        upstream: 'native',
        protocol: 'chat',
        translated: false,
        verdict: 'usable',
        in_flight: 0,
        max_in_flight: 5,
        group: 0,
      },
      {
        upstream: 'foreign',
        protocol: 'messages',
        translated: true,
        verdict: 'usable',
        in_flight: 0,
        max_in_flight: null,
        group: 0,
      },
      {
        upstream: 'keyed',
        protocol: 'chat',
        translated: false,
        verdict: 'usable',
        in_flight: 0,
        max_in_flight: null,
        group: 0,
      },
    ],
  )
  assert.equal(json.candidates[0].price.lines.input, '2000')
  assert.deepEqual(
    json.candidates.map(({ key }: Json) => (key === null ? null : /^[0-9a-f]{8}$/.test(key))),
    [null, null, true],
  )
  // The dearest candidate, at 2 nano-dollars a token.
  const { amount_nanousd, least_nanousd, prompt_tokens_max, output_tokens_max, worst_case } = json.hold
  assert.deepEqual([output_tokens_max, worst_case], [500, false])
  assert.equal(amount_nanousd, String(2 * (prompt_tokens_max + 500)))
  assert.equal(least_nanousd, String(2 * (prompt_tokens_max + 16)))
})

test(`${ROUTE} 200: the estimate is what the call then holds`, async () => {
  await putEverything()
  for (const stream of [true, false]) {
    const body = { model: 'm', stream, messages: MESSAGES, sim: { first_byte_ms: 400 } }
    const { json } = await explain(body)
    const project = await gateway.openProject(1_000_000_000n)
    const reply = gateway.chat(body, { key: project.secret })
    let held = 0n
    await until('it is held', async () => {
      held = (await project.wallet()).heldNanos
      return held > 0n
    })
    assert.equal(String(held), json.hold.amount_nanousd)
    await reply
  }
})

test(`${ROUTE} 200: what a translation loses is named, and what it cannot carry excludes`, async () => {
  await putEverything()
  const lossy = { model: 'm', messages: MESSAGES, presence_penalty: 1 }
  const foreign = ({ json }: Reply) => json.candidates.find(({ upstream }: Json) => upstream === 'foreign')
  assert.deepEqual(foreign(await explain(lossy)).losses, ['presence_penalty'])
  const strict = foreign(await explain(lossy, { headers: { 'x-fluxgate-translation': 'strict' } }))
  assert.deepEqual([strict.verdict, strict.reason], ['excluded', 'unsupported_parameter: presence_penalty'])
})

test(`${ROUTE} 200: health and calls in flight, as of now`, async () => {
  const sim = { id: 'b', url: gateway.simulatorUrl }
  await putModels(gateway, { m: { upstreams: [{ id: 'a', url: `${upstream.url}/health` }, sim] } })
  const project = await gateway.openProject(1_000_000_000n)
  const body = { model: 'm', messages: MESSAGES, sim: { first_byte_ms: 400 } }
  const reply = gateway.chat(body, { key: project.secret })
  await until('the second one serves', async () => (await gateway.running(project)).length > 0)
  const [a, b] = (await explain({ model: 'm' })).json.candidates
  assert.deepEqual([a.verdict, a.in_flight, a.last_resort], ['cooling_down', 0, false])
  const [{ open_for_ms, ...entry }] = a.health
  assert.deepEqual(entry, { of: 'target', state: 'open', probing: false, failures: 1, reason: 'status_500' })
  assert(open_for_ms > 0 && open_for_ms <= 60_000)
  assert.deepEqual([b.verdict, b.in_flight], ['usable', 1])
  assert.equal((await reply).status, 200)
  assert.equal((await explain({ model: 'm' })).json.candidates[1].in_flight, 0)
})

test(`${ROUTE} 200: every protocol by its name alone`, async () => {
  for (const protocol of ['chat', 'responses', 'messages', 'completions', 'embeddings']) {
    const model = protocol === 'embeddings' ? 'sim/embed' : 'sim/echo'
    const { status, json } = await explain({ model, protocol })
    assert.deepEqual([status, json.protocol, json.config_version], [200, protocol, null])
    assert.equal(json.candidates.length, 1)
  }
})

for (const [name, body, status, code] of [
  ['no JSON', '{"model":', 400, 'body_malformed'],
  ['no object', '[]', 400, 'body_invalid'],
  ['no model', {}, 400, 'body_invalid'],
  ['an unknown protocol', { model: 'sim/echo', protocol: 'telegraph' }, 400, 'body_invalid'],
  ['a broken request', { model: 'sim/echo', messages: 'hi' }, 400, 'body_invalid'],
  ['an unknown model', { model: 'sim/ecko' }, 404, 'model_not_found'],
] as const)
  test(`${ROUTE} ${status}: ${name}`, async () => {
    const reply = await explain(body)
    assert.deepEqual([reply.status, reply.json.error.code], [status, code])
  })

test(`${ROUTE} 401: a client key is needed`, async () => {
  const reply = await explain({ model: 'sim/echo' }, { key: null })
  assert.deepEqual([reply.status, reply.json.error.code], [401, 'invalid_api_key'])
})

test(`${ROUTE} 405, 413 and 415: as on every route`, async () => {
  const { secret } = await gateway.openProject(0n)
  const path = '/v1/route:explain'
  assert.equal((await gateway.chat(undefined, { key: secret, path, method: 'GET' })).status, 405)
  const headers = { 'content-type': 'text/plain' }
  assert.equal((await gateway.chat('{}', { key: secret, path, headers })).status, 415)
  const large = JSON.stringify({ model: 'x'.repeat(33 * 1024 * 1024) })
  assert.equal((await gateway.chat(large, { key: secret, path })).status, 413)
})
