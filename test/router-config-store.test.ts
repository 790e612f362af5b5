import assert from 'node:assert/strict'
import { after, before, beforeEach, test } from 'node:test'
import { loadPriceBook } from '#domain/price-book.ts'
import { createRouterStore, type RouterStore } from '#domain/router/router-store.ts'
import type { WrittenState } from '#domain/router/stored-state.ts'
import { createSettingsStore } from '#domain/settings-store.ts'
import { createTestDatabase, type TestDatabase } from '#test/support/database.ts'

const envelope = (letter: string, chars = 20) => `v1.${'i'.repeat(16)}.${letter.repeat(chars)}.${'t'.repeat(22)}`
const priceBook = loadPriceBook(
  JSON.stringify({
    version: '2026-11-22',
    source: 'a test',
    entries: {
      'openai/gpt-4o': {
        ...{ lines: { input: '1', output: '2' }, limits: {}, reasoning: false, streaming: true, active: true },
        endpoint: 'chat',
      },
    },
  }),
)
const by = { author: 'ann', reason: 'a test' }

const config = (name: string, members: object = {}) => ({
  llm: {
    models: {
      [name]: {
        upstreams: [{ baseURL: 'https://a.example/v1', keys: [{ id: 'k', ciphertext: envelope('c') }], ...members }],
      },
    },
  },
})

let database: TestDatabase
let store: RouterStore
let written: WrittenState[]

before(async () => {
  database = await createTestDatabase()
})
after(() => database.close())
beforeEach(async () => {
  // Each test begins with nothing stored; the triggers refuse that to everybody else.
  await database.db.query(
    'set session_replication_role = replica; truncate router_config, setting; reset session_replication_role',
  )
  written = []
  store = createRouterStore({
    ...{ db: database.db, priceBook, fluxNanousd: 1_000_000n },
    announce: (state) => written.push(state),
  })
})

async function applied(input: Parameters<RouterStore['apply']>[0]) {
  const outcome = await store.apply(input)
  assert(outcome.status === 'applied', JSON.stringify(outcome))
  return outcome
}

test('nothing is stored at first, and has a tag', async () => {
  assert.equal(await store.current(), undefined)
  assert.equal(await store.etag(), '"0"')
  assert.deepEqual(await store.list({ limit: 10 }), { versions: [], hasMore: false })
  await assert.rejects(store.get(1), { code: 'not_found' })
})

test('a version keeps what was written, by whom, when and why', async () => {
  const { version, diff } = await applied({ config: JSON.stringify(config('m'), null, 2), ...by })
  assert.deepEqual([version.version, version.parent, version.author, version.reason], [1, 0, 'ann', 'a test'])
  assert.deepEqual(diff.models, [{ surface: 'llm', name: 'm', kind: 'added', fields: [] }])
  const current = await store.current()
  assert.deepEqual(current?.document, config('m'))
  assert.deepEqual(current?.problems, [])
  assert.deepEqual({ ...current, document: 0, problems: 0 }, { ...version, document: 0, problems: 0 })
  assert(Math.abs(Date.now() - version.createdAt.getTime()) < 60_000)
  assert.deepEqual(written, [{ config: 1, settings: 0 }])
})

test('history is listed from the newest on, by pages', async () => {
  for (const name of ['a', 'b', 'c']) await applied({ config: config(name), ...by })
  const first = await store.list({ limit: 2 })
  assert.deepEqual([first.versions.map(({ version }) => version), first.hasMore], [[3, 2], true])
  const second = await store.list({ limit: 2, before: 2 })
  assert.deepEqual([second.versions.map(({ version }) => version), second.hasMore], [[1], false])
  assert.deepEqual((await store.get(1)).document, config('a'))
})

test('what holds already writes no version, whatever its order', async () => {
  const { version } = await applied({
    config: { ...config('m'), defaults: { idleTimeoutMs: 1, totalTimeoutMs: 2 } },
    ...by,
  })
  const again = await store.apply({
    config: { defaults: { totalTimeoutMs: 2, idleTimeoutMs: 1 }, ...config('m') },
    ...by,
  })
  assert.equal(again.status, 'unchanged')
  assert.equal(again.status === 'unchanged' && again.version.etag, version.etag)
  assert.equal(written.length, 1)
})

