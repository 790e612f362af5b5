import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import type { ServerResponse } from 'node:http'
import { after, before, test } from 'node:test'
import { createRegistrySource } from '#adapters/registry-source.ts'
import { loadPriceBook } from '#domain/price-book.ts'
import { createPublishedStore } from '#domain/registry/published-store.ts'
import { createRegistry } from '#domain/registry/registry.ts'
import { createRegistryRefresh } from '#domain/registry/registry-refresh.ts'
import { createRegistryVersions } from '#domain/registry/registry-versions.ts'
import { readModelTraits } from '#src/read-model-traits.ts'
import { createTestDatabase, type TestDatabase } from '#test/support/database.ts'
import { createTestGateway, type Json } from '#test/support/gateway.ts'
import { createRegistrySite, type RegistrySite, registryFile } from '#test/support/registry-source.ts'
import { until } from '#test/support/until.ts'

const book = loadPriceBook(readFileSync('prices/price-book.json'))

let database: TestDatabase
let site: RegistrySite
before(async () => {
  database = await createTestDatabase()
  site = await createRegistrySite()
})
after(async () => {
  await site.close()
  await database.close()
})

let sources = 0
/** A gateway's registry, with a source of its own unless it shares one. */
async function open(options: { source?: string; everyMs?: number; timeoutMs?: number } = {}) {
  const { source = `source ${++sources}`, everyMs = 250, timeoutMs = 2_000 } = options
  const { db } = database
  const versions = createRegistryVersions({ db })
  const registry = createRegistry({ versions, book, traits: await readModelTraits() })
  const files = createRegistrySource({ baseUrl: `${site.url}/registry`, timeoutMs })
  const failures: { provider: string; code: string }[] = []
  const refresh = createRegistryRefresh({
    ...{ registry, source, everyMs, store: createPublishedStore({ db, source }) },
    fetchFile: (provider, etag, signal) => files.fetch(`${provider}/models.json`, etag, signal),
    onFailure: (provider, code) => failures.push({ provider, code }),
  })
  await refresh.start()
  return {
    source,
    registry,
    failures,
    refresh,
    models: (): Record<string, Json> => JSON.parse(registry.whole({})?.body ?? '{}').models,
    async close(): Promise<void> {
      await refresh.close()
      await files.close()
    },
  }
}

const models = {
  'gpt-4o-mini': {
    dollars_per_million_tokens_input: 99,
    dollars_per_million_tokens_output: 0.6,
    supports_vision: false,
  },
  'gpt-next': {
    dollars_per_million_tokens_input: 7,
    max_input_tokens: 5,
    is_active: true,
    shady: '<script>',
    supports_x: null,
  },
  'GPT-4o': { dollars_per_million_tokens_output: 2.5 },
}

test('a published registry is shown beside the price book: what differs, and what the book does not have', async () => {
  site.publish('openai', registryFile('openai', models))
  const gateway = await open()
  assert.equal(gateway.models()['openai:gpt-next'], undefined)
  await until('the file is shown', () => gateway.models()['openai:gpt-next'] !== undefined)

  const mini = gateway.models()['openai:gpt-4o-mini']
  assert.equal(mini.dollars_per_million_tokens_input, 0.15, 'what is charged stays')
  assert.equal(mini.picousd_per_unit.input, '150000')
  assert.deepEqual(mini.published_prices, { dollars_per_million_tokens_input: 99 })
  assert.deepEqual([mini.price_source, mini.supports_vision], ['price_book', false])
  assert.deepEqual(gateway.models()['openai:gpt-next'], {
    ...{ provider: 'openai', model_name: 'gpt-next', display_name: 'gpt-next', price_source: 'published' },
    ...{ dollars_per_million_tokens_input: 7, max_input_tokens: 5, is_active: true },
  })
  assert.equal(gateway.models()['openai:GPT-4o'], undefined, 'rows that the book leaves out for a reason stay out')
  assert.equal(gateway.models()['anthropic:claude-haiku-4-5-20251001'].published_prices, undefined)

  const file = JSON.parse(gateway.registry.provider('openai')?.body ?? '{}')
  assert.equal(file.updated_at, '2026-11-25T10:00:00.123Z')
  assert.deepEqual(file.sources.published.openai, {
    ...{ source: gateway.source, version: 8, updated_at: '2026-11-25T10:00:00.123Z' },
  })
  await until('its age is known', () => (gateway.refresh.ageSeconds('openai') ?? 99) < 10)
  await gateway.close()
})

