import assert from 'node:assert/strict'
import { once } from 'node:events'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { test } from 'node:test'
import { createPosthog } from '#adapters/posthog.ts'
import { Secret } from '#lib/secret.ts'
import { createTestGateway, ONE_USD, until } from '#test/support/gateway.ts'
import { openPerson } from '#test/support/people.ts'

interface Sent {
  event: string
  uuid: string
  timestamp: string
  properties: Record<string, unknown>
}

/** A PostHog that answers a status, or never. */
async function startPosthog(status: number | 'silence' = 200) {
  const batches: { api_key: string; batch: Sent[] }[] = []
  const texts: string[] = []
  const server = createServer(async (req, res) => {
    const chunks: Buffer[] = []
    for await (const chunk of req) chunks.push(chunk as Buffer)
    const text = Buffer.concat(chunks).toString()
    assert.equal(`${req.method} ${req.url}`, 'POST /batch/')
    texts.push(text)
    batches.push(JSON.parse(text))
    if (status !== 'silence') res.writeHead(status).end('{}')
  })
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  return {
    batches,
    texts,
    events: () => batches.flatMap(({ batch }) => batch),
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    async [Symbol.asyncDispose]() {
      server.closeAllConnections()
      server.close()
    },
  }
}

function sending(host: string, everyMs = 10) {
  const lost: [number, string][] = []
  const onLost = (events: number, why: string) => lost.push([events, why])
  return { lost, ...createPosthog({ apiKey: new Secret('phc_key'), host, everyMs, onLost }) }
}

test('events arrive in batches, once each, under the id of the person', async () => {
  await using posthog = await startPosthog()
  const sender = sending(posthog.url)
  for (let n = 0; n < 250; n += 1)
    sender.capture({
      event: 'llm_request_succeeded',
      userId: `usr_${n}`,
      properties: { n, distinct_id: 'somebody else' },
    })
  await until('all arrive', () => posthog.events().length === 250)
  await sender.close()
  assert.deepEqual(
    posthog.batches.map(({ api_key, batch }) => [api_key, batch.length]),
    [100, 100, 50].map((count) => ['phc_key', count]),
  )
  const events = posthog.events()
  assert.equal(new Set(events.map(({ uuid }) => uuid)).size, 250)
  assert.deepEqual(events[7]?.properties, { n: 7, distinct_id: 'usr_7', $geoip_disable: true })
  assert.deepEqual(sender.lost, [])
})

test('what finds no room is dropped and counted, and nobody waits', async () => {
  await using posthog = await startPosthog()
  const sender = sending(posthog.url, 60_000)
  for (let n = 0; n < 1_500; n += 1) sender.capture({ event: 'session_started', userId: 'usr_1' })
  await sender.close()
  assert.equal(posthog.events().length, 1_000)
  assert.deepEqual(sender.lost, [[500, 'too many events at once']])
})

test('a PostHog that is away or refuses loses events and nothing else', async () => {
  await using refusing = await startPosthog(500)
  for (const [host, why] of [
    [refusing.url, 'PostHog answered 500'],
    ['http://127.0.0.1:1', 'PostHog did not answer'],
  ] as const) {
    const sender = sending(host)
    sender.capture({ event: 'session_started', userId: 'usr_1' })
    await until('it is lost', () => sender.lost.length === 1)
    await sender.close()
    assert.deepEqual(sender.lost, [[1, why]])
  }
})

test('a silent PostHog keeps a stop for two seconds at most', async () => {
  await using posthog = await startPosthog('silence')
  const sender = sending(posthog.url)
  sender.capture({ event: 'session_started', userId: 'usr_1' })
  await until('it is being sent', () => posthog.batches.length === 1)
  sender.capture({ event: 'session_started', userId: 'usr_2' })
  const startedAt = performance.now()
  await sender.close()
  assert(performance.now() - startedAt < 3_000)
  sender.capture({ event: 'session_started', userId: 'usr_3' })
})

test("people's calls are told of, without a word of them; those of shared projects are not", async () => {
  await using posthog = await startPosthog()
  const gateway = await createTestGateway({ env: { POSTHOG_API_KEY: 'phc_key', POSTHOG_HOST: posthog.url } })
  try {
    const person = await openPerson({ db: gateway.db, ...gateway.app }, 'counted@example.com', { nanos: 10n * ONE_USD })
    const shared = await gateway.openProject(10n * ONE_USD)
    const body = { model: 'sim/echo', messages: [{ role: 'user', content: 'a deep secret' }] }
    assert.equal((await gateway.chat(body, { key: person.secret })).status, 200)
    assert.equal((await gateway.chat(body, { key: shared.secret })).status, 200)
    const failed = await gateway.chat({ ...body, sim: { status: 500 } }, { key: person.secret })
    assert.equal(failed.status, 502)
    await gateway.closeApp()
    const events = posthog.events().map(({ event, properties }) => [event, properties.distinct_id, properties.outcome])
    assert.deepEqual(events[0], ['llm_request_succeeded', person.userId, 'complete'])
    assert.deepEqual(events.slice(1), [['llm_request_failed', person.userId, 'void']])
    assert.equal(posthog.events()[0]?.properties.model, 'sim/echo')
    for (const text of posthog.texts) assert.doesNotMatch(text, /secret|counted@|A Person/)
  } finally {
    await gateway.close()
  }
})
