import assert from 'node:assert/strict'
import { createHash } from 'node:crypto'
import { readFileSync } from 'node:fs'
import { after, before, test } from 'node:test'
import { loadPriceBook } from '#domain/price-book.ts'
import { createRegistry } from '#domain/registry/registry.ts'
import { createRegistryVersions } from '#domain/registry/registry-versions.ts'
import { sortedJson } from '#lib/sorted-json.ts'
import { readModelTraits } from '#src/read-model-traits.ts'
import { type Answer, createTestApi, type TestApi } from '#test/support/http-api.ts'

const bookText = readFileSync('prices/price-book.json', 'utf8')
const book = loadPriceBook(bookText)

let api: TestApi
before(async () => {
  api = await createTestApi()
})
after(() => api.close())

const get = (path: string, headers: Record<string, string> = {}): Promise<Answer> =>
  api.call(`GET ${path}`, { key: null, headers })

test('GET /registry 200: every model of the price book, in the shape of llmring-server, without a key', async () => {
  const { status, headers, body } = await get('/registry')
  assert.equal(status, 200)
  assert.equal(headers['content-type'], 'application/json; charset=utf-8')
  assert.equal(headers['cache-control'], 'public, max-age=3600')
  assert.equal(headers['access-control-allow-origin'], '*')
  assert.match(String(headers.etag), /^"[0-9a-f]{32}"$/)
  assert.deepEqual(Object.keys(body).sort(), ['generated_at', 'models', 'providers', 'sources', 'version'])
  assert.equal(body.version, '1')
  assert.equal(body.generated_at, `${book.version.slice(0, 10)}T00:00:00.000Z`)
  assert.equal(Object.keys(body.models).length, book.models().length)
  assert.deepEqual(
    [body.providers.openai, body.providers.anthropic, body.providers.google],
    [
      { name: 'OpenAI', base_url: 'https://api.openai.com/v1', models_endpoint: '/models' },
      { name: 'Anthropic', base_url: 'https://api.anthropic.com', models_endpoint: null },
      { name: 'Google', base_url: 'https://generativelanguage.googleapis.com', models_endpoint: '/v1/models' },
    ],
  )
  assert.equal(body.sources.price_book.digest, book.digest)
})

test('a model has llmring’s fields, the prices that llmring-server drops, and each price exactly', async () => {
  const { models } = (await get('/registry')).body
  assert.deepEqual(models['openai:gpt-4o-mini'], {
    provider: 'openai',
    model_name: 'gpt-4o-mini',
    display_name: 'gpt-4o-mini',
    model_aliases: [],
    max_input_tokens: 128000,
    max_output_tokens: 16384,
    dollars_per_million_tokens_input: 0.15,
    dollars_per_million_tokens_output: 0.6,
    dollars_per_million_tokens_cached_input: 0.075,
    dollars_per_million_tokens_cache_read: 0.075,
    dollars_per_million_tokens_cache_write_5m: 0.15,
    dollars_per_million_tokens_cache_write_1h: 0.15,
    dollars_per_million_tokens_output_thinking: 0.6,
    supports_long_context_pricing: false,
    supports_vision: true,
    supports_function_calling: true,
    supports_json_mode: true,
    supports_json_schema: true,
    supports_temperature: true,
    supports_streaming: true,
    is_reasoning_model: false,
    is_active: true,
    api_endpoint: 'chat',
    endpoint: 'chat',
    gateway_model: 'openai/gpt-4o-mini',
    picousd_per_unit: {
      input: '150000',
      cache_read: '75000',
      cache_write_5m: '150000',
      cache_write_1h: '150000',
      output: '600000',
      reasoning: '600000',
    },
    price_source: 'price_book',
  })
})

