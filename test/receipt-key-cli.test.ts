import assert from 'node:assert/strict'
import { execFileSync } from 'node:child_process'
import { createPrivateKey, randomBytes } from 'node:crypto'
import { mkdtemp, readFile, rm, stat, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { PassThrough, Readable } from 'node:stream'
import { text } from 'node:stream/consumers'
import { after, before, test } from 'node:test'
import { createReceiptSigner, createRootSigner } from '#adapters/receipt-signer.ts'
import { type KeyManifest, manifestText } from '#billing/key-manifest.ts'
import { verifyDocumentText } from '#billing/verify-document.ts'
import { runCli } from '#cli/run-cli.ts'
import { createPool } from '#db/pool.ts'
import { auditLedger } from '#domain/audit.ts'
import { currentManifest } from '#domain/key-manifests.ts'
import { publicReceiptKeys, registerReceiptKey } from '#domain/receipt-keys.ts'
import { parseConfig } from '#src/config.ts'
import { receiptKeyFiles } from '#src/signing-keys.ts'
import { createTestDatabase, type TestDatabase } from '#test/support/database.ts'

const rootSeed = randomBytes(32)
const root = createRootSigner(rootSeed)
const seeds = [randomBytes(32), randomBytes(32), randomBytes(32)] as const
const [first, second, third] = seeds.map(createReceiptSigner)
assert(first && second && third)

let database: TestDatabase
let folder: string
let rootFile: string

before(async () => {
  database = await createTestDatabase()
  folder = await mkdtemp(join(tmpdir(), 'fluxgate-receipt-keys-'))
  rootFile = join(folder, 'root')
  await writeFile(rootFile, `${rootSeed.toString('base64')}\n`, { mode: 0o600 })
  await registerReceiptKey(database.db, first)
})
after(async () => {
  const report = await auditLedger(database.db)
  await database.close()
  await rm(folder, { recursive: true })
  assert(report.ok)
})

/** Runs one command as on a machine with these settings. */
async function fluxgate(
  words: string[],
  options: { seed?: Buffer; env?: Record<string, string>; stdin?: string } = {},
) {
  const { seed = seeds[0], env = {}, stdin = '' } = options
  const [out, err] = [new PassThrough(), new PassThrough()]
  const config = parseConfig({
    DATABASE_URL: 'postgres://nowhere',
    DATA_DIR: folder,
    FLUXGATE_ADMIN_KEY: 'the-admin-key-of-the-tests',
    RECEIPT_SIGNING_KEY: seed.toString('base64'),
    LOG_SIGNING_KEY: Buffer.alloc(32, 4).toString('base64'),
    LLM_ROUTER_MASTER_KEY: randomBytes(32).toString('base64'),
    ...env,
  })
  const code = await runCli(
    {
      out,
      err,
      stdin: Readable.from([Buffer.from(stdin)]),
      async openDatabase() {
        const db = createPool({ connection: database.connection, poolMax: 3 }, () => undefined)
        return { db, close: () => db.end() }
      },
      serve: () => assert.fail(),
      envelopeKeys: () => assert.fail(),
      priceBook: () => assert.fail(),
      checkWebhookUrl: () => undefined,
      providerKeys: {},
      fluxNanousd: 1_000_000n,
      receiptKeys: receiptKeyFiles(config),
    },
    words,
  )
  out.end()
  err.end()
  return { code, out: await text(out), err: await text(err) }
}

async function published(): Promise<KeyManifest> {
  const bundle = await currentManifest(database.db)
  assert(bundle !== undefined)
  const verdict = await verifyDocumentText(bundle, await publicReceiptKeys(database.db), { rootKeyId: root.keyId })
  assert(verdict.ok, JSON.stringify(verdict.steps, null, 1))
  return verdict.document as KeyManifest
}

const manifestOf = (...words: string[]) => ['receipt-key', 'manifest', ...words]

test('a list of keys is signed where the root key is at hand, once for each state', async () => {
  const none = await fluxgate(manifestOf())
  assert.equal(none.code, 2)
  assert.match(none.err, /the root key is not at hand/)
  const env = { RECEIPT_ROOT_KEY: rootSeed.toString('base64') }
  assert.equal((await fluxgate(manifestOf(), { env })).out, 'published list 1\n')
  assert.equal(
    (await fluxgate(manifestOf('--root-key', rootFile))).out,
    'the newest list is about these keys already\n',
  )
  const manifest = await published()
  assert.equal(manifest.sequence, 1)
  assert.equal(manifest.current_key_id, first.keyId)
  assert.match(manifest.log_vkey ?? '', /^fluxgate\.local\/1\+[0-9a-f]{8}\+/)
})

test('rotate makes a key that is not written over, and changes nothing by itself', async () => {
  const file = join(folder, 'next')
  const { code, out } = await fluxgate(['receipt-key', 'rotate', '--out', file, '--json'])
  assert.equal(code, 0)
  const made = JSON.parse(out)
  assert.equal((await stat(file)).mode & 0o777, 0o600)
  const seed = Buffer.from(await readFile(file, 'ascii'), 'base64')
  assert.equal(createReceiptSigner(seed).keyId, made.key_id)
  assert.equal(createReceiptSigner(seed).publicKey.toString('base64url'), made.public_key)
  assert(!out.includes(seed.toString('base64')), 'the private key is not printed')
  const again = await fluxgate(['receipt-key', 'rotate', '--out', file])
  assert.equal(again.code, 1)
  assert.match(again.err, /exists: a key is never written over another file/)
  assert.equal((await publicReceiptKeys(database.db)).keys.length, 1)
})

test('a root key that is offline signs a draft elsewhere, with this command or with OpenSSL', async () => {
  await registerReceiptKey(database.db, second)
  const key = root.publicKey.toString('base64url')
  const draft = await fluxgate(manifestOf('--draft', `--root-public-key=${key}`))
  assert.equal(draft.code, 0, draft.err)
  const file = join(folder, 'draft.json')
  await writeFile(file, draft.out)

  // With the command, on a machine without a database.
  const signed = await fluxgate(manifestOf('--sign', file, '--root-key', rootFile))
  assert.equal(signed.code, 0, signed.err)

  // With OpenSSL, from the same bytes: Ed25519 has one signature for each text.
  const pem = join(folder, 'root.pem')
  const pkcs8 = Buffer.concat([Buffer.from('302e020100300506032b657004220420', 'hex'), rootSeed])
  const exported = createPrivateKey({ key: pkcs8, format: 'der', type: 'pkcs8' }).export({
    format: 'pem',
    type: 'pkcs8',
  })
  await writeFile(pem, exported, { mode: 0o600 })
  const signature = execFileSync('openssl', ['pkeyutl', '-sign', '-rawin', '-inkey', pem, '-in', file]).toString(
    'base64',
  )
  assert.equal(JSON.parse(signed.out).root_sig, signature)

  // The gateway's own key signs the batch.
  const options = { seed: seeds[1] }
  const another = signature.replace(/^./, (char) => (char === 'A' ? 'B' : 'A'))
  const forged = await fluxgate(manifestOf('--publish', file, '--signature', another), options)
  assert.equal(forged.code, 1)
  assert.match(forged.err, /did not sign this manifest/)
  const done = await fluxgate(manifestOf('--publish', file, '--signature', signature), options)
  assert.equal(done.out, 'published list 2\n', done.err)
  const again = await fluxgate(manifestOf('--publish', '-'), { ...options, stdin: signed.out })
  assert.equal(again.code, 1)
  assert.match(again.err, /says just this/)
  assert.equal((await published()).current_key_id, second.keyId)
})

test('a revocation is published at once, with the reason for the operator alone', async () => {
  const inUse = await fluxgate(['receipt-key', 'revoke', second.keyId, '--reason', 'stolen'])
  assert.equal(inUse.code, 1)
  assert.match(inUse.err, /\[receipt_key_in_use\]/)
  assert.match((await fluxgate(['receipt-key', 'revoke', 'rk_0', '--reason', 'x'])).err, /\[not_found\]/)

  const options = { seed: seeds[1], env: { RECEIPT_ROOT_KEY: rootSeed.toString('base64') } }
  const revoked = await fluxgate(['receipt-key', 'revoke', first.keyId, '--reason', 'the laptop is gone'], options)
  assert.equal(revoked.code, 0, revoked.err)
  assert.match(revoked.out, /Signed list 3 says so/)
  const { keys } = await publicReceiptKeys(database.db)
  const key = keys.find(({ key_id }) => key_id === first.keyId)
  assert.equal(key?.status, 'revoked')
  assert(!JSON.stringify(keys).includes('laptop'))
  assert.deepEqual(
    (await published()).keys.map(({ key_id, status }) => [key_id, status]),
    [
      [second.keyId, 'active'],
      [first.keyId, 'revoked'],
    ],
  )
  const again = await fluxgate(['receipt-key', 'revoke', first.keyId, '--reason', 'another', '--json'], options)
  assert.equal(JSON.parse(again.out).revoked_reason, 'the laptop is gone')
  assert.equal(JSON.parse(again.out).revoked_at, key?.revoked_at)
  const { rows: acts } = await database.db.query(
    `select actor, subject, after from audit_event where action = 'receipt_key.revoke'`,
  )
  assert.deepEqual(acts, [{ actor: 'cli', subject: first.keyId, after: '{"reason":"the laptop is gone"}' }])
  const list = await fluxgate(['receipt-key', 'list'])
  assert.match(list.out, /revoked .*the laptop is gone/)
  await assert.rejects(registerReceiptKey(database.db, first), /was revoked/)
})

test('a list that was drafted before the keys changed is refused, and so is one of another root key', async () => {
  const key = root.publicKey.toString('base64url')
  await registerReceiptKey(database.db, third)
  const { out } = await fluxgate(manifestOf('--draft', `--root-public-key=${key}`))
  const file = join(folder, 'stale.json')
  await writeFile(file, out)
  const signature = root.sign(Buffer.from(out)).toString('base64')
  await database.db.query(`update receipt_key set not_after = not_after + interval '1 minute' where key_id = $1`, [
    second.keyId,
  ])
  const stale = await fluxgate(manifestOf('--publish', file, '--signature', signature), { seed: seeds[2] })
  assert.match(stale.err, /The keys have changed since .*\[key_manifest_stale\]/)

  const stranger = createRootSigner(randomBytes(32))
  const other = await fluxgate(manifestOf('--draft', `--root-public-key=${stranger.publicKey.toString('base64url')}`))
  assert.equal(other.code, 0, other.err)
  const manifest = JSON.parse(other.out)
  assert.equal(manifestText(manifest), other.out, 'what is printed is what is signed')
  const root_sig = stranger.sign(Buffer.from(other.out)).toString('base64')
  const strange = await fluxgate(manifestOf('--publish', '-'), {
    seed: seeds[2],
    stdin: JSON.stringify({ ...manifest, root_sig }),
  })
  assert.match(strange.err, /Verifiers trust that key/)
  assert.equal((await published()).sequence, 3)

  const told = await fluxgate(manifestOf('--publish', '-', '--new-root'), {
    seed: seeds[2],
    stdin: JSON.stringify({ ...manifest, root_sig }),
  })
  assert.equal(told.out, 'published list 4\n', told.err)
})

for (const { name, words, code, seen } of [
  { name: 'two modes at once', words: ['--draft', '--publish', 'x'], code: 2, seen: /choose one of/ },
  { name: 'a draft without a root key', words: ['--draft'], code: 2, seen: /--root-public-key is missing/ },
  { name: 'a root key that is none', words: ['--draft', '--root-public-key', 'abc'], code: 2, seen: /32 bytes/ },
  { name: 'a file that is none', words: ['--publish', '/nonexistent'], code: 1, seen: /cannot read/ },
])
  test(`manifest with ${name} exits ${code}`, async () => {
    const { code: found, err } = await fluxgate(manifestOf(...words))
    assert.equal(found, code)
    assert.match(err, seen)
  })
