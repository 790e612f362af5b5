import assert from 'node:assert/strict'
import { execFileSync } from 'node:child_process'
import { randomUUID } from 'node:crypto'
import { after, before, test } from 'node:test'
import { createReceiptSigner } from '#adapters/receipt-signer.ts'
import { completePrice } from '#billing/price.ts'
import { pricedTarget } from '#domain/call-context.ts'
import { registerReceiptKey } from '#domain/receipt-keys.ts'
import { createTestApi, type TestApi } from '#test/support/http-api.ts'
import { llmringVerifies } from '#test/support/llmring-verifier.ts'
import { whyNoPython } from '#test/support/python.ts'
import { reportUsage } from '#test/support/reported-usage.ts'

// Receipts of calls through the door that clients of llmring use, and what an unmodified verifier of llmring makes of them.

let api: TestApi
before(async () => {
  api = await createTestApi()
})
after(() => api.close())

const RECEIPTS = '/api/v1/receipts'
const MODEL = `${RECEIPTS}/{receipt_id}`

const target = pricedTarget({
  provider: 'openai',
  model: 'gpt-4o-mini-2024-07-18',
  price: completePrice({ lines: { input: 150_000n, cache_read: 75_001n, output: 600_000n } }),
  book: `sha256:${'1'.repeat(64)}`,
})

/** A project with some receipts of calls: complete, void, cut short, and one whose cost has no parts. */
async function openCaller() {
  const project = await api.openProject(`caller ${randomUUID()}`, 1_000_000_000n)
  const context = { targets: [target], aliasName: 'résumé', profile: 'prod', lockDigest: 'sha256:abc' }
  const ids = [
    await api.till.charge(project, 1_000_000n, {
      context,
      end: { usage: { input: 600, cache_read: 400, output: 150, reasoning: 50 }, modelUsed: 'gpt-4o-mini' },
    }),
    await api.till.charge(project, 5_000n),
    await api.till.charge(project, 5_000n, {
      end: { outcome: 'void', usage: {}, usageSource: 'none', reason: 'status_500' },
    }),
    await api.till.charge(project, 1_000_000n, {
      context,
      end: { usage: { input: 1_000 }, chargeMax: 1n, outcome: 'client_abort' },
    }),
  ]
  const call = (line: string, body?: unknown) =>
    api.call(line, { key: project.secret, ...(body !== undefined && { body }) })
  return { ...project, ids, call }
}

const verify = async (body: unknown) => (await api.call(`POST ${RECEIPTS}/verify`, { key: null, body })).body
const publicKey = () => api.till.signer.publicKey.toString('base64url')

test('GET one 200: the receipt of a call in the profile of llmring, with its bundle', async () => {
  const project = await openCaller()
  const { status, body } = await project.call(`GET ${RECEIPTS}/rcp_${project.ids[0]}`)
  assert.equal(status, 200)
  const { signature, timestamp, v2, ...rest } = body
  assert.deepEqual(rest, {
    receipt_id: `rcp_${project.ids[0]}`,
    alias: 'résumé',
    profile: 'prod',
    lock_digest: 'sha256:abc',
    provider: 'openai',
    model: 'gpt-4o-mini',
    prompt_tokens: 1_000,
    completion_tokens: 200,
    total_tokens: 1_200,
    input_cost: 0.00012,
    output_cost: 0.000120001,
    total_cost: 0.000240001,
    key_id: api.till.signer.keyId,
    receipt_type: 'single',
    batch_summary: null,
    description: null,
    tags: null,
    source: 'gateway',
    project_key: project.projectId,
    alias_name: 'résumé',
    model_used: 'gpt-4o-mini',
    total_cost_nanousd: '240001',
    unpriced: 0,
    cost_split: true,
  })
  assert.equal(v2.receipt.receipt_id, body.receipt_id)
  const [seconds, ms] = [v2.receipt.issued_at.slice(0, 19), v2.receipt.issued_at.slice(20, 23)]
  assert.equal(timestamp, `${seconds}${ms === '000' ? '' : `.${ms}000`}+00:00`)
  assert(llmringVerifies(JSON.stringify(body), publicKey()))
  assert.equal((await verify(body)).valid, true)
  assert.equal((await project.call(`GET ${RECEIPTS}/req_${project.ids[0]}/`)).body.signature, signature)
})

test('a cost without parts is not split by guess, a void receipt costs nothing, a part of a charge has no parts', async () => {
  const project = await openCaller()
  const shown = await Promise.all(project.ids.map(async (id) => (await project.call(`GET ${RECEIPTS}/rcp_${id}`)).body))
  assert.deepEqual(
    shown.map((body) => [body.input_cost, body.output_cost, body.total_cost, body.cost_split]),
    [
      [0.00012, 0.000120001, 0.000240001, true],
      [0, 0, 0.000005, false],
      [0, 0, 0, true],
      [0, 0, 1e-9, false],
    ],
  )
  for (const body of shown) assert.equal((await verify(body)).valid, true)
})

