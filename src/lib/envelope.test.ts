import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import { deriveEnvelopeKey, EnvelopeError, keyIdFromPlaintext, openEnvelope, sealEnvelope } from './envelope.ts'

const MASTER = Buffer.from('AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=', 'base64')
const OTHER = Buffer.alloc(32, 255)
const keys = { current: deriveEnvelopeKey(MASTER), previous: undefined }
const binding = { modelName: 'chat-default', keyEntryId: 'openrouter-prod-1' }
const KNOWN = 'v1.ZGVmZ2hpamtsbW5v.uZK8RO0LqxjWvVvAslzCDh4h0dyxS2ZWBw.Iv_3YnqIfTQlHRuWNWAysQ'
const KNOWN_TEXT = 'sk-or-v1-0123456789abcdef'

test('the AES key is HKDF-SHA256 of the master key', () => {
  // Computed with the two HMACs of RFC 5869 by hand, in Python.
  for (const [master, derived] of [
    [MASTER, 'd05e15ae240efcf825aa4fcb9938f0a44f354a01ea2095440d8d836b2289a1e6'],
    [OTHER, '2cda8656b99e230151b6b314f501dcc8ac716ed37843c931284e939f4d5ba438'],
  ] as const)
    assert.equal(deriveEnvelopeKey(master).export().toString('hex'), derived)
})

for (const length of [0, 31, 33, 64])
  test(`a master key of ${length} bytes is refused`, () => {
    assert.throws(() => deriveEnvelopeKey(Buffer.alloc(length)), RangeError)
  })

// Sealed by Python's `cryptography`.
for (const [master, modelName, keyEntryId, plaintext, envelope] of [
  [MASTER, 'chat-default', 'openrouter-prod-1', KNOWN_TEXT, KNOWN],
  [OTHER, 'microsoft/v1', 'azure-tts-prod-1', 'k', 'v1.AAAAAAAAAAAAAAAA.CQ.mZwMancCxGKAFNNBVJPT1Q'],
  [MASTER, '模型|strange', 'key-é', 'schlüssel', 'v1.AQIDBAUGBwgJCgsM.5gurTsTFpdXQ5Q.kMYb1_atg4iskdfPOWJEdQ'],
] as const)
  test(`an envelope that another implementation sealed opens: ${modelName}`, () => {
    const opened = openEnvelope(
      { current: deriveEnvelopeKey(master), previous: undefined },
      { modelName, keyEntryId },
      envelope,
    )
    assert.equal(opened.plaintext.toString('utf8'), plaintext)
    assert.equal(opened.openedWith, 'current')
  })

test('another implementation opens what is sealed here', async () => {
  const [, iv = '', ciphertext = '', tag = ''] = sealEnvelope(keys.current, binding, Buffer.from(KNOWN_TEXT)).split('.')
  const encode = (text: string) => new TextEncoder().encode(text)
  const master = await crypto.subtle.importKey('raw', MASTER, 'HKDF', false, ['deriveKey'])
  const key = await crypto.subtle.deriveKey(
    { name: 'HKDF', hash: 'SHA-256', salt: encode('llm-router-v1'), info: encode('provider-key-encryption') },
    master,
    { name: 'AES-GCM', length: 256 },
    false,
    ['decrypt'],
  )
  const opened = await crypto.subtle.decrypt(
    {
      name: 'AES-GCM',
      iv: Buffer.from(iv, 'base64url'),
      additionalData: encode('chat-default|openrouter-prod-1'),
      tagLength: 128,
    },
    key,
    Buffer.concat([Buffer.from(ciphertext, 'base64url'), Buffer.from(tag, 'base64url')]),
  )
  assert.equal(Buffer.from(opened).toString(), KNOWN_TEXT)
})

test('sealing overwrites the plaintext, also when it is refused', () => {
  const plaintext = Buffer.from(KNOWN_TEXT)
  sealEnvelope(keys.current, binding, plaintext)
  assert.deepEqual(plaintext, Buffer.alloc(KNOWN_TEXT.length))
  const refused = Buffer.from(KNOWN_TEXT)
  assert.throws(() => sealEnvelope(keys.current, { modelName: 'm', keyEntryId: 'a|b' }, refused), EnvelopeError)
  assert.deepEqual(refused, Buffer.alloc(KNOWN_TEXT.length))
  assert.throws(() => sealEnvelope(keys.current, binding, Buffer.alloc(0)), EnvelopeError)
})

test('the same key sealed twice gives two envelopes', () => {
  const seal = () => sealEnvelope(keys.current, binding, Buffer.from(KNOWN_TEXT))
  assert.notEqual(seal(), seal())
})