test('prices of long prompts, audio, characters and seconds are there; what is not known is absent', async () => {
  const { models } = (await get('/registry')).body
  const gemini = models['google:gemini-2.5-pro']
  assert.deepEqual(
    [gemini.long_context_threshold_tokens, gemini.supports_long_context_pricing, gemini.api_endpoint],
    [200_000, true, 'generateContent'],
  )
  assert.deepEqual(
    [gemini.dollars_per_million_tokens_input_long_context, gemini.dollars_per_million_tokens_output_long_context],
    [2.5, 15],
  )
  assert.equal(gemini.picousd_per_unit_long_context.input, '2500000')
  assert.equal(gemini.gateway_model, 'gemini/gemini-2.5-pro')
  for (const kind of ['characters', 'seconds', 'audio_input', 'audio_output'] as const) {
    const entry = book.models().find(({ price }) => price.lines[kind] !== undefined)
    assert(entry !== undefined, `the book prices ${kind}`)
    const name = {
      characters: 'dollars_per_million_characters',
      seconds: 'dollars_per_second',
      audio_input: 'dollars_per_million_tokens_audio_input',
      audio_output: 'dollars_per_million_tokens_audio_output',
    }[kind]
    const row = models[`${entry.provider === 'gemini' ? 'google' : entry.provider}:${entry.model}`]
    const units = kind === 'seconds' ? 1 : 1_000_000
    assert.equal(row[name], (Number(entry.price.lines[kind]) * units) / 1e12)
  }
  for (const [key, row] of Object.entries<Record<string, unknown>>(models)) {
    for (const [name, value] of Object.entries(row)) assert(value !== null && value !== undefined, `${key}.${name}`)
    assert.notEqual(row.max_input_tokens, 0, key)
  }
  assert(!('supports_vision' in models['sim:echo']), 'nobody says whether the simulator sees')
})

test('every price is that of the book, to the last digit', async () => {
  const { models } = (await get('/registry')).body
  for (const { provider, model, price } of book.models()) {
    const row = models[`${provider === 'gemini' ? 'google' : provider}:${model}`]
    const lines = Object.fromEntries(Object.entries(price.lines).map(([kind, picos]) => [kind, String(picos)]))
    assert.deepEqual(row.picousd_per_unit, lines, model)
    if (price.lines.input !== undefined)
      assert.equal(Math.round(row.dollars_per_million_tokens_input * 1e6), Number(price.lines.input), model)
  }
})

test('every address of the registry answers with and without a slash, and /registry.json as /registry', async () => {
  const { etag } = (await get('/registry')).headers
  for (const path of ['/registry/', '/registry.json', '/registry?version=7', '/registry?providers=&capabilities='])
    assert.deepEqual([(await get(path)).status, (await get(path)).headers.etag], [200, etag], path)
})

test('GET /registry 304: only while the content is the one with that tag', async () => {
  const { headers, text } = await get('/registry')
  const etag = String(headers.etag)
  for (const tag of [etag, `W/${etag}`, `"other", ${etag}`, '*']) {
    for (const path of ['/registry', '/registry.json']) {
      const answer = await get(path, { 'if-none-match': tag })
      assert.deepEqual([answer.status, answer.text, answer.headers.etag], [304, '', etag])
      assert.equal(answer.headers['cache-control'], 'public, max-age=3600')
    }
  }
  const other = await get('/registry', { 'if-none-match': '"1"' })
  assert.deepEqual([other.status, other.text], [200, text])
})

for (const [query, passes] of [
  ['providers=anthropic', (row) => row.provider === 'anthropic'],
  ['providers=openai,google', (row) => row.provider === 'openai' || row.provider === 'google'],
  ['providers=gemini', (row) => row.provider === 'google'],
  ['providers=%20anthropic%20,', (row) => row.provider === 'anthropic'],
  ['capabilities=vision', (row) => row.supports_vision === true],
  ['capabilities=vision,json_mode', (row) => row.supports_vision === true && row.supports_json_mode === true],
  ['capabilities=is_reasoning_model', (row) => row.is_reasoning_model === true],
  ['providers=anthropic&capabilities=vision', (row) => row.provider === 'anthropic' && row.supports_vision === true],
  ['providers=nobody', () => false],
  ['capabilities=__proto__', () => false],
  ['capabilities=display_name', () => false],
] as const satisfies readonly (readonly [string, (row: Record<string, unknown>) => boolean])[]) {
  test(`GET /registry?${query} shows exactly the models that pass, under a tag of its own`, async () => {
    const all = (await get('/registry')).body
    const { status, body, headers } = await get(`/registry?${query}`)
    assert.equal(status, 200)
    const expected = Object.entries<Record<string, unknown>>(all.models).filter(([, row]) => passes(row))
    assert.deepEqual(body, { ...all, models: Object.fromEntries(expected) })
    const again = await get(`/registry?${query}`, { 'if-none-match': String(headers.etag) })
    assert.equal(again.status, 304)
    assert.equal((await get('/registry', { 'if-none-match': String(headers.etag) })).status, 200)
  })
}

