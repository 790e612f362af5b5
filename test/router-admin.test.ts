import assert from 'node:assert/strict'
import { after, before, test } from 'node:test'
import { openEnvelope } from '#lib/envelope.ts'
import { type Answer, createTestApi, envelopeKeys, type TestApi } from '#test/support/http-api.ts'
import { testSharedRefusals } from '#test/support/http-refusals.ts'
import { openPerson } from '#test/support/people.ts'

const PLANTED = 'sk-planted-4c1f0b7e'
const LINES = { input: '100000', output: '400000' }

let api: TestApi
before(async () => {
  api = await createTestApi()
})
after(() => api.close())

/** A config of one model with one key. */
const config = (key: object = { id: 'k1', plaintextKey: PLANTED }, model: object = {}) => ({
  llm: {
    models: {
      'chat-default': {
        price: { lines: LINES },
        upstreams: [{ id: 'a', baseURL: 'https://a.test/v1', keys: [key] }],
        ...model,
      },
    },
  },
})
const etag = async () => String((await api.call('GET /api/admin/router')).headers.etag)
const put = async (body: unknown, ifMatch?: string): Promise<Answer> =>
  api.call('PUT /api/admin/router', { body, headers: { 'if-match': ifMatch ?? (await etag()) } })
const written = async (given: unknown = config(), reason = 'a test') => {
  const answer = await put({ config: given, reason })
  assert.equal(answer.status, 200, answer.text)
  return answer
}
const stored = async () => {
  const { rows } = await api.database.db.query<{ config: string }>(
    'select config from router_config order by version desc limit 1',
  )
  return JSON.parse(rows[0]?.config ?? '{}')
}
const storedKey = async (at = 0) =>
  (await stored()).llm.models['chat-default'].upstreams[0].keys[at] as { id: string; ciphertext: string }
const opened = (modelName: string, { id, ciphertext }: { id: string; ciphertext: string }) =>
  openEnvelope(envelopeKeys, { modelName, keyEntryId: id }, ciphertext).plaintext.toString()

test('GET /api/admin/router 200: nothing was ever written', async () => {
  const answer = await api.call('GET /api/admin/router')
  assert.deepEqual(answer.body, {
    object: 'router_config',
    version: 0,
    etag: '"0"',
    written: null,
    config: {},
    problems: [],
    warnings: [],
  })
  assert.equal(answer.headers.etag, '"0"')
})

test('PUT /api/admin/router 200: a plaintext key is sealed, and the answer shows nothing of it', async () => {
  const answer = await written()
  assert.equal(answer.body.status, 'applied')
  assert.deepEqual(
    [answer.body.version.version, answer.body.version.author, answer.body.version.reason],
    [1, 'admin', 'a test'],
  )
  assert.equal(answer.headers.etag, answer.body.version.etag)
  assert.deepEqual(answer.body.diff.models, [{ surface: 'llm', name: 'chat-default', kind: 'added', fields: [] }])
  assert.equal(opened('chat-default', await storedKey()), PLANTED)
  const shown = await api.call('GET /api/admin/router')
  const { ciphertext } = await storedKey()
  assert.equal(
    shown.body.config.llm.models['chat-default'].upstreams[0].keys[0].ciphertext,
    `<ciphertext: ${ciphertext.length} chars>`,
  )
  for (const { text } of [answer, shown]) assert(!text.includes(PLANTED) && !text.includes(ciphertext))
})

test('PUT /api/admin/router 200: what was read can be sent back, edited, and keeps its keys', async () => {
  await written()
  const before = await storedKey()
  const { body } = await api.call('GET /api/admin/router')
  assert.equal((await put({ config: body.config, reason: 'no change' })).body.status, 'unchanged')
  const edited = structuredClone(body.config)
  edited.llm.models['chat-default'].upstreams[0].keys.push({ id: 'k2', plaintextKey: `${PLANTED}-2` })
  assert.equal((await put({ config: edited, reason: 'a second key' })).body.status, 'applied')
  assert.deepEqual(await storedKey(0), before)
  assert.equal(opened('chat-default', await storedKey(1)), `${PLANTED}-2`)
})

