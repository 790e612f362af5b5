import assert from 'node:assert/strict'
import { createHmac, randomBytes } from 'node:crypto'
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { PassThrough, Readable } from 'node:stream'
import { text } from 'node:stream/consumers'
import { after, before, test } from 'node:test'
import { fileURLToPath } from 'node:url'
import { run } from '#cli/receipt-verify.ts'
import { complete } from '#test/receipt-vectors/good.ts'
import { currentSigner, rootSigner } from '#test/receipt-vectors/keys.ts'
import { sealOne } from '#test/receipt-vectors/seal.ts'

const folder = fileURLToPath(new URL('../src/billing/vectors/', import.meta.url))
const vector = (name: string) => join(folder, name)
const keys = ['--keys', vector('keys.json')]

let place: string
before(async () => {
  place = await mkdtemp(join(tmpdir(), 'fluxgate-verify-log-'))
})
after(() => rm(place, { recursive: true }))

async function verify(args: string[]) {
  const [out, err] = [new PassThrough(), new PassThrough()]
  const code = await run({ out, err, stdin: Readable.from([]) }, args)
  out.end()
  err.end()
  return { code, out: await text(out), err: await text(err) }
}

async function file(name: string, content: string | Buffer): Promise<string> {
  await writeFile(join(place, name), content)
  return join(place, name)
}

test('a proof of the log is a step of its own, with the key of the log or with a policy', async () => {
  const bundle = vector('log-bundle.json')
  const vkey = /log (\S+)/.exec(await readFile(vector('log-policy-log.txt'), 'utf8'))?.[1] ?? ''
  const alone = await verify([bundle, ...keys, '--proof', vector('log-inclusion.tlog-proof'), '--log-vkey', vkey])
  assert.equal(alone.code, 0, alone.out + alone.err)
  assert.match(alone.out, /ok {4}log +leaf 4 of 13 .*no witness was asked for/)
  // Of several proofs the right one is found.
  const proofs = ['log-other-batch.tlog-proof', 'log-witnessed.tlog-proof'].flatMap((name) => ['--proof', vector(name)])
  const policy = ['--policy', vector('log-policy-witnesses.txt')]
  const witnessed = await verify([bundle, ...keys, ...proofs, ...policy])
  assert.equal(witnessed.code, 0, witnessed.out)
  assert.match(witnessed.out, /2 witnesses, a quorum by 2026-11-25T11:00:00.000Z/)
  const few = await verify([bundle, ...keys, '--proof', vector('log-too-few.tlog-proof'), ...policy])
  assert.equal(few.code, 1)
  assert.match(few.out, /FAIL {2}log/)
})

test('what a key signed before it was revoked is good with witnesses that had seen it', async () => {
  const bundle = vector('log-bundle-revoked.json')
  const policy = ['--policy', vector('log-policy-witnesses.txt')]
  assert.match((await verify([bundle, ...keys])).out, /FAIL {2}key/)
  const early = await verify([bundle, ...keys, '--proof', vector('log-revoked-before.tlog-proof'), ...policy])
  assert.equal(early.code, 0, early.out)
  const late = await verify([bundle, ...keys, '--proof', vector('log-revoked-late.tlog-proof'), ...policy])
  assert.equal(late.code, 1)
  assert.match(late.out, /FAIL {2}key .*witnesses saw this only by/)
})

test('of several proofs the one that witnesses saw first counts, in any order', async () => {
  const names = ['log-revoked-before.tlog-proof', 'log-revoked-late.tlog-proof']
  for (const order of [names, names.toReversed()]) {
    const proofs = order.flatMap((name) => ['--proof', vector(name)])
    const policy = ['--policy', vector('log-policy-witnesses.txt')]
    const { code, out } = await verify([vector('log-bundle-revoked.json'), ...keys, ...proofs, ...policy])
    assert.equal(code, 0, `${order}: ${out}`)
  }
})

test('a page of statements that says that there are more is not complete without the next', async () => {
  const set = JSON.parse(await readFile(vector('set-whole.json'), 'utf8'))
  const [first, ...rest] = set.statements
  const page = (data: unknown[], next: string | null) =>
    JSON.stringify({ object: 'list', data, has_more: next !== null, next_after: next })
  const cut = await file('statements-1.json', page([first], first.document.day))
  const end = await file('statements-2.json', page(rest, null))
  const alone = await verify([cut, ...keys])
  assert.match(alone.out, /FAIL {2}complete .*\/v1\/statements\?after=/)
  assert.equal(alone.code, 1)
  assert.doesNotMatch((await verify([cut, end, ...keys])).out, /complete/)
  assert.doesNotMatch((await verify([cut, ...keys, '--partial'])).out, /complete/)
})

test('an entry of a certificate is a step beside those of the certificate', async () => {
  const good = await verify([vector('entry-good.json'), ...keys])
  assert.equal(good.code, 0, good.out)
  assert.match(good.out, /ok {4}content .*\n {2}ok {4}entry .*is leaf 0 of 3\n/)
  for (const name of ['altered', 'metadata', 'relisted', 'foreign']) {
    const { code, out } = await verify([vector(`entry-${name}.json`), ...keys])
    assert.equal(code, 1)
    assert.match(out, /FAIL {2}entry/, name)
  }
})