test('a file that has not changed is asked for by its tag, and nothing changes', async () => {
  site.publish('openai', registryFile('openai', models))
  const gateway = await open()
  await until('the file is shown', () => gateway.models()['openai:gpt-next'] !== undefined)
  const before = gateway.registry.whole({})
  const asked = site.asked.length
  await until('it is asked for again', () => site.asked.slice(asked).some(({ etag }) => etag === '"one"'))
  assert.equal(gateway.registry.whole({})?.etag, before?.etag)
  assert.deepEqual(
    gateway.failures.filter(({ provider }) => provider === 'openai'),
    [],
  )
  await gateway.close()
})

const json = (res: ServerResponse, text: string | Buffer) =>
  res.writeHead(200, { 'content-type': 'application/json' }).end(text)
const file = (rows: Record<string, Record<string, unknown>>) => JSON.stringify(registryFile('openai', rows, 9))
const good = { dollars_per_million_tokens_input: 1 }
let elsewhere = 0

for (const [what, code, answer] of [
  ['that is not JSON', 'invalid', (res) => json(res, '{"provider":"openai",')],
  ['that is no object', 'invalid', (res) => json(res, '[]')],
  ['of another provider', 'invalid', (res) => json(res, JSON.stringify(registryFile('google', { x: good })))],
  ['without a version', 'invalid', (res) => json(res, JSON.stringify({ provider: 'openai', models: {} }))],
  ['without models', 'invalid', (res) => json(res, file({}))],
  ['with a negative price', 'invalid', (res) => json(res, file({ x: { dollars_per_million_tokens_input: -1 } }))],
  ['with a price beyond all', 'invalid', (res) => json(res, file({ x: { dollars_per_million_tokens_input: 1e9 } }))],
  ['with a price as text', 'invalid', (res) => json(res, file({ x: { dollars_per_million_tokens_input: '1' } }))],
  ['with a flag as text', 'invalid', (res) => json(res, file({ x: { supports_vision: 'yes' } }))],
  ['with a name of control characters', 'invalid', (res) => json(res, file({ 'a\u0000b': good }))],
  [
    'with too many models',
    'invalid',
    (res) => json(res, file(Object.fromEntries(Array.from({ length: 5_001 }, (_, n) => [`m${n}`, {}])))),
  ],
  ['that is not UTF-8', 'not_utf8', (res) => json(res, Buffer.from([0x7b, 0xff, 0xfe, 0x7d]))],
  ['that is longer than 4 MiB', 'too_long', (res) => json(res, ' '.repeat(4 * 1024 * 1024 + 1))],
  ['that never ends', 'timeout', (res) => res.writeHead(200).write('{')],
  ['that never begins', 'timeout', () => undefined],
  ['behind a broken connection', 'unreachable', (res) => res.destroy()],
  ['that is gone', 'status', (res) => res.writeHead(404).end()],
  ['of a source that fails', 'status', (res) => res.writeHead(500).end('{}')],
  ['that has not changed, to who has none', 'status', (res) => res.writeHead(304).end()],
  [
    'that is elsewhere on this machine',
    'redirected',
    (res) => res.writeHead(302, { location: `${site.url}/elsewhere` }).end(),
  ],
  [
    'that is at a private address',
    'redirected',
    (res) => res.writeHead(301, { location: 'http://169.254.169.254/latest/meta-data/' }).end(),
  ],
] as const satisfies readonly (readonly [string, string, (res: ServerResponse) => void])[]) {
  test(`a file ${what} changes nothing and is counted; the last good one stays`, async () => {
    const path = '/registry/openai/models.json'
    site.answer('/elsewhere', (_req, res) => {
      elsewhere += 1
      json(res, file({ stolen: good }))
    })
    site.answer(path, (_req, res) => json(res, file({ kept: good })))
    const gateway = await open({ timeoutMs: 400 })
    await until('the good file is shown', () => gateway.models()['openai:kept'] !== undefined)
    const before = gateway.registry.whole({})

    site.answer(path, (_req, res) => void answer(res))
    await until('the failure is told', () => gateway.failures.some(({ provider }) => provider === 'openai'))
    assert.equal(gateway.failures.find(({ provider }) => provider === 'openai')?.code, code)
    assert.equal(gateway.registry.whole({})?.etag, before?.etag)
    assert.equal(elsewhere, 0)

    // The next release, or a restart, still has it.
    const again = await open({ source: gateway.source, everyMs: 3_600_000 })
    assert.equal(again.registry.whole({})?.etag, before?.etag)
    await Promise.all([gateway.close(), again.close()])
  })
}

