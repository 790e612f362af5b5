import assert from 'node:assert/strict'
import { test } from 'node:test'
import { CONFIG_BYTES_MAX, parseRouterConfig } from './parse-config.ts'

const ciphertext = `v1.${'i'.repeat(16)}.${'c'.repeat(20)}.${'t'.repeat(22)}`
const key = { id: 'k1', ciphertext }
const upstream = { baseURL: 'https://llm.example.com/v1', keys: [key] }
const azure = { provider: 'azure', upstreams: [{ baseURL: 'https://tts.example.com/v1', keys: [key] }] }

const llm = (model: unknown) => ({ llm: { models: { m: model } } })
const tts = (model: unknown) => ({ tts: { models: { m: model } } })
const asr = (model: unknown) => ({ asr: { models: { m: model } } })
const up = (members: object) => llm({ upstreams: [{ ...upstream, ...members }] })
const two = [
  { ...upstream, id: 'a' },
  { ...upstream, id: 'b' },
]
const routed = (...groups: unknown[]) => llm({ upstreams: two, routing: { groups } })

/** The shape of the system that this one takes over from, as its documentation has it. */
const airi = {
  llm: {
    models: {
      'chat-default': {
        upstreams: [
          {
            baseURL: 'https://openrouter.ai/api/v1',
            overrideModel: 'openai/gpt-4o-mini',
            keys: [{ id: 'openrouter-prod-1', ciphertext }],
            headerTemplate: 'Bearer {KEY}',
            timeoutMs: 25,
          },
        ],
        fallbackTriggers: { httpCodes: [401, 402, 403, 429, 500, 502, 503, 504], onTimeout: true },
      },
    },
  },
  tts: {
    models: {
      'microsoft/v1': {
        provider: 'azure',
        upstreams: [
          {
            baseURL: 'https://eastasia.tts.speech.microsoft.com/cognitiveservices/v1',
            keys: [{ id: 'azure-tts-prod-1', ciphertext }],
            adapterParams: {},
          },
        ],
        fallbackTriggers: { httpCodes: [429, 500], onTimeout: true },
      },
      'volc/pools': {
        provider: 'volcengine',
        upstreams: ['one', 'two'].map((id) => ({
          id,
          baseURL: 'https://openspeech.bytedance.com/api/v1/tts',
          keys: [{ id: `volc-${id}`, ciphertext }],
          adapterParams: { appid: id, gain: 0.5, note: null },
          maxConcurrency: 10,
        })),
        routing: {
          groups: [
            {
              id: 'pools',
              upstreamIds: ['one', 'two'],
              strategy: 'least-inflight',
              retryOn: { httpCodes: [429], onTimeout: true },
              continueOn: { httpCodes: [503] },
            },
          ],
        },
      },
    },
  },
  asr: {
    models: {
      'aliyun/asr': { provider: 'aliyun-nls', upstreams: [{ keys: [{ id: 'nls', ciphertext }], adapterParams: {} }] },
    },
  },
  defaults: {
    perAttemptTimeoutMs: 30000,
    fullChainTimeoutMs: 60000,
    fallbackHttpCodes: [401, 402, 403, 429, 500, 502, 503, 504],
  },
}

