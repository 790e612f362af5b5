import assert from 'node:assert/strict'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, before, test } from 'node:test'
import type pg from 'pg'
import { leafHash } from '#billing/merkle.ts'
import { type Tx, transaction } from '#db/pool.ts'
import { type AuditReport, auditLedger } from '#domain/audit.ts'
import { createCertificates } from '#domain/certificates/certificates.ts'
import { createProjects } from '#domain/projects.ts'
import { createRefunds } from '#domain/refunds.ts'
import { settlement } from '#domain/settlement.ts'
import { type DocumentDraft, signDocuments } from '#domain/signed-documents.ts'
import { readFigures, readWallets } from '#domain/statement-figures.ts'
import { canonicalJson } from '#lib/canonical-json.ts'
import { createTestDatabase, type TestDatabase } from '#test/support/database.ts'
import { openTestLog } from '#test/support/log/test-log.ts'
import { claimTestSlot } from '#test/support/slot.ts'
import {
  contextOf,
  openTestLedger,
  openTestWallet,
  reserveOp,
  settleOp,
  type TestWallet,
  testSigner,
} from './test-books.ts'

// An audit that has never failed proves nothing: every rule is broken once, by hand, in a transaction that is rolled back.

let database: TestDatabase
let wallet: TestWallet
let other: TestWallet
let settled: string
let paying: TestWallet
let logDir: string

before(async () => {
  database = await createTestDatabase()
  const slot = await claimTestSlot(database.db)
  const { ledger } = await openTestLedger(database, slot)
  wallet = await openTestWallet(database.db, slot.current().slot, 10_000n)
  other = await openTestWallet(database.db, slot.current().slot, 10_000n)
  await database.db.query(
    `with w as (update wallet set budgeted = true, version = version + 1 where id = $1 returning id)
     insert into budget (wallet_id, name, limit_nanos, period, time_zone, warn_percent)
     select id, 'all', 5000, 'total', 'UTC', '{80}' from w`,
    [wallet.id],
  )
  for (const owner of [wallet, wallet, other]) {
    const op = reserveOp(owner, 500n)
    const { seq } = await ledger.reserve(op)
    await ledger.settle(settleOp(owner, { requestId: op.requestId, seq: seq ?? 0n, held: 500n }, 300n))
    if (owner === wallet) settled = op.requestId
  }
  await ledger.reserve(reserveOp(wallet, 40n))
  const refunds = createRefunds({ db: database.db, slot })
  await refunds.refund({ requestId: settled, amountNanos: 100n, reason: 'test', actor: 'test', idempotencyKey: 'one' })
  await ledger.close()
  const mistaken = await openTestWallet(database.db, slot.current().slot, 700n)
  await database.db.query(
    `select reverse_grant($1, gen_random_uuid(), t.ref, 'test', 'test', sha256('x'))
     from transfer t join account a on a.id = t.credit where a.wallet_id = $2`,
    [slot.current().slot, mistaken.id],
  )
  const payer = await createProjects({ db: database.db }).create({ name: 'payer' })
  const [writer] = [slot.current().slot]
  await database.db.query(
    `select credit_payment($1, 'pi_1', 'top_up', $2, gen_random_uuid(), 50::bigint, 1::smallint, 30::smallint, null, 100, 'usd', 'test', sha256('x'))`,
    [writer, payer.id],
  )
  paying = { id: payer.walletId, account: payer.account }
  const bought = await openTestLedger(database, slot)
  const spent = reserveOp(paying, 30n)
  const { seq: number } = await bought.ledger.reserve(spent)
  await bought.ledger.settle(settleOp(paying, { requestId: spent.requestId, seq: number ?? 0n, held: 30n }, 30n))
  await bought.ledger.close()
  for (const total of [50n, 40n]) await database.db.query(`select claim_back($1, 'pi_1', $2, 'test')`, [writer, total])
  logDir = await mkdtemp(join(tmpdir(), 'fluxgate-log-'))
  const log = await openTestLog(database, logDir)
  await log.turn()
  await log.close()
  await transaction(database.db, async (tx) => {
    await tx.query('set transaction isolation level repeatable read')
    await signDocuments(tx, testSigner, [await statementOf(tx, wallet)])
  })
  const project = await createProjects({ db: database.db }).create({ name: 'reporter' })
  await database.db.query(
    `with l as (insert into reported_log (id, wallet_id, project_id, key_id, body_hash, occurred_at, provider, model,
                  input_tokens, output_tokens, usage, cost, cost_status)
                values (gen_random_uuid(), $1, $2, 'key_1', '', now() - interval '1 day', 'openai', 'gpt', 1, 2, '{}', 3, 'priced') returning *),
          s as (insert into usage_series (id, wallet_id, project_id, key_id, source, provider, model, model_used, profile)
                select series_id(wallet_id, project_id, key_id, 2::smallint, provider, model, model, null, profile, null),
                       wallet_id, project_id, key_id, 2, provider, model, model, profile from l returning id)
     insert into usage_15m (wallet_id, bucket, series, calls, input_tokens, output_tokens, charged, absorbed, cost)
     select wallet_id, date_bin('15 minutes', occurred_at, '2000-01-01 00:00+00'), s.id, 1, 1, 2, 0, 0, 3 from l, s`,
    [project.walletId, project.id],
  )
  const by = { projectId: project.id, walletId: project.walletId, account: project.account, keyId: 'key_1' }
  const splitCost = () => undefined
  const certificates = createCertificates({ db: database.db, signer: testSigner, logOrigin: 'test/1', splitCost })
  await certificates.generate({ by, selection: { mode: 'since_last_receipt' } })
  await database.db.query('select fold_usage(1000, 1000000)')
})
after(async () => {
  await database.close()
  await rm(logDir, { recursive: true, force: true })
})

