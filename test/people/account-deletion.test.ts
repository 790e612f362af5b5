import assert from 'node:assert/strict'
import { after, before, test } from 'node:test'
import { verifyBundleText } from '#billing/verify-receipt.ts'
import { auditLedger } from '#domain/audit.ts'
import { createPersonDeletion } from '#domain/people/delete-person.ts'
import type { DeletionPart } from '#domain/people/deletion.ts'
import { createPersonalProjects } from '#domain/people/personal-project.ts'
import { createSettings } from '#domain/settings.ts'
import { createTestApi, type TestApi } from '#test/support/http-api.ts'
import { DIGEST_KEY, insertUser, openPerson } from '#test/support/people.ts'
import { until } from '#test/support/until.ts'

const HOUR = 3_600_000

let api: TestApi
before(async () => {
  api = await createTestApi()
})
after(() => api.close())

function deleting(options: { parts?: DeletionPart[]; leaseMs?: number; afterglowMs?: number } = {}) {
  const { parts = [], ...times } = options
  const errors: unknown[] = []
  const deletion = createPersonDeletion({
    ...{ db: api.database.db, parts, everyMs: HOUR, ...times },
    onError: (error) => errors.push(error),
  })
  return Object.assign(deletion, { errors, [Symbol.asyncDispose]: () => deletion.close() })
}

const open = (email: string, nanos = 10_000n, initialFlux = 0) =>
  openPerson({ db: api.database.db, grants: api.deps.grants, keys: api.deps.keys }, email, { nanos, initialFlux })

const query = async (sql: string, values: unknown[] = []) => (await api.database.db.query(sql, values)).rows

/** Every table of the schema in which a text stands, in whichever column, also as bytes. */
async function tablesWith(text: string): Promise<string[]> {
  const found: string[] = []
  const tables = await query(
    "select table_name as name from information_schema.tables where table_schema = 'fluxgate' and table_type = 'BASE TABLE'",
  )
  assert(tables.length > 40)
  for (const { name } of tables) {
    const [row] = await query(
      `select count(*)::int as n from fluxgate."${name}" t
       where t::text ilike '%' || $1 || '%' or t::text like '%' || encode(convert_to($1, 'UTF8'), 'hex') || '%'`,
      [text],
    )
    if (row.n > 0) found.push(name)
  }
  return found
}

const isClean = async () => (await auditLedger(api.database.db)).invariants.filter(({ bad }) => bad > 0)

/** What a killed process does after `reached`: nothing, and it never comes back. */
function hang(reached: () => void): Promise<void> {
  reached()
  return new Promise(() => undefined)
}

/** A person who has done everything that leaves traces. */
async function livedIn(email: string, name: string) {
  const person = await open(email, 100_000n)
  const { db } = api.database
  await db.query('update auth_user set name = $2, image = $3 where id = $1', [person.userId, name, `https://x/${name}`])
  await db.query(`update project set description = $2, content_logging = 'full' where id = $1`, [
    person.projectId,
    name,
  ])
  const { key } = await api.deps.keys.create({ projectId: person.projectId, name: `${name}'s laptop` })
  const shared = await api.deps.projects.create({ name: `team of ${person.userId.slice(4, 12)}` })
  const member = await api.deps.keys.create({ projectId: shared.id, name: `key of ${name}` })
  await db.query('update api_key set user_id = $2 where id = $1', [member.key.id, person.userId])
  await db.query(`insert into project_member (project_id, user_id, role) values ($1, $2, 'editor')`, [
    shared.id,
    person.userId,
  ])
  const headers = { 'x-api-key': person.secret }
  const conversation = await api.call('POST /api/v1/conversations', {
    ...{ key: null, headers, body: { title: `${name} asks`, system_prompt: `You help ${email}` } },
  })
  assert.equal(conversation.status, 200, conversation.text)
  const added = await api.call(`POST /api/v1/conversations/${conversation.body.id}/messages/batch`, {
    ...{ key: null, headers },
    body: {
      conversation_id: conversation.body.id,
      messages: [{ conversation_id: conversation.body.id, role: 'user', content: `I am ${name}, ${email}` }],
    },
  })
  assert.equal(added.status, 200, added.text)
  return { person, key, member, shared }
}

