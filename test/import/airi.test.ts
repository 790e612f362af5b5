// AIRI's balances become opening lots, to the last Flux; its history is kept.
import assert from 'node:assert/strict'
import { readFile } from 'node:fs/promises'
import { after, test } from 'node:test'
import { auditLedger } from '#domain/audit.ts'
import type { PhaseReport } from '#importer/report.ts'
import { fluxgate, onConnection, snapshot } from '#test/import/llmring-world.ts'
import { createTestDatabase, type TestDatabase } from '#test/support/database.ts'

const databases: TestDatabase[] = []
after(async () => {
  for (const database of databases) await database.close()
})

const FLUX_NANOUSD = 1_000n

async function airiWorld() {
  const source = await createTestDatabase({ migrated: false, poolMax: 2 })
  const target = await createTestDatabase({ poolMax: 2 })
  databases.push(source, target)
  await onConnection(source.db, await readFile(new URL('./fixtures/airi.sql', import.meta.url), 'utf8'))
  const run = async (phase: string, ...words: string[]) => {
    const { code, out, err } = await fluxgate(
      target,
      ['import', 'airi', phase, '--source', source.url, '--json', ...words],
      {
        fluxNanousd: FLUX_NANOUSD,
      },
    )
    const report = JSON.parse(out || '{"figures":[],"checks":[],"notes":[]}') as PhaseReport
    return { code, err, report, figure: (name: string) => report.figures.find((one) => one.name === name)?.value }
  }
  const well = async (phase: string, ...words: string[]) => {
    const result = await run(phase, ...words)
    assert.equal(result.code, 0, `${result.err} ${JSON.stringify(result.report.checks.filter(({ ok }) => !ok))}`)
    return result
  }
  return { source, target, run, well }
}

const regular = (450n * 451n * 10n) / 2n
const opened = regular + 100n + 77n + 9_007_199_254_740_993n + 3n

test('every phase, each twice: balances are opening lots, and the history adds up', async () => {
  const { source, target, run, well } = await airiWorld()
  const plan = await well('plan')
  assert.equal(plan.figure('Flux that become opening lots'), String(opened))
  assert.equal(plan.figure('Flux of all of them'), String(opened - 7n + 40n))
  assert.equal(plan.figure('Flux of deleted users'), '40')
  assert.equal(plan.figure('Flux of users below zero'), '-7')
  assert.equal(plan.figure('users whose transactions do not add up to their balance'), '1')
  assert.deepEqual(
    plan.report.notes.filter((note) => note.startsWith('the balance of')),
    ['the balance of unexplained is 100 Flux, its transactions add up to 30; the balance is taken'],
  )
  assert.equal((await run('verify')).code, 1)
  await well('expand')
  await well('backfill', '--batch-rows', '700')
  await well('backfill')
  const verified = await well('verify')
  assert.equal(verified.report.checks.find(({ name }) => name === 'requests')?.found, '3002')
  const { rows: before } = await target.db.query('select sum(posted)::text as posted from wallet')
  assert.deepEqual(before, [{ posted: '0' }])

  const switched = await well('switch')
  assert.equal(switched.figure('opening lots credited by this run'), '454')
  const settled = await snapshot(target.db)
  assert.equal((await well('switch')).figure('opening lots credited by this run'), '0')
  assert.deepEqual(await snapshot(target.db), settled)
  const { rows: acts } = await target.db.query<{ action: string }>(
    `select action from audit_event where action like 'import.%' order by at, id`,
  )
  assert.deepEqual(
    acts.map(({ action }) => action),
    ['import.expand', 'import.backfill', 'import.backfill', 'import.switch', 'import.switch'],
  )
  const checks = (await well('verify')).report.checks
  assert.equal(checks.find(({ name }) => name === 'nano-dollars in opening lots')?.found, String(opened * FLUX_NANOUSD))
  const { rows } = await target.db.query<{ posted: bigint }>('select sum(posted)::bigint as posted from wallet')
  assert.equal(rows[0]?.posted, opened * FLUX_NANOUSD)
  assert((await auditLedger(target.db)).ok)
  const { rows: lots } = await target.db.query(
    `select p.name, a.class, a.priority, w.posted::text from project p join wallet w on w.id = p.wallet_id
     left join account a on a.wallet_id = w.id where p.name in ('airi:user-3', 'airi:empty', 'airi:gone', 'airi:only-in-the-log') order by 1`,
  )
  assert.deepEqual(lots, [
    { name: 'airi:empty', class: null, priority: null, posted: '0' },
    { name: 'airi:gone', class: null, priority: null, posted: '0' },
    { name: 'airi:only-in-the-log', class: null, priority: null, posted: '0' },
    { name: 'airi:user-3', class: 1, priority: 30, posted: '30000' },
  ])
  const { rows: unknown } = await target.db.query(
    `select input_tokens, cost, cost_status, metadata from reported_log where id_at_origin = 'log-10'`,
  )
  assert.deepEqual(unknown, [
    {
      input_tokens: 0n,
      cost: null,
      cost_status: 'not_recorded',
      metadata: '{"flux_consumed":"3","status":200,"tokens":"unknown"}',
    },
  ])
  await well('contract')

  // AIRI was not stopped: the user spent what is an opening lot here.
  await source.db.query(`update public.user_flux set flux = flux - 10 where user_id = 'user-3'`)
  await source.db.query(`update public.user_flux set flux = 12 where user_id = 'empty'`)
  const late = await run('switch')
  assert.equal(late.code, 1)
  assert(late.report.notes.some((note) => note.includes('user-3 changed after it was credited')))
  assert.equal(late.figure('opening lots credited by this run'), '1')
  assert.equal((await run('verify')).code, 1)
  assert((await auditLedger(target.db)).ok)
})

test('an opening lot may be one that an operator gave', async () => {
  const { target, well } = await airiWorld()
  await well('backfill')
  await well('verify')
  await well('switch', '--lot', 'admin')
  const { rows } = await target.db.query('select distinct class, priority from account where kind = 1')
  assert.deepEqual(rows, [{ class: 4, priority: 25 }])
})

test('what is not AIRI is refused with what is missing', async () => {
  const { source, run } = await airiWorld()
  await source.db.query(
    'alter table public.flux_transaction drop column balance_after; drop table public.llm_request_log',
  )
  const { code, err } = await run('plan')
  assert.equal(code, 1)
  assert.match(err, /no column balance_after.*no table llm_request_log|no table llm_request_log/)
})