test('many gateways ask once, and all of them show what one of them got', async () => {
  site.publish('openai', registryFile('openai', { shared: good }))
  const from = site.asked.length
  const source = 'of many gateways'
  const all = await Promise.all(Array.from({ length: 5 }, () => open({ source, everyMs: 1_500 })))
  await until('all of them show it', () => all.every((gateway) => gateway.models()['openai:shared'] !== undefined))
  const whole = site.asked.slice(from).filter(({ path, etag }) => path.includes('openai') && etag === undefined)
  assert.equal(whole.length, 1, 'the file went over the wire once')
  assert.equal(new Set(all.map(({ registry }) => registry.whole({})?.etag)).size, 1)
  await Promise.all(all.map((gateway) => gateway.close()))
})

test('a gateway with REGISTRY_URL shows what is published and charges what it charged before', async () => {
  const gateway = await createTestGateway({
    env: {
      REGISTRY_URL: `${site.url}/registry`,
      REGISTRY_REFRESH_MS: '1000',
      OPENAI_API_KEY: 'sk-of-nobody',
      OPENAI_BASE_URL: 'http://127.0.0.1:9/v1',
    },
  })
  try {
    const { secret } = await gateway.openProject(10n ** 12n)
    const hold = async () => {
      const body = { model: 'openai/gpt-4o-mini', messages: [{ role: 'user', content: 'hi' }], max_tokens: 100 }
      const { status, json } = await gateway.chat(body, { key: secret, path: '/v1/route:explain' })
      assert.equal(status, 200)
      return json.hold
    }
    const read = async () =>
      (await gateway.chat(undefined, { method: 'GET', path: '/registry', key: null })).json.models
    const before = await hold()
    site.publish('openai', registryFile('openai', models), '"two"')
    await until(
      'the new price is shown',
      async () => (await read())['openai:gpt-4o-mini'].published_prices !== undefined,
    )
    assert.deepEqual(await hold(), before)
    // A model that only the published registry knows has no price here.
    const unpriced = { model: 'openai/gpt-next', messages: [{ role: 'user', content: 'hi' }] }
    assert.equal((await gateway.chat(unpriced, { key: secret })).json.error.code, 'model_not_found')
    const metrics = (await gateway.chat(undefined, { method: 'GET', path: '/metrics', key: null })).text
    assert.match(metrics, /fluxgate_registry_age_seconds\{provider="openai"\} \d/)
    assert.match(metrics, /fluxgate_registry_age_seconds\{provider="google"\} -1/)
    assert.match(metrics, /fluxgate_registry_refresh_failures_total\{provider="google",reason="status"\} [1-9]/)
  } finally {
    await gateway.close()
  }
})
