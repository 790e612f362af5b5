import assert from 'node:assert/strict'
import { randomBytes, randomUUID } from 'node:crypto'
import { after, before, test } from 'node:test'
import { createReceiptSigner } from '#adapters/receipt-signer.ts'
import { type LlmringReceipt, llmringText } from '#billing/llmring-receipt.ts'
import { transaction } from '#db/pool.ts'
import { addLegacyReceiptKey } from '#domain/legacy-receipt-keys.ts'
import { importLegacyReceipt, type LegacyReceipt } from '#domain/legacy-receipts.ts'
import { createTestApi, type TestApi } from '#test/support/http-api.ts'
import { llmringVerifies } from '#test/support/llmring-verifier.ts'
import { reportUsage } from '#test/support/reported-usage.ts'

// Receipts that llmring-server signed and kept without the bytes that were signed.

let api: TestApi
const old = createReceiptSigner(Buffer.from(Array.from({ length: 32 }, (_, index) => index)))
const publicKey = old.publicKey.toString('base64url')

before(async () => {
  api = await createTestApi()
  const name = await transaction(api.database.db, (tx) => addLegacyReceiptKey(tx, old.publicKey))
  assert.equal(name, 'key_b43cdfe1bf180ef4', 'the name that llmring-server gives')
})
after(() => api.close())

const RECEIPTS = '/api/v1/receipts'

function signed(receipt: Partial<LlmringReceipt> = {}): { receipt: LlmringReceipt; signature: string } {
  const full: LlmringReceipt = {
    receipt_id: `rcpt_${randomBytes(8).toString('hex')}`,
    timestamp: '2025-10-03T12:00:00.123456+00:00',
    alias: 'résumé',
    profile: 'prod',
    lock_digest: '',
    provider: 'openai',
    model: 'gpt-4o-mini',
    prompt_tokens: 1000,
    completion_tokens: 200,
    total_tokens: 1200,
    input_cost: 0.000023,
    output_cost: 1e-7,
    total_cost: 0.0000231,
    ...receipt,
  }
  return { receipt: full, signature: `ed25519:${old.sign(Buffer.from(llmringText(full))).toString('base64url')}` }
}

const put = (input: LegacyReceipt) => transaction(api.database.db, (tx) => importLegacyReceipt(tx, input))

/** What a clock that is so many minutes off makes of a time in UTC. */
function shifted(timestamp: string, minutes: number): string {
  const moved = new Date(Date.parse(`${timestamp.slice(0, 19)}Z`) + minutes * 60_000).toISOString().slice(0, 19)
  return `${moved}${timestamp.slice(19, -6)}+00:00`
}

test('the bytes that were signed are found again, whatever zones the timestamp went through', async () => {
  const project = await api.openProject('old', 0n)
  const signedForms = [
    ['2025-10-03T12:00:00.123456+00:00', '2025-10-03T12:00:00.123456+00:00'],
    ['2025-10-03T12:00:00+00:00', '2025-10-03T12:00:00+00:00'],
    ['2025-10-03T12:00:00', '2025-10-03T12:00:00+00:00'],
  ] as const
  for (const [timestamp, utc] of signedForms) {
    for (const minutes of [0, -60, -120, 60, 330, -345, 765, -840, 840]) {
      const { receipt, signature } = signed({ timestamp })
      const stored = { ...receipt, timestamp: shifted(utc, minutes) }
      const result = await put({ projectId: project.projectId, receipt: stored, signature, unsigned: {} })
      assert.deepEqual(result, { status: 'imported', keyId: 'key_b43cdfe1bf180ef4', shiftMinutes: 0 - minutes })
      const { body } = await api.call(`GET ${RECEIPTS}/${receipt.receipt_id}`, { key: project.secret })
      assert.equal(body.signed_payload, llmringText(receipt))
      assert.deepEqual([body.timestamp, body.valid], [timestamp, true])
      assert.equal(
        old.sign(Buffer.from(body.signed_payload)).toString('base64url'),
        body.signature.slice('ed25519:'.length),
      )
    }
  }
  const local = signed({ timestamp: '2025-10-03T14:00:00+02:00' })
  const result = await put({
    projectId: project.projectId,
    receipt: { ...local.receipt, timestamp: '2025-10-03T12:00:00Z' },
    signature: local.signature,
    unsigned: {},
    shiftMinutes: 120,
  })
  assert.deepEqual(result, { status: 'imported', keyId: 'key_b43cdfe1bf180ef4', shiftMinutes: 120 })
})

