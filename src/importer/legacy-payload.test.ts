import assert from 'node:assert/strict'
import { test } from 'node:test'
import { findPayload, readLegacyKey, type SignedMembers } from './legacy-payload.ts'

// Signed by llmring-server itself with the seed 00..1f.
const PUBLIC_KEY = 'A6EHv_POEL4dcN0Y50vAmWfk1jCbpQ1fHdyGZBJVMbg'
const members: SignedMembers = {
  receipt_id: 'rcpt_test0001',
  alias: 'summarizer',
  profile: 'prod',
  lock_digest: 'abc123',
  provider: 'openai',
  model: 'gpt-4o-mini',
  prompt_tokens: 1000,
  completion_tokens: 200,
  total_tokens: 1200,
  input_cost: 0.00015,
  output_cost: 0.00012,
  total_cost: 0.00027,
}
const payload =
  '{"alias":"summarizer","completion_tokens":200,"input_cost":0.00015,"lock_digest":"abc123","model":"gpt-4o-mini","output_cost":0.00012,' +
  '"profile":"prod","prompt_tokens":1000,"provider":"openai","receipt_id":"rcpt_test0001","timestamp":"2025-10-03T12:00:00+00:00",' +
  '"total_cost":0.00027,"total_tokens":1200}'
const signature = 'ed25519:TkhiV-vq57E_MCVz2kW-r7Y_7CjoybHMMiP1EzWR5HL_NWQWe0RlGCdfkOGfmU0cE6e3jfTsBkcxBCh3ylfoAQ'
const small: SignedMembers = {
  ...members,
  receipt_id: 'rcpt_test0002',
  alias: 'résumé',
  input_cost: 0.000023,
  output_cost: 1e-7,
  total_cost: 0.0000231,
}
const smallSignature = 'ed25519:CyLMG454FjJmO_ge8-aRxcKvvXgN3RDylmJd6kNP_5v2Hv7RxwtDxe33ysMWL4lERGZh70GbOWaPbo-_mrKZBQ'
const key = readLegacyKey(PUBLIC_KEY)

test('a key without an id gets the one that llmring-server gave it', () => {
  assert.equal(key.keyId, 'key_b43cdfe1bf180ef4')
  assert.equal(readLegacyKey(`mine=${PUBLIC_KEY}=`).keyId, 'mine')
  for (const bad of ['', 'short', `${PUBLIC_KEY}AAAA`, `=${PUBLIC_KEY}`])
    assert.throws(() => readLegacyKey(bad), /base64url/)
})

test('the signed bytes are found by the signature', () => {
  assert.deepEqual(findPayload(members, '2025-10-03T12:00:00.000000', signature, [key]), { payload, keyId: key.keyId })
  const found = findPayload(small, '2025-10-03T12:00:00.123456', smallSignature, [key])
  assert.equal(found.keyId, key.keyId)
  assert(found.payload.includes('"output_cost":1e-7,') && found.payload.includes('"2025-10-03T12:00:00.123456+00:00"'))
})

test('whatever zone the server stored the time in', () => {
  for (const at of ['2025-10-03T14:00:00.000000', '2025-10-03T06:30:00.000000', '2025-10-04T01:45:00.000000'])
    assert.deepEqual(findPayload(members, at, signature, [key]), { payload, keyId: key.keyId })
})

test('a receipt that no known key signed is kept as the source has it', () => {
  const other = readLegacyKey(`${'B'.repeat(42)}A`)
  for (const keys of [[], [other]])
    assert.deepEqual(findPayload(members, '2025-10-03T12:00:00.000000', signature, keys), { payload, keyId: null })
  const altered = findPayload({ ...members, total_cost: 0.00028 }, '2025-10-03T12:00:00.000000', signature, [key])
  assert.equal(altered.keyId, null)
})
