import assert from 'node:assert/strict'
import { randomUUID } from 'node:crypto'
import { after, before, test } from 'node:test'
import { TOKENS_PER_REQUEST_MAX } from '#billing/usage.ts'
import { auditLedger } from '#domain/audit.ts'
import { createContentSweeper } from '#domain/conversations/retention.ts'
import { createTestApi, type TestApi } from '#test/support/http-api.ts'

let api: TestApi
before(async () => {
  api = await createTestApi()
})
after(() => api.close())

const CALL = 'POST /api/v1/conversations/log'
let projects = 0

/** A project that keeps so much. */
async function open(level = 'none') {
  projects += 1
  const project = await api.openProject(`conversations ${projects}`)
  if (level !== 'none') {
    const { status } = await api.call(`PATCH /api/admin/projects/${project.projectId}`, {
      body: { content_logging: level },
    })
    assert.equal(status, 200)
  }
  return project
}

// As llmring's client sends them, one after the other, for one call.
const call = {
  messages: [{ role: 'user', content: 'hi', tool_calls: null, tool_call_id: null, timestamp: null, metadata: null }],
  response: {
    ...{ content: 'yo', model: 'openai:gpt-4o-mini', finish_reason: 'stop' },
    usage: { prompt_tokens: 1000, completion_tokens: 200, total_tokens: 1200, cached_tokens: 400, cost: 0.00024 },
  },
  metadata: {
    ...{ provider: 'openai', model: 'gpt-4o-mini', alias: 'summarizer', profile: null, origin: 'myapp', cost: 0.00024 },
    ...{ input_cost: 9e-5, output_cost: 0.00012, input_tokens: 1000, output_tokens: 200, cached_tokens: 400 },
  },
}
const usageOf = (conversationId: string) => ({
  ...{ model: 'gpt-4o-mini', provider: 'openai', input_tokens: 1000, output_tokens: 200, cached_input_tokens: 400 },
  ...{ origin: 'myapp', alias: 'summarizer', cost: 0.00024, id_at_origin: conversationId },
  metadata: { model_alias: 'openai:gpt-4o-mini', finish_reason: 'stop', conversation_id: conversationId },
})

async function countOf(projectId: string) {
  const { rows } = await api.database.db.query(
    `select (select count(*)::int from reported_log where project_id = $1) as logs, coalesce(sum(u.calls), 0)::int as calls,
            coalesce(sum(u.input_tokens), 0)::int as tin, coalesce(sum(u.cost), 0)::text as cost
     from usage_15m u join usage_series s on s.id = u.series where s.project_id = $1`,
    [projectId],
  )
  return rows[0]
}
const once = { logs: 1, calls: 1, tin: 1000, cost: '240000' }
const twice = { logs: 2, calls: 2, tin: 2000, cost: '480000' }

test('POST /api/v1/conversations/log 200: the call is counted, and by default nothing of it is kept', async () => {
  const { secret, projectId } = await open()
  const words = 'an answer that is nowhere else'
  const said = { ...call, response: { ...call.response, content: words } }
  const { status, body } = await api.call(CALL, { key: secret, body: said })
  assert.equal(status, 200)
  const { conversation_id, log_id, timestamp, ...rest } = body
  assert(conversation_id && log_id && timestamp)
  assert.deepEqual(rest, { message_id: null, cost: 0.00024, cost_status: 'priced', cost_nanousd: '240000' })
  assert.deepEqual(await countOf(projectId), once)
  const read = await api.call(`GET /api/v1/conversations/${conversation_id}`, { key: secret })
  assert.equal(read.status, 200)
  const { id, created_at, updated_at, ...conversation } = read.body
  assert(id === conversation_id && created_at && updated_at)
  const { keyId } = (await api.deps.keyring.authenticate(secret)) ?? {}
  assert.deepEqual(conversation, {
    ...{ project_id: projectId, api_key_id: keyId, title: null, system_prompt: null, model_alias: 'summarizer' },
    ...{ temperature: 0.7, max_tokens: null, message_count: 0, total_input_tokens: 0, total_output_tokens: 0 },
    ...{ total_cost: 0.00024, total_cost_nanousd: '240000', last_message_at: null, messages: [] },
  })
  await expectNowhere(words)
})