test('nothing of the person is in any column of any table afterwards, and the books and receipts are whole', async () => {
  const email = 'ada.lovelace@analytical.example'
  const name = 'Adalovely'
  const { person, member, shared } = await livedIn(email, name)
  const request = await api.till.charge(person, 2_000n)
  const receipt = await api.call(`GET /v1/receipts/rcp_${request}`, { key: person.secret })
  const published = (await api.call('GET /receipts/public-keys.json', { key: null })).body
  assert.deepEqual(
    new Set(await tablesWith(name)),
    new Set(['auth_user', 'project', 'api_key', 'conversation', 'conversation_message']),
  )

  const seen: unknown[] = []
  const part = { name: 'stripe', priority: 10, run: async (user: object) => void seen.push(user) }
  await using deletion = deleting({ parts: [part] })
  await deletion.run({ id: person.userId })
  assert.deepEqual(seen, [{ id: person.userId, email }])

  for (const text of [email, name]) assert.deepEqual(await tablesWith(text), [], `${text} is left`)
  assert.deepEqual(await isClean(), [])
  for (const secret of [person.secret, member.secret])
    await until(
      'the key is refused',
      async () => (await api.call('GET /v1/keys/current', { key: secret })).status === 401,
      1_000,
    )
  const [project] = await query(
    `select p.name, p.user_id, p.personal, w.frozen, w.posted from project p join wallet w on w.id = p.wallet_id where p.id = $1`,
    [person.projectId],
  )
  assert.deepEqual(project, {
    ...{ name: `deleted:${person.projectId}`, user_id: null, personal: true, frozen: true, posted: 98_000n },
  })
  assert.deepEqual(await query('select from project_member where project_id = $1', [shared.id]), [])
  const [act] = await query("select actor, subject from audit_event where action = 'account.delete'")
  assert.deepEqual(act, { actor: person.userId, subject: person.userId })
  const [log] = await query('select receipt from request_log where request_id = $1', [request])
  assert.equal(log.receipt, JSON.stringify(receipt.body.receipt))
  assert((await verifyBundleText(receipt.text, published)).ok)
  assert.equal((await query('select from usage_series where project_id = $1', [person.projectId])).length, 1)
  await assert.rejects(api.till.charge(person, 1_000n), /frozen/)
  await assert.rejects(api.deps.keys.create({ projectId: person.projectId, name: 'late' }), { code: 'not_found' })
})

test('whoever registers again gets a new wallet and no second gift', async () => {
  const person = await open('again@example.com', 0n, 7)
  await using deletion = deleting()
  await deletion.run({ id: person.userId })
  const user = await insertUser(api.database.db, 'again@example.com')
  const second = await createPersonalProjects({
    ...{ db: api.database.db, grants: api.deps.grants, fluxNanousd: 1_000_000n, digestKey: DIGEST_KEY },
    settings: () => createSettings(new Map([['INITIAL_USER_FLUX', { value: 7 }]])),
  }).open(user)
  const posted = await query('select posted from wallet where id = any ($1) order by id', [
    [person.walletId, second.walletId],
  ])
  assert.deepEqual(posted, [{ posted: 7_000_000n }, { posted: 0n }])
})

for (const priority of [5, 15, 25, 35])
  test(`a gateway that dies at priority ${priority} is finished for by another one`, async () => {
    const email = `killed-${priority}@example.com`
    const { person } = await livedIn(email, `Killed${priority}`)
    const reached = Promise.withResolvers<void>()
    const dies = { name: 'dies', priority, run: () => hang(reached.resolve) }
    const dead = deleting({ parts: [dies], leaseMs: 30 })
    void dead.run({ id: person.userId })
    await reached.promise
    assert.notDeepEqual(await tablesWith(email), [])

    const ran: string[] = []
    const stripe = { name: 'stripe', priority: 10, run: async (user: { email: string }) => void ran.push(user.email) }
    await using heir = deleting({ parts: [stripe] })
    await api.database.db.query('update account_deletion set next_at = clock_timestamp() where user_id = $1', [
      person.userId,
    ])
    await until('the lease of the dead is over, and the heir is done', async () => {
      // Its own look at what is left may have been first.
      await heir.sweep()
      const [row] = await query('select erased_at is not null as erased from account_deletion where user_id = $1', [
        person.userId,
      ])
      return row.erased
    })
    assert.deepEqual(ran, [email])
    for (const text of [email, `Killed${priority}`]) assert.deepEqual(await tablesWith(text), [])
  })

