import assert from 'node:assert/strict'
import { test } from 'node:test'
import { loadPriceBook } from '#domain/price-book.ts'
import { createSettings } from '#domain/settings.ts'
import { compileRouter } from './compile.ts'
import { parseRouterConfig } from './parse-config.ts'
import type { FallbackRule } from './snapshot.ts'

const ciphertext = `v1.${'i'.repeat(16)}.${'c'.repeat(20)}.${'t'.repeat(22)}`
const key = { id: 'k1', ciphertext }
const upstream = { baseURL: 'https://llm.example.com/v1', keys: [key] }
const priceBook = loadPriceBook(
  JSON.stringify({
    version: '2026-11-22',
    source: 'a test',
    entries: {
      'openai/gpt-4o': entry({ input: '2500000', output: '10000000' }, { limits: { maxOutputTokens: 16384 } }),
      'openai/o9': entry({ input: '1', output: '2' }, { reasoning: true }),
      'openai/embed': entry({ input: '20000' }, { endpoint: 'embedding' }),
      'openai/tts': entry({ characters: '15000000' }, { endpoint: 'speech' }),
    },
  }),
)

function entry(lines: Record<string, string>, more: object = {}) {
  const limits = {}
  return { lines, limits, reasoning: false, streaming: true, active: true, endpoint: 'chat', ...more }
}

function compile(config: unknown, settings: Record<string, unknown> = {}) {
  const parsed = parseRouterConfig(config)
  assert(parsed.ok, JSON.stringify(parsed))
  const values = new Map(Object.entries(settings).map(([name, value]) => [name, { value }]))
  return {
    ...compileRouter({
      ...{ document: parsed.document, digest: parsed.digest, version: 7, priceBook, fluxNanousd: 1_000_000n },
      settings: createSettings(values),
    }),
    digest: parsed.digest,
  }
}

function compileModel(model: object, settings?: Record<string, unknown>, more: object = {}) {
  const compiled = compile({ llm: { models: { m: model } }, ...more }, settings)
  const routed = compiled.snapshot.models.get('m')
  assert(routed)
  return { ...compiled, routed, first: routed.groups[0]?.upstreams[0] }
}

const rule = (found: FallbackRule | undefined) =>
  found && { httpCodes: [...found.httpCodes], onTimeout: found.onTimeout }
const two = ['a', 'b'].map((id) => ({ ...upstream, id }))

test('without routing a model is one group in the order of its upstreams', () => {
  const { routed } = compileModel({ upstreams: [upstream, { ...upstream, id: 'upstream-1' }, upstream] })
  assert.equal(routed.groups.length, 1)
  assert.equal(routed.groups[0]?.strategy, 'ordered')
  const ids = routed.groups[0]?.upstreams.map(({ id }) => id)
  assert.equal(new Set(ids).size, 3)
  assert.equal(ids?.[1], 'upstream-1')
})

const rules: [name: string, model: object, defaults: object | undefined, expected: ReturnType<typeof rule>][] = [
  ['nothing said: every fault but the caller’s moves on', {}, undefined, undefined],
  ['a default list', {}, { fallbackHttpCodes: [500] }, { httpCodes: [500], onTimeout: true }],
  [
    'triggers of its own',
    { fallbackTriggers: { httpCodes: [429], onTimeout: false } },
    { fallbackHttpCodes: [500] },
    { httpCodes: [429], onTimeout: false },
  ],
  [
    'triggers that leave the list to the default',
    { fallbackTriggers: { onTimeout: false } },
    { fallbackHttpCodes: [500] },
    { httpCodes: [500], onTimeout: false },
  ],
  [
    'triggers without any list',
    { fallbackTriggers: {} },
    undefined,
    { httpCodes: [401, 402, 403, 429, 500, 502, 503, 504], onTimeout: true },
  ],
  ['an empty list', { fallbackTriggers: { httpCodes: [] } }, undefined, { httpCodes: [], onTimeout: true }],
]
for (const [name, model, defaults, expected] of rules) {
  test(`what moves on: ${name}`, () => {
    const { routed } = compileModel({ upstreams: [upstream], ...model }, {}, defaults && { defaults })
    assert.deepEqual(rule(routed.groups[0]?.retryOn), expected)
  })
}