test('the usage that follows its conversation is the same call: one record, whatever comes again', async () => {
  const { secret, projectId } = await open()
  const { body } = await api.call(CALL, { key: secret, body: call })
  const headers = { 'idempotency-key': 'after' }
  const follow = await api.call('POST /api/v1/log', { key: secret, headers, body: usageOf(body.conversation_id) })
  assert.deepEqual([follow.status, follow.body.log_id, follow.body.idempotent_replay], [200, body.log_id, true])
  assert.deepEqual(await countOf(projectId), once)
  const again = await api.call('POST /api/v1/log', { key: secret, headers, body: usageOf(body.conversation_id) })
  assert.deepEqual(again.body, follow.body)
  const mismatch = { ...usageOf(body.conversation_id), output_tokens: 7 }
  assert.equal((await api.call('POST /api/v1/log', { key: secret, headers, body: mismatch })).status, 409)
  const { conversation_id: _none, ...elsewhere } = { ...mismatch, metadata: {} as object, conversation_id: undefined }
  assert.equal((await api.call('POST /api/v1/log', { key: secret, headers, body: elsewhere })).status, 409)
  assert.deepEqual(await countOf(projectId), once)
  // Another call in the same conversation, as a client that keeps the id reports it.
  await api.call('POST /api/v1/log', { key: secret, body: usageOf(body.conversation_id) })
  assert.deepEqual(await countOf(projectId), twice)
  const read = await api.call(`GET /conversations/${body.conversation_id}?message_limit=5`, { key: secret })
  assert.equal(read.body.total_cost_nanousd, '480000')
})

test('the conversation that follows its usage takes the record that it names, once', async () => {
  const { secret, projectId } = await open()
  const { metadata: _metadata, id_at_origin: _origin, ...usage } = usageOf('')
  const { body } = await api.call('POST /api/v1/log', { key: secret, body: usage })
  const named = { ...call, metadata: { ...call.metadata, log_id: body.log_id } }
  const first = await api.call(CALL, { key: secret, body: named })
  assert.deepEqual([first.status, first.body.log_id], [200, body.log_id])
  assert.deepEqual(await countOf(projectId), once)
  const read = await api.call(`GET /api/v1/conversations/${first.body.conversation_id}`, { key: secret })
  assert.equal(read.body.total_cost_nanousd, '240000')
  const second = await api.call(CALL, { key: secret, body: named })
  assert.equal(second.body.log_id, body.log_id, 'the same call, told once more')
  assert.deepEqual(await countOf(projectId), once)

  const stranger = await open()
  const stolen = await api.call(CALL, { key: stranger.secret, body: named })
  assert.notEqual(stolen.body.log_id, body.log_id)
  assert.deepEqual(await countOf(stranger.projectId), once)
})

test('usage that a conversation took is still a replay when its client sends it again', async () => {
  const { secret, projectId } = await open()
  const headers = { 'idempotency-key': 'before' }
  const usage = usageOf(randomUUID())
  const { body } = await api.call('POST /api/v1/log', { key: secret, headers, body: usage })
  const named = { ...call, metadata: { ...call.metadata, log_id: body.log_id } }
  assert.equal((await api.call(CALL, { key: secret, body: named })).body.log_id, body.log_id)
  const again = await api.call('POST /api/v1/log', { key: secret, headers, body: usage })
  assert.deepEqual([again.status, again.body.log_id], [200, body.log_id])
  const other = { ...usage, output_tokens: 7 }
  assert.equal((await api.call('POST /api/v1/log', { key: secret, headers, body: other })).status, 409)
  assert.deepEqual(await countOf(projectId), once)
})

