import assert from 'node:assert/strict'
import { createHash } from 'node:crypto'
import { after, before, test } from 'node:test'
import { setTimeout as delay } from 'node:timers/promises'
import { LISTENER_NAME } from '#db/listener.ts'
import { createPool } from '#db/pool.ts'
import { createKeyring } from '#domain/keyring.ts'
import { createKeys, KEY_CHANNEL, PinnedKeyError } from '#domain/keys.ts'
import { createProjects } from '#domain/projects.ts'
import { createTestDatabase, type TestDatabase } from '#test/support/database.ts'
import { createDatabaseDoor } from '#test/support/database-door.ts'

const LISTENER = `application_name = '${LISTENER_NAME}' and query like 'select coalesce(max(revision)%'`

let database: TestDatabase
let projectId: string
let keys: ReturnType<typeof createKeys>

before(async () => {
  database = await createTestDatabase()
  const { db } = database
  projectId = (await createProjects({ db }).create({ name: 'keyring' })).id
  keys = createKeys({ db })
})
after(() => database.close())

async function until(what: string, check: () => Promise<boolean> | boolean, msMax = 5_000): Promise<number> {
  const startedAt = performance.now()
  while (!(await check())) {
    assert(performance.now() - startedAt < msMax, `${what} within ${msMax} ms`)
    await delay(5)
  }
  return performance.now() - startedAt
}

// Keys are made before the keyring listens, where a test looks at what it remembers: the news of a new key clears that.

/** Counts the questions that reach the database. */
function counting() {
  const pool = createPool({ connection: database.connection, poolMax: 4 }, () => undefined)
  let count = 0
  const query = pool.query.bind(pool)
  pool.query = ((...args: Parameters<typeof query>) => {
    count += 1
    return query(...args)
  }) as typeof pool.query
  return { pool, count: () => count }
}

const accepts = async (keyring: ReturnType<typeof createKeyring>, secret: string) =>
  keyring.authenticate(secret).then(
    () => true,
    (error) => {
      assert.equal(error.code, 'invalid_api_key')
      return false
    },
  )

test('a key is known by its secret; what it charges comes with it', async () => {
  const { key, secret } = await keys.create({ projectId, name: 'one' })
  const keyring = createKeyring({ db: database.db })
  await keyring.listening()
  assert.match(secret, /^fg_key_[a-z2-7]{40}$/)
  assert.equal(keyring.peek(secret), undefined, 'nothing is known before the first check')

  const found = await keyring.authenticate(secret)

  assert.equal(found.keyId, key.id)
  assert.equal(found.projectId, projectId)
  assert.equal(typeof found.walletId, 'bigint')
  assert.match(found.account, /^acc_[0-9a-f]{32}$/)
  assert.equal(keyring.peek(secret), found)
  await keyring.close()
})

for (const [name, secret] of [
  ['an unknown secret', 'fg_key_aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa'],
  ['an empty one', ''],
  ['one with spaces', 'fg key'],
  ['one of 100,000 characters', 'a'.repeat(100_000)],
  ['one with a line feed', 'abc\n'],
] as const) {
  test(`${name} is invalid`, async () => {
    const keyring = createKeyring({ db: database.db })
    assert.equal(await accepts(keyring, secret), false)
    await keyring.close()
  })
}

test('only the hash of a secret is stored', async () => {
  const { key, secret } = await keys.create({ projectId, name: 'hashed' })
  const { rows } = await database.db.query('select * from api_key where id = $1', [key.id])
  assert(!JSON.stringify(rows).includes(secret.slice(0, 40)))
  assert.equal(rows[0].hint, secret.slice(-4))
})

test('a stampede asks the database once, for a key and for a guess', async () => {
  const { pool, count } = counting()
  const { secret } = await keys.create({ projectId, name: 'stampede' })
  const keyring = createKeyring({ db: pool })
  await keyring.listening()
  await Promise.all(Array.from({ length: 200 }, () => keyring.authenticate(secret)))
  assert.equal(count(), 1)
  await Promise.all(Array.from({ length: 200 }, () => accepts(keyring, 'guess')))
  await accepts(keyring, 'guess')
  assert.equal(count(), 2)
  await keyring.close()
  await pool.end()
})

