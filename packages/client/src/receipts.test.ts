import assert from 'node:assert/strict'
import { once } from 'node:events'
import { readFileSync } from 'node:fs'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { after, before, test } from 'node:test'
import { fetchReceiptKeys, verifyReceipt, verifyReceiptSet } from './receipts.ts'

const vector = (file: string) => readFileSync(new URL(`../../../src/billing/vectors/${file}`, import.meta.url), 'utf8')
const keysText = vector('keys.json')
const keys: unknown = JSON.parse(keysText)
const { vectors }: { vectors: { file: string; expect: string }[] } = JSON.parse(vector('index.json'))

let answer: { status: number; body: string; location?: string } = { status: 200, body: keysText }
let asked: string | undefined
const server = createServer((request, response) => {
  asked = `${request.url} ${request.headers.authorization ?? 'no key'}`
  response.writeHead(answer.status, answer.location === undefined ? {} : { location: answer.location })
  response.end(answer.body)
})
let url = ''
before(async () => {
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`
})
after(() => {
  server.closeAllConnections()
  server.close()
})

test('every vector gets its verdict, as text', async () => {
  for (const { file, expect } of vectors) {
    const { ok, steps } = await verifyReceipt(vector(file), keys)
    assert.equal(ok ? 'ok' : steps.find((step) => step.reached && !step.ok)?.name, expect, file)
  }
})

test('several receipts: each is checked, and all together', async () => {
  const one = vector('good-single.json')
  const twice = await verifyReceiptSet([one, JSON.parse(one)], keys)
  assert.deepEqual(
    [twice.ok, twice.receipts.map(({ ok }) => ok), twice.set.steps.find(({ name }) => name === 'unique_seq')?.ok],
    [false, [true, true], false],
  )
  const broken = await verifyReceiptSet([vector('broken-text-duplicate-key.json'), 'no JSON', undefined], keys)
  assert.deepEqual([broken.ok, broken.receipts.some(({ ok }) => ok), broken.set.ok], [false, false, false])
})

test('the keys of a gateway are read to the letter, without a key, and from nobody else', async () => {
  answer = { status: 200, body: keysText }
  assert.deepEqual(await fetchReceiptKeys(`${url}/v1/`), keys)
  assert.equal(asked, '/receipts/public-keys.json no key')
  for (const [status, body, code] of [
    [200, '{"keys":[],"current_key_id":"rk_0"}', 'answer_invalid'],
    [200, keysText.replace('{', '{"keys":[],'), 'answer_invalid'],
    [200, 'x'.repeat(2_000_000), 'answer_too_large'],
    [503, '{"error":{"code":"database_unavailable","message":"Later."}}', 'database_unavailable'],
    [404, 'not here', 'http_error'],
  ] as const) {
    answer = { status, body }
    await assert.rejects(fetchReceiptKeys(url), { name: 'FluxgateError', code })
  }
  answer = { status: 302, body: '', location: `${url}/elsewhere` }
  await assert.rejects(fetchReceiptKeys(url), { name: 'FluxgateError', code: 'network_failed' })
})