const accepted: [name: string, config: unknown][] = [
  ['nothing at all', {}],
  ['the shape of AIRI', airi],
  ['its text', JSON.stringify(airi, null, 2)],
  [
    'names that every object has',
    {
      llm: {
        models: JSON.parse('{"constructor":null,"__proto__":null,"toString":null}', (name, value) =>
          name === '' ? value : { upstreams: [upstream] },
        ),
      },
    },
  ],
  ['an upstream without a key', llm({ upstreams: [{ baseURL: 'http://127.0.0.1:11434/v1' }] })],
  ['an address that the preset has', llm({ upstreams: [{ preset: 'openrouter', keys: [key] }] })],
  ['an address that the preset of this provider has', llm({ upstreams: [{ provider: 'groq', keys: [key] }] })],
  ['a provider of the operator', up({ provider: 'our-vllm' })],
  ['a header with dollar signs', up({ headerTemplate: "$& $1 $$ {KEY} $'", headers: { 'x-team': '$& {KEY}' } })],
  ['a key in a header of its own', up({ headerTemplate: 'api-key: {KEY}' })],
  [
    'every member of an upstream',
    up({
      id: 'u',
      weight: 3,
      maxConcurrency: 7,
      adapterParams: { a: [1.5, null] },
      priceRef: 'openai/gpt-4o',
      protocols: ['chat-completions', 'responses', 'messages'],
    }),
  ],
  [
    'disabled keys and weights',
    up({
      keys: [
        { ...key, weight: 2 },
        { ...key, id: 'k2', disabled: true },
      ],
    }),
  ],
  [
    'every member of a model',
    llm({
      ...{ upstreams: two, fallbackTriggers: {}, limits: { maxTokens: 1, maxConcurrency: 1 }, hedge: { afterMs: 500 } },
      ...{ perAttemptTimeoutMs: 1, fullChainTimeoutMs: 2, idleTimeoutMs: 3, totalTimeoutMs: 7_200_000 },
      price: {
        lines: { input: '1', output: '2' },
        longContext: { aboveTokens: 9, lines: { input: '3' } },
        minimumNanousd: '1000000',
      },
      routing: { groups: [{ id: 'g', upstreamIds: ['b', 'a'], strategy: 'weighted', maxConcurrency: 4 }] },
    }),
  ],
  [
    'voices',
    tts({
      ...azure,
      upstreams: [{ ...azure.upstreams[0], id: 'u' }],
      voices: { recommended: { 'en-US': 'Ava' }, mapping: { Ava: { u: 'en-US-Ava' } } },
    }),
  ],
  [
    'an adapter of each upstream',
    tts({
      upstreams: [
        { ...upstream, provider: 'elevenlabs' },
        { ...upstream, provider: 'openai' },
      ],
    }),
  ],
  ['defaults', { ...llm({ upstreams: [upstream] }), defaults: { chatModel: 'm', idleTimeoutMs: 5 } }],
]

for (const [name, config] of accepted) {
  test(`accepts ${name}`, () => {
    const parsed = parseRouterConfig(config)
    assert.deepEqual(parsed.ok ? [] : parsed.problems, [])
  })
}