test('a plan says what would change, and writes nothing', async () => {
  await applied({ config: { llm: { models: { ...config('a').llm.models, ...config('b').llm.models } } }, ...by })
  const candidate = {
    llm: { models: { ...config('b', { weight: 2 }).llm.models, ...config('c').llm.models } },
    defaults: { chatModel: 'b' },
  }
  const plan = await store.plan({ config: candidate, settings: { FLUX_PER_REQUEST: 7 } })
  assert(plan.status === 'valid')
  assert.deepEqual(plan.base, { version: 1, etag: await store.etag() })
  assert.equal(plan.changed, true)
  assert.deepEqual(plan.diff, {
    models: [
      { surface: 'llm', name: 'a', kind: 'removed', fields: [] },
      { surface: 'llm', name: 'b', kind: 'changed', fields: ['upstreams[0].weight'] },
      { surface: 'llm', name: 'c', kind: 'added', fields: [] },
    ],
    defaults: ['chatModel'],
    settings: ['FLUX_PER_REQUEST'],
  })
  assert(plan.warnings.some(({ message }) => /no price/.test(message)))
  assert.equal((await store.list({ limit: 10 })).versions.length, 1)
})

test('what cannot be used is refused with its problems: the config, its references, its settings', async () => {
  for (const [candidate, path] of [
    [{ config: { lln: {} } }, 'lln'],
    [{ config: '{' }, ''],
    [{ config: config('m', { priceRef: 'openai/none' }) }, 'llm.models.m.upstreams[0]'],
    [{ config: {}, settings: { FLUX_PER_REQUEST: -1 } }, 'FLUX_PER_REQUEST'],
    [{ config: {}, settings: JSON.parse('{"NONSENSE":1}') }, 'NONSENSE'],
  ] as const) {
    for (const outcome of [await store.plan(candidate), await store.apply({ ...candidate, ...by })]) {
      assert(outcome.status === 'invalid')
      assert(
        outcome.problems.some((problem) => problem.path === path),
        JSON.stringify(outcome.problems),
      )
    }
  }
  assert.equal(await store.etag(), '"0"')
  await assert.rejects(store.apply({ config: {}, author: '', reason: 'x' }), { code: 'body_invalid' })
  await assert.rejects(store.apply({ config: {}, author: 'x', reason: 'a\nb' }), { code: 'body_invalid' })
})

test('a tag that has moved refuses the write and names the one that holds', async () => {
  const first = await applied({ config: config('a'), ifMatch: '"0"', ...by })
  const stale = await store.apply({ config: config('b'), ifMatch: '"0"', ...by })
  assert.deepEqual(stale, { status: 'conflict', current: { version: 1, etag: first.version.etag } })
  assert.equal(
    (await store.apply({ config: config('b'), ifMatch: `W/${first.version.etag}`, ...by })).status,
    'conflict',
  )
  assert.equal(
    (await store.apply({ config: config('b'), ifMatch: `"x", ${first.version.etag}`, ...by })).status,
    'applied',
  )
  assert.equal((await store.apply({ config: config('c'), ifMatch: '*', ...by })).status, 'applied')
  assert.equal((await store.rollback({ to: 1, ifMatch: first.version.etag, ...by })).status, 'conflict')
})

test('of any number of writers with one tag exactly one wins, version after version', async () => {
  for (let round = 1; round <= 4; round += 1) {
    const ifMatch = await store.etag()
    const outcomes = await Promise.all(
      Array.from({ length: 8 }, (_, writer) => store.apply({ config: config(`r${round}w${writer}`), ifMatch, ...by })),
    )
    assert.equal(outcomes.filter(({ status }) => status === 'applied').length, 1)
    assert.equal(outcomes.filter(({ status }) => status === 'conflict').length, 7)
    assert.equal((await store.current())?.version, round)
  }
})

test('writers without a tag follow one another without a gap', async () => {
  const outcomes = await Promise.all(
    Array.from({ length: 12 }, (_, writer) => applied({ config: config(`w${writer}`), ...by })),
  )
  const versions = outcomes.map(({ version }) => version).sort((a, b) => a.version - b.version)
  assert.deepEqual(
    versions.map(({ version, parent }) => [version, parent]),
    Array.from({ length: 12 }, (_, i) => [i + 1, i]),
  )
})

test('rolling back writes the old content as a new version', async () => {
  const { version } = await applied({ config: config('a'), ...by })
  await applied({ config: config('b'), ...by })
  const outcome = await store.rollback({ to: 1, author: 'bob', reason: 'b was wrong' })
  assert(outcome.status === 'applied')
  assert.deepEqual(
    [outcome.version.version, outcome.version.parent, outcome.version.rollbackOf, outcome.version.author],
    [3, 2, 1, 'bob'],
  )
  assert.equal(outcome.version.digest, version.digest)
  assert.notEqual(outcome.version.etag, version.etag)
  assert.deepEqual((await store.current())?.document, config('a'))
  assert.equal((await store.rollback({ to: 3, ...by })).status, 'unchanged')
  await assert.rejects(store.rollback({ to: 99, ...by }), { code: 'not_found' })
})

