import assert from 'node:assert/strict'
import { randomUUID } from 'node:crypto'
import { after, before, test } from 'node:test'
import fc from 'fast-check'
import { IDS_LISTED_MAX } from '#billing/certificate.ts'
import { verifyDocumentBundle } from '#billing/verify-document.ts'
import { publicReceiptKeys } from '#domain/receipt-keys.ts'
import { createTestApi, type TestApi } from '#test/support/http-api.ts'
import { type ReportedCall, reportUsage } from '#test/support/reported-usage.ts'

// Certificates of reported usage, through the door that clients of llmring use.

let api: TestApi
before(async () => {
  api = await createTestApi()
})
after(() => api.close())

const RECEIPTS = '/api/v1/receipts'

async function openProject(calls: readonly ReportedCall[] = []) {
  const project = await api.openProject(`p ${randomUUID()}`)
  const ids = await reportUsage(api.database.db, project, calls)
  const call = (line: string, body?: unknown, headers: Record<string, string> = {}) =>
    api.call(line, { key: project.secret, headers, ...(body !== undefined && { body }) })
  return {
    ...project,
    ids,
    call,
    generate: (body: unknown, headers = {}) => call(`POST ${RECEIPTS}/generate`, body, headers),
  }
}

// biome-ignore lint/suspicious/noExplicitAny: tests look into foreign JSON.
const verify = async (body: any) => (await api.call(`POST ${RECEIPTS}/verify`, { key: null, body })).body

async function keys() {
  return publicReceiptKeys(api.database.db)
}

test('generate 200: one log becomes a single receipt with the members of llmring, and its bundle verifies', async () => {
  const project = await openProject([
    { alias: 'fast', profile: 'prod', inputTokens: 1_000, cachedInputTokens: 400, outputTokens: 200, cost: 240_000n },
  ])
  const [id] = project.ids
  const { status, body } = await project.generate({ log_ids: [id], description: 'März', tags: ['a', 'b'] })
  assert.equal(status, 200)
  assert.equal(body.certified_count, 1)
  const { receipt_id, timestamp, signature, v2, key_id, ...shown } = body.receipt
  assert.match(receipt_id, /^crt_[0-9a-f]{32}$/)
  assert.match(timestamp, /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d{3}000)?\+00:00$/)
  assert.match(signature, /^ed25519:[A-Za-z0-9_-]{86}$/)
  assert.equal(key_id, api.till.signer.keyId)
  assert.deepEqual(shown, {
    alias: 'fast',
    profile: 'prod',
    lock_digest: '',
    provider: 'openai',
    model: 'gpt-4o-mini',
    prompt_tokens: 1_000,
    completion_tokens: 200,
    total_tokens: 1_200,
    input_cost: 0,
    output_cost: 0,
    total_cost: 0.00024,
    receipt_type: 'single',
    batch_summary: null,
    description: 'März',
    tags: ['a', 'b'],
    source: 'reported',
    project_key: project.projectId,
    alias_name: 'fast',
    model_used: 'gpt-4o-mini',
    total_cost_nanousd: '240000',
    unpriced: 0,
    cost_split: false,
  })
  assert((await verifyDocumentBundle(v2, await keys())).ok)
  assert.equal(v2.document.account, project.account)
  assert.equal(v2.document.key_id, project.keyId)
  assert.deepEqual(v2.document.selection, { mode: 'log_ids' })
  assert.deepEqual(v2.document.entries.log_ids, [id])
  assert.deepEqual((await project.call(`GET ${RECEIPTS}/${receipt_id}`)).body, body.receipt)
})

