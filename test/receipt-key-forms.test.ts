import assert from 'node:assert/strict'
import { execFileSync } from 'node:child_process'
import { createPublicKey, randomBytes } from 'node:crypto'
import { after, before, test } from 'node:test'
import { createRootSigner } from '#adapters/receipt-signer.ts'
import { verifyDocumentText } from '#billing/verify-document.ts'
import { refreshManifest } from '#domain/key-manifests.ts'
import { createTestApi, type TestApi } from '#test/support/http-api.ts'

let api: TestApi
before(async () => {
  api = await createTestApi()
})
after(() => api.close())

const open = { key: null }

for (const base of ['/receipts', '/api/v1/receipts']) {
  test(`GET ${base}/public-key.pem 200: OpenSSL and Node read the key that signs`, async () => {
    const { status, headers, text } = await api.call(`GET ${base}/public-key.pem`, open)
    assert.equal(status, 200)
    assert.equal(headers['content-type'], 'application/x-pem-file')
    assert.equal(headers['access-control-allow-origin'], '*')
    const read = execFileSync('openssl', ['pkey', '-pubin', '-text', '-noout'], { input: text }).toString()
    const hex = read.replaceAll(/[\s:]/g, '')
    assert(hex.includes(api.till.signer.publicKey.toString('hex')), read)
    assert.equal(createPublicKey(text).export({ format: 'jwk' }).x, api.till.signer.publicKey.toString('base64url'))
  })

  test(`GET ${base}/public-key.jwk 200: the same key`, async () => {
    const { status, body } = await api.call(`GET ${base}/public-key.jwk`, open)
    assert.equal(status, 200)
    const { keyId, publicKey } = api.till.signer
    assert.deepEqual(body, { kty: 'OKP', crv: 'Ed25519', x: publicKey.toString('base64url'), kid: keyId })
    createPublicKey({ key: body, format: 'jwk' })
  })
}

test('GET /api/v1/receipts/public-keys.json 200: every key, those of llmring-server as well', async () => {
  const legacy = randomBytes(32)
  await api.database.db.query('insert into legacy_receipt_key (key_id, public_key) values ($1, $2)', [
    'key_old',
    legacy,
  ])
  const { status, body } = await api.call('GET /api/v1/receipts/public-keys.json', open)
  assert.equal(status, 200)
  const { keyId, publicKey } = api.till.signer
  assert.equal(body.current_key_id, keyId)
  const form = { algorithm: 'Ed25519', format: 'base64url' }
  assert.deepEqual(body.keys, [
    { key_id: keyId, public_key: publicKey.toString('base64url'), ...form },
    { key_id: 'key_old', public_key: legacy.toString('base64url'), ...form },
  ])
})

test('GET /receipts/key-manifest.json 404 until a root key has signed, then 200 with what verifies', async () => {
  const none = await api.call('GET /receipts/key-manifest.json', open)
  assert.deepEqual([none.status, none.body.error.code], [404, 'not_found'])
  const root = createRootSigner(randomBytes(32))
  const [signer, { db }] = [api.till.signer, api.database]
  await Promise.all(Array.from({ length: 4 }, () => refreshManifest(db, signer, { root, log: 'test/1' })))
  const { status, text, headers } = await api.call('GET /receipts/key-manifest.json', open)
  assert.equal(status, 200)
  assert.equal(headers['cache-control'], 'public, max-age=300')
  const keys = (await api.call('GET /receipts/public-keys.json', open)).body
  const verdict = await verifyDocumentText(text, keys, { rootKeyId: root.keyId })
  assert(verdict.ok, JSON.stringify(verdict.steps))
  const { document } = JSON.parse(text)
  assert.equal(document.sequence, 1, 'processes that start together sign one list')
  assert.equal(document.legacy_keys[0].key_id, 'key_old')
  const stranger = await verifyDocumentText(text, keys, { rootKeyId: 'root_0000000000000000' })
  assert.equal(stranger.steps.find(({ ok }) => !ok)?.name, 'root')
})

const lines = [
  'GET /receipts/key-manifest.json',
  ...['/receipts', '/api/v1/receipts'].flatMap((base) => [`GET ${base}/public-key.pem`, `GET ${base}/public-key.jwk`]),
  'GET /api/v1/receipts/public-keys.json',
]

for (const line of lines)
  test(`${line} 503: the database is away, and nobody caches that`, async () => {
    const { status, headers } = await api.callAway(line, open)
    assert.deepEqual([status, headers['cache-control']], [503, 'no-store'])
  })

test('every documented status was met', () => api.expectEveryStatus(...lines))