test('groups keep their order, strategy and rules; across their borders only what is listed moves on', () => {
  const { routed } = compileModel({
    upstreams: two,
    fallbackTriggers: { httpCodes: [500] },
    routing: {
      groups: [
        {
          id: 'cheap',
          upstreamIds: ['b'],
          strategy: 'least-inflight',
          maxConcurrency: 4,
          retryOn: {},
          continueOn: { httpCodes: [429] },
        },
        { id: 'dear', upstreamIds: ['a'], strategy: 'weighted' },
      ],
    },
  })
  assert.deepEqual(
    routed.groups.map((group) => ({
      ...group,
      upstreams: group.upstreams.map(({ id, maxConcurrency }) => [id, maxConcurrency]),
      retryOn: rule(group.retryOn),
      continueOn: rule(group.continueOn),
    })),
    [
      {
        id: 'cheap',
        strategy: 'least_inflight',
        upstreams: [['b', 4]],
        retryOn: { httpCodes: [], onTimeout: false },
        continueOn: { httpCodes: [429], onTimeout: false },
      },
      {
        id: 'dear',
        strategy: 'weighted',
        upstreams: [['a', undefined]],
        retryOn: { httpCodes: [500], onTimeout: true },
        continueOn: { httpCodes: [], onTimeout: false },
      },
    ],
  )
})

test('times come from the model, else from the defaults, else from here', () => {
  const { routed } = compileModel({ upstreams: [upstream] })
  assert.deepEqual(routed.timeouts, { attemptMs: 30_000, chainMs: 60_000, idleMs: undefined, totalMs: undefined })
  const defaults = { perAttemptTimeoutMs: 1_000, fullChainTimeoutMs: 2_000, idleTimeoutMs: 3, totalTimeoutMs: 4 }
  const from = compileModel(
    { upstreams: [{ ...upstream, timeoutMs: 25 }], fullChainTimeoutMs: 9_000 },
    {},
    { defaults },
  )
  assert.deepEqual(from.routed.timeouts, { attemptMs: 1_000, chainMs: 9_000, idleMs: 3, totalMs: 4 })
  assert.equal(from.first?.timeoutMs, 25)
})

test('everything that an upstream and a model say lands in the snapshot', () => {
  const { routed, first } = compileModel({
    upstreams: [
      {
        ...{ id: 'u', provider: 'our-vllm', preset: 'vllm', baseURL: 'https://a.example/v1', overrideModel: 'real' },
        keys: [
          { ...key, weight: 3 },
          { ...key, id: 'k2', disabled: true },
        ],
        ...{ headerTemplate: '$& {KEY}', headers: { 'x-team': 'a' }, weight: 5, maxConcurrency: 6 },
        ...{ adapterParams: { a: 1 }, protocols: ['chat-completions', 'chat', 'responses'] },
      },
    ],
    limits: { maxTokens: 100, maxConcurrency: 8 },
    hedge: { afterMs: 700 },
  })
  const { price, limits, ...rest } = first ?? {}
  assert.deepEqual(rest, {
    ...{ id: 'u', provider: 'our-vllm', preset: 'vllm', baseUrl: 'https://a.example/v1', model: 'real' },
    credentials: [{ id: 'k1', ciphertext, weight: 3 }],
    ...{ headerTemplate: '$& {KEY}', headers: { 'x-team': 'a' }, timeoutMs: undefined, weight: 5, maxConcurrency: 6 },
    ...{ adapter: undefined, adapterParams: { a: 1 }, protocols: ['chat', 'responses'] },
  })
  assert.equal(price, undefined)
  assert.deepEqual(limits, { maxOutputTokens: undefined, hiddenReasoning: false })
  assert.deepEqual(routed.limits, { maxTokens: 100, maxConcurrency: 8 })
  assert.equal(routed.hedgeAfterMs, 700)
})

