import assert from 'node:assert/strict'
import { after, before, test } from 'node:test'
import { type CallContext, encodeContext } from '#domain/call-context.ts'
import type { Ledger } from '#domain/ledger.ts'
import { createTestDatabase, type TestDatabase } from '#test/support/database.ts'
import { createRandom } from '#test/support/random.ts'
import { claimTestSlot } from '#test/support/slot.ts'
import {
  accruedUsage,
  brokenRules,
  contextOf,
  openTestLedger,
  openTestWallet,
  reserveOp,
  settleOp,
  type TestWallet,
} from '../ledger/test-books.ts'

const SEED = Number(process.env.FLUXGATE_SEED ?? 20_261_201)
const WORLD = {
  users: ['usr_a', 'usr_b'],
  keys: ['key_1', 'key_2'],
  models: ['m/1', 'm/2'],
  aliases: ['x', 'y'],
  tags: ['t', 'u'],
}

let database: TestDatabase
before(async () => {
  database = await createTestDatabase({ poolMax: 10 })
})
after(() => database.close())

interface Scope {
  key_id: string | null
  user_id: string | null
  model: string | null
  alias_name: string | null
  tag: string | null
}

async function addBudget(wallet: TestWallet, name: string, limit: bigint, scope: Partial<Scope> = {}): Promise<bigint> {
  await database.db.query('update wallet set budgeted = true, version = version + 1 where id = $1 and not budgeted', [
    wallet.id,
  ])
  const { rows } = await database.db.query(
    `insert into budget (wallet_id, name, limit_nanos, period, time_zone, warn_percent, key_id, user_id, model, alias_name, tag)
     values ($1, $2, $3, 'month', 'UTC', '{80}', $4, $5, $6, $7, $8) returning id`,
    [
      ...[wallet.id, name, limit, scope.key_id ?? null, scope.user_id ?? null],
      ...[scope.model ?? null, scope.alias_name ?? null, scope.tag ?? null],
    ],
  )
  return rows[0].id
}

type Call = Pick<CallContext, 'keyId' | 'model'> & { userId: string; aliasName: string; tags: string[] }

function matches(scope: Scope, call: Call): boolean {
  return (
    (scope.key_id === null || scope.key_id === call.keyId) &&
    (scope.user_id === null || scope.user_id === call.userId) &&
    (scope.model === null || scope.model === call.model) &&
    (scope.alias_name === null || scope.alias_name === call.aliasName) &&
    (scope.tag === null || call.tags.includes(scope.tag))
  )
}

const usageOf = async (id: bigint): Promise<{ held: bigint; spent: bigint }> => {
  const { rows } = await database.db.query('select held, spent from budget_usage where budget_id = $1', [id])
  return rows[0] ?? { held: 0n, spent: 0n }
}

