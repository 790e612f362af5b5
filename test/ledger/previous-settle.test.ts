import assert from 'node:assert/strict'
import { after, before, test } from 'node:test'
import { batchStatement } from '#billing/batch.ts'
import { merkleRoot } from '#billing/merkle.ts'
import { connectLane } from '#db/pool.ts'
import { auditLedger } from '#domain/audit.ts'
import { encodeContext } from '#domain/call-context.ts'
import { createKeys } from '#domain/keys.ts'
import { createProjects } from '#domain/projects.ts'
import { settlement } from '#domain/settlement.ts'
import { uuidv7Hex } from '#lib/ids.ts'
import { createTestDatabase, type TestDatabase } from '#test/support/database.ts'
import { claimTestSlot } from '#test/support/slot.ts'
import { contextOf, creditTestWallet, openTestLedger, reserveOp, testSigner } from './test-books.ts'

// A gateway of the release before projects were part of the log settles through the signature that it knows, while this
// release runs beside it on the same database.

let database: TestDatabase
before(async () => {
  database = await createTestDatabase()
})
after(() => database.close())

test('the settle of the previous release, with 24 arguments, finds the project of each key and its series', async () => {
  const { db } = database
  const slot = await claimTestSlot(db)
  const { ledger } = await openTestLedger(database, slot)
  const lane = await connectLane(database.connection, (error) => {
    throw error
  })
  const calls = []
  for (const [name, nanos] of [
    ['first', 300n],
    ['second', 0n],
    ['third', 40n],
  ] as const) {
    const project = await createProjects({ db }).create({ name })
    const { key } = await createKeys({ db }).create({ projectId: project.id, name })
    await creditTestWallet(db, { slot: slot.current().slot, walletId: project.walletId, nanos: 1_000n })
    const wallet = { id: project.walletId, account: project.account }
    const context = { ...contextOf(wallet), projectId: project.id, keyId: key.id, aliasName: `alias of ${name}` }
    const hold = reserveOp(wallet, 500n, { context: encodeContext(context) })
    const { seq } = await ledger.reserve(hold)
    assert(seq !== null)
    const op = settlement(
      { requestId: hold.requestId, walletId: wallet.id, seq, held: 500n, context },
      {
        outcome: nanos === 0n ? 'void' : 'complete',
        usage: nanos === 0n ? {} : { input: 10, output: Number(nanos) - 10 },
        usageSource: nanos === 0n ? 'none' : 'counted',
        target: 0,
        attempts: 1,
      },
      { log: 'test/1', nowMs: Date.now() },
    )
    calls.push({ project, key, nanos, op })
  }

  const batch = uuidv7Hex()
  const ops = calls.map(({ op }) => op)
  const leaves = ops.map(({ leaf }) => leaf)
  const root = merkleRoot(leaves)
  const statement = batchStatement({ id: batch, n: ops.length, root: root.toString('base64') })
  // As its source sends it.
  const text =
    "select status, charged from settle($1,$2,$3,$4,$5,$6,$7,$8,$9,$10,$11,$12,$13,$14,$15,$16,$17,$18,$19,$20,$21,$22,$23,string_to_array($24, e'\\n'))"
  const values = [
    ...[slot.current().slot, batch, testSigner.keyId, root, testSigner.sign(statement), Buffer.concat(leaves)],
    ops.map((op) => op.requestId),
    ops.map((op) => op.walletId),
    ops.map((op) => op.seq),
    ops.map((op) => op.charged),
    ops.map((op) => op.absorbed),
    ops.map((op) => op.cost),
    ops.map((op) => op.outcome),
    ops.map((op) => op.keyId),
    ops.map((op) => op.aliasName),
    ops.map((op) => op.profile),
    ops.map((op) => op.origin),
    ops.map((op) => op.provider),
    ops.map((op) => op.model),
    ops.map((op) => op.usageSource),
    ops.map((op) => op.inputTokens),
    ops.map((op) => op.outputTokens),
    ops.map((op) => op.attempts),
    ops.map((op) => op.receipt).join('\n'),
  ]
  const { rows: settled } = await lane.query({ name: 'settle', text, values })
  assert.deepEqual(
    settled,
    calls.map(({ nanos }) => ({ status: 'settled', charged: nanos })),
  )

  for (const { project, key, nanos, op } of calls) {
    const { rows } = await db.query(
      `select l.project_id, l.model_used, s.project_id as series_project, s.key_id, s.source, s.model, s.model_used as series_used,
              s.alias_name, u.calls, u.charged, u.output_tokens
       from request_log l
       join usage_series s on s.id = series_id(l.wallet_id, l.project_id, l.key_id, 1::smallint, l.provider, l.model, l.model_used,
                                               l.alias_name, l.profile, l.origin)
       join usage_15m u on u.series = s.id
       where l.request_id = $1`,
      [op.requestId],
    )
    assert.deepEqual(rows, [
      {
        ...{ project_id: project.id, model_used: null, series_project: project.id, key_id: key.id, source: 1 },
        ...{ model: 'sim/penny', series_used: null, alias_name: `alias of ${project.name}` },
        ...{ calls: 1n, charged: nanos, output_tokens: nanos === 0n ? 0n : nanos - 10n },
      },
    ])
  }
  const { rows: again } = await lane.query({ name: 'settle', text, values })
  assert.deepEqual(
    again.map(({ status }) => status),
    ['already', 'already', 'already'],
  )
  const report = await auditLedger(db)
  assert.deepEqual(
    report.invariants.filter(({ bad }) => bad > 0),
    [],
  )
  await lane.end()
  await ledger.close()
})