test('the previous key opens what the current one does not', () => {
  const rotated = { current: deriveEnvelopeKey(OTHER), previous: keys.current }
  const { plaintext, openedWith } = openEnvelope(rotated, binding, KNOWN)
  assert.deepEqual([plaintext.toString(), openedWith], [KNOWN_TEXT, 'previous'])
})

const part = (at: number, text: string) => KNOWN.split('.').with(at, text).join('.')
const flipped = (at: number) => {
  const bytes = Buffer.from(KNOWN.split('.')[at] ?? '', 'base64url')
  bytes[0] = (bytes[0] ?? 0) ^ 1
  return part(at, bytes.toString('base64url'))
}
for (const [name, envelope, says] of [
  ['nothing', '', 'invalid envelope ciphertext format: expected 4 parts'],
  ['three parts', KNOWN.slice(0, KNOWN.lastIndexOf('.')), 'invalid envelope ciphertext format: expected 4 parts'],
  ['five parts', `${KNOWN}.`, 'invalid envelope ciphertext format: expected 4 parts'],
  ['another version', part(0, 'v2'), 'unknown envelope version: expected v1'],
  ['a version in capitals', part(0, 'V1'), 'unknown envelope version: expected v1'],
  ['standard Base64', part(3, 'Iv/3YnqIfTQlHRuWNWAysQ'), 'the tag is not Base64url without padding'],
  ['padding', part(3, 'Iv_3YnqIfTQlHRuWNWAysQ=='), 'the tag is not Base64url without padding'],
  ['stray bits', part(3, 'Iv_3YnqIfTQlHRuWNWAysR'), 'the tag is not Base64url without padding'],
  ['white space', part(2, `${KNOWN.split('.')[2]} `), 'the ciphertext is not Base64url without padding'],
  ['an iv of 11 bytes', part(1, 'ZGVmZ2hpamtsbW4'), 'the iv must be 12 bytes'],
  ['an iv of 16 bytes', part(1, 'AAAAAAAAAAAAAAAAAAAAAA'), 'the iv must be 12 bytes'],
  ['a short tag', part(3, 'Iv_3YnqIfTQlHRuW'), 'the tag must be 16 bytes'],
  ['no ciphertext', part(2, ''), 'the ciphertext is empty'],
  ['too much', part(2, 'A'.repeat(30_000)), 'invalid envelope ciphertext format: longer than 24000 characters'],
  ['a forged iv', flipped(1), /does not open/],
  ['a forged ciphertext', flipped(2), /does not open/],
  ['a forged tag', flipped(3), /does not open/],
] as const)
  test(`refused: ${name}`, () => {
    const withBoth = { ...keys, previous: deriveEnvelopeKey(OTHER) }
    for (const tried of [keys, withBoth])
      assert.throws(() => openEnvelope(tried, binding, envelope), { name: 'EnvelopeError', message: says })
  })

for (const [name, elsewhere] of [
  ['another model', { ...binding, modelName: 'chat-other' }],
  ['another key id', { ...binding, keyEntryId: 'openrouter-prod-2' }],
] as const)
  test(`an envelope does not open for ${name}`, () => {
    assert.throws(() => openEnvelope(keys, elsewhere, KNOWN), /does not open/)
  })

test('whatever is sealed opens, and only under its own binding', () => {
  const name = fc.string({ minLength: 1, maxLength: 40, unit: 'grapheme' })
  const keyId = name.map((text) => text.replaceAll('|', '-'))
  fc.assert(
    fc.property(name, keyId, name, keyId, fc.uint8Array({ minLength: 1, maxLength: 2_000 }), (m, k, m2, k2, bytes) => {
      const envelope = sealEnvelope(keys.current, { modelName: m, keyEntryId: k }, Buffer.from(bytes))
      const { plaintext } = openEnvelope(keys, { modelName: m, keyEntryId: k }, envelope)
      assert.deepEqual(new Uint8Array(plaintext), bytes)
      if (m !== m2 || k !== k2)
        assert.throws(() => openEnvelope(keys, { modelName: m2, keyEntryId: k2 }, envelope), EnvelopeError)
    }),
    { seed: 20_260_801, numRuns: 300 },
  )
})

for (const [text, id] of [
  ['hello', '2cf24dba'],
  [KNOWN_TEXT, '1dacac80'],
  ['schlüssel', 'ccec7a8e'],
] as const)
  test(`the telemetry id of '${text}' is ${id}`, () => {
    assert.equal(keyIdFromPlaintext(text), id)
    assert.equal(keyIdFromPlaintext(Buffer.from(text)), id)
  })
