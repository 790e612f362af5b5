import assert from 'node:assert/strict'
import { after, before, test } from 'node:test'
import { createReceiptSigner } from '#adapters/receipt-signer.ts'
import { parseReceiptKeys } from '#billing/receipt-keys.ts'
import { verifyBundleText } from '#billing/verify-receipt.ts'
import { auditLedger } from '#domain/audit.ts'
import { createGrants, GRANT_NANOS_MAX } from '#domain/grants.ts'
import type { AuthenticatedKey } from '#domain/keyring.ts'
import { createKeys } from '#domain/keys.ts'
import { createProjects } from '#domain/projects.ts'
import { publicReceiptKeys, ReceiptKeyError, registerReceiptKey } from '#domain/receipt-keys.ts'
import { createReceiptLog } from '#domain/receipt-log.ts'
import { createRefunds } from '#domain/refunds.ts'
import { scopeSet } from '#domain/scopes.ts'
import { createWallets } from '#domain/wallets.ts'
import { createTestDatabase, type TestDatabase } from '#test/support/database.ts'
import { claimTestSlot } from '#test/support/slot.ts'
import { createTestTill } from '#test/support/till.ts'

let database: TestDatabase
let till: Awaited<ReturnType<typeof createTestTill>>
let projects: ReturnType<typeof createProjects>
let grants: ReturnType<typeof createGrants>
let refunds: ReturnType<typeof createRefunds>
let wallets: ReturnType<typeof createWallets>

before(async () => {
  database = await createTestDatabase()
  const { db } = database
  const slot = await claimTestSlot(db)
  till = await createTestTill({ database, slot })
  projects = createProjects({ db })
  grants = createGrants({ db, slot })
  refunds = createRefunds({ db, slot })
  wallets = createWallets({ db })
})
after(async () => {
  const report = await auditLedger(database.db)
  await till.close()
  await database.close()
  assert.deepEqual(
    report.invariants.filter((invariant) => invariant.bad > 0),
    [],
  )
})

async function openProject(name: string): Promise<AuthenticatedKey> {
  const project = await projects.create({ name })
  const { key } = await createKeys({ db: database.db }).create({ projectId: project.id, name })
  const { id: projectId, walletId, account } = project
  return { keyId: key.id, projectId, walletId, account, scopes: scopeSet(key.scopes), personal: false, userId: null }
}

const gift = { reason: 'a test', actor: 'test' }

test('twenty processes that open the same project open one', async () => {
  const all = await Promise.all(Array.from({ length: 20 }, () => projects.ensure('default')))
  assert.equal(new Set(all.map((project) => project.id)).size, 1)
  const { rows } = await database.db.query('select count(*)::int as n from wallet')
  assert.equal(rows[0].n, 1)
})

test('a grant arrives once, however often and however fast it is repeated', async () => {
  const { projectId } = await openProject('granted')
  const input = { ...gift, projectId, amountNanos: 5_000_000_000n, idempotencyKey: 'once' }
  const all = await Promise.all(Array.from({ length: 10 }, () => grants.grant(input)))
  assert.equal(all.filter((grant) => !grant.replayed).length, 1)
  assert.equal(
    new Set(all.map(({ replayed, ...grant }) => JSON.stringify(grant, (_, v) => (typeof v === 'bigint' ? `${v}` : v))))
      .size,
    1,
  )
  const wallet = await wallets.ofProject(projectId)
  assert.equal(wallet.postedNanos, 5_000_000_000n)
  assert.equal(wallet.lots.length, 1)
})

test('one key with another amount, reason, expiry or kind is refused', async () => {
  const { projectId } = await openProject('mismatch')
  const input = { ...gift, projectId, amountNanos: 1_000n, idempotencyKey: 'key' }
  await grants.grant(input)
  for (const other of [
    { amountNanos: 1_001n },
    { reason: 'another' },
    { expiresAt: new Date('2099-01-01') },
    { kind: 'welcome' as const },
  ])
    await assert.rejects(grants.grant({ ...input, ...other }), { code: 'idempotency_mismatch' })
  assert.equal((await wallets.ofProject(projectId)).postedNanos, 1_000n)
})

test('the same key in another project is another grant', async () => {
  const [one, other] = [await openProject('one'), await openProject('other')]
  for (const { projectId } of [one, other])
    assert.equal((await grants.grant({ ...gift, projectId, amountNanos: 7n, idempotencyKey: 'same' })).replayed, false)
})

