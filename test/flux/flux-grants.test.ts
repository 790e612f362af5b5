import assert from 'node:assert/strict'
import { after, before, test } from 'node:test'
import { auditLedger } from '#domain/audit.ts'
import { createTestApi, type TestApi } from '#test/support/http-api.ts'
import { testSharedRefusals } from '#test/support/http-refusals.ts'
import { insertUser, openPerson } from '#test/support/people.ts'

const FLUX = 1_000_000n
const LINE = 'POST /api/admin/flux-grants'

let api: TestApi
before(async () => {
  api = await createTestApi()
})
after(() => api.close())

let people = 0
const address = () => `grantee${++people}@example.com`
const open = (nanos = 0n) => openPerson({ db: api.database.db, ...api.deps }, address(), { nanos })
const body = (emails: string[], more: Record<string, unknown> = {}) => ({
  description: 'a gift',
  amount: 5,
  emails,
  ...more,
})
const send = (sent: unknown, query = '') => api.call(`${LINE}${query}`, { body: sent })
const balance = async (projectId: string) => (await api.deps.wallets.ofProject(projectId)).postedNanos

testSharedRefusals(() => api, { line: LINE, body: body(['a@example.com']) })
testSharedRefusals(() => api, { line: 'GET /api/admin/flux-grants' })
testSharedRefusals(() => api, { line: 'GET /api/admin/flux-grants/fgb_x' })
testSharedRefusals(() => api, { line: 'POST /api/admin/flux-grants/fgb_x/reverse', body: { reason: 'x' } })

test(`${LINE} 400: everything that is out of bounds`, async () => {
  const good = body(['a@example.com'])
  for (const bad of [
    ...[
      { description: '' },
      { description: 'x'.repeat(501) },
      { description: 'a\u0000b' },
      { amount: 0 },
      { amount: 10_001 },
      { amount: 1.5 },
    ],
    ...[
      { amount: '5' },
      { emails: [] },
      { emails: ['nobody'] },
      { emails: ['a@b c'] },
      { emails: Array.from({ length: 10_001 }, (_, n) => `${n}@e.com`) },
    ],
    ...[
      { idempotencyKey: '' },
      { idempotencyKey: 'ä' },
      { expiresAt: '2020-01-01T00:00:00Z' },
      { expiresAt: 'soon' },
      { setBalance: 5 },
    ],
  ]) {
    const answer = await send({ ...good, ...bad })
    assert.deepEqual([answer.status, answer.body.error?.code], [400, 'body_invalid'], JSON.stringify(bad).slice(0, 80))
  }
  assert.equal((await send(good, '?dryRun=maybe')).status, 400)
})

test('a dry run tells what would happen and changes nothing', async () => {
  const [one, other] = [await open(), await open()]
  const emails = [one.user.email.toUpperCase(), other.user.email, one.user.email, 'nobody@example.com']
  const { body: answer } = await send(body(emails), '?dryRun=true')
  assert.deepEqual(answer, {
    preview: {
      ...{ totalEmails: 4, willGrant: 2, totalFluxToIssue: 10 },
      willSkip: { notFound: 1, userDeleted: 0, userBanned: 0, duplicateInInput: 1 },
      samples: { willGrant: emails.slice(0, 2), notFound: ['nobody@example.com'], userDeleted: [] },
    },
  })
  assert.deepEqual([await balance(one.projectId), await balance(other.projectId)], [0n, 0n])
})