test('an imported receipt is served in its old shape, in any time zone, and verifies everywhere', async () => {
  const project = await api.openProject('shapes')
  const { receipt, signature } = signed()
  const unsigned = {
    receipt_type: 'batch',
    batch_summary: { total_calls: 2 },
    description: 'Q3',
    tags: ['x'],
    secret: 1,
    total_cost: 9,
  }
  await put({
    projectId: project.projectId,
    receipt: { ...receipt, timestamp: shifted(receipt.timestamp, -60) },
    signature,
    unsigned,
  })
  const zone = process.env.TZ
  try {
    for (const TZ of ['UTC', 'Europe/Madrid', 'Asia/Kathmandu', 'America/St_Johns', 'Pacific/Kiritimati']) {
      process.env.TZ = TZ
      const { body } = await api.call(`GET ${RECEIPTS}/${receipt.receipt_id}`, { key: project.secret })
      assert.deepEqual(body, {
        ...receipt,
        signature,
        key_id: 'key_b43cdfe1bf180ef4',
        receipt_type: 'batch',
        batch_summary: { total_calls: 2 },
        description: 'Q3',
        tags: ['x'],
        source: 'llmring',
        project_key: project.projectId,
        alias_name: 'résumé',
        model_used: 'gpt-4o-mini',
        valid: true,
        signed_payload: llmringText(receipt),
        unsigned: ['receipt_type', 'batch_summary', 'description', 'tags'],
      })
      assert(llmringVerifies(JSON.stringify(body), publicKey))
      const { body: verdict } = await api.call(`POST ${RECEIPTS}/verify`, { key: null, body })
      assert.deepEqual([verdict.valid, verdict.key_id], [true, 'key_b43cdfe1bf180ef4'])
      assert(verdict.unsigned.includes('batch_summary'))
      const { body: list } = await api.call(`GET ${RECEIPTS}`, { key: project.secret })
      assert.deepEqual([list.total, list.receipts], [1, [body]])
    }
  } finally {
    if (zone === undefined) delete process.env.TZ
    else process.env.TZ = zone
  }
})

test('what llmring-server signed under an id of this server is no receipt of this server', async () => {
  for (const receipt_id of [`rcp_${'a'.repeat(32)}`, `crt_${'a'.repeat(32)}`]) {
    const { receipt, signature } = signed({ receipt_id })
    const { body } = await api.call(`POST ${RECEIPTS}/verify`, { key: null, body: { ...receipt, signature } })
    assert.deepEqual([body.valid, body.key_id], [false, null], receipt_id)
  }
})

test('a receipt that verifies with no key and in no zone is kept as it is, and says so', async () => {
  const project = await api.openProject('unverifiable')
  const { receipt, signature } = signed()
  const altered = { ...receipt, total_cost: 1 }
  const result = await put({ projectId: project.projectId, receipt: altered, signature, unsigned: {} })
  assert.deepEqual(result, { status: 'imported', keyId: null, shiftMinutes: 0 })
  const none = signed()
  assert.equal(
    (await put({ projectId: project.projectId, receipt: none.receipt, signature: '', unsigned: {} })).keyId,
    null,
  )
  const { body } = await api.call(`GET ${RECEIPTS}/${receipt.receipt_id}`, { key: project.secret })
  assert.deepEqual([body.valid, body.key_id, body.total_cost], [false, null, 1])
  const { rows } = await api.database.db.query(
    'select count(*) as n from legacy_receipt where project_id = $1 and key_id is null',
    [project.projectId],
  )
  assert.equal(rows[0].n, 2n)
})

test('an import can be repeated, and never replaces a receipt', async () => {
  const project = await api.openProject('again')
  const { receipt, signature } = signed()
  const input = { projectId: project.projectId, receipt, signature, unsigned: {} }
  assert.equal((await put(input)).status, 'imported')
  assert.equal((await put(input)).status, 'present')
  const other = signed({ receipt_id: receipt.receipt_id, total_cost: 5 })
  assert.equal((await put({ ...input, ...other })).status, 'differs')
  const { body } = await api.call(`GET ${RECEIPTS}/${receipt.receipt_id}`, { key: project.secret })
  assert.equal(body.total_cost, receipt.total_cost)
  const stranger = await api.openProject('stranger')
  assert.equal((await api.call(`GET ${RECEIPTS}/${receipt.receipt_id}`, { key: stranger.secret })).status, 404)
})

test('keys of llmring-server: one name, one key, in any number of calls', async () => {
  const { db } = api.database
  const add = (key: Uint8Array, name?: string) => transaction(db, (tx) => addLegacyReceiptKey(tx, key, name))
  assert.equal(await add(old.publicKey, 'other'), 'key_b43cdfe1bf180ef4')
  const second = createReceiptSigner(randomBytes(32)).publicKey
  assert.equal(await add(second, 'prod-2025'), 'prod-2025')
  await assert.rejects(add(createReceiptSigner(randomBytes(32)).publicKey, 'prod-2025'))
  await assert.rejects(add(randomBytes(31)), RangeError)
})

test('logs of an old batch receipt are those that it named, as far as they were imported', async () => {
  const project = await api.openProject('old batch')
  const other = await api.openProject('not mine')
  const ids = await reportUsage(api.database.db, project, [{ occurredAt: '2025-01-01T00:00:00Z' }, { alias: 'a' }])
  const foreign = await reportUsage(api.database.db, other, [{}])
  const { receipt, signature } = signed()
  const unsigned = { receipt_type: 'batch', batch_summary: { log_ids: [...ids, ...foreign, randomUUID(), 7] } }
  await put({ projectId: project.projectId, receipt, signature, unsigned })
  const { body } = await api.call(`GET ${RECEIPTS}/${receipt.receipt_id}/logs`, { key: project.secret })
  assert.equal(body.total, 2)
  assert.deepEqual(
    body.logs.map((log: { id: string; proof: unknown }) => [log.id, log.proof]),
    ids.map((id) => [id, null]),
  )
  const { body: page } = await api.call(`GET ${RECEIPTS}/${receipt.receipt_id}/logs?offset=1`, { key: project.secret })
  assert.deepEqual([page.total, page.logs.length, page.logs[0].id], [2, 1, ids[1]])
})
