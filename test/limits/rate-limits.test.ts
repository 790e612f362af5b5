import assert from 'node:assert/strict'
import { randomUUID } from 'node:crypto'
import { after, before, test } from 'node:test'
import { setTimeout as delay } from 'node:timers/promises'
import { createMemoryLimits } from '#domain/limits/memory-store.ts'
import type { LimitStore } from '#domain/limits/rate-limit.ts'
import { createRateLimits } from '#domain/limits/rate-limits.ts'
import { createSettings } from '#domain/settings.ts'
import { ADMIN_KEY, createTestGateway, ONE_USD, type TestGateway } from '#test/support/gateway.ts'
import { inOneMinute } from '#test/support/one-minute.ts'
import { openPerson } from '#test/support/people.ts'
import { until } from '#test/support/until.ts'

let gateway: TestGateway
before(async () => {
  gateway = await createTestGateway()
})
after(() => gateway.close())

const CHAT = { model: 'sim/echo', messages: [{ role: 'user', content: 'hi' }] }
const put = async (path: string, body: unknown) => {
  const answer = await gateway.chat(body, { method: 'PUT', path, key: ADMIN_KEY })
  assert.equal(answer.status, 200, answer.text)
}
const limitKey = (id: string, limits: unknown) => put(`/api/admin/keys/${id}/rate-limits`, { limits })
const limitProject = (id: string, limits: unknown) => put(`/api/admin/projects/${id}/rate-limits`, { limits })

/** The headers of limits alone. */
const limitsOf = (headers: Record<string, unknown>) =>
  Object.fromEntries(Object.entries(headers).filter(([name]) => /ratelimit/.test(name)))

test('who is not limited is told nothing of limits', async () => {
  const project = await gateway.openProject(ONE_USD)
  const { status, headers } = await gateway.chat(CHAT, { key: project.secret })
  assert.deepEqual([status, limitsOf(headers)], [200, {}])
})

test('requests of a key: so many a minute, then 429 with when to come again, in every protocol', () =>
  inOneMinute(8_000, async () => {
    const project = await gateway.openProject(ONE_USD)
    await limitKey(project.key.id, { requestsPerMinute: 3, tokensPerMinute: 100_000 })
    // A key that was just limited is felt within a second.
    await until('the limit is felt', async () => {
      const { headers } = await gateway.chat({ ...CHAT, model: 'sim/echo' }, { key: project.secret })
      return headers['x-ratelimit-limit-requests'] === '3'
    })
    const first = await gateway.chat(CHAT, { key: project.secret })
    assert.equal(first.status, 200)
    assert.match(String(first.headers['x-ratelimit-remaining-requests']), /^[01]$/)
    assert.match(String(first.headers['x-ratelimit-reset-requests']), /^\d{1,2}\.\d{3}s$/)
    assert.match(String(first.headers['ratelimit-policy']), /^"requests";q=3;w=60, "tokens";q=100000;w=60$/)
    assert.match(String(first.headers.ratelimit), /^"requests";r=[01];t=\d{1,2}, "tokens";r=\d+;t=\d{1,2}$/)
    assert.equal(first.headers['x-ratelimit-limit-tokens'], '100000')
    await gateway.chat(CHAT, { key: project.secret })
    const refused = await gateway.chat(CHAT, { key: project.secret })
    assert.equal(refused.status, 429)
    const { code, type, message } = refused.json.error
    assert.deepEqual([code, type], ['too_many_requests', 'rate_limit_error'])
    assert.match(message, /^The limit of this key is 3 requests a minute\. Try again in \d+ s\.$/)
    assert.deepEqual(
      [refused.headers['x-should-retry'], refused.headers['x-ratelimit-remaining-requests']],
      ['true', '0'],
    )
    const wait = Number(refused.headers['retry-after'])
    assert(wait >= 1 && wait <= 60)
    const messages = { model: 'sim/echo', max_tokens: 10, messages: [{ role: 'user', content: 'hi' }] }
    const anthropic = await gateway.chat(messages, { path: '/v1/messages', key: project.secret })
    assert.deepEqual([anthropic.status, anthropic.json.error.type], [429, 'rate_limit_error'])
    const airi = await gateway.chat(CHAT, { path: '/api/v1/openai/chat/completions', key: project.secret })
    assert.deepEqual([airi.status, airi.json.error], [429, 'TOO_MANY_REQUESTS'])
    const { text } = await gateway.chat(undefined, { method: 'GET', path: '/metrics', key: null })
    assert.match(text, /fluxgate_rate_limited_total\{limit="requests",subject="key"\} [3-9]/)
    await gateway.expectNothingHeld()
    // Another key of the project is not held to it.
    const { secret } = await gateway.app.keys.create({ projectId: project.id, name: 'second' })
    assert.equal((await gateway.chat(CHAT, { key: secret })).status, 200)
  }))

test('tokens of a project: counted when calls end, over all its keys, and streams too', () =>
  inOneMinute(8_000, async () => {
    const project = await gateway.openProject(ONE_USD)
    await limitProject(project.id, { tokensPerMinute: 20 })
    const { secret } = await gateway.app.keys.create({ projectId: project.id, name: 'second' })
    const words = {
      model: 'sim/echo',
      stream: true,
      messages: [{ role: 'user', content: 'one two three four five six seven eight nine ten eleven twelve' }],
    }
    const streamed = await gateway.chat(words, { key: secret })
    assert.equal(streamed.status, 200)
    assert.equal(streamed.headers['x-ratelimit-limit-tokens'], '20')
    await until(
      'the tokens are counted',
      async () => (await gateway.chat(CHAT, { key: project.secret })).status === 429,
    )
    const refused = await gateway.chat(CHAT, { key: project.secret })
    assert.match(refused.json.error.message, /^The limit of this project is 20 tokens a minute/)
    assert.equal(refused.headers['x-ratelimit-remaining-tokens'], '0')
  }))