test('every random history with budgets on all kinds of labels ends as a model of them says', async (t) => {
  t.diagnostic(`seed ${SEED}`)
  const random = createRandom(SEED)
  const { current } = await claimTestSlot(database.db, 'history')
  const { ledger } = await openTestLedger(database, { current })
  const wallet = await openTestWallet(database.db, current().slot, 1_000_000n)
  const pick = <T>(list: readonly T[]): T => list[random.integer(0, list.length - 1)] as T
  const maybe = <T>(list: readonly T[]): T | null => (random.chance(0.4) ? pick(list) : null)
  const budgets: { id: bigint; limit: bigint; scope: Scope; held: bigint; spent: bigint }[] = []
  for (let n = 0; n < 6; n += 1) {
    const scope = {
      ...{ key_id: maybe(WORLD.keys), user_id: maybe(WORLD.users), model: maybe(WORLD.models) },
      ...{ alias_name: maybe(WORLD.aliases), tag: maybe(WORLD.tags) },
    }
    const limit = BigInt(random.integer(500, 6_000))
    budgets.push({ id: await addBudget(wallet, `b${n}`, limit, scope), limit, scope, held: 0n, spent: 0n })
  }
  const open: { requestId: string; seq: bigint; held: bigint; under: typeof budgets }[] = []
  const seen = { refused: 0, cut: 0, extended: 0, settled: 0 }
  const roomOf = (under: typeof budgets) =>
    under.reduce(
      (least, { limit, held, spent }) => (limit - held - spent < least ? limit - held - spent : least),
      1_000_000n,
    )

  for (let step = 0; step < 400; step += 1) {
    const what = random.integer(0, 9)
    if (what < 4) {
      const call: Call = {
        ...{
          keyId: pick(WORLD.keys),
          userId: pick(WORLD.users),
          model: pick(WORLD.models),
          aliasName: pick(WORLD.aliases),
        },
        tags: WORLD.tags.filter(() => random.chance(0.5)),
      }
      const amount = BigInt(random.integer(1, 900))
      const floor = BigInt(random.integer(0, Number(amount)))
      const under = budgets.filter(({ scope }) => matches(scope, call))
      const op = reserveOp(wallet, amount, { floor, context: encodeContext({ ...contextOf(wallet), ...call }) })
      const result = await ledger.reserve(op)
      const room = roomOf(under)
      const expected = amount < room ? amount : room
      if (expected < floor) {
        assert.equal(result.status, 'over_budget', `step ${step}`)
        const tight = budgets.find(({ id }) => id === result.budget)
        assert(tight !== undefined && tight.limit - tight.held - tight.spent === room)
        seen.refused += 1
        continue
      }
      assert.deepEqual([result.status, result.granted], ['reserved', expected], `step ${step}`)
      if (expected < amount) seen.cut += 1
      for (const budget of under) budget.held += expected
      open.push({ requestId: op.requestId, seq: result.seq ?? 0n, held: expected, under })
    } else if (what < 6 && open.length > 0) {
      const call = pick(open)
      const add = BigInt(random.integer(0, 600))
      const room = roomOf(call.under)
      const expected = room < 0n ? 0n : add < room ? add : room
      const extension = {
        requestId: call.requestId,
        walletId: wallet.id,
        add,
        accrued: 0n,
        accruedUsage: accruedUsage(0n),
      }
      assert.equal(await ledger.extend(extension), expected, `step ${step}`)
      for (const budget of call.under) budget.held += expected
      call.held += expected
      seen.extended += 1
    } else if (what < 9 && open.length > 0) {
      const [call] = open.splice(random.integer(0, open.length - 1), 1)
      assert(call)
      const charge = BigInt(random.integer(0, Number(call.held)))
      const { status } = await ledger.settle(settleOp(wallet, call, charge))
      assert.equal(status, 'settled')
      for (const budget of call.under) {
        budget.held -= call.held
        budget.spent += charge
      }
      seen.settled += 1
    } else {
      // An edit, also below what is spent: nothing is reset, and what runs is counted on.
      const budget = pick(budgets)
      budget.limit = BigInt(random.integer(0, 8_000))
      await database.db.query('update budget set limit_nanos = $2 where id = $1', [budget.id, budget.limit])
    }
  }
  for (const { id, held, spent } of budgets) assert.deepEqual(await usageOf(id), { held, spent })
  for (const [name, count] of Object.entries(seen)) assert(count > 0, `${name} was met`)
  assert.deepEqual(await brokenRules(database), [])
  await ledger.close()
})

test('clients of four writers never pass a budget, streams that grow included, in a thousand rounds', async () => {
  const LIMIT = 3_000n
  const writers = await Promise.all(
    ['one', 'two', 'three', 'four'].map(async (name) => {
      const { current } = await claimTestSlot(database.db, name)
      return { current, ...(await openTestLedger(database, { current })) }
    }),
  )
  const [first] = writers
  assert(first)
  let [overspent, spentInAll, refused] = [0, 0n, 0]
  for (let round = 0; round < 25; round += 1) {
    const wallet = await openTestWallet(database.db, first.current().slot, 1_000_000n)
    const all = await addBudget(wallet, 'all', LIMIT)
    const mine = await addBudget(wallet, 'mine', LIMIT / 2n, { key_id: 'key_1' })
    const play = async (ledger: Ledger, keyId: string, seed: number) => {
      const random = createRandom(seed)
      for (let n = 0; n < 5; n += 1) {
        const op = reserveOp(wallet, BigInt(random.integer(50, 400)), {
          floor: 20n,
          context: encodeContext({ ...contextOf(wallet), keyId }),
        })
        const { status, seq, granted } = await ledger.reserve(op)
        if (status !== 'reserved') {
          assert.equal(status, 'over_budget')
          refused += 1
          continue
        }
        let held = granted
        for (let more = 0; more < 2; more += 1) {
          const add = {
            add: BigInt(random.integer(10, 200)),
            accrued: held / 2n,
            accruedUsage: accruedUsage(held / 2n),
          }
          held += await ledger.extend({ requestId: op.requestId, walletId: wallet.id, ...add })
        }
        const call = { requestId: op.requestId, seq: seq ?? 0n, held }
        await ledger.settle(settleOp(wallet, call, random.chance(0.3) ? 0n : held))
      }
    }
    // Eight clients, five calls each: forty rounds at once.
    await Promise.all(
      Array.from({ length: 8 }, (_, n) =>
        play((writers[n % writers.length] ?? first).ledger, `key_${n % 2}`, round * 100 + n),
      ),
    )
    for (const [id, limit] of [
      [all, LIMIT],
      [mine, LIMIT / 2n],
    ] as const) {
      const { held, spent } = await usageOf(id)
      assert.equal(held, 0n)
      if (spent > limit) overspent += 1
      spentInAll += spent
    }
  }
  assert.equal(overspent, 0)
  assert(spentInAll > 0n && refused > 0)
  assert.deepEqual(await brokenRules(database), [])
  await Promise.all(writers.map(({ ledger }) => ledger.close()))
})