const identities: [name: string, upstream: object, provider: string, preset: string][] = [
  ['a known address', { baseURL: 'https://openrouter.ai/api/v1' }, 'openrouter', 'openrouter'],
  [
    'an address that only looks known',
    { baseURL: 'https://openrouter.ai.example/api/v1' },
    'openrouter.ai.example',
    'openai-compatible',
  ],
  ['a provider that is a preset', { baseURL: 'https://proxy.example/v1', provider: 'groq' }, 'groq', 'groq'],
  [
    'a provider of the operator at a known address',
    { baseURL: 'https://api.openai.com/v1', provider: 'eu-team' },
    'eu-team',
    'openai',
  ],
  ['a preset alone', { preset: 'openrouter' }, 'openrouter', 'openrouter'],
  ['a preset somewhere else', { preset: 'anthropic', baseURL: 'https://proxy.example' }, 'anthropic', 'anthropic'],
]
for (const [name, members, provider, preset] of identities) {
  test(`who serves: ${name}`, () => {
    const { first } = compileModel({ upstreams: [{ keys: [key], ...members }] })
    assert.deepEqual([first?.provider, first?.preset], [provider, preset])
  })
}

test('names that every object has are plain names', () => {
  const models = Object.fromEntries(
    ['constructor', '__proto__', 'toString'].map((name) => [name, { upstreams: [upstream] }]),
  )
  const { snapshot } = compile({ llm: { models } })
  assert.deepEqual([...snapshot.models.keys()].sort(), ['__proto__', 'constructor', 'toString'])
  assert.equal(compile({}).snapshot.models.get('constructor'), undefined)
})

test('an upstream whose keys are all disabled is not used; one that wants none is', () => {
  const off = { ...upstream, keys: [{ ...key, disabled: true }] }
  const { routed, warnings } = compileModel({ upstreams: [off, { baseURL: 'http://127.0.0.1:1/v1' }] })
  assert.deepEqual(
    routed.groups[0]?.upstreams.map(({ baseUrl }) => baseUrl),
    ['http://127.0.0.1:1/v1'],
  )
  assert(warnings.some(({ path }) => path === 'llm.models.m.upstreams[0].keys'))
  const none = compileModel({ upstreams: [off] })
  assert(none.warnings.some(({ path, message }) => path === 'llm.models.m' && /no upstream/.test(message)))
})

const own = { lines: { input: '1', output: '2' } }
const flux = { FLUX_PER_1K_TOKENS: 0.5 }
const at = (members: object) => ({ upstreams: [{ ...upstream, provider: 'openai', ...members }] })
const prices: [
  name: string,
  model: object,
  settings: object,
  source: 'config' | 'book' | 'flux' | undefined,
  input?: bigint,
][] = [
  [
    'own lines of the upstream first',
    { ...at({ overrideModel: 'gpt-4o', price: own }), price: { lines: { input: '8', output: '8' } } },
    flux,
    'config',
    1n,
  ],
  ['then those of the model', { ...at({ overrideModel: 'gpt-4o' }), price: own }, flux, 'config', 1n],
  [
    'a reference of the upstream before lines of the model',
    { ...at({ priceRef: 'openai/gpt-4o' }), price: own },
    flux,
    'book',
    2_500_000n,
  ],
  ['a reference of the model', { ...at({}), priceRef: 'openai/gpt-4o' }, flux, 'book', 2_500_000n],
  ['the entry that provider and model match', at({ overrideModel: 'gpt-4o' }), flux, 'book', 2_500_000n],
  ['the Flux rule, exact in fractions', at({ overrideModel: 'unheard-of' }), flux, 'flux', 500_000n],
  ['none of them', at({ overrideModel: 'unheard-of' }), {}, undefined],
  ['a default rate is no price', at({}), { FLUX_PER_REQUEST: 5 }, undefined],
  ['an entry that does not cover the surface is no price', at({ overrideModel: 'tts' }), flux, undefined],
]
for (const [name, model, settings, source, input] of prices) {
  test(`price: ${name}`, () => {
    const { first, digest, warnings, problems } = compileModel(model, settings as Record<string, unknown>)
    assert.deepEqual(problems, [])
    assert.equal(first?.price?.price.lines.input, input)
    const book = first?.price?.book
    if (source === undefined) {
      assert.equal(first?.price, undefined)
      assert(warnings.some(({ message }) => /no price/.test(message)))
    } else if (source === 'config') assert.equal(book, digest)
    else if (source === 'book') assert.equal(book, priceBook.digest)
    else {
      assert.match(book ?? '', /^sha256:[0-9a-f]{64}$/)
      assert(book !== digest && book !== priceBook.digest)
    }
  })
}

