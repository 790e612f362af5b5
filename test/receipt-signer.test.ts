import assert from 'node:assert/strict'
import { createPublicKey, verify } from 'node:crypto'
import { chmod, mkdir, mkdtemp, readdir, readFile, rm, stat, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, before, test } from 'node:test'
import { createReceiptSigner, loadOrCreateSeed, parseSeed } from '#adapters/receipt-signer.ts'

let folder: string
before(async () => {
  folder = await mkdtemp(join(tmpdir(), 'fluxgate-signer-'))
})
after(() => rm(folder, { recursive: true }))

test('signatures are those of RFC 8032', () => {
  // Section 7.1, test 1: the empty message.
  const signer = createReceiptSigner(
    Buffer.from('9d61b19deffd5a60ba844af492ec2cc44449c5697b326919703bac031cae7f60', 'hex'),
  )
  assert.equal(signer.publicKey.toString('hex'), 'd75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a')
  assert.equal(
    signer.sign(Buffer.alloc(0)).toString('hex'),
    'e5564300c360ac729086e2cc806e828a84877f1eb8e5d974d873e065224901555fb8821590a33bacc61e39701cf9b46bd25bf5f0595bbe24655141438e7a100b',
  )
})

test('the public key checks what the seed signs', () => {
  const signer = createReceiptSigner(Buffer.alloc(32, 9))
  const key = createPublicKey({
    key: { kty: 'OKP', crv: 'Ed25519', x: signer.publicKey.toString('base64url') },
    format: 'jwk',
  })
  const message = Buffer.from('a batch')
  assert.ok(verify(null, message, key, signer.sign(message)))
})

test('a seed of another length is refused', () => {
  for (const length of [0, 31, 33, 64]) assert.throws(() => createReceiptSigner(Buffer.alloc(length)), RangeError)
})

for (const { name, text } of [
  { name: 'nothing', text: '' },
  { name: 'hex', text: 'ab'.repeat(32) },
  { name: 'Base64url', text: Buffer.alloc(32, 255).toString('base64url') },
  { name: '31 bytes', text: Buffer.alloc(31).toString('base64') },
  { name: 'stray bits', text: `${'A'.repeat(42)}B=` },
]) {
  test(`a seed written as ${name} is refused without being repeated`, () => {
    assert.throws(() => parseSeed(text), { message: 'a receipt signing key must be the Base64 of 32 bytes' })
  })
}

test('a seed is made once, for its owner only, and found again', async () => {
  const path = join(folder, 'once')
  const seed = await loadOrCreateSeed(path)
  assert.equal(seed.byteLength, 32)
  assert.equal((await stat(path)).mode & 0o777, 0o600)
  assert.equal(await readFile(path, 'ascii'), `${seed.toString('base64')}\n`)
  assert.deepEqual(await loadOrCreateSeed(path), seed)
})

test('processes that start together agree on one seed and leave no drafts', async () => {
  const inner = join(folder, 'together')
  await mkdir(inner)
  const seeds = await Promise.all(Array.from({ length: 8 }, () => loadOrCreateSeed(join(inner, 'seed'))))
  assert.equal(new Set(seeds.map((seed) => seed.toString('hex'))).size, 1)
  assert.deepEqual(await readdir(inner), ['seed'])
})

for (const mode of [0o640, 0o604, 0o620, 0o602, 0o610]) {
  test(`a seed with mode ${mode.toString(8)} is refused`, async () => {
    const path = join(folder, `mode-${mode.toString(8)}`)
    await writeFile(path, Buffer.alloc(32, 3).toString('base64'))
    await chmod(path, mode)
    await assert.rejects(loadOrCreateSeed(path), /run: chmod 600/)
  })
}

test('a damaged seed is refused and kept, because a new key would orphan its receipts', async () => {
  const path = join(folder, 'damaged')
  await writeFile(path, 'half a se', { mode: 0o600 })
  await assert.rejects(loadOrCreateSeed(path), /must be the Base64 of 32 bytes/)
  assert.equal(await readFile(path, 'ascii'), 'half a se')
})

test('a folder, a long file and a missing folder are refused', async () => {
  const long = join(folder, 'long')
  await writeFile(long, 'A'.repeat(1000), { mode: 0o600 })
  await assert.rejects(loadOrCreateSeed(folder), /is not a file/)
  await assert.rejects(loadOrCreateSeed(long), /too long/)
  await assert.rejects(loadOrCreateSeed(join(folder, 'none', 'seed')), { code: 'ENOENT' })
})
