import assert from 'node:assert/strict'
import { createHash } from 'node:crypto'
import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { after, before, test } from 'node:test'
import { createReceiptSigner, parseSeed } from '#adapters/receipt-signer.ts'
import { checkConsistency } from '#billing/tlog/check-consistency.ts'
import { decodeHash, type LogPolicy, verifyCheckpoint } from '#billing/tlog/checkpoint.ts'
import { parseTlogProof, verifyTlogProof } from '#billing/tlog/tlog-proof.ts'
import { parseVerifierKey } from '#billing/tlog/verifier-key.ts'
import { transaction } from '#db/pool.ts'
import { signDocuments } from '#domain/signed-documents.ts'
import { uuidv7Hex } from '#lib/ids.ts'
import { createTestGateway, ONE_USD, type TestGateway, until } from '#test/support/gateway.ts'

let gateway: TestGateway
let policy: LogPolicy
before(async () => {
  gateway = await createTestGateway({ env: { LOG_INTERVAL_MS: '50', RECEIPT_LOG_ORIGIN: 'log.example/9' } })
  const { text } = await gateway.chat(undefined, { method: 'GET', path: '/log/vkey' })
  policy = { log: await parseVerifierKey(text.trim()), witnesses: [], quorum: 0 }
  assert.equal(policy.log.name, 'log.example/9')
})
after(() => gateway.close())

const get = (path: string, key?: string) =>
  gateway.chat(undefined, { method: 'GET', path, ...(key !== undefined && { key }) })
const ask = { model: 'sim/echo', messages: [{ role: 'user', content: 'hello' }] }

async function proofOf(path: string, key?: string): Promise<string> {
  let text = ''
  await until('the proof is there', async () => {
    const reply = await get(path, key)
    if (reply.status === 503) {
      assert.equal(reply.json.error.code, 'log_pending')
      assert.deepEqual([reply.headers['retry-after'], reply.headers['x-should-retry']], ['2', 'true'])
      return false
    }
    assert.equal(reply.status, 200, reply.text)
    assert.equal(reply.headers['content-type'], 'text/plain; charset=utf-8')
    text = reply.text
    return true
  })
  return text
}

test('a call has its place in the log within moments, and its proof leads from the bundle to the signed checkpoint', async () => {
  const project = await gateway.openProject(10n * ONE_USD)
  const roots: { root: string; proof: string }[] = []
  for (let calls = 0; calls < 5; calls += 1) {
    const { headers, status } = await gateway.chat(ask, { key: project.secret })
    assert.equal(status, 200)
    const id = String(headers['x-fluxgate-receipt'] ?? headers['x-request-id']).replace(/^req_/, 'rcp_')
    const { json: bundle } = await get(`/v1/receipts/${id}`, project.secret)
    const proof = await proofOf(`/v1/receipts/${id}/proof`, project.secret)
    const verdict = await verifyTlogProof(proof, decodeHash(bundle.batch.root), policy)
    assert(verdict.ok, JSON.stringify(verdict))
    assert.equal(bundle.receipt.log, verdict.checkpoint.origin)
    roots.push({ root: bundle.batch.root, proof })
  }
  const [one, two] = roots
  assert(one && two)
  assert.equal((await verifyTlogProof(one.proof, decodeHash(two.root), policy)).ok, false, 'not of another batch')

  const stranger = await gateway.openProject(ONE_USD)
  const id = parseTlogProof(one.proof)
  assert.equal(id.index >= 0, true)
  const receipts = await get('/v1/receipts', project.secret)
  const path = `/v1/receipts/${receipts.json.data[0].receipt.receipt_id}/proof`
  for (const [key, status] of [
    [stranger.secret, 404],
    ['nonsense', 401],
    [undefined, 401],
  ] as const)
    assert.equal((await get(path, key)).status, status)
  for (const bad of ['rcp_0', `rcp_${'0'.repeat(32)}`, 'x'])
    assert.equal((await get(`/v1/receipts/${bad}/proof`, project.secret)).status, 404)
})

test('documents: everybody’s need no key, others only their project’s', async () => {
  const project = await gateway.openProject(ONE_USD)
  const other = await gateway.openProject(ONE_USD)
  const id = (prefix: string) => `${prefix}_${uuidv7Hex()}`
  const issuedAt = new Date()
  const draft = { period: null, issuedAt, document: '{"a":1}' }
  const docs = { open: id('kms'), byProject: id('crt'), byWallet: id('stm') }
  const signer = createReceiptSigner(parseSeed(gateway.config.RECEIPT_SIGNING_KEY?.reveal() ?? ''))
  await transaction(gateway.db, (tx) =>
    signDocuments(tx, signer, [
      { ...draft, id: docs.open, kind: 'keys', walletId: null, projectId: null },
      { ...draft, id: docs.byProject, kind: 'certificate', walletId: null, projectId: project.id },
      { ...draft, id: docs.byWallet, kind: 'statement', walletId: project.walletId, projectId: null },
    ]),
  )
  const { rows } = await gateway.db.query<{ root: Buffer }>(
    'select root from receipt_batch b join signed_document d using (batch_id) where d.id = $1',
    [docs.open],
  )
  const root = rows[0]?.root ?? Buffer.alloc(0)
  for (const [name, key] of [
    [docs.open, undefined],
    [docs.open, 'nonsense'],
    [docs.byProject, project.secret],
    [docs.byWallet, project.secret],
  ] as const)
    assert((await verifyTlogProof(await proofOf(`/v1/documents/${name}/proof`, key), root, policy)).ok)
  for (const name of [docs.byProject, docs.byWallet, id('crt')]) {
    assert.equal((await get(`/v1/documents/${name}/proof`, other.secret)).status, 404)
    assert.equal((await get(`/v1/documents/${name}/proof`)).status, 401)
    assert.equal((await get(`/v1/documents/${name}/proof`, 'nonsense')).status, 401)
  }
})