test('addresses are compared without regard to case; each person gets a promo lot, reported with its balance', async () => {
  const one = await open(3n * FLUX)
  const fresh = await insertUser(api.database.db, address())
  const expiresAt = new Date(Date.now() + 3_600_000).toISOString()
  const sent = body([one.user.email.toUpperCase(), fresh.email, 'nobody@example.com'], {
    idempotencyKey: 'first',
    campaign: 'autumn',
    expiresAt,
  })
  const { body: answer } = await send(sent)
  assert.deepEqual([answer.replayed, answer.idempotencyKey, answer.summary.willGrant], [false, 'first', 2])
  assert.deepEqual(
    answer.result.granted.map(({ email, balanceAfter }: Record<string, unknown>) => [email, balanceAfter]),
    [
      [one.user.email.toUpperCase(), 8],
      [fresh.email, 5],
    ],
  )
  assert.deepEqual(answer.result.skipped, [{ email: 'nobody@example.com', reason: 'not_found' }])
  const { lots } = await api.deps.wallets.ofProject(one.projectId)
  assert.deepEqual(
    [lots[0]?.kind, lots[0]?.expiresAt?.toISOString(), lots[0]?.restNanos],
    ['promo', expiresAt, 5n * FLUX],
  )
  const { body: record } = await api.call(`GET /api/admin/flux-grants/${answer.batchId}`)
  assert.deepEqual(
    [record.granted, record.recipients, record.campaign, record.amount_nanousd, record.completed_at !== null],
    [2, 3, 'autumn', '5000000', true],
  )

  const again = await send({ ...sent, emails: sent.emails.toReversed() })
  assert.deepEqual([again.body.replayed, again.body.batchId], [true, answer.batchId])
  assert.equal(again.body.result.granted.length, 2)
  assert.equal(await balance(one.projectId), 8n * FLUX)

  // Leak 14: another request under the key was answered with the old grant.
  for (const other of [{ amount: 6 }, { description: 'else' }, { emails: [one.user.email] }, { campaign: 'winter' }]) {
    const refused = await send({ ...sent, ...other })
    assert.deepEqual([refused.status, refused.body.error.code], [409, 'idempotency_mismatch'])
  }
  assert.equal(await balance(one.projectId), 8n * FLUX)
})

test('fifty identical requests at once grant once, and all of them tell the truth', async () => {
  const recipients = await Promise.all(Array.from({ length: 6 }, () => open(FLUX)))
  const sent = body(
    recipients.map(({ user }) => user.email),
    { idempotencyKey: 'race' },
  )
  const answers = await Promise.all(Array.from({ length: 50 }, () => send(sent)))
  for (const { status, body: answer } of answers) {
    assert.equal(status, 200)
    // Leak 15: who lost the race was reported as failed though credited.
    assert.deepEqual([answer.result.granted.length, answer.result.failed], [6, []])
  }
  for (const { projectId } of recipients) assert.equal(await balance(projectId), 6n * FLUX)
})

test('grants with shared recipients meet people who spend: nobody waits for ever, every nano-dollar is there', async () => {
  const recipients = await Promise.all(Array.from({ length: 12 }, () => open(FLUX)))
  const emails = recipients.map(({ user }) => user.email)
  const spend = recipients.map(async (one) => {
    for (let n = 0; n < 5; n += 1) await api.till.charge(one, 1_000n)
  })
  const orders = [emails, emails.toReversed(), emails.slice(3), emails.slice(0, 9).toReversed()]
  const answers = await Promise.all(orders.map((order, n) => send(body(order, { idempotencyKey: `shared${n}` }))))
  await Promise.all(spend)
  for (const { body: answer } of answers) assert.deepEqual(answer.result.failed, [])
  const counts = emails.map((email) => orders.filter((order) => order.includes(email)).length)
  for (const [index, { projectId }] of recipients.entries())
    assert.equal(await balance(projectId), FLUX + BigInt(counts[index] ?? 0) * 5n * FLUX - 5_000n)
})

test('a batch that died half-way is finished by the same request', async () => {
  const recipients = await Promise.all(Array.from({ length: 3 }, () => open()))
  const sent = body(
    recipients.map(({ user }) => user.email),
    { idempotencyKey: 'torn' },
  )
  // The second person's credit is refused by the database: as if it had died between the people.
  const [, victim] = recipients
  assert(victim)
  await api.database.db.query(
    `create function refuse() returns trigger language plpgsql as $$ begin
       if new.wallet_id = ${victim.walletId} then raise exception 'not now'; end if; return new; end $$;
     create trigger refuse before insert on adjustment for each row execute function refuse()`,
  )
  const torn = await send(sent)
  assert.deepEqual([torn.body.result.granted.length, torn.body.result.failed.length], [2, 1])
  const { body: record } = await api.call(`GET /api/admin/flux-grants/${torn.body.batchId}`)
  assert.deepEqual([record.granted, record.completed_at], [2, null])
  await api.database.db.query('drop trigger refuse on adjustment; drop function refuse()')
  const whole = await send(sent)
  assert.deepEqual([whole.body.result.granted.length, whole.body.result.failed, whole.body.replayed], [3, [], false])
  for (const { projectId } of recipients) assert.equal(await balance(projectId), 5n * FLUX)
})

test('ten thousand recipients in one request', async () => {
  const { db } = api.database
  await db.query(
    `insert into auth_user (id, name, email, email_verified)
     select 'usr_many' || n, 'n', 'many' || n || '@example.com', true from generate_series(1, 300) n`,
  )
  const emails = Array.from({ length: 10_000 }, (_, n) => `many${n + 1}@example.com`)
  const { status, body: answer } = await send(body(emails, { idempotencyKey: 'many' }))
  assert.deepEqual([status, answer.result.granted.length, answer.result.skipped.length], [200, 300, 9_700])
})