test('GET /registry 422: a filter that is too long', async () => {
  for (const path of ['/registry', '/registry.json']) {
    const { status, body } = await get(`${path}?providers=${'x'.repeat(1_001)}`)
    assert.deepEqual([status, body.code], [422, 'body_invalid'])
  }
})

test('GET /registry/{provider}/models.json 200: the file of llmring’s registry, which says what its digest covers', async () => {
  const manifest = (await get('/registry/manifest.json')).body
  assert.equal(manifest.version, '1')
  for (const provider of ['openai', 'anthropic', 'google', 'xai', 'sim']) {
    const { status, body, headers } = await get(`/registry/${provider}/models.json`)
    assert.deepEqual([status, body.provider, body.version], [200, provider, 1])
    assert(
      Object.entries<{ provider: string; model_name: string }>(body.models).every(
        ([key, row]) => row.provider === provider && key === `${provider}:${row.model_name}`,
      ),
    )
    const { content_sha256_jcs, ...rest } = body
    assert.equal(content_sha256_jcs, createHash('sha256').update(sortedJson(rest)).digest('hex'))
    assert.deepEqual(manifest.providers[provider], {
      file: `${provider}/models.json`,
      model_count: Object.keys(body.models).length,
      last_updated: body.updated_at.slice(0, 10),
      version: 1,
    })
    const tagged = { 'if-none-match': String(headers.etag) }
    assert.equal((await get(`/registry/${provider}/models.json`, tagged)).status, 304)
    const archived = await get(`/registry/${provider}/v/1/models.json`)
    assert.deepEqual([archived.status, archived.body], [200, body])
    assert.equal(archived.headers['cache-control'], 'public, max-age=31536000, immutable')
    assert.equal((await get(`/registry/${provider}/v/1/models.json`, tagged)).status, 304)
  }
  const tag = String((await get('/registry/manifest.json')).headers.etag)
  assert.equal((await get('/registry/manifest.json', { 'if-none-match': tag })).status, 304)
})

test('llmring’s clients read every row: a name for people, and no endpoint that they do not know', async () => {
  const known = ['chat', 'responses', 'assistants', 'generateContent', 'embeddings', undefined]
  for (const row of Object.values<Record<string, unknown>>((await get('/registry')).body.models)) {
    assert.equal(typeof row.display_name, 'string')
    assert(known.includes(row.api_endpoint as string), String(row.api_endpoint))
  }
})

test('GET /registry/v/{n}/registry.json 200: the content of that number, for ever', async () => {
  const now = await get('/registry')
  const { status, body, headers } = await get('/registry/v/1/registry.json')
  assert.deepEqual([status, body], [200, now.body])
  assert.equal(headers['cache-control'], 'public, max-age=31536000, immutable')
  assert.equal(headers.etag, now.headers.etag)
  assert.equal((await get('/registry/v/1/registry.json', { 'if-none-match': String(headers.etag) })).status, 304)
})

test('404: a number that was never given, a provider without models; never an empty 200', async () => {
  for (const path of [
    ...['0', '2', '99999999999', '-1', '1.0', 'x'].map((n) => `/registry/v/${n}/registry.json`),
    ...['nobody', '*', '%2a', '%00', '__proto__', 'constructor'].map((name) => `/registry/${name}/models.json`),
    ...['openai/v/2', 'openai/v/0', 'nobody/v/1', '%2a/v/1'].map((name) => `/registry/${name}/models.json`),
    '/registry/nothing',
  ]) {
    const { status, body } = await get(path)
    assert.deepEqual([status, body.code, typeof body.detail], [404, 'not_found', 'string'], path)
  }
})