test('generate 200: several logs become a batch whose summary is signed', async () => {
  const conversation = randomUUID()
  const project = await openProject([
    { occurredAt: '2026-11-02T00:00:00Z', alias: 'fast', model: 'a', cost: 100n, conversationId: conversation },
    { occurredAt: '2026-11-01T00:00:00.5Z', model: 'b', provider: 'anthropic', cost: null },
    { occurredAt: '2026-11-03T00:00:00.000001Z', alias: 'fast', model: 'a', cost: 7n },
  ])
  const { body } = await project.generate({ since_last_receipt: true })
  const { receipt } = body
  assert.equal(body.certified_count, 3)
  assert.deepEqual(
    [receipt.model, receipt.provider, receipt.alias, receipt.input_cost, receipt.total_cost, receipt.unpriced],
    ['batch:3 calls', 'multiple', 'default', 0, 1.07e-7, 1],
  )
  const [first, second, third] = project.ids
  assert.deepEqual(receipt.batch_summary, {
    total_conversations: 1,
    total_calls: 3,
    total_tokens: 3_600,
    total_cost: 1.07e-7,
    start_date: '2026-11-01T00:00:00.500000+00:00',
    end_date: '2026-11-03T00:00:00.000001+00:00',
    by_model: { a: { calls: 2, cost: 1.07e-7, tokens: 2_400 }, b: { calls: 1, cost: 0, tokens: 1_200 } },
    by_alias: { fast: { calls: 2, cost: 1.07e-7, tokens: 2_400 } },
    conversation_ids: [conversation],
    log_ids: [second, first, third],
  })
  assert.deepEqual(receipt.v2.document.selection, { mode: 'since_last_receipt', more: false })
  assert.equal((await verify(receipt)).valid, true)
  assert.deepEqual((await project.call(`GET ${RECEIPTS}/uncertified`)).body, {
    logs: [],
    total: 0,
    limit: 100,
    offset: 0,
  })
})

test('generate: the first way to choose counts, ranges include days and exclude instants', async () => {
  const conversation = randomUUID()
  const project = await openProject([
    { occurredAt: '2026-11-01T23:59:59.999999Z' },
    { occurredAt: '2026-11-02T00:00:00Z', conversationId: conversation },
    { occurredAt: '2026-11-03T00:00:00Z' },
  ])
  const [first, second, third] = project.ids
  const ranges: [object, (string | undefined)[]][] = [
    [{ start_date: '2026-11-01', end_date: '2026-11-01' }, [first]],
    [{ start_date: '2026-11-01', end_date: '2026-11-02' }, [first, second]],
    [{ start_date: '2026-11-02T00:00:00Z', end_date: '2026-11-03T00:00:00' }, [second]],
    [{ start_date: '2026-11-03T01:00:00+01:00', end_date: '2026-11-03' }, [third]],
    [{ start_date: '2026-11-01', end_date: '2026-11-09', log_ids: [third] }, [first, second, third]],
    [{ conversation_id: conversation, start_date: '2026-11-01', end_date: '2026-11-09' }, [second]],
    [{ conversation_id: conversation.toUpperCase() }, [second]],
    [{ start_date: '2026-11-01', log_ids: [third, third], since_last_receipt: true }, [third]],
    [{ log_ids: [], since_last_receipt: 'true' }, [first, second, third]],
  ]
  for (const [body, expected] of ranges) {
    const preview = await project.call(`POST ${RECEIPTS}/preview`, body)
    assert.deepEqual([preview.status, preview.body.total_logs], [200, expected.length], JSON.stringify(body))
  }
  const day = await project.generate({ start_date: '2026-11-02', end_date: '2026-11-02' })
  assert.deepEqual(day.body.receipt.v2.document.entries.log_ids, [second])
  assert.deepEqual(day.body.receipt.v2.document.selection, {
    mode: 'range',
    start: '2026-11-02T00:00:00.000Z',
    end: '2026-11-03T00:00:00.000Z',
    certified_before: false,
  })
  const all = await project.generate({ start_date: '2026-11-01', end_date: '2026-11-09' })
  assert.deepEqual(all.body.receipt.v2.document.entries.log_ids, [first, third])
  assert.equal(all.body.receipt.v2.document.selection.certified_before, true)
})

