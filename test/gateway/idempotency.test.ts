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

  test(`a ${kind} call that is done gives its answer again, and nothing is charged again`, async () => {
    const project = await gateway.openProject(ONE_USD)
    const first = await ask(project, 'b', { ...ASK, stream })
    assert.equal(first.status, 200)
    for (let n = 0; n < 3; n += 1) {
      const again = await ask(project, 'b', { ...ASK, stream })
      assert.equal(again.status, 200)
      assert.equal(again.text, first.text)
      assert.equal(again.headers['x-fluxgate-replayed'], 'true')
      for (const name of ['content-type', 'x-fluxgate-receipt', 'x-fluxgate-charged-nanousd'])
        assert.equal(again.headers[name], first.headers[name], name)
      assert.notEqual(again.headers['x-request-id'], first.headers['x-request-id'])
    }
    assert.equal(first.headers['x-fluxgate-replayed'], undefined)
    const [receipt] = await project.settled(1)
    assert(receipt !== undefined)
    assert.equal(gateway.seen(receipt).length, 1, 'the upstream was asked once')
  })

  test(`a ${kind} answer is kept so that only its caller can read it, and for a day`, async () => {
    const project = await gateway.openProject(ONE_USD)
    await gateway.db.query('delete from stored_outcome')
    await ask(project, 'k', { ...ASK, stream, messages: [{ role: 'user', content: 'a planted secret of the caller' }] })
    const { rows } = await gateway.db.query<{ sealed: Buffer; hours: number }>(
      'select sealed, extract(epoch from expires_at - now())::int / 3600 as hours from stored_outcome',
    )
    assert(rows.length > 0)
    for (const { sealed, hours } of rows) {
      assert(hours >= 23 && hours <= 24)
      assert(!sealed.includes('planted secret'))
    }
    await gateway.db.query("update stored_outcome set expires_at = now() - interval '1 second'")
    const again = await ask(project, 'k', {
      ...ASK,
      stream,
      messages: [{ role: 'user', content: 'a planted secret of the caller' }],
    })
    assert.equal(again.status, 409)
    assert.equal(again.json.error.code, 'idempotency_done')
    assert.equal(again.headers['x-should-retry'], 'false')
  })

  test(`a ${kind} answer that is too long to keep is named by its receipt`, async () => {
    const project = await gateway.openProject(ONE_USD)
    const long = {
      ...ASK,
      stream,
      sim: stream ? { tokens: 200_000, chunk_tokens: 50 } : { long_line_bytes: 1_100_000 },
    }
    const first = await ask(project, 'l', long)
    assert.equal(first.status, 200)
    assert(first.body.length > 1024 * 1024, `${first.body.length}`)
    const again = await ask(project, 'l', long)
    assert.equal(again.status, 409)
    assert.equal(again.json.error.code, 'idempotency_done')
    assert.equal(again.headers['x-fluxgate-receipt'], first.headers['x-fluxgate-receipt'])
  })
}

test('a client that left before the end gets no half answer again: its receipt is named', async () => {
  const project = await gateway.openProject(ONE_USD)
  const body = {
    ...ASK,
    stream: true,
    sim: { chunk_ms: 50 },
    messages: [{ role: 'user', content: 'word '.repeat(200) }],
  }
  const open = await gateway.open(body, { key: project.secret, headers: { 'idempotency-key': 'left' } })
  await open.until((text) => text.includes('word'))
  open.hangUp()
  const [receipt] = await project.settled(1)
  assert.equal(receipt?.outcome, 'client_abort')
  const again = await ask(project, 'left', body)
  assert.equal(again.status, 409)
  assert.equal(again.headers['x-fluxgate-receipt'], receipt?.receipt_id)
})

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
  const answered = replies.filter(({ status }) => status === 200)
  assert.equal(answered.filter(({ headers }) => headers['x-fluxgate-replayed'] === undefined).length, 1)
  assert.equal(new Set(answered.map(({ text }) => text)).size, 1)
  assert(replies.every(({ status }) => status === 200 || status === 409))
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

test('a call that ended void may be made again under its key; then it is done', async () => {
  const project = await gateway.openProject(ONE_USD)
  const flaky = { ...ASK, sim: { key: 'void, then served', fail_first: 2, status: 500 } }
  for (let n = 0; n < 2; n += 1) assert.equal((await ask(project, 'g', flaky)).status, 502)
  const served = await ask(project, 'g', flaky)
  assert.equal(served.status, 200)
  assert.equal((await ask(project, 'g', flaky)).text, served.text)
  const receipts = await project.settled(3)
  assert.deepEqual(receipts.map(({ outcome }) => outcome).toSorted(), ['complete', 'void', 'void'])
})

test('without a key every request is a call of its own', async () => {
  const project = await gateway.openProject(ONE_USD)
  for (let n = 0; n < 3; n += 1) assert.equal((await gateway.chat(ASK, { key: project.secret })).status, 200)
  await project.settled(3)
})