test('one batch admits no more than a budget has, in the order of arrival; a large call does not block a small one', async () => {
  const { current } = await claimTestSlot(database.db, 'batch')
  const { ledger } = await openTestLedger(database, { current })
  const wallet = await openTestWallet(database.db, current().slot, 1_000_000n)
  await addBudget(wallet, 'all', 1_000n)
  const results = await Promise.all(
    [600n, 500n, 300n, 200n, 100n].map((nanos) => ledger.reserve(reserveOp(wallet, nanos))),
  )
  assert.deepEqual(
    results.map(({ status }) => status),
    ['reserved', 'over_budget', 'reserved', 'over_budget', 'reserved'],
  )
  await ledger.close()
})

test('what the wallet does not grant is not held under a budget either', async () => {
  const { current } = await claimTestSlot(database.db, 'poor')
  const { ledger } = await openTestLedger(database, { current })
  const wallet = await openTestWallet(database.db, current().slot, 1_000n)
  const id = await addBudget(wallet, 'all', 10_000n)
  const op = reserveOp(wallet, 1_600n, { floor: 600n })
  assert.equal((await ledger.reserve(op)).granted, 1_000n)
  assert.equal((await usageOf(id)).held, 1_000n)
  const more = { requestId: op.requestId, walletId: wallet.id, add: 900n, accrued: 0n, accruedUsage: accruedUsage(0n) }
  assert.equal(await ledger.extend(more), 0n)
  assert.equal((await usageOf(id)).held, 1_000n)
  assert.deepEqual(await brokenRules(database), [])
  const { rows } = await database.db.query(
    `select period_start = date_trunc('month', now() at time zone 'UTC') at time zone 'UTC' as now from budget_usage where budget_id = $1`,
    [id],
  )
  assert.deepEqual(rows, [{ now: true }])
  await ledger.close()
})

test('a call counts in the period in which it was held, also when that has ended', async () => {
  const { current } = await claimTestSlot(database.db, 'turn')
  const { ledger } = await openTestLedger(database, { current })
  const wallet = await openTestWallet(database.db, current().slot, 1_000_000n)
  const id = await addBudget(wallet, 'all', 1_000n)
  const op = reserveOp(wallet, 400n)
  const { seq } = await ledger.reserve(op)
  // The month turns: as if the call had been held in the one before.
  await database.db.query(
    `update hold set budget_periods = array['2020-01-01 00:00+00'::timestamptz] where request_id = $1`,
    [op.requestId],
  )
  await database.db.query(`update budget_usage set period_start = '2020-01-01 00:00+00' where budget_id = $1`, [id])
  const added = await ledger.extend({
    requestId: op.requestId,
    walletId: wallet.id,
    add: 900n,
    accrued: 0n,
    accruedUsage: accruedUsage(0n),
  })
  assert.equal(added, 600n)
  await ledger.settle(settleOp(wallet, { requestId: op.requestId, seq: seq ?? 0n, held: 1_000n }, 900n))
  assert.equal((await ledger.reserve(reserveOp(wallet, 1_000n))).status, 'reserved', 'the new month is whole')
  const { rows } = await database.db.query(
    'select period_start::text, held, spent from budget_usage where budget_id = $1 order by 1',
    [id],
  )
  assert.deepEqual(
    rows.map(({ held, spent }) => [held, spent]),
    [
      [0n, 900n],
      [1_000n, 0n],
    ],
  )
  await ledger.close()
})

for (const [zone, at, period, start] of [
  ['Europe/Berlin', '2026-03-29 12:00+00', 'day', '2026-03-28 23:00:00+00'],
  ['Europe/Berlin', '2026-03-29 23:30+00', 'day', '2026-03-29 22:00:00+00'],
  ['Asia/Kathmandu', '2026-12-01 18:20+00', 'month', '2026-11-30 18:15:00+00'],
  ['America/St_Johns', '2026-11-01 05:00+00', 'day', '2026-11-01 02:30:00+00'],
  ['Pacific/Kiritimati', '2026-12-31 11:00+00', 'month', '2026-12-31 10:00:00+00'],
  ['UTC', '2026-12-06 23:59+00', 'week', '2026-11-30 00:00:00+00'],
  ['UTC', '2026-12-06 23:59+00', 'total', '-infinity'],
] as const)
  test(`the ${period} of ${at} in ${zone} began at ${start}`, async () => {
    const { rows } = await database.db.query('select budget_period($1, $2, $3)::text as start', [period, zone, at])
    assert.equal(rows[0].start, start)
  })

test('a call whose model is spelt with what jsonb cannot hold is admitted under budgets', async () => {
  const { current } = await claimTestSlot(database.db, 'nul')
  const { ledger } = await openTestLedger(database, { current })
  const wallet = await openTestWallet(database.db, current().slot, 1_000n)
  await addBudget(wallet, 'all', 1_000n, { key_id: 'key_1' })
  const context = encodeContext({ ...contextOf(wallet), keyId: 'key_1', origin: 'a\u0000b\\u0000' })
  assert.equal((await ledger.reserve(reserveOp(wallet, 10n, { context }))).status, 'reserved')
  await ledger.close()
})