for (const [name, change, code] of [
  ['of nothing', { amountNanos: 0n }, 'body_invalid'],
  ['of less than nothing', { amountNanos: -1n }, 'body_invalid'],
  ['above the cap', { amountNanos: GRANT_NANOS_MAX + 1n }, 'body_invalid'],
  ['without a reason', { reason: '' }, 'body_invalid'],
  ['with a reason of 501 characters', { reason: 'x'.repeat(501) }, 'body_invalid'],
  ['with a NUL in its reason', { reason: 'a\0b' }, 'body_invalid'],
  ['with half a surrogate pair in its reason', { reason: 'a\ud800' }, 'body_invalid'],
  ['that expired yesterday', { expiresAt: new Date(Date.now() - 86_400_000) }, 'body_invalid'],
  ['without a key', { idempotencyKey: '' }, 'idempotency_key_invalid'],
  ['with a key that has a space', { idempotencyKey: 'a b' }, 'idempotency_key_invalid'],
  ['to a project that is not there', { projectId: 'prj_aaaaaaaaaaaaaaaaaaaa' }, 'not_found'],
] as const) {
  test(`a grant ${name} is refused`, async () => {
    const project = await projects.ensure('refusing')
    const input = { ...gift, projectId: project.id, amountNanos: 1n, idempotencyKey: `k-${name.replaceAll(' ', '-')}` }
    await assert.rejects(grants.grant({ ...input, ...change }), { code })
  })
}

test('a grant that is repeated after its expiry is answered as it was', async () => {
  const { projectId } = await openProject('late replay')
  const input = { ...gift, projectId, amountNanos: 9n, idempotencyKey: 'k', expiresAt: new Date(Date.now() + 150) }
  const first = await grants.grant(input)
  while (Date.now() <= input.expiresAt.getTime() + 20) await new Promise((resolve) => setTimeout(resolve, 20))
  const again = await grants.grant(input)
  assert.deepEqual(again, { ...first, replayed: true })
  const wallet = await wallets.ofProject(projectId)
  assert.equal(wallet.postedNanos, 9n, 'not written off yet')
  assert.equal(wallet.availableNanos, 0n, 'and not available any more')
})

test('a wallet shows its lots in the order in which they burn', async () => {
  const { projectId } = await openProject('lots')
  const soon = new Date(Date.now() + 86_400_000)
  await grants.grant({ ...gift, projectId, amountNanos: 1n, idempotencyKey: 'a' })
  await grants.grant({ ...gift, projectId, amountNanos: 2n, idempotencyKey: 'b', expiresAt: soon })
  await grants.grant({ ...gift, projectId, amountNanos: 3n, idempotencyKey: 'c', kind: 'welcome' })
  const wallet = await wallets.ofProject(projectId)
  assert.deepEqual(
    wallet.lots.map((lot) => [lot.kind, lot.priority, lot.restNanos, lot.expiresAt]),
    [
      ['promo', 10, 3n, null],
      ['admin', 25, 2n, soon],
      ['admin', 25, 1n, null],
    ],
  )
  assert.equal(wallet.availableNanos, 6n)
})

test('a refund without an amount returns what is left, once', async () => {
  const key = await openProject('refund rest')
  await grants.grant({ ...gift, projectId: key.projectId, amountNanos: 10_000n, idempotencyKey: 'g' })
  const requestId = await till.charge(key, 8_000n)
  const part = await refunds.refund({ ...gift, requestId, amountNanos: 3_000n, idempotencyKey: 'part' })
  assert.equal(part.amountNanos, 3_000n)
  const input = { ...gift, requestId, idempotencyKey: 'rest' }
  const rest = await refunds.refund(input)
  assert.deepEqual([rest.amountNanos, rest.replayed], [5_000n, false])
  assert.deepEqual(await refunds.refund(input), { ...rest, replayed: true })
  assert.equal((await wallets.ofProject(key.projectId)).postedNanos, 10_000n)
  await assert.rejects(refunds.refund({ ...input, idempotencyKey: 'more' }), { code: 'exceeds_charge' })
  await assert.rejects(refunds.refund({ ...input, amountNanos: 1n, idempotencyKey: 'one-more' }), {
    code: 'exceeds_charge',
  })
})