test('a revoked key is refused everywhere within a second', async () => {
  const one = createKeyring({ db: database.db, ttlMs: 60_000 })
  const other = createKeyring({ db: database.db, ttlMs: 60_000 })
  await Promise.all([one.listening(), other.listening()])
  const { key, secret } = await keys.create({ projectId, name: 'revoked' })
  assert(await accepts(one, secret))
  assert(await accepts(other, secret))

  await keys.revoke(key.id)

  for (const keyring of [one, other]) {
    const tookMs = await until('refusal', async () => !(await accepts(keyring, secret)))
    assert(tookMs < 1_000, `refused after ${tookMs} ms`)
  }
  await Promise.all([one.close(), other.close()])
})

test('a secret that was tried before it existed works as soon as it exists', async () => {
  const keyring = createKeyring({ db: database.db, ttlMs: 60_000 })
  await keyring.listening()
  const secret = 'chosen-by-the-operator-0001'
  assert.equal(await accepts(keyring, secret), false)
  await keys.pin({ projectId, name: 'pinned', secret })
  await until('acceptance', () => accepts(keyring, secret), 900)
  await keyring.close()
})

test('a key stops at its expiry, not when the memory of it ends', async () => {
  const { secret } = await keys.create({ projectId, name: 'short', expiresAt: new Date(Date.now() + 400) })
  const keyring = createKeyring({ db: database.db, ttlMs: 60_000 })
  await keyring.listening()
  assert(await accepts(keyring, secret))
  await until('expiry', () => keyring.peek(secret) === undefined, 1_000)
  await until('refusal', async () => !(await accepts(keyring, secret)), 1_000)
  await keyring.close()
})

test('after a broken listening connection revocations are heard again, and none was missed', async () => {
  let interruptions = 0
  const keyring = createKeyring({ db: database.db, onInterrupted: () => (interruptions += 1) })
  await keyring.listening()
  const { key, secret } = await keys.create({ projectId, name: 'reconnect' })
  const { key: other, secret: otherSecret } = await keys.create({ projectId, name: 'missed' })
  assert(await accepts(keyring, secret))
  assert(await accepts(keyring, otherSecret))

  await database.db.query(
    `select pg_terminate_backend(pid) from pg_stat_activity where datname = current_database() and ${LISTENER}`,
  )
  await keys.revoke(other.id)
  await until('refusal', async () => !(await accepts(keyring, otherSecret)), 1_000)
  await until('interruption', () => interruptions === 1)

  await until('a new listener', async () => {
    const { rows } = await database.db.query(
      `select 1 from pg_stat_activity where datname = current_database() and ${LISTENER}`,
    )
    return rows.length > 0
  })
  assert(await accepts(keyring, secret))
  await keys.revoke(key.id)
  await until('refusal', async () => !(await accepts(keyring, secret)), 1_000)
  await keyring.close()
})

/** What every commit of a key announces is swallowed, as by a connection pool that hands out another connection each time. */
async function withoutNotifications(work: () => Promise<void>): Promise<void> {
  const { db } = database
  const { rows } = await db.query(`select pg_get_functiondef('key_changed'::regproc) as text`)
  const text: string = rows[0].text
  assert.match(text, /perform pg_notify/)
  await db.query(text.replace(/perform pg_notify[^;]*;/, ''))
  try {
    await work()
  } finally {
    await db.query(text)
  }
}