test('a part that fails keeps the person, is told as pending, and is tried again later and later', async () => {
  const person = await open('fails@example.com')
  let isDown = true
  const stripe = {
    ...{ name: 'stripe', priority: 10 },
    run: async () => {
      if (isDown) throw Object.assign(new Error('fails@example.com is a customer'), { code: 'api_error' })
    },
  }
  await using deletion = deleting({ parts: [stripe] })
  await assert.rejects(deletion.run({ id: person.userId }), { code: 'deletion_pending', status: 503 })
  assert.equal(deletion.errors.length, 1)
  const state = async () =>
    (
      await query(
        `select error, tries, parts, erased_at is null as open, round(extract(epoch from next_at - clock_timestamp()))::int as s
         from account_deletion where user_id = $1`,
        [person.userId],
      )
    )[0]
  assert.deepEqual(await state(), { error: 'stripe: api_error', tries: 1, parts: [], open: true, s: 10 })
  assert.equal(await deletion.sweep(), 0, 'it is not due yet')
  await assert.rejects(deletion.run({ id: person.userId }), { code: 'deletion_pending' })
  assert.equal((await state()).s, 20)
  assert.equal((await api.call('GET /v1/keys/current', { key: person.secret })).status, 200)
  isDown = false
  await deletion.run({ id: person.userId })
  assert.deepEqual([(await state()).open, (await state()).parts], [false, ['stripe', 'access', 'content']])
})

test('ten confirmations at once delete once, and one for nobody does nothing', async () => {
  const person = await open('twice@example.com')
  const runs: number[] = []
  const part = { name: 'stripe', priority: 10, run: async () => void runs.push(1) }
  await using one = deleting({ parts: [part] })
  await using other = deleting({ parts: [part] })
  await Promise.all(Array.from({ length: 10 }, (_, n) => (n % 2 ? one : other).run({ id: person.userId })))
  assert.equal(runs.length, 1)
  const acts = await query("select from audit_event where action = 'account.delete' and subject = $1", [person.userId])
  assert.equal(acts.length, 1)
  await one.run({ id: 'usr_nobody' })
  assert.deepEqual(await query("select from account_deletion where user_id = 'usr_nobody'"), [])
})

test('calls that run while their person leaves are settled, whenever they end', async () => {
  const person = await open('running@example.com', 1_000_000n)
  await using deletion = deleting()
  const hold = Promise.withResolvers<void>()
  const held = Array.from({ length: 20 }, () => Promise.withResolvers<void>())
  const calls = held.map(({ resolve }) =>
    api.till.charge(person, 2_000n, {
      meanwhile: async () => {
        resolve()
        await hold.promise
      },
    }),
  )
  await Promise.all(held.map(({ promise }) => promise))
  await deletion.run({ id: person.userId })
  hold.resolve()
  assert.equal((await Promise.all(calls)).length, 20)
  const [wallet] = await query('select posted, held from wallet where id = $1', [person.walletId])
  assert.deepEqual(wallet, { posted: 960_000n, held: 0n })
  assert.deepEqual(await isClean(), [])
})

test('what a late call still wrote is erased an hour later, and then no row says whose it was', async () => {
  const { person } = await livedIn('late@example.com', 'Latecomer')
  await using deletion = deleting({ afterglowMs: 0 })
  await deletion.run({ id: person.userId })
  // A request that had read the level of logging before the person left.
  await api.database.db.query("update conversation set title = 'Latecomer again' where project_id = $1", [
    person.projectId,
  ])
  await deletion.sweep()
  assert.deepEqual(await tablesWith('Latecomer'), [])
  const [row] = await query(
    'select project_id, closed_at is not null as closed from account_deletion where user_id = $1',
    [person.userId],
  )
  assert.deepEqual(row, { project_id: null, closed: true })
  assert.equal(await deletion.sweep(), 0)
})

test('a person who never had a wallet leaves too', async () => {
  const user = await insertUser(api.database.db, 'short@example.com')
  await using deletion = deleting()
  await deletion.run(user)
  assert.deepEqual(await tablesWith('short@example.com'), [])
})