test('books that only the ledger has written are in order', async () => {
  const report = await auditLedger(database.db)
  assert.deepEqual(broken(report), {})
  assert.equal(report.ok, true)
  for (const { name, checked } of report.invariants) assert(checked > 0, `${name} looked at nothing`)
})

/** What is stated of a wallet once its first day is over: made early, so that the test need not wait. */
async function statementOf(tx: Tx, { id }: TestWallet): Promise<DocumentDraft> {
  const { rows } = await tx.query<{ day: string; start: string; end: string }>(
    `select to_char(d, 'YYYY-MM-DD') as day, d::text as start, (d + interval '1 day')::text as end
     from (select date_trunc('day', min(at)) as d from transfer) x`,
  )
  const [day] = rows
  assert(day)
  const [row] = await readWallets(tx, day, [id])
  assert(row)
  const { walletId, ...figures } = await readFigures(tx, day, row)
  return {
    id: `stm_${'0'.repeat(32)}`,
    kind: 'statement',
    walletId,
    projectId: null,
    period: day.day,
    issuedAt: new Date(),
    document: canonicalJson(figures),
  }
}

function broken(report: AuditReport): Record<string, number> {
  return Object.fromEntries(report.invariants.flatMap(({ name, bad }) => (bad > 0 ? [[name, bad]] : [])))
}

const guarded = [
  'wallet',
  'account',
  'transfer',
  'request_log',
  'receipt_batch',
  'adjustment',
  'signed_document',
  'reported_log',
  'log_leaf',
  'certificate',
  'certified_log',
  'budget_charge',
  'payment',
]

/** What the audit would say if this were done to the books. Their guards look away meanwhile. */
async function afterDamage(sql: string, values: unknown[]): Promise<Record<string, number>> {
  const client = await database.db.connect()
  try {
    await client.query('begin')
    for (const table of guarded) await client.query(`alter table ${table} disable trigger user`)
    const { rowCount } = await client.query(sql, values)
    assert(rowCount !== null && rowCount > 0, 'the damage was done')
    // The audit's own transaction would end this one.
    const inside = {
      query: (text: string) => (/^(begin|commit|set)/.test(text) ? Promise.resolve({ rows: [] }) : client.query(text)),
      release: () => undefined,
    }
    return broken(await auditLedger({ connect: async () => inside } as unknown as pg.Pool))
  } finally {
    await client.query('rollback')
    client.release()
  }
}

type Rule = [rule: string, sql: string, values?: () => unknown[]]

/** Another number in one member, whichever way it is written. */
const alterStatement = `
  update signed_document set document =
    regexp_replace(document, '("' || $1 || '":"?)(\\d+)', '\\1' || '7' || '\\2') where kind = 'statement'`