test('PUT /api/admin/router 200: the same key again is no change', async () => {
  await written()
  const before = await etag()
  const again = await put({ config: config(), reason: 'again' })
  assert.deepEqual([again.body.status, again.body.version.etag], ['unchanged', before])
})

test('PUT /api/admin/router 412: somebody has written since; nothing is lost', async () => {
  await written(config({ id: 'k1', plaintextKey: `${PLANTED}-old` }))
  const read = await etag()
  await written(config({ id: 'k1', plaintextKey: `${PLANTED}-theirs` }))
  const mine = await put({ config: config({ id: 'k1', plaintextKey: `${PLANTED}-mine` }), reason: 'late' }, read)
  assert.deepEqual([mine.status, mine.body.error.code], [412, 'precondition_failed'])
  assert.equal(mine.headers.etag, await etag())
  assert.equal(opened('chat-default', await storedKey()), `${PLANTED}-theirs`)
})

test('PUT /api/admin/router 200 and 412: of ten at once with one ETag, one is written', async () => {
  await written()
  const read = await etag()
  const answers = await Promise.all(
    Array.from({ length: 10 }, (_, n) =>
      put({ config: config({ id: 'k1', plaintextKey: `${PLANTED}-${n}` }), reason: `${n}` }, read),
    ),
  )
  assert.deepEqual(answers.map(({ status }) => status).sort(), [200, ...Array(9).fill(412)])
})

for (const line of ['PUT /api/admin/router', 'POST /api/admin/router:rollback'])
  test(`${line} 428: without If-Match`, async () => {
    const body = line.startsWith('PUT') ? { config: config(), reason: 'r' } : { version: 1, reason: 'r' }
    for (const headers of [{}, { 'if-match': ' ' }]) {
      const answer = await api.call(line, { body, headers })
      assert.deepEqual([answer.status, answer.body.error.code], [428, 'precondition_required'])
    }
  })

const at = 'llm.models["chat-default"].upstreams[0]'
const bad: [name: string, config: unknown, path: string][] = [
  ['a member that is not known', { ...config(), lmm: {} }, 'lmm'],
  ['an address that is none', config(undefined, { upstreams: [{ baseURL: 'nowhere' }] }), `${at}.baseURL`],
  ['a key without id', config({ plaintextKey: PLANTED }), `${at}.keys[0].id`],
  ['a key id with a bar', config({ id: 'a|b', plaintextKey: PLANTED }), `${at}.keys[0].id`],
  ['a key with a line break', config({ id: 'k1', plaintextKey: `${PLANTED}\n` }), `${at}.keys[0].plaintextKey`],
  ['a key that is a number', config({ id: 'k1', plaintextKey: 1 }), `${at}.keys[0].plaintextKey`],
  ['a key in a list', config({ id: 'k1', plaintextKey: [PLANTED] }), `${at}.keys[0].plaintextKey`],
  ['a key twice', config({ id: 'k1', plaintextKey: PLANTED, ciphertext: PLANTED }), `${at}.keys[0].plaintextKey`],
  ['a key as its own ciphertext', config({ id: 'k9', ciphertext: PLANTED }), `${at}.keys[0].ciphertext`],
  ['a placeholder of nothing', config({ id: 'k9', ciphertext: '<ciphertext: 71 chars>' }), `${at}.keys[0].ciphertext`],
  [
    'an envelope of nobody',
    config({ id: 'k9', ciphertext: `v1.${'A'.repeat(16)}.AAAA.${'A'.repeat(22)}` }),
    `${at}.keys[0].ciphertext`,
  ],
  [
    'a key beside the keys',
    config(undefined, { upstreams: [{ baseURL: 'https://a.test', plaintextKey: PLANTED }] }),
    `${at}.plaintextKey`,
  ],
  [
    'a key in a header',
    config(undefined, { upstreams: [{ baseURL: 'https://a.test', headers: { Authorization: PLANTED } }] }),
    `${at}.headers.Authorization`,
  ],
  [
    'a key in an address',
    config(undefined, { upstreams: [{ baseURL: `https://u:${PLANTED}@a.test` }] }),
    `${at}.baseURL`,
  ],
  [
    'a key for a template',
    config(undefined, { upstreams: [{ baseURL: 'https://a.test', headerTemplate: PLANTED }] }),
    `${at}.headerTemplate`,
  ],
]
for (const [name, given, path] of bad)
  for (const line of ['PUT /api/admin/router', 'POST /api/admin/router:plan'])
    test(`${line} 400: ${name}`, async () => {
      await written()
      const body = line.startsWith('PUT') ? { config: given, reason: 'r' } : { config: given }
      const before = await etag()
      const answer = await api.call(line, { body, headers: { 'if-match': before } })
      assert.deepEqual([answer.status, answer.body.error.code], [400, 'body_invalid'])
      const paths = answer.body.error.details.map((detail: { path: string }) => detail.path)
      assert(paths.includes(path), answer.text)
      assert(!answer.text.includes(PLANTED), 'a refusal repeats the key')
      assert.equal(await etag(), before)
    })

