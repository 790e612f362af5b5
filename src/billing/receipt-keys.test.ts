import assert from 'node:assert/strict'
import { test } from 'node:test'
import { createReceiptSigner } from '#adapters/receipt-signer.ts'
import { keyValidAt, parseReceiptKeys, RECEIPT_KEYS_MAX, type ReceiptKey, receiptKeyId } from './receipt-keys.ts'

const first = createReceiptSigner(Buffer.alloc(32, 1))
const second = createReceiptSigner(Buffer.alloc(32, 2))

const active: ReceiptKey = {
  key_id: first.keyId,
  public_key: first.publicKey.toString('base64url'),
  algorithm: 'Ed25519',
  format: 'base64url',
  not_before: '2026-11-01T00:00:00.000Z',
  status: 'active',
}
const retired: ReceiptKey = {
  key_id: second.keyId,
  public_key: second.publicKey.toString('base64url'),
  algorithm: 'Ed25519',
  format: 'base64url',
  not_before: '2026-08-01T00:00:00.000Z',
  not_after: '2026-11-02T00:00:00.000Z',
  status: 'retired',
}
const revoked: ReceiptKey = { ...retired, status: 'revoked', revoked_at: '2026-10-01T00:00:00.000Z' }
const document = { current_key_id: active.key_id, keys: [active, retired] }

test('the signer and the verifier give a key the same name', async () => {
  assert.equal(await receiptKeyId(new Uint8Array(first.publicKey)), first.keyId)
  assert.match(first.keyId, /^rk_[0-9a-f]{16}$/)
})

test('a keys document reads back', async () => assert.deepEqual(await parseReceiptKeys(document), document))

test('a revoked key may stay in the document', async () => {
  const { keys } = await parseReceiptKeys({ ...document, keys: [active, revoked] })
  assert.deepEqual(keys, [active, revoked])
})

const only = (key: object) => ({ current_key_id: active.key_id, keys: [key] })

for (const { name, value } of [
  { name: 'no object', value: null },
  { name: 'no keys', value: { ...document, keys: [] } },
  { name: 'too many keys', value: { ...document, keys: Array(RECEIPT_KEYS_MAX + 1).fill(active) } },
  { name: 'a member of its own', value: { ...document, note: 'x' } },
  { name: 'a key listed twice', value: { ...document, keys: [active, active] } },
  { name: 'a current key that is not listed', value: { ...document, current_key_id: 'rk_0000000000000000' } },
  { name: 'a current key that is retired', value: { ...document, current_key_id: retired.key_id } },
  { name: 'a key that is no object', value: only([]) },
  { name: 'a key with a member of its own', value: only({ ...active, note: 'x' }) },
  { name: 'another algorithm', value: only({ ...active, algorithm: 'RS256' }) },
  { name: 'another format', value: only({ ...active, format: 'pem' }) },
  { name: 'the name of another key', value: only({ ...active, key_id: second.keyId }) },
  { name: 'the bytes of another key', value: only({ ...active, public_key: retired.public_key }) },
  { name: 'a short key', value: only({ ...active, public_key: active.public_key.slice(0, -4) }) },
  { name: 'a key with padding', value: only({ ...active, public_key: `${active.public_key}=` }) },
  { name: 'another status', value: only({ ...active, status: 'toString' }) },
  { name: 'a time in seconds', value: only({ ...active, not_before: 1 }) },
  { name: 'an end before the beginning', value: only({ ...active, not_after: active.not_before }) },
  {
    name: 'a retired key without an end',
    value: { ...document, keys: [active, { ...retired, not_after: undefined }] },
  },
  { name: 'a revoked key without its time', value: { ...document, keys: [active, { ...retired, status: 'revoked' }] } },
  { name: 'a time of revocation without it', value: only({ ...active, revoked_at: active.not_before }) },
]) {
  test(`parseReceiptKeys refuses ${name}`, async () => {
    await assert.rejects(parseReceiptKeys(value), { name: 'ReceiptKeysError' })
  })
}

for (const name of ['algorithm', 'format', 'key_id', 'not_before', 'public_key', 'status']) {
  test(`parseReceiptKeys refuses a key without ${name}`, async () => {
    const key: Record<string, unknown> = { ...active }
    delete key[name]
    await assert.rejects(parseReceiptKeys(only(key)), { name: 'ReceiptKeysError' })
  })
}

for (const { name, key, at, ok } of [
  { name: 'an active key from its first instant', key: active, at: '2026-11-01T00:00:00.000Z', ok: true },
  { name: 'an active key one millisecond earlier', key: active, at: '2026-10-31T23:59:59.999Z', ok: false },
  { name: 'an active key long after', key: active, at: '2036-01-01T00:00:00.000Z', ok: true },
  { name: 'a retired key in its time', key: retired, at: '2026-11-01T23:59:59.999Z', ok: true },
  { name: 'a retired key at its end', key: retired, at: '2026-11-02T00:00:00.000Z', ok: false },
  { name: 'a revoked key before the revocation', key: revoked, at: '2026-09-01T00:00:00.000Z', ok: false },
  { name: 'a revoked key after it', key: revoked, at: '2026-10-15T00:00:00.000Z', ok: false },
]) {
  test(`keyValidAt: ${name} is ${ok ? 'good' : 'not good'}`, () => assert.equal(keyValidAt(key, at).ok, ok))
}
