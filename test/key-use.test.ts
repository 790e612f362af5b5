import assert from 'node:assert/strict'
import { after, before, test } from 'node:test'
import { createPool } from '#db/pool.ts'
import { createKeyUse } from '#domain/key-use.ts'
import { createKeyring } from '#domain/keyring.ts'
import { createKeys } from '#domain/keys.ts'
import { createProjects } from '#domain/projects.ts'
import { createTestDatabase, type TestDatabase } from '#test/support/database.ts'
import { until } from '#test/support/until.ts'

let database: TestDatabase
let projectId: string
let keys: ReturnType<typeof createKeys>

before(async () => {
  database = await createTestDatabase()
  projectId = (await createProjects({ db: database.db }).create({ name: 'use' })).id
  keys = createKeys({ db: database.db })
})
after(() => database.close())

/** A pool that counts the writes of last uses, and fails them while it is told to. */
function watched() {
  const pool = createPool({ connection: database.connection, poolMax: 4 }, () => undefined)
  const state = { writes: 0, failing: false }
  const query = pool.query.bind(pool)
  pool.query = ((...args: Parameters<typeof query>) => {
    const text = typeof args[0] === 'object' ? Reflect.get(args[0], 'text') : args[0]
    if (!/set last_used_at/.test(String(text))) return query(...args)
    state.writes += 1
    return state.failing ? Promise.reject(new Error('away')) : query(...args)
  }) as typeof pool.query
  return { pool, state }
}

const lastUse = async (id: string): Promise<Date | null> => (await keys.get(id)).lastUsedAt

test('the last use of a key is written behind the requests, once for many, and at the end', async () => {
  const { pool, state } = watched()
  const { key, secret } = await keys.create({ projectId, name: 'used' })
  const unused = await keys.create({ projectId, name: 'never used' })
  const keyring = createKeyring({ db: pool, useEveryMs: 3_600_000 })
  await keyring.listening()
  const from = Date.now()
  for (let n = 0; n < 1_000; n += 1) await keyring.authenticate(secret)
  assert.deepEqual([state.writes, await lastUse(key.id)], [0, null])
  await keyring.close()
  assert.equal(state.writes, 1)
  const usedAt = (await lastUse(key.id))?.getTime() ?? 0
  assert(usedAt >= from - 1_000 && usedAt <= Date.now() + 1_000)
  assert.equal(await lastUse(unused.key.id), null)
  await pool.end()
})

test('a secret that is refused leaves no trace of use', async () => {
  const { pool, state } = watched()
  const { key, secret } = await keys.create({ projectId, name: 'refused' })
  await keys.revoke(key.id)
  const keyring = createKeyring({ db: pool })
  await assert.rejects(keyring.authenticate(secret), { code: 'invalid_api_key' })
  await keyring.close()
  assert.deepEqual([state.writes, await lastUse(key.id)], [0, null])
  await pool.end()
})

test('the last use is written at most once in the interval, whichever gateways see the key', async () => {
  const { key, secret } = await keys.create({ projectId, name: 'often' })
  const rings = [1, 2].map(() => createKeyring({ db: database.db, useEveryMs: 400 }))
  await Promise.all(rings.map((ring) => ring.listening()))
  const seen = new Set<number>()
  await until('it is written three times', async () => {
    for (const ring of rings) await ring.authenticate(secret)
    const at = await lastUse(key.id)
    if (at !== null) seen.add(at.getTime())
    return seen.size >= 3
  })
  const times = [...seen].sort((a, b) => a - b)
  for (const [at, time] of times.entries()) if (at > 0) assert(time - (times[at - 1] ?? 0) >= 399)
  await Promise.all(rings.map((ring) => ring.close()))
})

test('a use that cannot be written is kept and written later', async () => {
  const { pool, state } = watched()
  const { key, secret } = await keys.create({ projectId, name: 'kept' })
  const lost: unknown[] = []
  state.failing = true
  const keyring = createKeyring({ db: pool, useEveryMs: 100, onUseLost: (error) => lost.push(error) })
  await keyring.authenticate(secret)
  await until('a failure', () => lost.length > 0)
  assert.equal(await lastUse(key.id), null)
  state.failing = false
  await until('it is written', async () => (await lastUse(key.id)) !== null)
  await keyring.close()
  await pool.end()
})

test('more keys than one statement takes are all written', async () => {
  const many = Array.from({ length: 2_500 }, (_, n) => `key_many${String(n).padStart(16, '0')}`)
  await database.db.query(
    `insert into api_key (id, project_id, name, hash, hint)
     select id, $1, 'n', sha256(id::bytea), '' from unnest($2::text[]) id`,
    [projectId, many],
  )
  const use = createKeyUse({ db: database.db })
  const other = createKeyUse({ db: database.db })
  // In other orders, as two gateways see them: neither waits for the other for ever.
  for (const id of many) use.note(id, performance.now())
  for (const id of many.toReversed()) other.note(id, performance.now())
  await Promise.all([use.close(), other.close()])
  const { rows } = await database.db.query(
    `select count(*)::int as n from api_key where last_used_at is not null and id like 'key_many%'`,
  )
  assert.equal(rows[0].n, 2_500)
})