test('what is about another call is counted: other figures, another project, no such conversation', async () => {
  const { secret, projectId } = await open()
  const { body } = await api.call(CALL, { key: secret, body: call })
  const other = { ...usageOf(body.conversation_id), input_tokens: 1001 }
  await api.call('POST /api/v1/log', { key: secret, body: other })
  assert.equal((await countOf(projectId)).calls, 2)
  await api.call('POST /api/v1/log', { key: secret, body: usageOf(randomUUID()) })
  assert.equal((await countOf(projectId)).calls, 3)
  const stranger = await open()
  await api.call('POST /api/v1/log', { key: stranger.secret, body: usageOf(body.conversation_id) })
  assert.deepEqual(await countOf(stranger.projectId), once)
  await api.call('POST /api/v1/log', { key: secret, body: usageOf(body.conversation_id) })
  assert.equal((await countOf(projectId)).calls, 3, 'and the right one still finds its conversation')
})

test('calls side by side that name the conversation of the last one are each counted once', async () => {
  const { secret, projectId } = await open()
  const opened = []
  for (let index = 0; index < 8; index += 1) opened.push((await api.call(CALL, { key: secret, body: call })).body)
  const last = opened.at(-1).conversation_id
  const logs = opened.map(() => usageOf(last))
  const [half, rest] = [logs.slice(0, 3), logs.slice(3)]
  const [batch, ...singles] = await Promise.all([
    api.call('POST /api/v1/logs:batch', { key: secret, body: { logs: half } }),
    ...rest.map((body) => api.call('POST /api/v1/log', { key: secret, body })),
  ])
  const found = [...batch.body.results, ...singles.map(({ body }) => body)].map(({ log_id }) => log_id)
  assert.deepEqual(found.toSorted(), opened.map(({ log_id }) => log_id).toSorted(), 'each found one of its own')
  assert.deepEqual(await countOf(projectId), { logs: 8, calls: 8, tin: 8000, cost: '1920000' })
  assert((await auditLedger(api.database.db)).ok)
})

test('a call without usage, model or provider is still one call', async () => {
  const { secret, projectId } = await open()
  const body = { messages: [], response: { content: null, usage: {} }, metadata: { provider: null, model: null } }
  const answer = await api.call(CALL, { key: secret, body })
  assert.deepEqual([answer.status, answer.body.cost_status], [200, 'model_not_in_registry'])
  const decorated = {
    ...call,
    metadata: { provider: 'openai', model: 'gpt-4o-mini', alias: null, origin: 'llmring-decorator' },
  }
  assert.equal((await api.call(CALL, { key: secret, body: decorated })).body.cost_nanousd, '240000')
  assert.deepEqual(await countOf(projectId), { logs: 2, calls: 2, tin: 1000, cost: '240000' })
})

const parts = [
  { type: 'text', text: 'höher \0 \ud800' },
  { type: 'image_url', image_url: { url: 'data:,x' } },
]

test('content is kept where the project asks for it, to the letter', async () => {
  const { secret } = await open('full')
  const body = {
    ...call,
    messages: [
      { role: 'developer', content: parts },
      { content: 'hi', tool_calls: [{ id: 'a' }], metadata: { k: 1 } },
    ],
  }
  const { body: logged } = await api.call(CALL, { key: secret, body })
  const { body: messages } = await api.call(`GET /conversations/${logged.conversation_id}/messages/`, { key: secret })
  assert.deepEqual(
    messages.map(
      ({ role, content, tool_calls, metadata, input_tokens, output_tokens, receipt_id }: Record<string, unknown>) => [
        ...[role, content, tool_calls, metadata, input_tokens, output_tokens, receipt_id],
      ],
    ),
    [
      ['developer', parts, null, {}, null, null, null],
      ['user', 'hi', [{ id: 'a' }], { k: 1 }, null, null, null],
      ['assistant', 'yo', null, {}, 1000, 200, null],
    ],
  )
  assert.equal(messages[2].id, logged.message_id)
  assert.match(messages[2].content_hash, /^[0-9a-f]{64}$/)
  const { body: one } = await api.call(`GET /api/v1/conversations/${logged.conversation_id}?message_limit=2`, {
    key: secret,
  })
  assert.deepEqual([one.title, one.message_count, one.messages.length], ['summarizer conversation', 3, 2])
  const bare = await api.call(`GET /api/v1/conversations/${logged.conversation_id}?include_messages=false`, {
    key: secret,
  })
  assert.deepEqual(bare.body.messages, [])
})