test('generate 400, 409, 422: what cannot be certified says why', async () => {
  const project = await openProject([{}, {}])
  const other = await openProject([{}])
  const [mine, certified] = project.ids
  const { body: made } = await project.generate({ log_ids: [certified] })
  const missing = 'Must specify one of: conversation_id, date range, log_ids, or since_last_receipt'
  const none = 'No logs found matching the criteria'
  const unknown = randomUUID()
  const rows: [unknown, number, string, string | RegExp][] = [
    [{}, 400, 'selection_missing', missing],
    [{ start_date: '2026-01-01', since_last_receipt: false }, 400, 'selection_missing', missing],
    [{ conversation_id: unknown }, 400, 'logs_not_found', none],
    [{ log_ids: [unknown] }, 400, 'logs_not_found', none],
    [{ log_ids: other.ids }, 400, 'logs_not_found', none],
    [{ start_date: '1999-01-01', end_date: '1999-01-02' }, 400, 'logs_not_found', none],
    [{ log_ids: [mine, unknown] }, 400, 'logs_not_found', `No such log: ${unknown}`],
    [
      { log_ids: [mine, certified] },
      409,
      'log_already_certified',
      `A log is certified once: ${certified} by ${made.receipt.receipt_id}`,
    ],
  ]
  for (const [body, status, code, detail] of rows) {
    const answer = await project.generate(body)
    assert.deepEqual([answer.status, answer.body], [status, { detail, code }])
  }
  const invalid: unknown[] = [
    { conversation_id: 'no uuid' },
    { log_ids: ['x'] },
    { log_ids: 'x' },
    { start_date: 'yesterday', end_date: '2026-01-01' },
    { start_date: '2026-02-30', end_date: '2026-03-01' },
    { start_date: '2026-03-02', end_date: '2026-03-01' },
    { start_date: 5, end_date: 6 },
    { since_last_receipt: 'perhaps' },
    { since_last_receipt: true, description: 'x'.repeat(2_001) },
    { since_last_receipt: true, description: 'a\0b' },
    { since_last_receipt: true, tags: [''] },
    { since_last_receipt: true, tags: Array.from({ length: 33 }, () => 'x') },
    { since_last_receipt: true, tags: ['\ud800'] },
    [],
    '"text"',
  ]
  for (const body of invalid) {
    const { status, body: answer } = await project.generate(body)
    assert.deepEqual([status, answer.code], [422, 'body_invalid'], JSON.stringify(body))
    assert(Array.isArray(answer.detail))
  }
  assert.equal((await project.generate('{"a":')).status, 422)
  assert.equal((await project.call(`GET ${RECEIPTS}/uncertified`)).body.total, 1, 'nothing was certified by a refusal')
})

test('generate 409: a call through the gateway has its receipt, which is named', async () => {
  const project = await api.openProject('with calls', 1_000_000n)
  const requestId = await api.till.charge(project, 5_000n)
  const id = requestId.replace(/^(.{8})(.{4})(.{4})(.{4})/, '$1-$2-$3-$4-')
  const call = { key: project.secret, body: { log_ids: [id] } }
  for (const line of [`POST ${RECEIPTS}/generate`, `POST ${RECEIPTS}/preview`]) {
    const { status, body } = await api.call(line, call)
    assert.deepEqual(
      [status, body],
      [
        409,
        { detail: `A call through the gateway has its receipt: ${id} by rcp_${requestId}`, code: 'log_has_receipt' },
      ],
    )
  }
  const uncertified = await api.call(`GET ${RECEIPTS}/uncertified`, { key: project.secret })
  assert.equal(uncertified.body.total, 0)
})

test('an idempotency key finds its certificate again, and refuses another request', async () => {
  const project = await openProject([{}, {}, {}])
  const [first, second] = project.ids
  const headers = { 'idempotency-key': 'k1' }
  const one = await project.generate({ log_ids: [first], tags: ['x'] }, headers)
  const again = await project.generate({ tags: ['x'], log_ids: [first, first] }, headers)
  assert.deepEqual(again.body, one.body)
  const other = await project.generate({ log_ids: [second], tags: ['x'] }, headers)
  assert.deepEqual([other.status, other.body.code], [409, 'idempotency_mismatch'])
  const many = await Promise.all(
    Array.from({ length: 8 }, () => project.generate({ since_last_receipt: true }, { 'idempotency-key': 'k2' })),
  )
  assert.equal(new Set(many.map(({ body }) => body.receipt.receipt_id)).size, 1)
  const bad = await project.generate({ since_last_receipt: true }, { 'idempotency-key': 'ü' })
  assert.deepEqual([bad.status, bad.body.code], [400, 'idempotency_key_invalid'])
})