test('503: an archived version while the database is away; the current one is served from memory', async () => {
  for (const path of ['/registry/v/1/registry.json', '/registry/openai/v/1/models.json']) {
    const { status, body } = await api.callAway(`GET ${path}`, { key: null })
    assert.deepEqual([status, body.code], [503, 'ledger_unavailable'])
  }
  for (const path of ['/registry', '/registry/openai/models.json'])
    assert.equal((await api.callAway(`GET ${path}`, { key: null })).status, 200)
})

test('pages of every origin may read the registry, also with a tag', async () => {
  const origin = 'https://a.page.example'
  assert.equal((await get('/registry', { origin })).headers['access-control-allow-origin'], '*')
  const { statusCode, headers } = await api.app.inject({
    method: 'OPTIONS',
    url: '/registry/openai/models.json',
    headers: { origin, 'access-control-request-method': 'GET', 'access-control-request-headers': 'if-none-match' },
  })
  assert.deepEqual([statusCode, headers['access-control-allow-origin']], [204, '*'])
  assert.match(String(headers['access-control-allow-headers']), /if-none-match/)
})

const changed = (change: (entries: Record<string, Record<string, unknown>>) => void) => {
  const copy = JSON.parse(bookText)
  change(copy.entries)
  return loadPriceBook(JSON.stringify(copy))
}

async function registryOf(priceBook: typeof book) {
  const versions = createRegistryVersions({ db: api.database.db })
  const registry = createRegistry({ versions, book: priceBook, traits: await readModelTraits() })
  await registry.publish(new Map())
  return registry
}

test('numbers and tags change exactly when the content does, across restarts and gateways', async () => {
  const first = await registryOf(book)
  const before = first.whole({})
  assert.equal((await registryOf(loadPriceBook(bookText))).whole({})?.etag, before?.etag, 'a restart changes nothing')

  const dearer = changed((entries) => {
    entries['openai/gpt-4o-mini'] = { ...entries['openai/gpt-4o-mini'], lines: { input: '160000', output: '600000' } }
  })
  // Ten gateways of a new release start at once.
  const all = await Promise.all(Array.from({ length: 10 }, () => registryOf(dearer)))
  assert.deepEqual([...new Set(all.map((registry) => registry.whole({})?.body))].length, 1)
  const body = JSON.parse(all[0]?.whole({})?.body ?? '{}')
  assert.equal(body.version, '2')
  assert.notEqual(all[0]?.whole({})?.etag, before?.etag)
  assert.equal(JSON.parse(all[0]?.provider('openai')?.body ?? '{}').version, 2)

  assert.deepEqual(await first.archived(1), before, 'the old number has the old content')
  assert.equal((await all[0]?.archived(1))?.body, before?.body, 'on the new gateway too')
  assert.equal(JSON.parse((await first.archived(2))?.body ?? '{}').version, '2', 'and the old one knows the new number')

  // Back to the old book: the old content has its old number.
  assert.equal((await registryOf(book)).whole({})?.etag, before?.etag)
  const { rows } = await api.database.db.query(`select version from registry_version where name = '*' order by version`)
  assert.deepEqual(
    rows.map(({ version }) => version),
    [1, 2],
  )
})

test('what has a number cannot be changed or removed', async () => {
  const { db } = api.database
  await assert.rejects(db.query(`update registry_version set content = '{}'`), /append-only/)
  await assert.rejects(db.query('delete from registry_version'), /append-only/)
  await assert.rejects(db.query('truncate registry_version'), /append-only/)
})

test('every documented status was met', () =>
  api.expectEveryStatus(
    'GET /registry',
    'GET /registry.json',
    'GET /registry/v/{version}/registry.json',
    'GET /registry/manifest.json',
    'GET /registry/{provider}/models.json',
    'GET /registry/{provider}/v/{version}/models.json',
  ))