test('at the level metadata only who spoke and how much is kept, and a client can ask for less', async () => {
  const { secret } = await open('metadata')
  const said = {
    role: 'user',
    content: 'a secret 4711',
    tool_calls: [{ f: 'a secret 4711' }],
    metadata: { m: 'a secret 4711' },
  }
  const { body } = await api.call(CALL, { key: secret, body: { ...call, messages: [said] } })
  const { body: messages } = await api.call(`GET /conversations/${body.conversation_id}/messages`, { key: secret })
  assert.deepEqual(
    messages.map(({ role, content, tool_calls, metadata, content_hash }: Record<string, unknown>) => [
      ...[role, content, tool_calls, metadata, content_hash],
    ]),
    [
      ['user', null, null, {}, null],
      ['assistant', null, null, {}, null],
    ],
  )
  await expectNowhere('a secret 4711')
  const full = await open('full')
  const less = await api.call(CALL, { key: full.secret, body: { ...call, messages: [said], logging_level: 'none' } })
  assert.equal(less.body.message_id, null)
  await expectNowhere('a secret 4711')
})

test('a session: open, change with PATCH and PUT, add messages, list', async () => {
  const { secret } = await open('full')
  const words = { title: 'T', system_prompt: 'be kind', model_alias: 'deep', temperature: 0.2, max_tokens: '100' }
  const opened = await api.call('POST /api/v1/conversations/', { key: secret, body: words })
  assert.equal(opened.status, 200)
  const { id } = opened.body
  assert.deepEqual(
    [
      opened.body.title,
      opened.body.system_prompt,
      opened.body.model_alias,
      opened.body.temperature,
      opened.body.max_tokens,
    ],
    ['T', 'be kind', 'deep', 0.2, 100],
  )
  for (const method of ['PATCH', 'PUT']) {
    const changed = await api.call(`${method} /api/v1/conversations/${id}`, {
      key: secret,
      body: { title: method, x: 1 },
    })
    assert.deepEqual([changed.status, changed.body.title, changed.body.system_prompt], [200, method, 'be kind'])
  }
  const line = `POST /api/v1/conversations/${id}/messages/batch`
  const batch = {
    conversation_id: id,
    messages: [
      { role: 'user', content: 'hi', metadata: {} },
      { role: 'assistant', content: 'yo', metadata: {}, input_tokens: 10, output_tokens: 2 },
    ],
  }
  const added = await api.call(line, { key: secret, body: { ...batch, logging_level: 'full', create_receipt: true } })
  assert.deepEqual([added.status, added.body.length], [200, 2])
  const none = await api.call(line, { key: secret, body: { ...batch, logging_level: 'none' } })
  assert.deepEqual([none.status, none.body], [200, []])
  const other = await api.call('POST /api/v1/conversations', { key: secret, body: {} })
  assert.deepEqual([other.body.title, other.body.model_alias, other.body.temperature], [null, 'default', 0.7])
  for (const path of ['/api/v1/conversations/?limit=&offset=', '/conversations?limit=20&offset=0']) {
    const { status, body } = await api.call(`GET ${path}`, { key: secret })
    assert.equal(status, 200)
    assert.deepEqual(
      body.map(({ id, message_count }: { id: string; message_count: number }) => [id, message_count]),
      [
        [other.body.id, 0],
        [id, 2],
      ],
    )
  }
  const { body: page } = await api.call('GET /conversations?limit=1&offset=1', { key: secret })
  assert.deepEqual(
    page.map(({ id }: { id: string }) => id),
    [id],
  )
  assert.deepEqual([page[0].total_input_tokens, page[0].total_output_tokens], [10, 2])
})