const rules: Rule[] = [
  ['the sum of debits is the sum of credits, per asset', 'update account set credits = credits + 1 where kind = 2'],
  ['the counters of an account are the sums of its transfers', 'update account set debits = debits + 1 where kind = 2'],
  ['what a wallet has posted is the sum of its lots', 'update wallet set posted = posted + 1'],
  ['what a wallet holds is the sum of its open holds', 'update hold set amount = amount + 1'],
  ['what a wallet holds is the sum of its open holds', 'delete from hold'],
  [
    'call numbers 1 to n of a wallet are each one open hold or one record',
    'update wallet set seq = seq + 1 where id = $1',
    () => [wallet.id],
  ],
  [
    'call numbers 1 to n of a wallet are each one open hold or one record',
    'update request_log set seq = 77 where request_id = $1',
    () => [settled],
  ],
  [
    'call numbers 1 to n of a wallet are each one open hold or one record',
    'update request_log set wallet_id = 999 where request_id = $1',
    () => [settled],
  ],
  ['no call is both open and settled', 'update hold set request_id = $1', () => [settled]],
  [
    'what a call was charged is the sum of its charge transfers',
    'update request_log set charged = charged + 1 where request_id = $1',
    () => [settled],
  ],
  [
    'charges are taken from lots of the wallet that made the call',
    `update transfer set debit = (select id from account where kind = 1 and wallet_id <> $2 limit 1)
     where ref = $1 and code = 10`,
    () => [settled, wallet.id],
  ],
  ['every charge transfer has its record', 'delete from request_log where request_id = $1', () => [settled]],
  ['refunds are never more than was charged', 'update transfer set amount = 301 where reverses = $1', () => [settled]],
  ['a budget has spent what its calls were charged', 'update budget_usage set spent = spent + 1'],
  ['a budget holds what its open calls hold', 'update budget_usage set held = held + 1'],
  ['what a call took of a budget is what it was charged', 'update budget_charge set charged = charged - 1'],
  [
    'what was taken back of a grant is never more than it was',
    'update transfer set amount = amount + 1 where code = 12',
  ],
  ...[
    'update payment set amount = amount + 1',
    'update payment set reversed = reversed + 1',
    'update payment set lot_id = (select min(id) from account)',
    'update transfer set amount = amount + 1 where code in (13, 14)',
  ].map((sql): Rule => ['every payment has its credit, and what was taken back of it is in the books', sql]),
  ['every top-up has its payment', 'delete from payment'],
  ['what customers owe is what their payments say', 'update payment set owed = owed + 1'],
  ['what customers owe is what their payments say', 'update account set debits = debits + 1 where kind = 8'],
  ['a wallet that owes is frozen', 'update wallet set frozen = false where frozen'],
  ['every grant and refund says why', `delete from adjustment where kind = 'refund'`],
  ['every grant and refund says why', 'update adjustment set amount = amount + 1'],
  [
    'every grant and refund says why',
    `insert into adjustment (ref, kind, wallet_id, amount, reason, actor, body_hash)
     values (gen_random_uuid(), 'grant', $1, 5, 'never given', 'test', sha256('x'))`,
    () => [wallet.id],
  ],
  [
    'a receipt says what its record says',
    `update request_log set receipt = replace(receipt, '"charged_nanousd":"300"', '"charged_nanousd":"301"')`,
  ],
  [
    'a receipt says what its record says',
    `update request_log set alias_name = 'another' where request_id = $1`,
    () => [settled],
  ],
  ['a receipt is the leaf that its batch signed', `update request_log set receipt = receipt || ' '`],
  [
    'a receipt is the leaf that its batch signed',
    'update receipt_batch set leaves = $1',
    () => [leafHash('another receipt')],
  ],
  ['a batch has one record for each leaf', 'update receipt_batch set leaves = leaves || leaves'],
  ['every batch was signed with a key that was published', `update receipt_batch set key_id = 'rk_0000000000000000'`],
  ['provider costs are posted once per batch', 'update request_log set cost = cost + 1'],
  ['provider costs are posted once per batch', 'update transfer set amount = amount + 1 where code = 20'],
  [
    'provider costs are posted once per batch',
    `insert into transfer (ref, leg, code, debit, credit, asset, amount)
     select gen_random_uuid(), 1, 20, debit, credit, asset, amount from transfer where code = 20 limit 1`,
  ],
  ['the roll-up is the sum of the records', 'update usage_15m set calls = calls + 1'],
  ['the roll-up is the sum of the records', 'delete from usage_15m'],
  ['the roll-up is the sum of the records', 'update reported_log set input_tokens = input_tokens + 1'],
  ['the roll-up is the sum of the records', 'update reported_log set cost = cost + 1'],
  ['every batch is in the public log or waits for it, once', 'delete from log_queue'],
  ['every batch is in the public log or waits for it, once', 'delete from log_leaf where idx = 0'],
  [
    'every batch is in the public log or waits for it, once',
    'insert into log_queue (batch_id) select batch_id from log_leaf',
  ],
  [
    'the leaves of a log are the roots of its batches, from 0 to its size',
    `update log_leaf set root = sha256('x') where idx = 0`,
  ],
  ['the leaves of a log are the roots of its batches, from 0 to its size', 'delete from log_leaf where idx = 0'],
  [
    'the leaves of a log are the roots of its batches, from 0 to its size',
    'update log_leaf set idx = idx + 100 where idx > 0',
  ],
  ['the hours of the roll-up are the sums of its quarters', 'update usage_1h set cost = cost + 1'],
  ['the hours of the roll-up are the sums of its quarters', 'delete from usage_1h'],
  ['a series is named by its labels', `update usage_series set alias_name = 'another'`],
  ['a batch has one record for each leaf', `delete from signed_document where kind = 'statement'`],
  ['a signed document is the leaf that its batch signed', `update signed_document set document = document || ' '`],
  ...[
    'update reported_log set output_tokens = output_tokens + 1',
    'update reported_log set cost = cost + 1',
    `update reported_log set cost = null, cost_status = 'unpriced'`,
    'update certificate set entries = entries + 1',
    'delete from certificate',
    'update certified_log set pos = pos + 1',
    'delete from certified_log',
    `update signed_document set project_id = null where kind = 'certificate'`,
  ].map((sql): Rule => ['a certificate says what the logs on it say, and each of them once', sql]),
  [
    'usage that was reported is never charged',
    'update transfer set ref = (select id from reported_log) where code = 11',
  ],
  ...['opening_nanousd', 'receipts_total', 'highest'].map(
    (member): Rule => ['statements of a wallet go on where the one before ended', alterStatement, () => [member]],
  ),
  ...['granted_nanousd', 'charged_nanousd', 'refunded_nanousd', 'expired_nanousd', 'closing_nanousd'].map(
    (member): Rule => ['a statement says what the books say of its day', alterStatement, () => [member]],
  ),
]