test('checkpoint, tiles and proofs come out of the files, with the headers that caches and browsers want', async () => {
  const checkpoint = await get('/log/checkpoint')
  assert.equal(checkpoint.headers['content-type'], 'text/plain; charset=utf-8')
  assert.equal(checkpoint.headers['cache-control'], 'public, max-age=1')
  assert.equal(checkpoint.headers['access-control-allow-origin'], '*')
  const { problem, checkpoint: head } = await verifyCheckpoint(checkpoint.text, policy)
  assert.equal(problem, undefined)
  const { size } = head
  assert(size >= 2)
  for (const path of [`tile/0/000.p/${size}`, `tile/entries/000.p/${size}`]) {
    const reply = await get(`/log/${path}`)
    assert.deepEqual(
      [
        reply.status,
        reply.headers['content-type'],
        reply.headers['cache-control'],
        reply.headers['access-control-allow-origin'],
      ],
      [200, 'application/octet-stream', 'public, max-age=31536000, immutable', '*'],
    )
    assert(reply.body.equals(await readFile(join(gateway.dataDir, 'log', path))))
  }
  // Each old width is the beginning of the newest one, also where its own file was never written.
  const whole = (await get(`/log/tile/0/000.p/${size}`)).body
  for (let width = 1; width < size; width += 1)
    assert((await get(`/log/tile/0/000.p/${width}`)).body.equals(whole.subarray(0, width * 32)))
  for (const path of [
    'tile/0/000',
    'tile/0/001.p/1',
    `tile/0/000.p/${size + 1}`,
    'tile/1/000.p/1',
    'tile/0/0',
    'tile/0/..%2f..%2fcheckpoint',
    'tile/..%2fcheckpoint',
    'tile/0/000.p/1%00',
    'tile/',
    'locks',
  ])
    assert.equal((await get(`/log/${path}`)).status, 404, path)
  assert.equal((await get('/log/witnessed-checkpoint')).status, 404)

  const rootAt = async (at: number) => {
    const { rows } = await gateway.db.query<{ root: Buffer }>('select root from log_checkpoint where size = $1', [at])
    return rows[0] === undefined ? undefined : new Uint8Array(rows[0].root)
  }
  const root = decodeHash(head.root)
  for (let from = 0; from <= size; from += 1) {
    const { status, json } = await get(`/log/proof/consistency?from=${from}&to=${size}`)
    assert.equal(status, 200)
    const oldRoot = await rootAt(from)
    if (oldRoot !== undefined)
      assert(await checkConsistency({ oldSize: from, oldRoot, size, root, path: json.path.map(decodeHash) }))
  }
  const { json } = await get(`/log/proof/inclusion?index=1&size=${size}`)
  const leafHash = createHash('sha256')
    .update(Buffer.from([0]))
    .update(await leafAt(1))
    .digest('base64')
  assert.equal(json.leaf_hash, leafHash)
  for (const [path, status] of [
    [`/log/proof/inclusion?index=${size}&size=${size}`, 404],
    [`/log/proof/inclusion?index=0&size=${size + 1}`, 404],
    ['/log/proof/inclusion?index=0&size=0', 404],
    [`/log/proof/consistency?from=0&to=${size + 1}`, 404],
    ['/log/proof/consistency?from=2&to=1', 404],
    ['/log/proof/consistency?from=-1&to=1', 400],
    ['/log/proof/consistency?from=0', 400],
    ['/log/proof/consistency?from=0&to=1e400', 400],
    ['/log/proof/inclusion?index=0.5&size=1', 400],
  ] as const)
    assert.equal((await get(path)).status, status, path)
})

test('metrics tell the size, the queue and the leader', async () => {
  const { text } = await get('/metrics')
  const value = (name: string) => Number(new RegExp(`^fluxgate_log_${name} (\\S+)$`, 'm').exec(text)?.[1])
  assert(value('size') >= 2)
  assert.deepEqual(['leader', 'halted', 'witnessed_size', 'unwitnessed_seconds'].map(value), [1, 0, 0, 0])
  assert(value('queue_depth') >= 0 && value('queue_age_seconds') >= 0)
})

async function leafAt(index: number): Promise<Buffer> {
  const { rows } = await gateway.db.query<{ root: Buffer }>('select root from log_leaf where idx = $1', [index])
  return rows[0]?.root ?? Buffer.alloc(0)
}