test('a reference to nothing is a slip that a writer must mend, and closes only its own model', () => {
  const { first, problems } = compileModel(at({ priceRef: 'openai/gpt-4p' }), flux)
  assert.equal(first?.price, undefined)
  assert.deepEqual(
    problems.map(({ path }) => path),
    ['llm.models.m.upstreams[0]'],
  )
  assert.match(problems[0]?.message ?? '', /did you mean 'openai\/gpt-4o'/)
})

test('Flux rules: a minimum of one Flux and the flat price for tokens, neither for speech, nothing for transcription', () => {
  const models = (extra: object) => ({
    models: { [`m-${Object.keys(extra)[0]}`]: { upstreams: [{ ...upstream, ...Object.values(extra)[0] }] } },
  })
  const { snapshot } = compile(
    {
      llm: models({ llm: {} }),
      embedding: models({ embedding: {} }),
      tts: models({ tts: { provider: 'azure' } }),
      asr: models({ asr: { provider: 'openai' } }),
    },
    { FLUX_PER_1K_TOKENS: 2, FLUX_PER_REQUEST: 5, FLUX_PER_1K_CHARS_TTS: 300 },
  )
  const price = (name: string) => snapshot.models.get(name)?.groups[0]?.upstreams[0]?.price?.price
  for (const name of ['m-llm', 'm-embedding']) {
    const { lines, minimum, flat } = price(name) ?? assert.fail(name)
    assert.deepEqual(
      [lines.input, lines.output, lines.reasoning, minimum, flat],
      [2_000_000n, 2_000_000n, 2_000_000n, 1_000_000n, 5_000_000n],
    )
  }
  const speech = price('m-tts')
  assert.deepEqual([speech?.lines.characters, speech?.minimum, speech?.flat], [300_000_000n, undefined, undefined])
  assert.equal(price('m-asr'), undefined)
})

test('own prices keep their long tier and their minimum', () => {
  const price = { ...own, longContext: { aboveTokens: 9, lines: { input: '3' } }, minimumNanousd: '1000' }
  const { first } = compileModel({ upstreams: [upstream], price })
  assert.equal(first?.price?.price.minimum, 1_000n)
  assert.equal(first?.price?.price.longContext?.lines.input, 3n)
  assert.equal(first?.price?.price.longContext?.lines.output, 2n)
})

test('limits come from the price book, also beside another price', () => {
  const { first } = compileModel(at({ overrideModel: 'gpt-4o', price: own }))
  assert.equal(first?.limits.maxOutputTokens, 16_384)
  assert.equal(compileModel(at({ overrideModel: 'o9' })).first?.limits.hiddenReasoning, true)
})

