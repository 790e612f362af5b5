import assert from 'node:assert/strict'
import { after, before, test } from 'node:test'
import { auditLedger } from '#domain/audit.ts'
import { createGrants } from '#domain/grants.ts'
import { createPersonalProjects } from '#domain/people/personal-project.ts'
import { createSettings, type StoredSettings } from '#domain/settings.ts'
import { createWallets } from '#domain/wallets.ts'
import { createTestDatabase, type TestDatabase } from '#test/support/database.ts'
import { DIGEST_KEY, insertUser } from '#test/support/people.ts'
import { claimTestSlot } from '#test/support/slot.ts'

let database: TestDatabase
let stored: StoredSettings = new Map([['INITIAL_USER_FLUX', { value: 7 }]])
let people: ReturnType<typeof createPersonalProjects>

before(async () => {
  database = await createTestDatabase({ poolMax: 10 })
  const { db } = database
  people = createPersonalProjects({
    ...{
      db,
      grants: createGrants({ db, slot: await claimTestSlot(db) }),
      fluxNanousd: 1_000_000n,
      digestKey: DIGEST_KEY,
    },
    settings: () => createSettings(stored),
  })
})
after(() => database.close())

const balance = async (projectId: string) => (await createWallets({ db: database.db }).ofProject(projectId)).postedNanos

test('twenty first calls of one person open one wallet with one gift', async () => {
  const user = await insertUser(database.db, 'race@example.com')
  const opened = await Promise.all(Array.from({ length: 20 }, () => people.open(user)))
  assert.equal(new Set(opened.map(({ projectId }) => projectId)).size, 1)
  assert.equal(await balance(opened[0]?.projectId ?? ''), 7_000_000n)
  assert.deepEqual(
    (await auditLedger(database.db)).invariants.filter(({ bad }) => bad > 0),
    [],
  )
})

test('whoever deletes the account and comes back gets a wallet and no second gift', async () => {
  const first = await people.open(await insertUser(database.db, 'again@example.com'))
  await database.db.query("delete from auth_user where email = 'again@example.com'")
  const second = await people.open(await insertUser(database.db, 'Again@Example.com'))
  assert.notEqual(second.projectId, first.projectId)
  assert.deepEqual([await balance(first.projectId), await balance(second.projectId)], [7_000_000n, 0n])
})

test('the digest of an address names nobody', async () => {
  const { rows } = await database.db.query('select email_digest from welcomed_person')
  assert(rows.length > 0)
  for (const { email_digest } of rows) assert.equal(email_digest.length, 32)
})

test('an address that was not shown to be theirs welcomes nobody', async () => {
  const opened = await people.open(await insertUser(database.db, 'claimed@example.com', { verified: false }))
  assert.equal(await balance(opened.projectId), 0n)
})

test('a wallet that is older than the proof of the address gets the gift afterwards, once', async () => {
  const user = await insertUser(database.db, 'later@example.com', { verified: false })
  const { projectId } = await people.open(user)
  assert.equal(await balance(projectId), 0n)
  await database.db.query(`update auth_user set email_verified = true where id = $1`, [user.id])
  const verified = { ...user, emailVerified: true }
  const opened = await Promise.all(Array.from({ length: 20 }, () => people.open(verified)))
  assert.deepEqual(new Set(opened.map((one) => one.projectId)), new Set([projectId]))
  assert.equal(await balance(projectId), 7_000_000n)
  await people.open(verified)
  assert.equal(await balance(projectId), 7_000_000n)
  // What is set later is no reason for another gift.
  stored = new Map([['INITIAL_USER_FLUX', { value: 9 }]])
  await people.open(verified)
  assert.equal(await balance(projectId), 7_000_000n)
})

test('a wallet is not opened for who has left meanwhile', async () => {
  const user = await insertUser(database.db, 'gone@example.com')
  await database.db.query('delete from auth_user where id = $1', [user.id])
  await assert.rejects(people.open(user), { code: 'not_found' })
})

test('without a gift nobody counts as welcomed', async () => {
  stored = new Map()
  const { rows: before } = await database.db.query('select count(*) as n from welcomed_person')
  const opened = await people.open(await insertUser(database.db, 'nothing@example.com'))
  assert.equal(await balance(opened.projectId), 0n)
  const { rows: afterwards } = await database.db.query('select count(*) as n from welcomed_person')
  assert.deepEqual(afterwards, before)
})