const refused: [name: string, config: unknown, path: string, message: RegExp][] = [
  ['text that is no JSON', '{', '', /JSON/],
  ['a name that stands twice', '{"llm":{"models":{}},"llm":{"models":{}}}', '', /twice/],
  ['a list', [], '', /must be an object/],
  ['what JSON cannot carry', { defaults: { x: 1n } }, '', /must be JSON/],
  ['undefined', undefined, '', /must be JSON/],
  ['an unknown section', { lln: {} }, 'lln', /did you mean 'llm'/],
  ['a section without models', { llm: {} }, 'llm.models', /missing/],
  [
    'an unknown member',
    llm({ upstreams: [upstream], fallbackTrigers: {} }),
    'llm.models.m.fallbackTrigers',
    /did you mean 'fallbackTriggers'/,
  ],
  ['voices of a language model', llm({ upstreams: [upstream], voices: {} }), 'llm.models.m.voices', /not known here/],
  ['a prototype member as a section', JSON.parse('{"__proto__":{}}'), '__proto__', /not known here/],
  [
    'a model name with |',
    { llm: { models: { 'a|b': { upstreams: [upstream] } } } },
    'llm.models["a|b"]',
    /without '\|'/,
  ],
  ['an empty model name', { llm: { models: { '': { upstreams: [upstream] } } } }, 'llm.models[""]', /1 to 255/],
  ['a reserved name', { llm: { models: { auto: { upstreams: [upstream] } } } }, 'llm.models.auto', /reserved/],
  ['one name on two surfaces', { ...llm({ upstreams: [upstream] }), ...tts(azure) }, 'tts.models.m', /under llm/],
  ['a model that is none', llm(7), 'llm.models.m', /must be an object/],
  ['no upstreams', llm({}), 'llm.models.m.upstreams', /missing/],
  ['an empty list of upstreams', llm({ upstreams: [] }), 'llm.models.m.upstreams', /1 to 64/],
  ['too many upstreams', llm({ upstreams: Array(65).fill(upstream) }), 'llm.models.m.upstreams', /1 to 64/],
  ['two upstreams of one id', llm({ upstreams: [two[0], two[0]] }), 'llm.models.m.upstreams[1].id', /another upstream/],
  ['no address', llm({ upstreams: [{ keys: [key] }] }), 'llm.models.m.upstreams[0].baseURL', /missing/],
  [
    'a file as address',
    up({ baseURL: 'file:///etc/passwd' }),
    'llm.models.m.upstreams[0].baseURL',
    /https:\/\/ or http:\/\//,
  ],
  ['a socket as address of text', up({ baseURL: 'wss://a.example' }), 'llm.models.m.upstreams[0].baseURL', /https/],
  [
    'a password in an address',
    up({ baseURL: 'https://me:secret@a.example' }),
    'llm.models.m.upstreams[0].baseURL',
    /password/,
  ],
  [
    'a query in an address',
    up({ baseURL: 'https://a.example/v1?a=b' }),
    'llm.models.m.upstreams[0].baseURL',
    /not have a query/,
  ],
  ['a fragment in an address', up({ baseURL: 'https://a.example/#x' }), 'llm.models.m.upstreams[0].baseURL', /'#'/],
  ['an address with a line break', up({ baseURL: 'https://a.example/\n' }), 'llm.models.m.upstreams[0].baseURL', /URL/],
  ['an unknown preset', up({ preset: 'opnai' }), 'llm.models.m.upstreams[0].preset', /did you mean 'openai'/],
  [
    'a preset without its parameter',
    llm({ upstreams: [{ preset: 'bedrock', keys: [key] }] }),
    'llm.models.m.upstreams[0].adapterParams',
    /region/,
  ],
  ['an unknown protocol', up({ protocols: ['smoke'] }), 'llm.models.m.upstreams[0].protocols[0]', /one of/],
  ['a key id with |', up({ keys: [{ ...key, id: 'a|b' }] }), 'llm.models.m.upstreams[0].keys[0].id', /without '\|'/],
  ['a key without an id', up({ keys: [{ ciphertext }] }), 'llm.models.m.upstreams[0].keys[0].id', /missing/],
  ['two keys of one id', up({ keys: [key, key] }), 'llm.models.m.upstreams[0].keys[1].id', /another key/],
  ['too many keys', up({ keys: Array(65).fill(key) }), 'llm.models.m.upstreams[0].keys', /0 to 64/],
  [
    'a key in plain text',
    up({ keys: [{ id: 'k', ciphertext: 'sk-live-123' }] }),
    'llm.models.m.upstreams[0].keys[0].ciphertext',
    /^must be an envelope/,
  ],
  [
    'a placeholder that nothing is stored for',
    up({ keys: [{ id: 'k', ciphertext: '<ciphertext: 60 chars>' }] }),
    'llm.models.m.upstreams[0].keys[0].ciphertext',
    /envelope/,
  ],
  ['a template without a key', up({ headerTemplate: 'Bearer' }), 'llm.models.m.upstreams[0].headerTemplate', /\{KEY\}/],
  [
    'a template with two keys',
    up({ headerTemplate: '{KEY} {KEY}' }),
    'llm.models.m.upstreams[0].headerTemplate',
    /once/,
  ],
  [
    'a template with a line break',
    up({ headerTemplate: 'Bearer {KEY}\r\nx: y' }),
    'llm.models.m.upstreams[0].headerTemplate',
    /ASCII/,
  ],
  [
    'a credential among the headers',
    up({ headers: { 'X-Api-Key': 'k' } }),
    'llm.models.m.upstreams[0].headers["X-Api-Key"]',
    /keys/,
  ],
  [
    'a header name that is none',
    up({ headers: { 'a b': 'x' } }),
    'llm.models.m.upstreams[0].headers["a b"]',
    /name of a header/,
  ],
  ['a header value with a line break', up({ headers: { x: 'a\nb' } }), 'llm.models.m.upstreams[0].headers.x', /ASCII/],
  ['a timeout of nothing', up({ timeoutMs: 0 }), 'llm.models.m.upstreams[0].timeoutMs', /1 to 3600000/],
  ['a fraction of a millisecond', up({ timeoutMs: 1.5 }), 'llm.models.m.upstreams[0].timeoutMs', /integer/],
  ['a weight of nothing', up({ weight: 0 }), 'llm.models.m.upstreams[0].weight', /1 to 1000/],
  ['a concurrency of nothing', up({ maxConcurrency: 0 }), 'llm.models.m.upstreams[0].maxConcurrency', /1 to 100000/],
  [
    'large parameters',
    up({ adapterParams: { a: 'x'.repeat(20_000) } }),
    'llm.models.m.upstreams[0].adapterParams',
    /16384/,
  ],
  [
    'a price beside a reference',
    up({ price: { lines: { input: '1', output: '1' } }, priceRef: 'openai/x' }),
    'llm.models.m.upstreams[0].priceRef',
    /beside price/,
  ],
  [
    'a price of half a call',
    up({ price: { lines: { input: '1' } } }),
    'llm.models.m.upstreams[0].price.lines',
    /input and output/,
  ],
  [
    'a price as a number',
    up({ price: { lines: { input: 1, output: '1' } } }),
    'llm.models.m.upstreams[0].price.lines',
    /decimal string/,
  ],
  [
    'an unknown kind',
    up({ price: { lines: { input: '1', output: '1', smell: '1' } } }),
    'llm.models.m.upstreams[0].price.lines',
    /smell/,
  ],
  [
    'a minimum above $1,000',
    up({ price: { lines: { input: '1', output: '1' }, minimumNanousd: '1000000000001' } }),
    'llm.models.m.upstreams[0].price.minimumNanousd',
    /at most/,
  ],
  [
    'a reference without a provider',
    up({ priceRef: 'gpt-4o' }),
    'llm.models.m.upstreams[0].priceRef',
    /provider\/model/,
  ],
  ['an unknown adapter', tts({ ...azure, provider: 'azur' }), 'tts.models.m.provider', /did you mean 'azure'/],
  ['no adapter', tts({ upstreams: [upstream] }), 'tts.models.m.upstreams[0].provider', /missing/],
  [
    'speech without an address',
    tts({ provider: 'azure', upstreams: [{ keys: [key] }] }),
    'tts.models.m.upstreams[0].baseURL',
    /missing/,
  ],
  [
    'transcription by an unknown adapter',
    asr({ provider: 'x', upstreams: [{ keys: [key] }] }),
    'asr.models.m.provider',
    /one of/,
  ],
  [
    'a status that is none',
    llm({ upstreams: [upstream], fallbackTriggers: { httpCodes: [42] } }),
    'llm.models.m.fallbackTriggers.httpCodes[0]',
    /100 to 599/,
  ],
  [
    'a timeout rule that is no flag',
    llm({ upstreams: [upstream], fallbackTriggers: { onTimeout: 1 } }),
    'llm.models.m.fallbackTriggers.onTimeout',
    /true or false/,
  ],
  [
    'routing over upstreams without ids',
    llm({ upstreams: [upstream], routing: { groups: [{ id: 'g', upstreamIds: ['a'] }] } }),
    'llm.models.m.upstreams',
    /id each/,
  ],
  ['no groups', routed(), 'llm.models.m.routing.groups', /1 to 64/],
  ['a group of nothing', routed({ id: 'g', upstreamIds: [] }), 'llm.models.m.routing.groups[0].upstreamIds', /1 to 64/],
  [
    'a group of strangers',
    routed({ id: 'g', upstreamIds: ['a', 'b', 'c'] }),
    'llm.models.m.routing.groups[0].upstreamIds[2]',
    /not the id/,
  ],
  [
    'an upstream in two groups',
    routed({ id: 'g', upstreamIds: ['a', 'b'] }, { id: 'h', upstreamIds: ['a'] }),
    'llm.models.m.routing.groups[1].upstreamIds[0]',
    /twice/,
  ],
  [
    'an upstream in no group',
    routed({ id: 'g', upstreamIds: ['a'] }),
    'llm.models.m.routing.groups',
    /'b'.*never be used/,
  ],
  [
    'two groups of one id',
    routed({ id: 'g', upstreamIds: ['a'] }, { id: 'g', upstreamIds: ['b'] }),
    'llm.models.m.routing.groups[1].id',
    /another group/,
  ],
  [
    'an unknown strategy',
    routed({ id: 'g', upstreamIds: ['a', 'b'], strategy: 'random' }),
    'llm.models.m.routing.groups[0].strategy',
    /one of/,
  ],
  ['a hedge without a time', llm({ upstreams: [upstream], hedge: {} }), 'llm.models.m.hedge.afterMs', /missing/],
  [
    'no tokens at all',
    llm({ upstreams: [upstream], limits: { maxTokens: 0 } }),
    'llm.models.m.limits.maxTokens',
    /1 to/,
  ],
  [
    'a locale that is none',
    tts({ ...azure, voices: { recommended: { 'en US': 'v' } } }),
    'tts.models.m.voices.recommended["en US"]',
    /locale/,
  ],
  [
    'a voice of a stranger',
    tts({ ...azure, voices: { mapping: { v: { x: 'y' } } } }),
    'tts.models.m.voices.mapping.v.x',
    /not the id/,
  ],
  ['an unknown default', { defaults: { chatModell: 'm' } }, 'defaults.chatModell', /did you mean 'chatModel'/],
  [
    'a default that is no model',
    { ...llm({ upstreams: [upstream] }), defaults: { chatModel: 'n' } },
    'defaults.chatModel',
    /not a model under llm/,
  ],
  [
    'a default of another surface',
    { ...llm({ upstreams: [upstream] }), defaults: { speechModel: 'm' } },
    'defaults.speechModel',
    /under tts/,
  ],
  [
    'a default that every object has',
    { ...llm({ upstreams: [upstream] }), defaults: { chatModel: 'constructor' } },
    'defaults.chatModel',
    /not a model/,
  ],
]