test('messages that are added side by side get places of their own', async () => {
  const { secret } = await open('full')
  const { body } = await api.call('POST /api/v1/conversations', { key: secret, body: {} })
  const line = `POST /api/v1/conversations/${body.id}/messages/batch`
  await Promise.all(
    Array.from({ length: 12 }, (_, index) =>
      api.call(line, {
        key: secret,
        body: { messages: [`${index} a`, `${index} b`].map((content) => ({ role: 'user', content })) },
      }),
    ),
  )
  const { body: messages } = await api.call(`GET /api/v1/conversations/${body.id}/messages?limit=1000`, { key: secret })
  assert.equal(messages.length, 24)
  for (let at = 0; at < 24; at += 2)
    assert.equal(messages[at].content.replace('a', 'b'), messages[at + 1].content, 'a batch stays together')
})

test('a message has no more tokens than a call can consume, so that the sum of a conversation has room for them', async () => {
  const { secret } = await open('full')
  const { body } = await api.call('POST /api/v1/conversations', { key: secret, body: {} })
  const add = (input_tokens: number) =>
    api.call(`POST /api/v1/conversations/${body.id}/messages/batch`, {
      key: secret,
      body: { messages: Array.from({ length: 2000 }, () => ({ role: 'user', content: 'x', input_tokens })) },
    })
  assert.equal((await add(TOKENS_PER_REQUEST_MAX + 1)).status, 422)
  assert.equal((await add(TOKENS_PER_REQUEST_MAX)).status, 200)
  const { body: read } = await api.call(`GET /api/v1/conversations/${body.id}`, { key: secret })
  assert.equal(read.total_input_tokens, 2000 * TOKENS_PER_REQUEST_MAX)
})

test('404: another project’s conversations are as if they were not', async () => {
  const { secret } = await open('full')
  const { body } = await api.call('POST /api/v1/conversations', { key: secret, body: { title: 'mine' } })
  const stranger = await open('full')
  for (const id of [body.id, randomUUID(), 'x'])
    for (const [line, sent] of [
      [`GET /api/v1/conversations/${id}`],
      [`GET /conversations/${id}`],
      [`GET /api/v1/conversations/${id}/messages`],
      [`PATCH /api/v1/conversations/${id}`, { title: 'yours' }],
      [`POST /api/v1/conversations/${id}/messages/batch`, { messages: [{ role: 'user', content: 'x' }] }],
    ] as const) {
      const answer = await api.call(line, { key: stranger.secret, body: sent })
      assert.deepEqual([answer.status, answer.body.code], [404, 'not_found'], line)
      if (id !== 'x') assert.equal(answer.body.detail, 'Conversation not found')
    }
  const { body: list } = await api.call('GET /api/v1/conversations', { key: stranger.secret })
  assert.deepEqual(list, [])
})