test('concurrent calls over overlapping selections certify each log once', async () => {
  const project = await openProject(
    Array.from({ length: 60 }, (_, index) => ({ occurredAt: `2026-11-01T00:00:${String(index).padStart(2, '0')}Z` })),
  )
  const selections = [
    { since_last_receipt: true },
    { start_date: '2026-11-01T00:00:10Z', end_date: '2026-11-01T00:00:40Z' },
    { start_date: '2026-11-01T00:00:30Z', end_date: '2026-11-01T00:00:50Z' },
    { log_ids: project.ids.slice(5, 15) },
    { log_ids: project.ids.slice(10, 45) },
    { log_ids: [project.ids[59]] },
  ]
  const answers = await Promise.all(
    [...selections, ...selections.toReversed(), ...selections].map((body) => project.generate(body)),
  )
  const certified = answers.flatMap(({ status, body }) =>
    status === 200 ? body.receipt.v2.document.entries.log_ids : [],
  )
  for (const { status } of answers) assert([200, 400, 409].includes(status), `${status}`)
  assert.equal(new Set(certified).size, certified.length, 'no log stands on two certificates')
  assert.deepEqual(certified.toSorted(), project.ids.toSorted(), 'since_last_receipt took what was left')
  const { rows } = await api.database.db.query(
    'select count(*) as n from certified_log c join reported_log r on r.id = c.log_id where r.project_id = $1',
    [project.projectId],
  )
  assert.equal(rows[0].n, 60n)
})

test('a failure leaves nothing behind', async () => {
  const project = await openProject([{}, {}])
  const { db } = api.database
  await db.query(
    `create function fail_certify() returns trigger language plpgsql as $$ begin raise exception 'on purpose'; end $$`,
  )
  await db.query('create trigger fail before insert on certified_log for each row execute function fail_certify()')
  const count = async () =>
    (
      await db.query(
        'select (select count(*) from signed_document) as d, (select count(*) from receipt_batch) as b, (select count(*) from certificate) as c',
      )
    ).rows
  const before = await count()
  const { statusCode: status } = await api.app.inject({
    method: 'POST',
    url: `${RECEIPTS}/generate`,
    headers: { 'x-api-key': project.secret, 'idempotency-key': 'f' },
    payload: { since_last_receipt: true },
  })
  await db.query('drop trigger fail on certified_log')
  await db.query('drop function fail_certify')
  assert.equal(status, 500)
  assert.deepEqual(await count(), before)
  const { body } = await project.generate({ since_last_receipt: true }, { 'idempotency-key': 'f' })
  assert.equal(body.certified_count, 2)
})

test('the parts of a cost are signed where the price book of today set it, for reports as clients send them', async () => {
  const project = await openProject()
  const report = {
    model: 'gpt-4o-mini',
    provider: 'openai',
    input_tokens: 1_001,
    output_tokens: 201,
    cached_input_tokens: 400,
  }
  for (const _ of [1, 2]) {
    const { status, body } = await project.call('POST /api/v1/log', { ...report, alias: 'summarizer', cost: 0.5 })
    assert.equal(status, 200, JSON.stringify(body))
  }
  const { body } = await project.generate({ since_last_receipt: true })
  const { receipt } = body
  const { totals } = receipt.v2.document
  assert.equal(BigInt(totals.input_cost_nanousd) + BigInt(totals.output_cost_nanousd), BigInt(totals.cost_nanousd))
  assert.deepEqual([receipt.cost_split, receipt.alias], [true, 'summarizer'])
  assert(receipt.input_cost > 0 && receipt.output_cost > 0)
  const { body: logs } = await project.call(`GET ${RECEIPTS}/${receipt.receipt_id}/logs`)
  assert.equal(logs.logs[0].proof.entry.reported_cost, '0.5')
  assert.equal((await verify(receipt)).valid, true)
})