for (const [name, config, path, message] of refused) {
  test(`refuses ${name}`, () => {
    const parsed = parseRouterConfig(config)
    assert(!parsed.ok)
    const found = parsed.problems.find((problem) => problem.path === path)
    assert(found, `${path} among ${JSON.stringify(parsed.problems)}`)
    assert.match(found.message, message)
  })
}

test('all problems are told at once, a hundred at most, and none repeats what may be a key', () => {
  const parsed = parseRouterConfig(up({ keys: Array(60).fill({ id: 'k', ciphertext: 'sk-plain-text' }), weight: 0 }))
  assert(!parsed.ok)
  assert.equal(parsed.problems.length, 100)
  assert(!JSON.stringify(parsed.problems).includes('sk-plain-text'))
})

test('sizes are bounded: bytes, models, depth', () => {
  const large = parseRouterConfig(`{"llm":{"models":{}}}${' '.repeat(CONFIG_BYTES_MAX)}`)
  assert(!large.ok && /4194304 bytes/.test(large.problems[0]?.message ?? ''))
  const models = Object.fromEntries(Array.from({ length: 10_001 }, (_, index) => [`m${index}`, {}]))
  const many = parseRouterConfig({ llm: { models } })
  assert(!many.ok && /10000/.test(many.problems[0]?.message ?? ''))
  const deep = parseRouterConfig(up({ adapterParams: JSON.parse(`${'{"a":'.repeat(40)}1${'}'.repeat(40)}`) }))
  assert(!deep.ok && /deep/.test(deep.problems[0]?.message ?? ''))
})

