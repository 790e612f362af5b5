// What clients of an llmring-server send goes on working on the gateway that its usage was imported into.
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { createWorld } from '#test/import/llmring-world.ts'
import { createTestGateway } from '#test/support/gateway.ts'

const HEADER = 'plain-key-of-a-team'

test('an old header is refused until the switch, and then finds its history and adds to it', async () => {
  const world = await createWorld('pre', { inPlace: true })
  const gateway = await createTestGateway({ through: async () => world.target.url })
  try {
    await world.source.db.query(
      `insert into llmring.usage_logs (api_key_id, model, provider, input_tokens, output_tokens, cost, created_at, alias, profile)
       select $1, 'gpt-4o-mini', 'openai', 1000, 200, 0.00027, localtimestamp - interval '1 day', 'summarizer', 'prod'
       from generate_series(1, 3)`,
      [HEADER],
    )
    const ask = (path: string, headers: Record<string, string>, body?: unknown) =>
      gateway.chat(body, { path, method: body === undefined ? 'GET' : 'POST', headers })

    await world.report('plan', '--lockfiles', world.folder)
    await world.report('backfill')
    assert.equal((await ask('/api/v1/stats', { 'x-api-key': HEADER })).status, 401)
    await world.report('verify')
    await world.report('switch')

    for (const headers of [
      { 'x-api-key': HEADER },
      { 'x-project-key': HEADER },
      { authorization: `Bearer ${HEADER}`, 'x-api-key': HEADER },
    ]) {
      const stats = await ask('/api/v1/stats', headers)
      assert.equal(stats.status, 200, stats.text)
      assert.equal(stats.json.summary.total_requests, 3)
      assert.equal(Number(stats.json.summary.total_cost), 0.00081)
      assert.equal(stats.json.by_alias.summarizer.requests, 3)
    }
    const report = { model: 'gpt-4o-mini', provider: 'openai', input_tokens: 1, output_tokens: 1, alias: 'summarizer' }
    assert.equal((await ask('/api/v1/log', { 'x-project-key': HEADER }, report)).status, 200)
    const logs = await ask('/api/v1/logs?alias=summarizer', { 'x-api-key': HEADER })
    assert.equal(logs.json.length, 4)
    assert.deepEqual(new Set(logs.json.map((log: { source: string }) => log.source)), new Set(['reported']))
    await world.report('verify')
  } finally {
    await gateway.close()
    await world.close()
  }
})