/** Receipts of this server in every form that clients may hand on, altered ones too, and which of them are good. */
async function llmringCases(): Promise<{ cases: Record<string, unknown>[]; expected: boolean[] }> {
  const project = await openCaller()
  await reportUsage(api.database.db, project, [{ alias: 'ü', cost: 23_100n }, { cost: 1n }, { cost: null }])
  const [single] = (await project.call(`GET ${RECEIPTS}/uncertified`)).body.logs
  await project.call(`POST ${RECEIPTS}/generate`, { log_ids: [single.id] })
  await project.call(`POST ${RECEIPTS}/generate`, { since_last_receipt: true, description: 'rest' })
  const { body } = await project.call(`GET ${RECEIPTS}?limit=10`)
  assert.equal(body.receipts.length, 6)
  const cases = body.receipts.flatMap((receipt: Record<string, string>) => {
    const zulu = { ...receipt, timestamp: receipt.timestamp?.replace('+00:00', 'Z') }
    return [receipt, zulu, { ...receipt, total_cost: 99 }, { ...receipt, timestamp: '2026-01-01T00:00:00Z' }]
  })
  return { cases, expected: cases.map((_: unknown, index: number) => index % 4 < 2) }
}

test('an unmodified verifier of llmring accepts every receipt of this server, and nothing that was altered', async () => {
  const { cases, expected } = await llmringCases()
  assert.deepEqual(
    cases.map((receipt) => llmringVerifies(JSON.stringify(receipt), publicKey())),
    expected,
  )
  for (const [index, receipt] of cases.entries()) {
    const { valid, unsigned } = await verify(receipt)
    assert.equal(valid, expected[index])
    assert(unsigned.includes('receipt_type'), 'without its bundle, what stands beside the thirteen is not signed')
  }
})

test('a verifier of llmring in Python says the same', { skip: whyNoPython(11) }, async () => {
  const { cases, expected } = await llmringCases()
  const lines = cases.map((receipt) => JSON.stringify({ receipt: JSON.stringify(receipt), public_key: publicKey() }))
  const output = execFileSync('python3', ['test/llmring/verify_receipts.py'], {
    input: `${lines.join('\n')}\n`,
    encoding: 'utf8',
    timeout: 30_000,
  })
  assert.deepEqual(output.trim().split('\n'), expected.map(String))
})

test('verify 200: any way to write the same instant, text for numbers, members that nobody knows', async () => {
  const project = await openCaller()
  const { body } = await project.call(`GET ${RECEIPTS}/rcp_${project.ids[0]}`)
  const { v2, ...plain } = body
  const utc = Date.parse(plain.timestamp)
  const micros = plain.timestamp.slice(19, -6)
  const at = (minutes: number, zone: string) =>
    `${new Date(utc + minutes * 60_000).toISOString().slice(0, 19)}${micros}${zone}`
  const forms = [at(0, 'Z'), at(120, '+02:00'), at(-570, '-09:30'), at(0, '').replace('T', ' '), at(0, '+0000')]
  for (const timestamp of forms) {
    for (const receipt of [
      { ...plain, timestamp },
      { ...body, timestamp },
    ]) {
      const { valid, key_id } = await verify(receipt)
      assert.deepEqual([valid, key_id], [true, api.till.signer.keyId], timestamp)
    }
  }
  const asText = { ...plain, prompt_tokens: '1000', total_cost: '0.000240001', extra: { a: 1 } }
  assert.equal((await verify(asText)).valid, true)
  assert.equal((await verify({ ...plain, timestamp: at(60, 'Z') })).valid, false)
  assert.equal((await verify({ ...plain, signature: null })).valid, false)
  const { signature: _, ...unsigned } = plain
  assert.equal((await verify(unsigned)).valid, false)
  const verdict = await verify(v2)
  assert.deepEqual([verdict.receipt_id, verdict.valid, verdict.algorithm], [plain.receipt_id, true, 'Ed25519'])
  assert.deepEqual(
    verdict.steps.map(({ name, ok }: { name: string; ok: boolean }) => [name, ok]),
    ['format', 'path', 'signature', 'key', 'charge'].map((name) => [name, true]),
  )
  const wrong = await verify({ ...v2, receipt: { ...v2.receipt, charged_nanousd: '1' } })
  assert.equal(wrong.valid, false)
})