test('preview 200: the figures of a certificate, without making one', async () => {
  const project = await openProject([
    { occurredAt: '2026-11-01T00:00:00Z', alias: 'fast', cost: 270_000n },
    { occurredAt: '2026-11-02T00:00:00Z', cost: null },
  ])
  const { body } = await project.call(`POST ${RECEIPTS}/preview`, { since_last_receipt: true })
  assert.deepEqual(body, {
    total_logs: 2,
    total_conversations: 0,
    total_tokens: 2_400,
    total_cost: 0.00027,
    start_date: '2026-11-01T00:00:00+00:00',
    end_date: '2026-11-02T00:00:00+00:00',
    by_model: { 'gpt-4o-mini': { calls: 2, cost: 0.00027, tokens: 2_400 } },
    by_alias: { fast: { calls: 1, cost: 0.00027, tokens: 1_200 } },
    receipt_type: 'batch',
    total_cost_nanousd: '270000',
    unpriced: 1,
  })
  const empty = await project.call(`POST ${RECEIPTS}/preview`, { conversation_id: randomUUID() })
  assert.deepEqual(empty.body, {
    total_logs: 0,
    total_cost: 0,
    total_tokens: 0,
    message: 'No logs found matching the criteria',
  })
  assert.equal((await project.call(`POST ${RECEIPTS}/preview`, {})).status, 400)
  assert.equal((await project.call(`POST ${RECEIPTS}/preview`, { log_ids: 5 })).status, 422)
  assert.equal((await project.call(`GET ${RECEIPTS}/uncertified`)).body.total, 2)
})

test('uncertified 200: the newest first, page by page, whatever was certified in between', async () => {
  const project = await openProject(
    Array.from({ length: 9 }, (_, index) => ({
      occurredAt: `2026-11-0${index + 1}T00:00:00Z`,
      cost: index === 8 ? null : 1n,
    })),
  )
  await project.generate({ log_ids: [project.ids[7], project.ids[2]] })
  const { body } = await project.call(`GET ${RECEIPTS}/uncertified?limit=3&offset=`)
  assert.equal(body.total, 7)
  assert.deepEqual(body.logs[0], {
    id: project.ids[8],
    type: 'usage',
    alias: null,
    provider: 'openai',
    model: 'gpt-4o-mini',
    input_tokens: 1_000,
    output_tokens: 200,
    cost: null,
    cost_nanousd: null,
    cost_status: 'unpriced',
    timestamp: '2026-11-09T00:00:00+00:00',
  })
  const pages = []
  for (const offset of [0, 3, 6, 9]) {
    const page = await project.call(`GET ${RECEIPTS}/uncertified?limit=3&offset=${offset}`)
    pages.push(...page.body.logs.map((log: { id: string }) => log.id))
  }
  assert.deepEqual(
    pages,
    [8, 6, 5, 4, 3, 1, 0].map((index) => project.ids[index]),
  )
})

test('logs and entries 200: every log of a certificate has its own short proof', async () => {
  const project = await openProject([
    {
      alias: 'ü',
      origin: 'o',
      idAtOrigin: 'i',
      latencyMs: 12,
      reportedCost: '0.00024000',
      metadata: '{"k": 1.50}',
      cachedInputTokens: 400,
    },
    ...Array.from({ length: 6 }, () => ({})),
  ])
  const { body: made } = await project.generate({ since_last_receipt: true })
  const id = made.receipt.receipt_id
  const { body } = await project.call(`GET ${RECEIPTS}/${id}/logs?limit=1000`)
  assert.deepEqual([body.receipt_id, body.total, body.limit, body.offset, body.logs.length], [id, 7, 1_000, 0, 7])
  const log = body.logs.find((row: { id: string }) => row.id === project.ids[0])
  const { proof, ...row } = log
  assert.deepEqual(row, {
    id: project.ids[0],
    type: 'usage',
    alias: 'ü',
    provider: 'openai',
    model: 'gpt-4o-mini',
    input_tokens: 1_000,
    output_tokens: 200,
    cost: 0.00027,
    cost_nanousd: '270000',
    cost_status: 'priced',
    timestamp: '2026-11-22T10:00:00.123456+00:00',
    source: 'reported',
    alias_name: 'ü',
    model_used: 'gpt-4o-mini',
    profile: 'default',
    origin: 'o',
    id_at_origin: 'i',
    cached_input_tokens: 400,
    latency_ms: 12,
    conversation_id: null,
    metadata: { k: 1.5 },
    created_at: '2026-11-22T10:00:01+00:00',
  })
  assert.equal(proof.entry.reported_cost, '0.00024')
  assert.deepEqual(proof.entry.usage, { cache_read: 400, input: 600, output: 200 })
  for (const listed of body.logs) {
    const { body: bundle } = await project.call(`GET ${RECEIPTS}/${id}/entries/${listed.id}`)
    assert.deepEqual(bundle.entry, listed.proof.entry)
    assert.deepEqual(bundle.inclusion, listed.proof.inclusion)
    const verdict = await verify(bundle)
    assert.equal(verdict.valid, true, JSON.stringify(verdict))
    assert.equal(verdict.steps.at(-1).name, 'entry')
  }
  const { body: page } = await project.call(`GET ${RECEIPTS}/${id}/logs?limit=2&offset=5`)
  assert.deepEqual(
    page.logs.map((one: { proof: { inclusion: { pos: number } } }) => one.proof.inclusion.pos),
    [5, 6],
  )
})

