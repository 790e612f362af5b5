import assert from 'node:assert/strict'
import { after, before, test } from 'node:test'
import { createBudgets } from '#domain/budgets/budgets.ts'
import { createTestGateway, ONE_USD, type TestGateway } from '#test/support/gateway.ts'

let gateway: TestGateway
before(async () => {
  gateway = await createTestGateway()
})
after(() => gateway.close())

const author = { actor: 'test' }
const CHAT = { model: 'sim/echo', messages: [{ role: 'user', content: 'hi' }], max_tokens: 10 }

async function open(budget: Record<string, unknown>) {
  const project = await gateway.openProject(ONE_USD)
  const { secret, projectId } = project as typeof project & { projectId: string }
  const id = projectId ?? (project as unknown as { id: string }).id
  const made = await createBudgets({ db: gateway.db }).create(
    id,
    { name: 'the budget', period: 'day', limitNanos: 0n, ...budget } as never,
    author,
  )
  return { secret, projectId: id, made }
}

test('a call that a budget does not allow is 402 in words, touches no upstream and takes no number', async () => {
  const { secret } = await open({ limitNanos: 0n })
  const { status, json, headers } = await gateway.chat(CHAT, { key: secret })
  assert.deepEqual(
    [status, json.error.code, json.error.type, headers['x-should-retry']],
    [402, 'budget_exceeded', 'insufficient_quota', 'false'],
  )
  assert.match(
    json.error.message,
    /^The budget 'the budget' does not allow this request, which needs at least \d+ nano-dollars\. Its period ends at \d{4}-/,
  )
  const messages = await gateway.chat(CHAT, { key: secret, path: '/v1/messages' })
  assert.deepEqual([messages.status, messages.json.type], [402, 'error'])
  const airi = await gateway.chat(CHAT, { key: secret, path: '/api/v1/openai/chat/completions' })
  assert.deepEqual([airi.status, airi.json.error], [402, 'PAYMENT_REQUIRED'])
  const receipts = await gateway.chat(undefined, { method: 'GET', path: '/v1/receipts', key: secret })
  assert.deepEqual(receipts.json.data, [])
})

test('budgets by alias and by tag limit the calls that carry them, and no others', async () => {
  const { secret, projectId } = await open({ name: 'alias', alias: 'mine', limitNanos: 0n })
  await createBudgets({ db: gateway.db }).create(
    projectId,
    { name: 'tag', period: 'total', limitNanos: 0n, tag: 'team-a' },
    author,
  )
  const call = async (headers: Record<string, string>) => (await gateway.chat(CHAT, { key: secret, headers })).status
  assert.equal(await call({}), 200)
  assert.equal(await call({ 'x-fluxgate-alias': 'other', 'x-fluxgate-tags': 'team-b' }), 200)
  assert.equal(await call({ 'x-fluxgate-alias': 'mine' }), 402)
  assert.equal(await call({ 'x-fluxgate-tags': 'team-b, team-a' }), 402)
  for (const tags of ['a,,b', 'ü', 'x'.repeat(65), '1,2,3,4,5,6,7,8,9', 'a b'])
    assert.equal(await call({ 'x-fluxgate-tags': tags }), 400, tags)
})

test('a stream that reaches the end of its budget ends cleanly, and the budget is spent to what was delivered', async () => {
  const { secret, projectId, made } = await open({ limitNanos: 15_000_000n, period: 'total' })
  const reply = await gateway.chat(
    { model: 'sim/large', stream: true, messages: CHAT.messages, sim: { tokens: 5_000 } },
    { key: secret },
  )
  assert.equal(reply.status, 200, reply.text.slice(0, 300))
  assert.match(reply.text, /insufficient_credits|budget|"finish_reason":"length"/)
  const { spentNanos, heldNanos, limitNanos } = await createBudgets({ db: gateway.db }).get(projectId, made.id)
  assert.equal(heldNanos, 0n)
  assert(spentNanos > 0n && spentNanos <= limitNanos, `${spentNanos}`)
  assert.equal((await gateway.chat({ ...CHAT, model: 'sim/large' }, { key: secret })).status, 402)
})

test('fifty calls at once spend no more than the budget', async () => {
  const { secret, projectId, made } = await open({ limitNanos: 500_000n, period: 'total' })
  const answers = await Promise.all(Array.from({ length: 50 }, () => gateway.chat(CHAT, { key: secret })))
  const counts = (status: number) => answers.filter((answer) => answer.status === status).length
  assert.equal(counts(200) + counts(402), 50)
  assert(counts(200) > 0)
  const { spentNanos, heldNanos, limitNanos } = await createBudgets({ db: gateway.db }).get(projectId, made.id)
  assert.equal(heldNanos, 0n)
  assert(spentNanos <= limitNanos)
})