test('a placeholder keeps the key that is stored, and only that one', async () => {
  const keys = [
    { id: 'k', ciphertext: envelope('c') },
    { id: 'l', ciphertext: envelope('d') },
  ]
  await applied({ config: config('m', { keys }), ...by })
  const shown = keys.map(({ id, ciphertext }) => ({ id, ciphertext: `<ciphertext: ${ciphertext.length} chars>` }))
  await applied({ config: config('m', { keys: shown, weight: 2 }), ...by })
  assert.deepEqual((await store.current())?.document, config('m', { keys, weight: 2 }))

  for (const [name, id] of [
    ['m', 'other'],
    ['other', 'k'],
  ] as const) {
    const outcome = await store.apply({ config: config(name, { keys: [{ ...shown[0], id }] }), ...by })
    assert(outcome.status === 'invalid')
    assert.match(outcome.problems[0]?.message ?? '', /none with this id is stored/)
  }
  // Two envelopes of one key: the length tells which was shown, or nothing does.
  const twice = (...lengths: number[]) => ({
    llm: {
      models: {
        m: {
          upstreams: lengths.map((chars, index) => ({
            id: `u${index}`,
            baseURL: 'https://a.example',
            keys: [{ id: 'k', ciphertext: envelope(String(index), chars) }],
          })),
        },
      },
    },
  })
  await applied({ config: twice(20, 30), ...by })
  await applied({
    config: config('m', { keys: [{ id: 'k', ciphertext: `<ciphertext: ${envelope('1', 30).length} chars>` }] }),
    ...by,
  })
  assert.deepEqual(
    (await store.current())?.document,
    config('m', { keys: [{ id: 'k', ciphertext: envelope('1', 30) }] }),
  )
  await applied({ config: twice(20, 20), ...by })
  const unclear = await store.apply({ config: config('m', { keys: [shown[0]] }), ...by })
  assert(unclear.status === 'invalid' && /several/.test(unclear.problems[0]?.message ?? ''))
})

test('settings are written with the config or not at all', async () => {
  const settings = createSettingsStore({ db: database.db })
  const { version, diff } = await applied({
    config: config('m'),
    settings: { DEFAULT_CHAT_MODEL: 'm', FLUX_PER_1K_TOKENS: 2 },
    ...by,
  })
  assert.deepEqual(diff.settings, ['DEFAULT_CHAT_MODEL', 'FLUX_PER_1K_TOKENS'])
  assert.deepEqual(written, [{ config: 1, settings: 2 }])
  const conflict = await store.apply({
    config: config('n'),
    settings: { DEFAULT_CHAT_MODEL: 'n' },
    ifMatch: '"0"',
    ...by,
  })
  assert.equal(conflict.status, 'conflict')
  assert.deepEqual(
    (await settings.all()).map(({ key, value }) => [key, value]),
    [
      ['DEFAULT_CHAT_MODEL', 'm'],
      ['FLUX_PER_1K_TOKENS', 2],
    ],
  )
  // Settings alone: the version of the config stays.
  const only = await applied({ config: config('m'), settings: { FLUX_PER_1K_TOKENS: 3 }, ...by })
  assert.equal(only.version.etag, version.etag)
  assert.equal(
    (await store.apply({ config: config('m'), settings: { FLUX_PER_1K_TOKENS: 3 }, ...by })).status,
    'unchanged',
  )
})