test('ten thousand models are read', () => {
  const models = Object.fromEntries(
    Array.from({ length: 10_000 }, (_, index) => [`m${index}`, { upstreams: [upstream] }]),
  )
  assert(parseRouterConfig({ llm: { models } }).ok)
})

test('the digest knows the content, not its order or white space', () => {
  const digests = [
    '{"defaults":{"idleTimeoutMs":1,"totalTimeoutMs":2}}',
    ' { "defaults" : { "totalTimeoutMs" : 2, "idleTimeoutMs" : 1 } } ',
    '{"defaults":{"idleTimeoutMs":1,"totalTimeoutMs":3}}',
  ].map((text) => {
    const parsed = parseRouterConfig(text)
    assert(parsed.ok)
    return parsed.digest
  })
  assert.match(digests[0] ?? '', /^sha256:[0-9a-f]{64}$/)
  assert.equal(digests[0], digests[1])
  assert.notEqual(digests[0], digests[2])
  const fractions = [0.5, 0.25, null, '0.5'].map((gain) => {
    const parsed = parseRouterConfig(up({ adapterParams: { gain } }))
    assert(parsed.ok)
    return parsed.digest
  })
  assert.equal(new Set(fractions).size, 4)
})

test('what is allowed and without effect is a warning', () => {
  const both = parseRouterConfig(
    llm({
      upstreams: two,
      fallbackTriggers: {},
      routing: { groups: [{ id: 'g', upstreamIds: ['a', 'b'], retryOn: {} }] },
    }),
  )
  assert(both.ok)
  assert.deepEqual(
    both.warnings.map(({ path }) => path),
    ['llm.models.m.fallbackTriggers'],
  )
  const elsewhere = parseRouterConfig({ defaults: { chatModel: 'openai/gpt-4o' } })
  assert(elsewhere.ok)
  assert.match(elsewhere.warnings[0]?.message ?? '', /provider of the environment/)
})