test('PUT /api/admin/router 400: every problem is named at once, with its path', async () => {
  const given = config({ id: 'k1', ciphertext: 'x' }, { upstreams: [{ baseURL: 1, timeoutMs: 0, weight: 'x' }] })
  const { body } = await put({ config: given, reason: 'r' })
  assert.deepEqual(body.error.details.map((detail: { path: string }) => detail.path).sort(), [
    `${at}.baseURL`,
    `${at}.timeoutMs`,
    `${at}.weight`,
  ])
  assert.match(body.error.message, /, and 2 more\.$/)
})

for (const [name, body] of [
  ['no reason', { config: config() }],
  ['an empty reason', { config: config(), reason: '' }],
  ['a config that is a list', { config: [], reason: 'r' }],
  ['a member that is not known', { config: config(), reason: 'r', force: true }],
  ['a key beside the config', { config: config(), reason: 'r', plaintextKey: PLANTED }],
] as const)
  test(`PUT /api/admin/router 400: ${name}`, async () => {
    const answer = await put(body)
    assert.deepEqual([answer.status, answer.body.error.code], [400, 'body_invalid'])
    assert(!answer.text.includes(PLANTED))
  })

test('PUT and plan 413: a body above the longest config', async () => {
  const huge = { config: { x: 'x'.repeat(4_400_000) }, reason: 'r' }
  for (const line of ['PUT /api/admin/router', 'POST /api/admin/router:plan']) {
    const answer = await api.call(line, { body: huge, headers: { 'if-match': '"0"' } })
    assert.deepEqual([answer.status, answer.body.error.code], [413, 'body_too_large'])
  }
})

test('PUT and plan 400 and 415: a body that is no JSON', async () => {
  for (const line of ['PUT /api/admin/router', 'POST /api/admin/router:plan']) {
    const broken = await api.call(line, { body: `{"config":{"a":"${PLANTED}`, headers: { 'if-match': '"0"' } })
    assert.deepEqual([broken.status, broken.body.error.code], [400, 'body_malformed'])
    assert(!broken.text.includes(PLANTED))
    const text = await api.call(line, { body: 'config', headers: { 'if-match': '"0"', 'content-type': 'text/plain' } })
    assert.deepEqual([text.status, text.body.error.code], [415, 'media_type_unsupported'])
  }
})

test('POST /api/admin/router:plan 200: says what would change and writes nothing', async () => {
  await written()
  const before = await etag()
  const changed = config(undefined, { limits: { maxTokens: 100 } })
  const { body, text } = await api.call('POST /api/admin/router:plan', { body: { config: changed } })
  assert.deepEqual([body.changed, body.base.etag], [true, before])
  assert.deepEqual(body.diff.models, [{ surface: 'llm', name: 'chat-default', kind: 'changed', fields: ['limits'] }])
  assert(!text.includes(PLANTED))
  const same = await api.call('POST /api/admin/router:plan', { body: { config: config() } })
  assert.equal(same.body.changed, false)
  assert.equal(await etag(), before)
})

