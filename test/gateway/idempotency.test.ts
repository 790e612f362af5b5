import assert from 'node:assert/strict'
import { after, before, test } from 'node:test'
import {
  createTestGateway,
  ONE_USD,
  type Reply,
  type TestGateway,
  type TestProject,
  until,
} from '#test/support/gateway.ts'

let gateway: TestGateway
before(async () => {
  gateway = await createTestGateway()
})
after(() => gateway.close())

const ASK = { model: 'sim/echo', messages: [{ role: 'user', content: 'once' }] }
const ask = (project: TestProject, key: string, body: object = ASK): Promise<Reply> =>
  gateway.chat(body, { key: project.secret, headers: { 'idempotency-key': key } })

for (const stream of [false, true]) {
  const kind = stream ? 'streamed' : 'whole'

  test(`while a ${kind} call runs, the same call again is told to wait`, async () => {
    const project = await gateway.openProject(ONE_USD)
    const body = { ...ASK, stream, sim: { first_byte_ms: 300 } }
    const first = ask(project, 'a', body)
    await until('the call runs', async () => (await gateway.running(project)).length === 1)
    const again = await ask(project, 'a', body)
    assert.equal(again.status, 409)
    assert.equal(again.json.error.code, 'idempotency_in_flight')
    assert.equal(again.headers['retry-after'], '1')
    assert.equal(again.headers['x-should-retry'], 'true')
    const answer = await first
    assert.equal(answer.status, 200)
    assert.equal(again.headers['x-fluxgate-receipt'], answer.headers['x-fluxgate-receipt'])
    await project.settled(1)
  })

  test(`a ${kind} call that is done is not made again: its receipt is named`, async () => {
    const project = await gateway.openProject(ONE_USD)
    const first = await ask(project, 'b', { ...ASK, stream })
    for (let n = 0; n < 3; n += 1) {
      const again = await ask(project, 'b', { ...ASK, stream })
      assert.equal(again.status, 409)
      assert.equal(again.json.error.code, 'idempotency_done')
      assert.equal(again.headers['x-should-retry'], 'false')
      assert.equal(again.headers['x-fluxgate-receipt'], first.headers['x-fluxgate-receipt'])
      assert.notEqual(again.headers['x-request-id'], first.headers['x-request-id'])
    }
    const [receipt] = await project.settled(1)
    assert(receipt !== undefined)
    assert.equal(gateway.seen(receipt).length, 1, 'the upstream was asked once')
  })
}

test('the same key with another body is refused, while it runs and when it is done', async () => {
  const project = await gateway.openProject(ONE_USD)
  const first = ask(project, 'c', { ...ASK, sim: { first_byte_ms: 300 } })
  await until('the call runs', async () => (await gateway.running(project)).length === 1)
  for (const moment of ['running', 'done']) {
    const other = await ask(project, 'c')
    assert.equal(other.status, 409, moment)
    assert.equal(other.json.error.code, 'idempotency_mismatch')
    assert.equal(other.json.error.param, 'Idempotency-Key')
    assert.equal(other.headers['x-should-retry'], 'false')
    await first
  }
  await project.settled(1)
})

test('fifty at once with one key are one call and one charge', async () => {
  const project = await gateway.openProject(ONE_USD)
  const replies = await Promise.all(Array.from({ length: 50 }, () => ask(project, 'd')))
  const statuses = Map.groupBy(replies, ({ status }) => status)
  assert.equal(statuses.get(200)?.length, 1)
  assert.equal(statuses.get(409)?.length, 49)
  assert.equal(new Set(replies.map(({ headers }) => headers['x-fluxgate-receipt'])).size, 1)
  const [receipt] = await project.settled(1)
  assert(receipt !== undefined)
  assert.equal(gateway.seen(receipt).length, 1)
})

test('keys of different projects do not meet', async () => {
  const projects = [await gateway.openProject(ONE_USD), await gateway.openProject(ONE_USD)]
  for (const project of projects) assert.equal((await ask(project, 'e')).status, 200)
  for (const project of projects) await project.settled(1)
})

test('a call that was refused before anything was held may come again under its key', async () => {
  const project = await gateway.openProject(0n)
  assert.equal((await ask(project, 'f')).status, 402)
  await gateway.app.grants.grant({
    projectId: project.id,
    amountNanos: ONE_USD,
    reason: 'a top-up',
    actor: 'test',
    idempotencyKey: 'top-up',
  })
  assert.equal((await ask(project, 'f')).status, 200)
})

test('a call that ended void stays void under its key', async () => {
  const project = await gateway.openProject(ONE_USD)
  const failed = await ask(project, 'g', { ...ASK, sim: { status: 500 } })
  assert.equal(failed.status, 502)
  const again = await ask(project, 'g', { ...ASK, sim: { status: 500 } })
  assert.equal(again.status, 409)
  assert.equal(again.json.error.code, 'idempotency_done')
  assert.doesNotMatch(again.json.error.message, /charged|answered/, 'it was neither')
  const [receipt] = await project.settled(1)
  assert.equal(receipt?.outcome, 'void')
})

test('without a key every request is a call of its own', async () => {
  const project = await gateway.openProject(ONE_USD)
  for (let n = 0; n < 3; n += 1) assert.equal((await gateway.chat(ASK, { key: project.secret })).status, 200)
  await project.settled(3)
})