test('verify 422, 413: garbage is refused, and so is JSON that parsers read differently', async () => {
  const project = await openCaller()
  const { text } = await project.call(`GET ${RECEIPTS}/rcp_${project.ids[1]}`)
  const garbage = [
    {},
    [],
    '"x"',
    '{',
    { receipt_id: 'x' },
    { ...JSON.parse(text), prompt_tokens: 1.5 },
    { ...JSON.parse(text), total_cost: 'much' },
    text.replace('"total_cost"', '"total_cost":0,"total_cost"'),
    text.replace('{', '{"note":"\\ud800",'),
    text.replace(/"total_cost":[^,]+/, '"total_cost":1e999'),
  ]
  for (const body of garbage) {
    const answer = await api.call(`POST ${RECEIPTS}/verify`, { key: null, body })
    assert.equal(answer.status, 422, JSON.stringify(body))
    assert(Array.isArray(answer.body.detail))
  }
  const long = await api.call(`POST ${RECEIPTS}/verify`, { key: null, body: `{"a":"${'x'.repeat(1_048_576)}"}` })
  assert.equal(long.status, 413)
  for (const bundle of [
    { batch: 1 },
    { batch: {}, receipt: {} },
    { batch: null, document: [] },
    { batch: {}, entry: {} },
  ])
    assert.equal((await verify(bundle)).valid, false)
})

test('a receipt stays valid after its key was retired, in the profile and in the bundle; not when it was revoked', async () => {
  const project = await openCaller()
  const { body } = await project.call(`GET ${RECEIPTS}/rcp_${project.ids[0]}`)
  const { v2: _, ...plain } = body
  const { db } = api.database
  await registerReceiptKey(db, createReceiptSigner(Buffer.alloc(32, 9)))
  assert.deepEqual([(await verify(body)).valid, (await verify(plain)).valid], [true, true])
  await db.query('update receipt_key set revoked_at = now() where key_id = $1', [api.till.signer.keyId])
  const revoked = await verify(plain)
  assert.deepEqual([revoked.valid, revoked.key_id], [false, api.till.signer.keyId])
  assert.equal((await verify(body)).valid, false)
  await db.query('update receipt_key set revoked_at = null where key_id = $1', [api.till.signer.keyId])
  await registerReceiptKey(db, api.till.signer)
})

test('GET list 200: the newest first, of all kinds, page by page', async () => {
  const project = await openCaller()
  await reportUsage(api.database.db, project, [{}])
  const { body: made } = await project.call(`POST ${RECEIPTS}/generate`, { since_last_receipt: true })
  const { body } = await project.call(`GET ${RECEIPTS}/`)
  assert.deepEqual([body.total, body.limit, body.offset], [5, 100, 0])
  assert.deepEqual(
    body.receipts.map((receipt: { receipt_id: string }) => receipt.receipt_id),
    [made.receipt.receipt_id, ...project.ids.map((id) => `rcp_${id}`).toReversed()],
  )
  const { v2: _, ...first } = made.receipt
  assert.deepEqual(body.receipts[0], first)
  const { body: page } = await project.call(`GET ${RECEIPTS}?limit=2&offset=3`)
  assert.deepEqual([page.receipts.length, page.total, page.limit, page.offset], [2, 5, 2, 3])
  assert.deepEqual(page.receipts, body.receipts.slice(3))
  for (const query of ['limit=0', 'limit=1001', 'offset=-1', 'offset=100001', 'limit=x'])
    for (const path of ['', '/uncertified'])
      assert.equal((await project.call(`GET ${RECEIPTS}${path}?${query}`)).status, 422, query)
  assert.equal((await project.call(`GET ${RECEIPTS}/uncertified`)).status, 200)
})

test('GET logs 200: a receipt of a call is about itself', async () => {
  const project = await openCaller()
  const id = project.ids[0] ?? ''
  const { body } = await project.call(`GET ${RECEIPTS}/rcp_${id}/logs`)
  assert.equal(body.logs.length, 1)
  const { timestamp, created_at, ...log } = body.logs[0]
  assert.equal(timestamp, created_at)
  assert.deepEqual(log, {
    id: id.replace(/^(.{8})(.{4})(.{4})(.{4})/, '$1-$2-$3-$4-'),
    type: 'usage',
    alias: 'résumé',
    provider: 'openai',
    model: 'sim/till',
    input_tokens: 1_000,
    output_tokens: 200,
    cost: 0.000240001,
    cost_nanousd: '240001',
    cost_status: 'charged',
    source: 'gateway',
    alias_name: 'résumé',
    model_used: 'gpt-4o-mini',
    profile: 'prod',
    origin: null,
    id_at_origin: null,
    cached_input_tokens: 400,
    latency_ms: null,
    conversation_id: null,
    metadata: {},
    proof: null,
  })
  assert.deepEqual((await project.call(`GET ${RECEIPTS}/rcp_${id}/logs?offset=1`)).body.logs, [])
  assert.equal((await project.call(`GET ${RECEIPTS}/rcp_${id}/logs?limit=0`)).status, 422)
})

