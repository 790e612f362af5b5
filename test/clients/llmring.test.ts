import assert from 'node:assert/strict'
import { after, before, test } from 'node:test'
import { createProjects } from '#domain/projects.ts'
import { createTestGateway, type TestGateway } from '#test/support/gateway.ts'
import { createLlmringCalls } from './llmring-calls.ts'

// llmring's own client, as it is, against a whole gateway.

let gateway: TestGateway
before(async () => {
  gateway = await createTestGateway()
})
after(() => gateway.close())

async function open() {
  const project = await gateway.openProject(0n)
  const client = createLlmringCalls({ serverUrl: `${gateway.url}/`, apiKey: project.secret })
  const counted = async () => {
    const { rows } = await gateway.db.query(
      `select sum(u.calls)::int as calls, sum(u.input_tokens)::int as tin, sum(u.cost)::text as cost, sum(u.charged)::int as charged
       from usage_15m u join usage_series s on s.id = u.series where s.project_id = $1 and s.source = 2`,
      [project.id],
    )
    return rows[0]
  }
  return { project, client, counted }
}

test('usage: one call is one record, priced here, and nothing is charged', async () => {
  const { project, client, counted } = await open()
  const answer = await client.logUsage()
  assert.deepEqual(Object.keys(answer).slice(0, 3), ['log_id', 'cost', 'timestamp'])
  assert.deepEqual([answer.cost, answer.cost_status], [0.00024, 'priced'])
  assert.deepEqual(await counted(), { calls: 1, tin: 1000, cost: '240000', charged: 0 })
  assert.equal((await project.wallet()).postedNanos, 0n)
  assert.equal(client.redirects(), 0)
})

test('a conversation and its usage: one call', async () => {
  const { client, counted } = await open()
  const { conversation, usage } = await client.logConversation()
  assert.equal(usage.log_id, conversation.log_id)
  assert.deepEqual(await counted(), { calls: 1, tin: 1000, cost: '240000', charged: 0 })
  // The client keeps the id and goes on.
  const second = await client.logConversation()
  assert.notEqual(second.conversation.conversation_id, conversation.conversation_id)
  assert.deepEqual(await counted(), { calls: 2, tin: 2000, cost: '480000', charged: 0 })
})

test('several calls at once, which mix up the ids of their conversations, are counted once each', async () => {
  const { client, counted } = await open()
  const opened = await Promise.all(Array.from({ length: 6 }, () => client.logConversation()))
  assert.equal(new Set(opened.map(({ usage }) => usage.log_id)).size, 6)
  assert.deepEqual(await counted(), { calls: 6, tin: 6000, cost: '1440000', charged: 0 })
})

test('decorators: either of the two counts the call', async () => {
  const { client, counted } = await open()
  await client.decorated.usage()
  await client.decorated.conversation()
  assert.deepEqual(await counted(), { calls: 2, tin: 20, cost: '9000', charged: 0 })
})

test('a session: what is kept is what the project asks for', async () => {
  const { project, client } = await open()
  const nothing = await client.session()
  assert.deepEqual([nothing.added, nothing.read.messages, nothing.read.title], [[], [], null])
  await createProjects({ db: gateway.db }).update(project.id, { contentLogging: 'full' }, { actor: 'test' })
  const { opened, added, read, list } = await client.session()
  assert.equal(opened.title, 'a session')
  assert.equal(added.length, 2)
  assert.deepEqual(
    read.messages.map(({ role, content }: Record<string, unknown>) => [role, content]),
    [
      ['user', 'hi'],
      ['assistant', 'yo'],
    ],
  )
  assert.deepEqual(
    list.map(({ id }: { id: string }) => id),
    [opened.id, nothing.opened.id],
  )
  assert.equal(client.redirects(), 0)
})

test('the command line: health and conversations', async () => {
  const { client } = await open()
  const health = await client.cli.health()
  assert.deepEqual([health.status, health.database, health.name], ['healthy', 'connected', 'Fluxgate'])
  const { conversation } = await client.logConversation()
  const list = await client.cli.conversations()
  assert.deepEqual(
    list.map(({ id }: { id: string }) => id),
    [conversation.conversation_id],
  )
  assert.equal((await client.cli.conversation(conversation.conversation_id)).total_cost, 0.00024)
  assert.deepEqual(await client.cli.messages(conversation.conversation_id), [])
  assert.equal(client.redirects(), 0)
})

// Its statistics print costs that are texts as they are.
test('the command line: statistics and logs, with empty texts for what was not given', async () => {
  const { client } = await open()
  await client.logUsage()
  await client.logConversation()
  const stats = await client.cli.stats()
  assert.equal(stats.summary.total_requests, 2)
  assert.deepEqual(
    [
      Number(stats.summary.total_cost),
      stats.summary.total_tokens,
      stats.summary.unique_models,
      stats.summary.unique_origins,
    ],
    [0.00048, 2400, 1, 2],
  )
  assert.equal(stats.by_day.length, 1)
  assert.deepEqual(
    [stats.by_alias.summarizer.requests, Number(stats.by_model['gpt-4o-mini'].cost), stats.by_origin.myapp.cost],
    [2, 0.00048, 0.00024],
  )
  const logs = await client.cli.logs()
  // What the client writes into its CSV.
  const columns = ['provider', 'model', 'alias', 'profile', 'origin', 'input_tokens', 'output_tokens', 'cost']
  assert.deepEqual(
    logs.map((log: Record<string, unknown>) => columns.map((name) => log[name])),
    [
      ['openai', 'gpt-4o-mini', 'summarizer', 'default', 'myapp', 1000, 200, 0.00024],
      ['openai', 'gpt-4o-mini', 'summarizer', 'prod', 'llmring', 1000, 200, 0.00024],
    ],
  )
  assert(logs.every(({ logged_at }: { logged_at: string }) => !Number.isNaN(Date.parse(logged_at))))
  assert.equal(client.redirects(), 0)
})

test('without a key, and with one that is nobody’s, it is told so', async () => {
  const none = createLlmringCalls({ serverUrl: gateway.url, apiKey: undefined })
  const answer = await none.cli.conversations().catch((error: Error) => error.message)
  assert.match(String(answer), /401 .*X-API-Key header required/)
  const unknown = createLlmringCalls({ serverUrl: gateway.url, apiKey: `llmr_pk_${'0'.repeat(32)}` })
  const { status, json } = await unknown.send('POST', '/api/v1/log', '{}')
  assert.deepEqual([status, json.detail], [401, 'Invalid API key'])
})

test('aliases of the client of August 2025: told where they live now', async () => {
  const { client } = await open()
  for (const answer of [await client.aliases.push(), await client.aliases.pull()]) {
    assert.equal(answer.status, 410)
    assert.match(answer.json.detail, /llmring\.lock/)
  }
})