test('the keys may be a list that the root key signed', async () => {
  const good = vector('good-complete.json')
  const manifest = ['--keys', vector('document-manifest.json')]
  assert.equal((await verify([good, ...manifest])).code, 0)
  assert.equal((await verify([good, ...manifest, '--root-key', rootSigner.keyId])).code, 0)
  const other = await verify([good, ...manifest, '--root-key', 'root_0000000000000000'])
  assert.deepEqual([other.code, /is not the root key that you trust/.test(other.err)], [2, true])
  const forged = await verify([good, '--keys', vector('document-manifest-forged.json')])
  assert.deepEqual([forged.code, /did not sign this manifest/.test(forged.err)], [2, true])
  const plain = await verify([good, ...keys, '--root-key', rootSigner.keyId])
  assert.deepEqual([plain.code, /not a list that a root key signed/.test(plain.err)], [2, true])
})

test('receipts are compared with statements, each by itself and all together', async () => {
  const set = JSON.parse(await readFile(vector('set-whole.json'), 'utf8'))
  const receipts = await file('receipts.json', JSON.stringify(set.receipts))
  const statements = await file('statements.json', JSON.stringify(set.statements))
  const whole = await verify([receipts, '--statements', statements, ...keys])
  assert.equal(whole.code, 0, whole.out)
  assert.match(whole.out, /receipts and statements together\n {2}ok {4}one_per_day/)
  assert.match(whole.out, /all is well: 6 of 6 receipts verify, 3 of 3 documents verify/)
  const json = JSON.parse((await verify([receipts, '--statements', statements, '--json', ...keys])).out)
  assert.deepEqual([json.ok, json.documents.length, json.statements.ok], [true, 3, true])

  const fewer = await file('fewer.json', JSON.stringify(set.receipts.slice(0, 3)))
  const missing = await verify([fewer, '--statements', statements, ...keys])
  assert.equal(missing.code, 1)
  assert.match(missing.out, /FAIL {2}receipts/)
  const selection = await verify([fewer, '--statements', statements, '--partial', ...keys])
  assert.equal(selection.code, 0, selection.out)
  const last = await file('last.json', JSON.stringify(set.statements.slice(1)))
  assert.match(
    (await verify([receipts, '--statements', last, ...keys])).out,
    /FAIL {2}chain .*there are statements before/,
  )
})

test('commitments are opened with their key and the exact bytes', async () => {
  const key = randomBytes(32)
  const [request, response] = [Buffer.from('{"model":"x"}'), Buffer.from('data: {}\n\n')]
  const commit = (bytes: Buffer) => `hmac-sha256:${createHmac('sha256', key).update(bytes).digest('hex')}`
  const receipt = { ...complete, request_commit: commit(request), response_commit: commit(response) }
  const bundle = await file('opened.json', JSON.stringify(sealOne(receipt, currentSigner)))
  const [sent, got] = [await file('sent', request), await file('got', response)]
  const opening = ['--commit-key', key.toString('hex'), '--request', sent]
  const good = await verify([bundle, ...keys, ...opening, '--response', got])
  assert.equal(good.code, 0, good.out)
  assert.match(good.out, /ok {4}request +request_commit is of these 13 bytes\n {2}ok {4}response/)
  const swapped = await verify([bundle, ...keys, ...opening, '--response', sent])
  assert.equal(swapped.code, 1)
  assert.match(swapped.out, /FAIL {2}response +response_commit is of other bytes, or of another key/)
  const none = await verify([vector('good-complete.json'), ...keys, ...opening])
  assert.match(none.out, /FAIL {2}request +the receipt has no request_commit/)
})

for (const { name, args, seen } of [
  { name: 'a proof of no log', args: ['--proof', vector('log-inclusion.tlog-proof')], seen: /which one to trust/ },
  { name: 'a policy without a proof', args: ['--policy', vector('log-policy-log.txt')], seen: /is about a --proof/ },
  {
    name: 'a policy that is none',
    args: ['--proof', vector('log-inclusion.tlog-proof'), '--policy', vector('log-policy-no-quorum.txt')],
    seen: /no quorum/,
  },
  { name: 'a proof over ftp', args: ['--proof', 'ftp://x/y'], seen: /--proof takes an http or https URL/ },
  { name: 'a commit key alone', args: ['--commit-key', 'a'.repeat(64)], seen: /goes with --request/ },
  { name: 'bytes without a commit key', args: ['--request', vector('keys.json')], seen: /goes with --request/ },
  { name: 'a short commit key', args: ['--commit-key', 'ab', '--request', vector('keys.json')], seen: /64 hex digits/ },
  {
    name: 'a log key that is none',
    args: ['--proof', vector('log-inclusion.tlog-proof'), '--log-vkey', 'x'],
    seen: /a vkey is not/,
  },
])
  test(`${name} exits 2 and says why`, async () => {
    const { code, err } = await verify([vector('log-bundle.json'), ...keys, ...args])
    assert.equal(code, 2)
    assert.match(err, seen)
  })