for (const [line, body] of [
  [CALL, {}],
  [CALL, { ...call, messages: 'hi' }],
  [CALL, { ...call, metadata: { ...call.metadata, cached_tokens: 1001 } }],
  [CALL, { ...call, metadata: { ...call.metadata, input_tokens: -1 } }],
  [CALL, { ...call, metadata: { ...call.metadata, alias: 'x'.repeat(256) } }],
  [CALL, { ...call, logging_level: 'all' }],
  ['POST /api/v1/conversations', { title: 'x'.repeat(501) }],
  ['POST /api/v1/conversations', { title: 'a\0' }],
  ['POST /api/v1/conversations', { model_alias: 'x'.repeat(256) }],
  ['POST /api/v1/conversations', { temperature: 2.1 }],
  ['POST /api/v1/conversations', { max_tokens: 0 }],
  ['POST /api/v1/conversations', { system_prompt: 'x'.repeat(1_048_577) }],
  [`PUT /api/v1/conversations/${randomUUID()}`, { temperature: 'hot' }],
  [`POST /api/v1/conversations/${randomUUID()}/messages/batch`, { messages: [{ role: 'robot', content: 'x' }] }],
  [`POST /api/v1/conversations/${randomUUID()}/messages/batch`, { messages: Array(2001).fill({ role: 'user' }) }],
  ['GET /api/v1/conversations?limit=0', undefined],
  ['GET /api/v1/conversations?limit=101', undefined],
  ['GET /api/v1/conversations?offset=-1', undefined],
  ['DELETE /api/v1/conversations/old-messages?retention_days=4000', undefined],
] as const) {
  test(`${line.replace(/[0-9a-f-]{36}/, '{id}')} 422: ${JSON.stringify(body ?? '').slice(0, 60)}`, async () => {
    const { secret, projectId } = await open()
    if (line.startsWith('DELETE')) await grantAll(projectId)
    const answer = await api.call(line, { key: secret, body })
    assert.deepEqual([answer.status, answer.body.code], [422, 'body_invalid'], answer.text)
    assert(answer.body.detail.length > 0)
    assert.equal((await countOf(projectId)).logs, 0)
  })
}

test('401 and 503 on every route', async () => {
  const id = randomUUID()
  for (const line of [
    CALL,
    'POST /api/v1/conversations',
    'GET /api/v1/conversations',
    'GET /conversations',
    `GET /api/v1/conversations/${id}`,
    `GET /conversations/${id}/messages`,
    `PATCH /api/v1/conversations/${id}`,
    `PUT /api/v1/conversations/${id}`,
    `POST /api/v1/conversations/${id}/messages/batch`,
    'DELETE /api/v1/conversations/old-messages',
  ]) {
    const refused = await api.call(line, { key: null })
    assert.deepEqual([refused.status, refused.body.detail], [401, 'X-API-Key header required'], line)
    const away = await api.callAway(line, { key: 'somebody' })
    assert.deepEqual([away.status, away.body.code], [503, 'ledger_unavailable'], line)
  }
})

async function grantAll(projectId: string): Promise<void> {
  const { rows } = await api.database.db.query(
    `select from information_schema.columns where table_schema = 'fluxgate' and table_name = 'api_key' and column_name = 'scopes'`,
  )
  if (rows.length > 0)
    await api.database.db.query(
      `update api_key set scopes = array['inference', 'ingest', 'read', 'admin'] where project_id = $1`,
      [projectId],
    )
}

async function expectNowhere(text: string): Promise<void> {
  const { rows } = await api.database.db.query<{ name: string }>(
    `select c.relname as name from pg_class c where c.relnamespace = 'fluxgate'::regnamespace and c.relkind = 'r'`,
  )
  for (const { name } of rows) {
    const { rows: found } = await api.database.db.query(`select from ${name} t where position($1 in t::text) > 0`, [
      text,
    ])
    assert.equal(found.length, 0, name)
  }
  assert(!JSON.stringify(api.log.lines()).includes(text))
}

async function age(projectId: string, days: number): Promise<void> {
  for (const sql of [
    `update conversation_message set at = at - $2 * interval '1 day' where project_id = $1`,
    `update conversation set updated_at = updated_at - $2 * interval '1 day' where project_id = $1`,
  ])
    await api.database.db.query(sql, [projectId, days])
}

async function left(projectId: string) {
  const { rows } = await api.database.db.query(
    `select (select count(*)::int from conversation_message where project_id = $1) as messages,
            (select count(*)::int from conversation where project_id = $1 and title is not null) as titles,
            (select count(*)::int from conversation where project_id = $1) as conversations`,
    [projectId],
  )
  return rows[0]
}