test('refunds that race never return more than was charged', async () => {
  const key = await openProject('refund race')
  await grants.grant({ ...gift, projectId: key.projectId, amountNanos: 10_000n, idempotencyKey: 'g' })
  const requestId = await till.charge(key, 10_000n)
  const attempts = await Promise.allSettled(
    Array.from({ length: 12 }, (_, n) =>
      refunds.refund({ ...gift, requestId, idempotencyKey: `race-${n}`, ...(n % 2 === 0 && { amountNanos: 3_000n }) }),
    ),
  )
  let returned = 0n
  for (const attempt of attempts) {
    if (attempt.status === 'fulfilled') returned += attempt.value.amountNanos
    else assert.equal(attempt.reason.code, 'exceeds_charge')
  }
  assert(returned > 0n && returned <= 10_000n)
  assert.equal((await wallets.ofProject(key.projectId)).postedNanos, returned)
})

test('one refund key refunds one call, also when two calls race for it', async () => {
  const keys = [await openProject('race a'), await openProject('race b')]
  const calls: string[] = []
  for (const key of keys) {
    await grants.grant({ ...gift, projectId: key.projectId, amountNanos: 1_000n, idempotencyKey: 'g' })
    calls.push(await till.charge(key, 1_000n))
  }
  const attempts = await Promise.allSettled(
    calls.map((requestId) => refunds.refund({ ...gift, requestId, idempotencyKey: 'shared' })),
  )
  const refused = attempts.filter((attempt) => attempt.status === 'rejected')
  assert.deepEqual(
    refused.map((attempt) => attempt.reason.code),
    ['idempotency_mismatch'],
  )
})

test('every receipt of a project verifies offline, page by page, and nobody else sees it', async () => {
  const key = await openProject('receipts')
  const stranger = await openProject('stranger')
  await grants.grant({ ...gift, projectId: key.projectId, amountNanos: 100_000n, idempotencyKey: 'g' })
  const ids = await Promise.all(Array.from({ length: 7 }, () => till.charge(key, 1_000n)))
  const log = createReceiptLog({ db: database.db })
  const keys = JSON.parse(JSON.stringify(await publicReceiptKeys(database.db)))

  const seen: string[] = []
  for (let after = 0n; ; ) {
    const page = await log.list(key.projectId, { after, limit: 3 })
    for (const text of page.bundles) {
      const result = await verifyBundleText(text, keys)
      assert(result.ok, JSON.stringify(result.steps))
      seen.push(JSON.parse(text).receipt.receipt_id)
    }
    assert.equal(page.hasMore, seen.length < 7)
    assert(page.last !== null)
    after = page.last
    if (!page.hasMore) break
  }
  assert.deepEqual(new Set(seen), new Set(ids.map((id) => `rcp_${id}`)))

  const [first] = ids
  assert(first !== undefined)
  assert.match((await log.find(key.projectId, first)) ?? '', new RegExp(`rcp_${first}`))
  assert.equal(await log.find(stranger.projectId, first), undefined)
  assert.deepEqual(await log.list(stranger.projectId, { after: 0n, limit: 3 }), {
    bundles: [],
    hasMore: false,
    last: null,
  })
})

test('keys rotate: one is current, old ones stay published, one that returns is current again', async () => {
  const { db } = database
  const [a, b] = [createReceiptSigner(Buffer.alloc(32, 1)), createReceiptSigner(Buffer.alloc(32, 2))]
  for (const [signer, others] of [
    [a, [till.signer]],
    [b, [a, till.signer]],
    [a, [b, till.signer]],
  ] as const) {
    await Promise.all(Array.from({ length: 5 }, () => registerReceiptKey(db, signer)))
    const document = await parseReceiptKeys(JSON.parse(JSON.stringify(await publicReceiptKeys(db))))
    assert.equal(document.current_key_id, signer.keyId)
    const status = new Map(document.keys.map((key) => [key.key_id, key.status]))
    assert.equal(status.get(signer.keyId), 'active')
    for (const other of others) assert.equal(status.get(other.keyId), 'retired')
  }
  await db.query('update receipt_key set revoked_at = now() where key_id = $1', [b.keyId])
  await assert.rejects(registerReceiptKey(db, b), ReceiptKeyError)
  await registerReceiptKey(db, till.signer)
})