for (const [index, [rule, sql, values]] of rules.entries()) {
  test(`the audit notices when it is broken that ${rule} (${index + 1})`, async () => {
    const found = await afterDamage(sql, values?.() ?? [])
    assert(Object.hasOwn(found, rule), `found only ${JSON.stringify(found)}`)
  })
}

test('every rule that data can break at all is broken by one of these', async () => {
  const { invariants } = await auditLedger(database.db)
  // Their constraints hold even while triggers look away.
  const unbreakable = ['a wallet never spends below zero', 'a lot with money left is open']
  const tried = new Set([...rules.map(([rule]) => rule), ...unbreakable])
  assert.deepEqual(
    invariants.map(({ name }) => name).filter((name) => !tried.has(name)),
    [],
  )
})

test('a provider may call its model whatever JSON can spell', async (t) => {
  const slot = await claimTestSlot(database.db)
  const { ledger } = await openTestLedger(database, slot)
  t.after(() => ledger.close())
  const strange = reserveOp(other, 10n)
  const { seq } = await ledger.reserve(strange)
  const call = {
    requestId: strange.requestId,
    walletId: other.id,
    seq: seq ?? 0n,
    held: 10n,
    context: contextOf(other),
  }
  const end = { outcome: 'complete', usage: { output: 3 }, usageSource: 'counted', target: 0, attempts: 1 } as const
  const names = { modelUsed: 'a\0\0b\\\0"c\\', upstreamId: '\\u0000' }
  await ledger.settle(settlement(call, { ...end, ...names }, { log: 'test/1', nowMs: Date.now() }))
  assert.deepEqual(broken(await auditLedger(database.db)), {})
})