test('a revocation, an expiry, a rotation and another scope hold within a second even when no notification arrives', () =>
  withoutNotifications(async () => {
    const rings = [createKeyring({ db: database.db }), createKeyring({ db: database.db })]
    await Promise.all(rings.map((ring) => ring.listening()))
    for (const change of [
      (id: string) => keys.revoke(id),
      (id: string) => keys.rotate(id, { overlapSeconds: 0 }),
      (id: string) => database.db.query('update api_key set revoked_at = now() where id = $1', [id]),
      (id: string) => database.db.query(`update api_key set expires_at = now() where id = $1`, [id]),
    ]) {
      const { key, secret } = await keys.create({ projectId, name: 'unheard' })
      for (const ring of rings) await until('acceptance', () => accepts(ring, secret), 1_100)
      await change(key.id)
      for (const ring of rings) {
        const tookMs = await until('refusal', async () => !(await accepts(ring, secret)))
        assert(tookMs < 1_000, `refused after ${tookMs} ms`)
      }
    }
    const { key, secret } = await keys.create({ projectId, name: 'less' })
    for (const ring of rings) await until('acceptance', () => accepts(ring, secret), 1_100)
    await database.db.query(`update api_key set scopes = '{read}' where id = $1`, [key.id])
    for (const ring of rings)
      await until('fewer scopes', async () => !(await ring.authenticate(secret)).scopes.has('inference'), 1_000)
    await Promise.all(rings.map((ring) => ring.close()))
  }))

test('more changes at once than are read one by one are all obeyed', () =>
  withoutNotifications(async () => {
    const keyring = createKeyring({ db: database.db })
    await keyring.listening()
    const crowd = await createProjects({ db: database.db }).create({ name: 'crowd' })
    const { secret } = await keys.create({ projectId: crowd.id, name: 'one of many' })
    await until('acceptance', () => accepts(keyring, secret), 1_100)
    await database.db.query(
      `insert into api_key (id, project_id, name, hash, hint)
       select 'key_crowd' || lpad(n::text, 15, '0'), $1, 'n', sha256(('crowd' || n)::bytea), '' from generate_series(1, 2000) n`,
      [crowd.id],
    )
    await database.db.query('update api_key set revoked_at = now() where project_id = $1', [crowd.id])
    await until('refusal', async () => !(await accepts(keyring, secret)), 1_000)
    await keyring.close()
  }))

test('changes of keys are numbered in the order of their commits', async () => {
  const slow = await database.db.connect()
  await slow.query('begin')
  const digest = () => createHash('sha256').update(String(Math.random())).digest()
  const insert = `insert into api_key (id, project_id, name, hash, hint) values ($1, $2, 'n', $3, '')`
  await slow.query(insert, ['key_slowslowslowslow', projectId, digest()])
  const fast = database.db.query(insert, ['key_fastfastfastfast', projectId, digest()])
  const { rows: before } = await database.db.query('select max(revision) as newest from key_change')
  await slow.query('commit')
  slow.release()
  await fast
  const { rows } = await database.db.query(
    `select k.id from key_change c join api_key k using (hash) where c.revision > $1 order by c.revision`,
    [before[0].newest],
  )
  assert.deepEqual(
    rows.map(({ id }) => id),
    ['key_slowslowslowslow', 'key_fastfastfastfast'],
  )
})

test('a keyring whose database fell silent believes nothing for longer than a second', async () => {
  const door = await createDatabaseDoor(database.url)
  const pool = createPool({ connection: { connectionString: door.url }, poolMax: 2 }, () => undefined)
  const { key, secret } = await keys.create({ projectId, name: 'silence' })
  const keyring = createKeyring({ db: pool, loadMsMax: 100 })
  await keyring.listening()
  assert(await accepts(keyring, secret))
  door.silence()
  assert(keyring.peek(secret) !== undefined, 'it is remembered')
  await keys.revoke(key.id)
  await until('nothing is believed', () => keyring.peek(secret) === undefined, 1_000)
  await assert.rejects(keyring.authenticate(secret), { code: 'ledger_unavailable' })
  await door.close()
  await keyring.close()
  await pool.end()
})