test('404: what is not there, and what belongs to another project', async () => {
  const project = await openCaller()
  const other = await openCaller()
  await reportUsage(api.database.db, other, [{}])
  const { body: made } = await other.call(`POST ${RECEIPTS}/generate`, { since_last_receipt: true })
  const [log] = made.receipt.v2.document.entries.log_ids
  for (const id of [`rcp_${other.ids[0]}`, made.receipt.receipt_id, 'rcpt_0000', `rcp_${'0'.repeat(32)}`, 'x']) {
    const one = await project.call(`GET ${RECEIPTS}/${id}`)
    assert.deepEqual([one.status, one.body], [404, { detail: 'Receipt not found', code: 'not_found' }])
    const logs = await project.call(`GET ${RECEIPTS}/${id}/logs`)
    assert.deepEqual([logs.status, logs.body.detail], [404, 'Receipt not found or access denied'])
    assert.equal((await project.call(`GET ${RECEIPTS}/${id}/entries/${log}`)).status, 404)
  }
  assert.equal((await other.call(`GET ${RECEIPTS}/${made.receipt.receipt_id}/entries/${randomUUID()}`)).status, 404)
  assert.equal((await other.call(`GET ${RECEIPTS}/${made.receipt.receipt_id}/entries/nothing`)).status, 404)
  for (const rest of ['', '/logs', `/entries/${log}`])
    assert.equal((await other.call(`GET ${RECEIPTS}/crt_%00${rest}`)).status, 404, rest)
})

test('410: nothing that a client sends is signed or stored', async () => {
  for (const line of [`POST ${RECEIPTS}`, `POST ${RECEIPTS}/`, `POST ${RECEIPTS}/issue`, `POST ${RECEIPTS}/issue/`]) {
    const { status, body } = await api.call(line, { key: null, body: { total_cost: -5 } })
    assert.deepEqual([status, body.code], [410, 'receipt_not_accepted'])
    assert.match(body.detail, /generate.*verify/)
  }
})

test('400, 401, 403, 503: who calls is checked on every route but verify', async () => {
  const project = await openCaller()
  const { secret: reader } = await api.deps.keys.create({ projectId: project.projectId, name: 'r', scopes: ['read'] })
  const { secret: caller } = await api.deps.keys.create({
    projectId: project.projectId,
    name: 'i',
    scopes: ['inference'],
  })
  const id = `rcp_${project.ids[0]}`
  const reads = ['', '/uncertified', `/${id}`, `/${id}/logs`, `/${id}/entries/${randomUUID()}`].map(
    (path) => `GET ${RECEIPTS}${path}`,
  )
  const lines: [string, unknown][] = [
    ...reads.map((line): [string, unknown] => [line, undefined]),
    [`POST ${RECEIPTS}/preview`, { since_last_receipt: true }],
    [`POST ${RECEIPTS}/generate`, { since_last_receipt: true }],
  ]
  for (const [line, sent] of lines) {
    const body = sent === undefined ? {} : { body: sent }
    const none = await api.call(line, { key: null, ...body })
    assert.deepEqual([none.status, none.body.detail], [401, 'X-API-Key header required'])
    const unknown = await api.call(line, { key: null, headers: { 'x-api-key': 'fg_nobody' }, ...body })
    assert.deepEqual([unknown.status, unknown.body.detail], [401, 'Invalid API key'])
    const spaces = await api.call(line, { key: null, headers: { 'x-api-key': 'a b' }, ...body })
    assert.equal(spaces.status, 400)
    assert.equal((await api.call(line, { key: caller, ...body })).status, 403)
    assert.equal((await api.call(line, { key: reader, ...body })).status === 403, line.endsWith('generate'))
    assert.equal((await api.callAway(line, { key: project.secret, ...body })).status, 503)
  }
  const { body } = await project.call(`GET ${RECEIPTS}/${id}`)
  assert.equal((await api.callAway(`POST ${RECEIPTS}/verify`, { key: null, body })).status, 503)
})

test('every documented status of these routes was met', () => {
  api.expectEveryStatus(
    `GET ${RECEIPTS}`,
    `POST ${RECEIPTS}/verify`,
    `POST ${RECEIPTS}`,
    `POST ${RECEIPTS}/issue`,
    `GET ${RECEIPTS}/uncertified`,
    `GET ${MODEL}`,
    `GET ${MODEL}/logs`,
    `GET ${MODEL}/logs`.replace(' ', ' '),
  )
})