test('DELETE /api/v1/conversations/old-messages 200: what is old, of the own project alone', async () => {
  const [mine, other] = [await open('full'), await open('full')]
  for (const { secret, projectId } of [mine, other]) {
    await grantAll(projectId)
    await api.call(CALL, { key: secret, body: call })
    await age(projectId, 10)
    await api.call(CALL, { key: secret, body: call })
  }
  const kept = await api.call('DELETE /api/v1/conversations/old-messages?retention_days=', { key: mine.secret })
  assert.deepEqual([kept.status, kept.body], [200, { deleted_count: 0, retention_days: 30, has_more: false }])
  const headers = { 'content-type': 'application/json' }
  const some = await api.call('DELETE /api/v1/conversations/old-messages?retention_days=9', {
    key: mine.secret,
    headers,
  })
  assert.deepEqual(some.body, { deleted_count: 2, retention_days: 9, has_more: false })
  assert.deepEqual(await left(mine.projectId), { messages: 2, titles: 1, conversations: 2 })
  assert.deepEqual(await left(other.projectId), { messages: 4, titles: 2, conversations: 2 })
  const all = await api.call('DELETE /api/v1/conversations/old-messages?retention_days=0', { key: mine.secret })
  assert.equal(all.body.deleted_count, 2)
  assert.deepEqual(await left(mine.projectId), { messages: 0, titles: 0, conversations: 2 })
  assert.deepEqual(await countOf(mine.projectId), twice)
})

test('in the background each project forgets after its own days, whoever sweeps', async () => {
  const [short, long] = [await open('full'), await open('full')]
  await api.call(`PATCH /api/admin/projects/${short.projectId}`, { body: { content_retention_days: 3 } })
  for (const { secret, projectId } of [short, long]) {
    for (let index = 0; index < 3; index += 1) await api.call(CALL, { key: secret, body: call })
    await age(projectId, 4)
  }
  const errors: unknown[] = []
  const open2 = () =>
    createContentSweeper({
      db: api.database.db,
      everyMs: 3_600_000,
      onForgotten: () => undefined,
      onError: (error) => errors.push(error),
    })
  const sweepers = [open2(), open2()]
  await Promise.all(sweepers.map(({ sweep }) => sweep()))
  await Promise.all(sweepers.map((sweeper) => sweeper.close()))
  assert.deepEqual(errors, [])
  assert.deepEqual(await left(short.projectId), { messages: 0, titles: 0, conversations: 3 })
  assert.deepEqual(await left(long.projectId), { messages: 6, titles: 3, conversations: 3 })
})

test('PATCH /api/admin/projects/{id}: 200, 400, 401, 404', async () => {
  const { projectId, secret } = await open()
  const line = `PATCH /api/admin/projects/${projectId}`
  const { status, body } = await api.call(line, { body: { content_logging: 'metadata', content_retention_days: 7 } })
  assert.deepEqual([status, body.content_logging, body.content_retention_days], [200, 'metadata', 7])
  const { body: read } = await api.call(`GET /api/admin/projects/${projectId}`)
  assert.deepEqual([read.content_logging, read.content_retention_days], ['metadata', 7])
  for (const wrong of [{}, { content_logging: 'all' }, { content_retention_days: 0 }, { nmae: 'x' }])
    assert.equal((await api.call(line, { body: wrong })).status, 400)
  assert.equal((await api.call(line, { key: secret, body: { content_logging: 'none' } })).status, 401)
  assert.equal(
    (await api.call('PATCH /api/admin/projects/prj_none', { body: { content_logging: 'none' } })).status,
    404,
  )
})

test('text and counts that nothing can hold are 422', async () => {
  const { secret } = await open('full')
  const said = { ...call, messages: [{ role: 'us\0er', content: 'hi' }] }
  assert.equal((await api.call(CALL, { key: secret, body: said })).status, 422)
  const { body } = await api.call('POST /api/v1/conversations', { key: secret, body: {} })
  // Together more than a bigint.
  const message = { role: 'user', content: 'hi', input_tokens: Number.MAX_SAFE_INTEGER }
  const messages = Array.from({ length: 1_100 }, () => message)
  const line = `POST /api/v1/conversations/${body.id}/messages/batch`
  assert.equal((await api.call(line, { key: secret, body: { messages } })).status, 422)
})