test('speech: the adapter of the upstream before that of the model, voices of settings under those of the config', () => {
  const model = {
    provider: 'azure',
    upstreams: [
      { ...upstream, id: 'one' },
      { ...upstream, id: 'two', provider: 'elevenlabs' },
    ],
    voices: { recommended: { 'en-US': 'mine' }, mapping: { mine: { two: 'theirs' } } },
  }
  const { snapshot } = compile(
    { tts: { models: { m: model } } },
    { DEFAULT_TTS_VOICES: { m: { 'en-US': 'old', 'de-DE': 'kept' }, other: { 'en-US': 'x' } } },
  )
  const routed = snapshot.models.get('m')
  assert.deepEqual(
    routed?.groups[0]?.upstreams.map(({ adapter, provider }) => [adapter, provider]),
    [
      ['azure', 'azure'],
      ['elevenlabs', 'elevenlabs'],
    ],
  )
  assert.deepEqual(routed?.voices, {
    recommended: { 'en-US': 'mine', 'de-DE': 'kept' },
    mapping: { mine: { two: 'theirs' } },
  })
})

test('defaults: those of the config before those of the settings; what is no model is a warning', () => {
  const config = { llm: { models: { m: { upstreams: [upstream] } } } }
  assert.deepEqual(compile(config, { DEFAULT_CHAT_MODEL: 'm', DEFAULT_TTS_MODEL: 'v' }).snapshot.defaults, {
    llm: 'm',
    tts: 'v',
  })
  const both = compile(
    { ...config, defaults: { chatModel: 'm', embeddingModel: 'openai/embed' } },
    { DEFAULT_CHAT_MODEL: 'n' },
  )
  assert.deepEqual(both.snapshot.defaults, { llm: 'm', embedding: 'openai/embed' })
  assert(both.warnings.some(({ path, message }) => path === 'DEFAULT_CHAT_MODEL' && /no effect/.test(message)))
  const stray = compile(config, { DEFAULT_CHAT_MODEL: 'constructor' })
  assert(stray.warnings.some(({ path, message }) => path === 'DEFAULT_CHAT_MODEL' && /not a model/.test(message)))
})

test('speech over WebSocket: unspeech before the older setting, sealed for its own name, priced by characters', () => {
  const older = { baseURL: 'wss://old.example/ws', keys: [key] }
  const newer = {
    baseURL: 'wss://new.example/ws',
    keys: [key, { ...key, id: 'k2' }],
    models: [{ id: 'seed' }],
    defaultModel: 'seed',
  }
  const { snapshot } = compile({}, { STREAMING_TTS_UPSTREAM: older, FLUX_PER_1K_CHARS_TTS: 1 })
  assert.equal(snapshot.streamingTts?.route.name, 'streaming-tts')
  const [upstreamOf] = snapshot.streamingTts?.route.groups[0]?.upstreams ?? []
  assert.deepEqual(
    [upstreamOf?.baseUrl, upstreamOf?.price?.price.lines.characters],
    ['wss://old.example/ws', 1_000_000n],
  )
  assert(!snapshot.models.has('streaming-tts'), 'it is no model that a client may name')
  const both = compile(
    {},
    { STREAMING_TTS_UPSTREAM: older, UNSPEECH_UPSTREAM: { restBaseURL: 'http://a.example', streaming: newer } },
  )
  assert.equal(both.snapshot.streamingTts?.route.groups[0]?.upstreams[0]?.credentials.length, 2)
  assert.deepEqual(both.snapshot.streamingTts?.models, [{ id: 'seed' }])
  assert.equal(both.snapshot.streamingTts?.defaultModel, 'seed')
  assert.equal(compile({}).snapshot.streamingTts, undefined)
})

test('a rate that one Flux makes too large is no price, and says so', () => {
  const parsed = parseRouterConfig({ llm: { models: { m: { upstreams: [upstream] } } } })
  assert(parsed.ok)
  const { snapshot, warnings } = compileRouter({
    ...{ document: parsed.document, digest: parsed.digest, version: 1, priceBook, fluxNanousd: 1_000_000_000_000n },
    settings: createSettings(new Map([['FLUX_PER_1K_TOKENS', { value: 1_000_000 }]])),
  })
  assert.equal(snapshot.models.get('m')?.groups[0]?.upstreams[0]?.price, undefined)
  assert(warnings.some(({ message }) => /\$1,000/.test(message)))
})