test('an entry with anything altered, in another place or of another certificate does not verify', async () => {
  const project = await openProject([{ alias: 'a', metadata: '{"a":1}' }, {}, {}])
  const { body: made } = await project.generate({ log_ids: project.ids.slice(0, 2) })
  const { body: rest } = await project.generate({ log_ids: [project.ids[2]] })
  const { body: bundle } = await project.call(`GET ${RECEIPTS}/${made.receipt.receipt_id}/entries/${project.ids[0]}`)
  assert.equal((await verify(bundle)).valid, true)
  for (const [name, value] of Object.entries(bundle.entry)) {
    const altered = {
      ...bundle.entry,
      [name]: typeof value === 'number' ? value + 1 : typeof value === 'string' ? `${value}1` : {},
    }
    assert.equal((await verify({ ...bundle, entry: altered })).valid, false, name)
    const { [name]: _, ...without } = bundle.entry
    assert.equal((await verify({ ...bundle, entry: without })).valid, false, `without ${name}`)
  }
  const { inclusion } = bundle
  const broken = [
    { ...bundle, metadata: '{"a":2}' },
    { ...bundle, metadata: '{}' },
    { ...bundle, inclusion: { ...inclusion, pos: 1 - inclusion.pos } },
    { ...bundle, inclusion: { ...inclusion, path: [] } },
    { ...bundle, inclusion: { ...inclusion, path: [...inclusion.path, ...inclusion.path] } },
    { ...bundle, inclusion: { ...inclusion, more: 1 } },
    { ...bundle, inclusion: null },
    { ...bundle, document: rest.receipt.v2.document, batch: rest.receipt.v2.batch },
    { ...bundle, entry: 5 },
  ]
  for (const one of broken) assert.equal((await verify(one)).valid, false, JSON.stringify(one).slice(0, 200))
})

test('nothing that is displayed is unsigned: whatever is altered, the receipt does not verify', async () => {
  const project = await openProject([
    { alias: 'a', conversationId: randomUUID() },
    { alias: 'b', model: 'x', cost: null },
  ])
  const { body } = await project.generate({ since_last_receipt: true, description: 'd', tags: ['t'] })
  const { receipt } = body
  assert.deepEqual(await verify(receipt), {
    receipt_id: receipt.receipt_id,
    valid: true,
    algorithm: 'Ed25519',
    key_id: receipt.key_id,
    steps: (await verify(receipt)).steps,
    unsigned: [],
  })
  let flipped = 0
  for (const path of leavesOf(receipt)) {
    const altered = structuredClone(receipt)
    flip(altered, path)
    const verdict = await verify(altered)
    assert.notEqual(verdict.valid, true, path.join('.'))
    flipped += 1
  }
  assert(flipped > 100, `${flipped} members`)
  const added = await verify({ ...receipt, note: 'paid' })
  assert.deepEqual([added.valid, added.unsigned], [true, ['note']])
})

function leavesOf(value: unknown, at: (string | number)[] = []): (string | number)[][] {
  if (typeof value !== 'object' || value === null) return [at]
  const entries = Array.isArray(value) ? [...value.entries()] : Object.entries(value)
  return entries.flatMap(([name, inner]) => leavesOf(inner, [...at, name]))
}