test('settings have a history, and null takes one away', async () => {
  const news: WrittenState[] = []
  const settings = createSettingsStore({ db: database.db, announce: (state) => news.push(state) })
  const set = (values: Parameters<typeof settings.set>[0]['values']) => settings.set({ values, ...by })
  assert.deepEqual(await set({ FLUX_PER_REQUEST: 5, DEFAULT_CHAT_MODEL: 'm' }), {
    ...{ status: 'applied', keys: ['DEFAULT_CHAT_MODEL', 'FLUX_PER_REQUEST'] },
    warnings: [{ path: 'DEFAULT_CHAT_MODEL', message: 'is not a model under llm of the router config' }],
  })
  await set({ FLUX_PER_REQUEST: 0.5 })
  assert.deepEqual(await set({ FLUX_PER_REQUEST: 0.5 }), { status: 'applied', keys: [], warnings: [] })
  await set({ DEFAULT_CHAT_MODEL: null })
  assert.deepEqual(
    (await settings.all()).map(({ key, value }) => [key, value]),
    [['FLUX_PER_REQUEST', 0.5]],
  )
  const { changes, hasMore } = await settings.history({ limit: 3 })
  assert.deepEqual(
    changes.map(({ version, key, value, author }) => [version, key, value, author]),
    [
      [4, 'DEFAULT_CHAT_MODEL', undefined, 'ann'],
      [3, 'FLUX_PER_REQUEST', 0.5, 'ann'],
      [2, 'DEFAULT_CHAT_MODEL', 'm', 'ann'],
    ],
  )
  assert.equal(hasMore, true)
  const one = await settings.history({ key: 'FLUX_PER_REQUEST', limit: 10, before: 3 })
  assert.deepEqual(
    one.changes.map(({ value }) => value),
    [5],
  )
  assert.deepEqual(
    news.map((state) => state.settings),
    [2, 3, 4],
  )
})

test('wrong settings are refused together, and nothing is written', async () => {
  const settings = createSettingsStore({ db: database.db })
  const outcome = await settings.set({
    values: { FLUX_PER_REQUEST: 5, FLUX_PER_1K_TOKENS: 0, AUTH_RATE_LIMIT_MAX: 0 },
    ...by,
  })
  assert(outcome.status === 'invalid')
  assert.deepEqual(
    outcome.problems.map(({ path }) => path),
    ['FLUX_PER_1K_TOKENS', 'AUTH_RATE_LIMIT_MAX'],
  )
  assert.deepEqual(await settings.all(), [])
})

test('a key of streaming speech may be written back as its placeholder', async () => {
  const settings = createSettingsStore({ db: database.db })
  const upstream = (ciphertext: string, baseURL = 'wss://a.example') => ({ baseURL, keys: [{ id: 'k', ciphertext }] })
  await settings.set({ values: { STREAMING_TTS_UPSTREAM: upstream(envelope('c')) }, ...by })
  const shown = `<ciphertext: ${envelope('c').length} chars>`
  await settings.set({ values: { STREAMING_TTS_UPSTREAM: upstream(shown, 'wss://b.example') }, ...by })
  assert.deepEqual((await settings.all())[0]?.value, upstream(envelope('c'), 'wss://b.example'))
})

test('a writer that fails half-way leaves nothing, and the next one writes', async () => {
  const { db } = database
  await db.query(`create function refuse() returns trigger language plpgsql as $$ begin raise 'refused'; end $$`)
  await db.query('create trigger refuse before insert on setting for each row execute function refuse()')
  await assert.rejects(store.apply({ config: config('m'), settings: { FLUX_PER_REQUEST: 1 }, ...by }), /refused/)
  await db.query('drop trigger refuse on setting; drop function refuse()')
  assert.equal(await store.current(), undefined)
  assert.deepEqual(written, [])
  await applied({ config: config('m'), ...by })
})

test('versions and settings never change', async () => {
  await applied({ config: config('m'), settings: { FLUX_PER_REQUEST: 1 }, ...by })
  for (const statement of [
    `update router_config set reason = 'x'`,
    'delete from router_config',
    'truncate router_config cascade',
    `update setting set author = 'x'`,
    'delete from setting',
    'truncate setting',
  ])
    await assert.rejects(database.db.query(statement), /append-only/, statement)
})

test('what is stored and cannot be used is still shown, planned over and replaced', async () => {
  await applied({ config: config('m'), ...by })
  await database.db.query(
    `insert into router_config (version, config, digest, author, reason, parent) values
     (2, '{"llm":{"models":{"m":{"upstreams":[]}}}}', 'sha256:' || repeat('0', 64), 'x', 'x', 1),
     (3, 'no JSON', 'sha256:' || repeat('0', 64), 'x', 'x', 2)`,
  )
  const current = await store.current()
  assert.deepEqual([current?.version, current?.document], [3, {}])
  assert.match(current?.problems[0]?.message ?? '', /JSON/)
  assert.equal((await store.get(2)).problems[0]?.path, 'llm.models.m.upstreams')
  const back = await store.rollback({ to: 2, ...by })
  assert.equal(back.status, 'invalid')
  const { version } = await applied({ config: config('m'), ...by })
  assert.equal(version.version, 4)
})