test('what is left of a grant is taken back, once: neither what was spent nor what a running call holds', async () => {
  const [untouched, spent, partly] = [await open(), await open(), await open(2n * FLUX)]
  const { body: granted } = await send(
    body(
      [untouched, spent, partly].map(({ user }) => user.email),
      { idempotencyKey: 'mistake' },
    ),
  )
  await api.till.charge(spent, 5n * FLUX)
  await api.till.charge(partly, 1n * FLUX)
  const reverse = () =>
    api.call(`POST /api/admin/flux-grants/${granted.batchId}/reverse`, { body: { reason: 'a mistake' } })
  const [first, second] = await Promise.all([reverse(), reverse()])
  for (const { body: answer } of [first, second])
    assert.deepEqual(
      new Map(answer.data.map((row: Record<string, string>) => [row.project_id, row.taken_back_nanousd])),
      new Map([
        [untouched.projectId, '5000000'],
        [spent.projectId, '0'],
        [partly.projectId, '4000000'],
      ]),
    )
  assert.deepEqual(
    [await balance(untouched.projectId), await balance(spent.projectId), await balance(partly.projectId)],
    [0n, 0n, 2n * FLUX],
  )
  const { body: record } = await api.call(`GET /api/admin/flux-grants/${granted.batchId}`)
  assert.equal(record.taken_back_nanousd, '9000000')
  const history = await api.call('GET /api/v1/flux/history', { key: untouched.secret })
  assert.deepEqual(
    history.body.records.map(({ type, amount, description }: Record<string, unknown>) => [type, amount, description]),
    [
      ['debit', 5, 'a mistake'],
      ['promo', 5, 'a gift'],
    ],
  )
  assert.equal((await api.call('POST /api/admin/flux-grants/fgb_none/reverse', { body: { reason: 'x' } })).status, 404)
  assert.deepEqual(
    (await auditLedger(api.database.db)).invariants.filter(({ bad }) => bad > 0),
    [],
  )
})

test('what a running call holds is not taken back; when it has ended, the rest is', async () => {
  const one = await open()
  const { body: granted } = await send(body([one.user.email], { idempotencyKey: 'held' }))
  const { db } = api.database
  const { rows: slots } = await db.query('select slot, epoch from gateway_slot limit 1')
  await db.query(
    `select reserve($1, $2, '1 minute', array[gen_random_uuid()], array[gen_random_uuid()], array[$3::bigint], array[3000000], array[0],
                    array[''::bytea], array['{}'])`,
    [slots[0].slot, slots[0].epoch, one.walletId],
  )
  const reverse = async () =>
    (await api.call(`POST /api/admin/flux-grants/${granted.batchId}/reverse`, { body: { reason: 'a mistake' } })).body
  assert.equal((await reverse()).taken_back_nanousd, '2000000')
  const { postedNanos, heldNanos } = await api.deps.wallets.ofProject(one.projectId)
  assert.deepEqual([postedNanos, heldNanos], [3n * FLUX, 3n * FLUX])
})

test('granting and taking back are written down, with the actor and without an address', async () => {
  const one = await open()
  const { body: granted } = await send(body([one.user.email], { idempotencyKey: 'written' }))
  await send(body([one.user.email], { idempotencyKey: 'written' }))
  await api.call(`POST /api/admin/flux-grants/${granted.batchId}/reverse`, { body: { reason: 'a mistake' } })
  const { rows } = await api.database.db.query(
    'select actor, action, before, after from audit_event where subject = $1 order by at',
    [granted.batchId],
  )
  assert.deepEqual(
    rows.map(({ actor, action }) => [actor, action]),
    [
      ['admin', 'flux_grant.create'],
      ['admin', 'flux_grant.reverse'],
    ],
  )
  assert(!JSON.stringify(rows).includes('@'))
})

test('GET /api/admin/flux-grants: newest first, page by page', async () => {
  const ids: string[] = []
  for (let after = ''; ; ) {
    const { body: page } = await api.call(`GET /api/admin/flux-grants?limit=3${after && `&after=${after}`}`)
    ids.push(...page.data.map(({ id }: { id: string }) => id))
    if (!page.has_more) break
    after = page.next_after
  }
  assert.equal(new Set(ids).size, ids.length)
  assert(ids.length >= 7)
  assert.equal((await api.call('GET /api/admin/flux-grants/fgb_none')).status, 404)
})