// biome-ignore lint/suspicious/noExplicitAny: any member of foreign JSON.
function flip(root: any, path: (string | number)[]): void {
  const last = path.at(-1) as string
  const parent = path.slice(0, -1).reduce((inner, name) => inner[name], root)
  const value = parent[last]
  if (typeof value === 'number') parent[last] = value + 1
  else if (typeof value === 'boolean') parent[last] = !value
  else if (value === null) parent[last] = 'x'
  else {
    const at = Math.floor(value.length / 2)
    parent[last] = value.slice(0, at) + (value[at] === '0' ? '1' : '0') + value.slice(at + 1)
  }
}

test('any selection: the sums of the certificate are the sums over its entries', async () => {
  const project = await openProject()
  const models = fc.constantFrom('a', 'b', '__proto__')
  await fc.assert(
    fc.asyncProperty(
      fc.array(
        fc.record({
          model: models,
          alias: fc.option(models),
          inputTokens: fc.nat(10_000),
          outputTokens: fc.nat(10_000),
          cost: fc.option(fc.bigInt(0n, 10n ** 12n)),
        }),
        { minLength: 1, maxLength: 12 },
      ),
      fc.nat(),
      async (calls, pick) => {
        const ids = await reportUsage(api.database.db, project, calls)
        const chosen = ids.filter((_, index) => index === pick % ids.length || (pick >> index) % 2 === 1)
        const { body } = await project.generate({ log_ids: chosen })
        const { totals, entries, by_model, by_alias } = body.receipt.v2.document
        const { body: logs } = await project.call(`GET ${RECEIPTS}/${body.receipt.receipt_id}/logs?limit=1000`)
        const leaves = logs.logs.map((log: { proof: { entry: unknown } }) => log.proof.entry)
        assert.deepEqual(
          leaves.map((entry: { log_id: string }) => entry.log_id),
          entries.log_ids,
        )
        assert.deepEqual(entries.log_ids.toSorted(), chosen.toSorted())
        const sum = (name: string) =>
          leaves.reduce((total: bigint, entry: Record<string, string>) => total + BigInt(entry[name] ?? 0), 0n)
        for (const groups of [[totals], by_model.groups, by_alias.groups]) {
          for (const name of ['input_tokens', 'output_tokens', 'cost_nanousd']) {
            const shown = groups.reduce(
              (total: bigint, group: Record<string, string>) => total + BigInt(group[name] ?? 0),
              0n,
            )
            assert.equal(shown, sum(name), name)
          }
        }
        assert.equal((await verify(body.receipt)).valid, true)
      },
    ),
    { numRuns: 15 },
  )
})

test('a certificate of thousands lists no ids, and each of its logs still has a path of few hashes', async () => {
  const project = await openProject()
  const ids = await reportUsage(
    api.database.db,
    project,
    Array.from({ length: 10_001 }, () => ({})),
  )
  const tooMany = await project.generate({ start_date: '2026-11-01', end_date: '2026-11-30' })
  assert.deepEqual([tooMany.status, tooMany.body.code], [400, 'selection_too_large'])
  const { body } = await project.generate({ since_last_receipt: true })
  assert.equal(body.certified_count, 10_000)
  assert(IDS_LISTED_MAX < 10_000)
  const { document } = body.receipt.v2
  assert.deepEqual([document.selection.more, document.entries.log_ids], [true, undefined])
  const { body: last } = await project.call(`GET ${RECEIPTS}/${body.receipt.receipt_id}/logs?limit=1&offset=9999`)
  const { id, proof } = last.logs[0]
  assert(ids.includes(id))
  assert(proof.inclusion.path.length <= 14)
  const { body: bundle } = await project.call(`GET ${RECEIPTS}/${body.receipt.receipt_id}/entries/${id}`)
  assert.equal((await verify(bundle)).valid, true)
  assert.equal((await project.generate({ since_last_receipt: true })).body.certified_count, 1)
})

test('generate 400: logs of more tokens than a certificate can state', async () => {
  const huge = { inputTokens: Number.MAX_SAFE_INTEGER, outputTokens: 0, cost: null }
  const project = await openProject([huge, huge])
  const both = await project.generate({ log_ids: project.ids })
  assert.deepEqual([both.status, both.body.code], [400, 'selection_too_large'])
  assert.equal((await project.generate({ log_ids: project.ids.slice(0, 1) })).status, 200)
})