test('GET …/versions 200: every version once, newest first, page by page; each of them redacted', async () => {
  for (const n of [1, 2, 3]) await written(config({ id: 'k1', plaintextKey: `${PLANTED}-v${n}` }), `version ${n}`)
  const all = (await api.call('GET /api/admin/router/versions')).body
  const newest = all.data[0].version
  assert.deepEqual(
    all.data.map(({ version }: { version: number }) => version),
    Array.from({ length: newest }, (_, n) => newest - n),
  )
  const page = (await api.call('GET /api/admin/router/versions?limit=2')).body
  assert.deepEqual([page.data.length, page.has_more, page.next_after], [2, true, newest - 1])
  const next = (await api.call(`GET /api/admin/router/versions?limit=2&before=${page.next_after}`)).body
  assert.equal(next.data[0].version, newest - 2)
  const one = await api.call(`GET /api/admin/router/versions/${newest - 1}`)
  assert.deepEqual([one.body.version, one.body.written.reason], [newest - 1, 'version 2'])
  assert.equal(one.headers.etag, one.body.etag)
  assert.match(one.text, /<ciphertext: \d+ chars>/)
  assert(!one.text.includes('"v1.'))
})

for (const query of ['limit=0', 'limit=101', 'limit=x', 'before=0', 'page=2'])
  test(`GET …/versions 400: ${query}`, async () => {
    const answer = await api.call(`GET /api/admin/router/versions?${query}`)
    assert.deepEqual([answer.status, answer.body.error.code], [400, 'body_invalid'])
  })

for (const version of ['0', '999999999', 'x', '-1', '1.5', '99999999999'])
  test(`GET …/versions/{version} 404: ${version}`, async () => {
    const answer = await api.call(`GET /api/admin/router/versions/${version}`)
    assert.deepEqual([answer.status, answer.body.error.code], [404, 'not_found'])
  })

test('POST /api/admin/router:rollback 200: an old version holds again, with its keys', async () => {
  const { version } = (await written(config({ id: 'k1', plaintextKey: `${PLANTED}-first` }))).body.version
  await written(config({ id: 'k1', plaintextKey: `${PLANTED}-second` }))
  const answer = await api.call('POST /api/admin/router:rollback', {
    body: { version, reason: 'it was better' },
    headers: { 'if-match': await etag() },
  })
  assert.deepEqual([answer.status, answer.body.status, answer.body.warnings], [200, 'applied', []])
  assert.deepEqual([answer.body.version.rollback_of, answer.body.version.reason], [version, 'it was better'])
  assert.equal(answer.headers.etag, await etag())
  assert.equal(opened('chat-default', await storedKey()), `${PLANTED}-first`)
})

test('POST /api/admin/router:rollback 404, 412, 400', async () => {
  await written()
  const send = (body: object, ifMatch: string) =>
    api.call('POST /api/admin/router:rollback', { body, headers: { 'if-match': ifMatch } })
  const now = await etag()
  assert.equal((await send({ version: 999_999, reason: 'r' }, now)).status, 404)
  assert.equal((await send({ version: 1, reason: 'r' }, '"0"')).status, 412)
  for (const body of [{ version: 0, reason: 'r' }, { version: '1', reason: 'r' }, { version: 1 }])
    assert.equal((await send(body, now)).status, 400)
})

const headers = { 'if-match': '"0"' }
for (const route of [
  { line: 'GET /api/admin/router' },
  { line: 'GET /api/admin/router/versions' },
  { line: 'GET /api/admin/router/versions/1' },
  { line: 'POST /api/admin/router:rollback', body: { version: 1, reason: 'r' }, headers },
] as const)
  testSharedRefusals(() => api, route)

for (const line of ['PUT /api/admin/router', 'POST /api/admin/router:plan'])
  test(`${line} 401, 403 and 503`, async () => {
    const body = line.startsWith('PUT') ? { config: config(), reason: 'r' } : { config: config() }
    const { secret } = await openPerson({ db: api.database.db, ...api.deps }, `${line.length}@example.com`)
    assert.equal((await api.call(line, { body, headers, key: secret })).status, 403)
    assert.equal((await api.call(line, { body, headers, key: 'wrong' })).status, 401)
    assert.equal((await api.callAway(line, { body, headers })).status, 503)
  })

test('every documented status was met', () => {
  api.expectEveryStatus(
    'GET /api/admin/router',
    'PUT /api/admin/router',
    'POST /api/admin/router:plan',
    'POST /api/admin/router:rollback',
    'GET /api/admin/router/versions',
    'GET /api/admin/router/versions/{version}',
  )
})