test('while the database answers, keys in use are not read again', async () => {
  const { pool, count } = counting()
  const { secret } = await keys.create({ projectId, name: 'in use' })
  const keyring = createKeyring({ db: pool })
  await keyring.listening()
  assert(await accepts(keyring, secret))
  const startedAt = performance.now()
  await until('two seconds', async () => (await accepts(keyring, secret)) && performance.now() - startedAt > 2_000)
  assert.equal(count(), 1)
  await keyring.close()
  await pool.end()
})

test('a database that is away is 503, never 401', async () => {
  const away = createPool({ connection: { host: '127.0.0.1', port: 1, user: 'nobody' }, poolMax: 1 }, () => undefined)
  const keyring = createKeyring({ db: away })
  await assert.rejects(keyring.authenticate('fg_key_unknown'), { code: 'ledger_unavailable', status: 503 })
  await keyring.close()
  await away.end()
})

test('a flood of guesses does not push out the keys in use', async () => {
  const { secret } = await keys.create({ projectId, name: 'flood' })
  const keyring = createKeyring({ db: database.db, entriesMax: 2 })
  await keyring.listening()
  await keyring.authenticate(secret)
  for (let n = 0; n < 10; n += 1) await accepts(keyring, `guess-${n}`)
  assert(keyring.peek(secret) !== undefined)
  await keyring.close()
})

test('a change that comes while a key is being read is not overlooked', async () => {
  const keyring = createKeyring({ db: database.db, ttlMs: 60_000 })
  await keyring.listening()
  const { key, secret } = await keys.create({ projectId, name: 'overtaken' })
  const blocker = await database.db.connect()
  await blocker.query('begin')
  await blocker.query('lock table api_key in access exclusive mode')
  const reading = keyring.authenticate(secret)
  // The notification overtakes the answer, as it may when a revocation commits in between.
  await database.db.query('select pg_notify($1, encode(sha256($2), $3))', [KEY_CHANNEL, Buffer.from(secret), 'hex'])
  await delay(50)
  await blocker.query('commit')
  blocker.release()
  assert.equal((await reading).keyId, key.id)
  await until('the answer is used once and not kept', () => keyring.peek(secret) === undefined)
  await keyring.close()
})

test('a pinned key is made once and refused when it cannot be what it was', async () => {
  const { db } = database
  const secret = 'pinned-for-the-scripts-0002'
  const first = await keys.pin({ projectId, name: 'pinned', secret })
  const again = await keys.pin({ projectId, name: 'pinned', secret })
  assert.equal(again.id, first.id)
  const other = await createProjects({ db }).create({ name: 'other' })
  await assert.rejects(keys.pin({ projectId: other.id, name: 'pinned', secret }), /belongs to another project/)
  await keys.revoke(first.id)
  await assert.rejects(keys.pin({ projectId, name: 'pinned', secret }), /was revoked/)
  await assert.rejects(keys.pin({ projectId, name: 'pinned', secret: 'x'.repeat(23) }), PinnedKeyError)
  await assert.rejects(keys.pin({ projectId, name: 'pinned', secret: `${'x'.repeat(30)} y` }), PinnedKeyError)
})

test('twenty processes that pin the same key get the same key', async () => {
  const secret = 'pinned-at-the-same-time-0003'
  const pinned = await Promise.all(Array.from({ length: 20 }, () => keys.pin({ projectId, name: 'race', secret })))
  assert.equal(new Set(pinned.map((key) => key.id)).size, 1)
})

test('a database that says nothing is 503 as well, in bounded time', async () => {
  const { secret } = await keys.create({ projectId, name: 'silent' })
  const keyring = createKeyring({ db: database.db, loadMsMax: 200 })
  await keyring.listening()
  const blocker = await database.db.connect()
  await blocker.query('begin')
  await blocker.query('lock table api_key in access exclusive mode')
  await assert.rejects(keyring.authenticate(secret), { code: 'ledger_unavailable', status: 503 })
  await blocker.query('rollback')
  blocker.release()
  assert(await accepts(keyring, secret))
  await keyring.close()
})