test('calls at once: a place is free again however a call ends', async () => {
  const project = await gateway.openProject(ONE_USD)
  await limitKey(project.key.id, { concurrentCalls: 2 })
  const body = { ...CHAT, stream: true, sim: { tokens: 400, chunk_ms: 50 } }
  const open = []
  for (let n = 0; n < 2; n += 1) {
    const abort = new AbortController()
    open.push({
      abort,
      reply: await gateway.open(
        { ...body, sim: { tokens: 400, chunk_ms: 50 } },
        { key: project.secret, signal: abort.signal },
      ),
    })
  }
  const refused = await gateway.chat(CHAT, { key: project.secret })
  assert.equal(refused.status, 429, refused.text)
  assert.deepEqual([refused.headers['retry-after'], refused.headers['x-ratelimit-remaining-concurrent']], ['1', '0'])
  assert.match(refused.json.error.message, /^The limit of this key is 2 calls at once/)
  open[0]?.abort.abort()
  await until('its place is free', async () => (await gateway.chat(CHAT, { key: project.secret })).status === 200)
  // One that fails, one that cannot be paid, and one whose model is unknown leave none behind either.
  for (let n = 0; n < 5; n += 1) {
    await gateway.chat({ ...CHAT, sim: { status: 500 } }, { key: project.secret })
    await gateway.chat({ ...CHAT, model: 'sim/nothing' }, { key: project.secret })
    await gateway.chat({ ...CHAT, sim: { status: 400 } }, { key: project.secret })
  }
  assert.equal((await gateway.chat(CHAT, { key: project.secret })).status, 200)
  open[1]?.abort.abort()
  await until('nothing is held', async () => (await gateway.running(project)).length === 0)
  const poor = await gateway.openProject(0n)
  await limitKey(poor.key.id, { concurrentCalls: 1 })
  for (let n = 0; n < 3; n += 1) assert.equal((await gateway.chat(CHAT, { key: poor.secret })).status, 402)
})

test('a person has one limit, whichever key calls; a project’s own replaces that of the settings', () =>
  inOneMinute(8_000, async () => {
    await put('/api/admin/settings', {
      values: { RATE_LIMIT_USER: { requestsPerMinute: 2 }, RATE_LIMIT_PROJECT: { requestsPerMinute: 1_000 } },
      reason: 'a test',
    })
    const person = await openPerson({ db: gateway.db, ...gateway.app }, `limited${randomUUID()}@example.com`, {
      nanos: ONE_USD,
    })
    const { secret } = await gateway.app.keys.create({ projectId: person.projectId, name: 'second' })
    await until('the setting is felt', async () => {
      const { headers } = await gateway.chat(CHAT, { key: person.secret })
      return headers['x-ratelimit-limit-requests'] === '2'
    })
    await gateway.chat(CHAT, { key: secret })
    const refused = await gateway.chat(CHAT, { key: secret })
    assert.equal(refused.status, 429)
    assert.match(refused.json.error.message, /^The limit of this account is 2 requests a minute/)
    const project = await gateway.openProject(ONE_USD)
    assert.equal((await gateway.chat(CHAT, { key: project.secret })).headers['x-ratelimit-limit-requests'], '1000')
    await limitProject(project.id, { requestsPerMinute: 7 })
    await until('its own limit is felt', async () => {
      const { headers } = await gateway.chat(CHAT, { key: project.secret })
      return headers['x-ratelimit-limit-requests'] === '7'
    })
    await put('/api/admin/settings', { values: { RATE_LIMIT_USER: null, RATE_LIMIT_PROJECT: null }, reason: 'a test' })
  }))

test('a shared store that is away or silent is never an outage: the gateway counts by itself, says so once, and comes back', () =>
  inOneMinute(8_000, async () => {
    let mode: 'good' | 'away' | 'silent' = 'good'
    const good = createMemoryLimits({ subjectsMax: 10 })
    const left: string[] = []
    const shared: LimitStore = {
      async enter(id, subjects) {
        if (mode === 'away') throw new Error('away')
        if (mode === 'silent') await delay(400)
        return good.enter(id, subjects)
      },
      async leave(id, subjects, tokens) {
        left.push(id)
        return good.leave(id, subjects, tokens)
      },
      refresh: good.refresh,
    }
    const events: string[] = []
    const limits = createRateLimits({
      settings: () =>
        createSettings(new Map([['RATE_LIMIT_KEY', { value: { requestsPerMinute: 2, concurrentCalls: 9 } }]])),
      local: createMemoryLimits({ subjectsMax: 10 }),
      shared: () => shared,
      sharedMsMax: 150,
      onAway: () => events.push('away'),
      onBack: () => events.push('back'),
      onRefused: () => events.push('refused'),
    })
    const person = {
      ...(await gateway.openProject(0n)).key,
      keyId: 'key_1',
      projectId: 'p',
      userId: null,
      personal: false,
    }
    const enter = (id: string) => limits.enter(id, person as never)
    await enter('a')
    mode = 'silent'
    const startedAt = performance.now()
    assert(await enter('b'))
    assert(performance.now() - startedAt < 10_000)
    // Left alone for a while: its limit is not asked about, and this gateway's own is kept.
    mode = 'away'
    assert(await enter('c'))
    await assert.rejects(async () => enter('d'), /2 requests a minute/)
    assert.deepEqual(events, ['away', 'refused'])
    await until('who was let in too late has left', () => left.includes('b'))
    mode = 'good'
    await until('it is asked again', async () => {
      await Promise.resolve(enter(`e${Math.random()}`)).catch(() => undefined)
      return events.includes('back')
    })
    await limits.close()
  }))
