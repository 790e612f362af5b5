import assert from 'node:assert/strict'
import { after, before, test } from 'node:test'
import fc from 'fast-check'
import { createTestDatabase, type TestDatabase } from '#test/support/database.ts'
import { createReferenceLedger, type ReferenceLedger, SlotLostError } from './reference-model.ts'
import { byName, openSqlHistory, openSqlLedger, type SqlHistory, type SqlLedger } from './sql-ledger.ts'
import { brokenRules } from './test-books.ts'

const HISTORIES = Number(process.env.FLUXGATE_HISTORIES ?? 120)
const COMMANDS = { minLength: 34, maxLength: 60 }
// A failure is shrunk as far as the time allows; without one, the time must do for all histories.
const TIME_MS_MAX = 20_000 + HISTORIES * 600
const WALLETS = 3
const TTL_MS = 2_000
const START_MS = Date.UTC(2030, 0, 1)

let database: TestDatabase
let sql: SqlLedger

before(async () => {
  database = await createTestDatabase()
  sql = await openSqlLedger(database)
})
after(async () => {
  await sql.close()
  await database.close()
})

const limit = { timeout: TIME_MS_MAX + 20_000 }

interface World {
  model: ReferenceLedger
  books: SqlHistory
  slot: number
  epoch: bigint
  instance: string
  now: number
  extensions: bigint
}
/** Runs one command on both sides. The answers must be equal. */
type Command = (world: World) => Promise<{ model: unknown; sql: unknown }>

// Names and wallets are few, so that commands meet: replays, reuse of a key, a call of another wallet. Wallet 3 is not there.
const wallet = fc.oneof({ weight: 12, arbitrary: fc.nat(WALLETS - 1) }, { weight: 1, arbitrary: fc.constant(WALLETS) })
const amount = fc.oneof(
  { weight: 20, arbitrary: fc.bigInt(1n, 1_500n) },
  { weight: 1, arbitrary: fc.constantFrom(0n, -1n, 1_000_000_000_000n, 1_000_000_000_001n) },
)
const body = fc.constantFrom('a', 'a', 'a', 'a', 'b')
const place = fc.nat(1_000)

function define<T>(name: string, arbitrary: fc.Arbitrary<T>, perform: (data: T, world: World) => ReturnType<Command>) {
  return arbitrary.map((data) => ({
    name,
    run: (world: World) => perform(data, world),
    toString: () => `${name} ${fc.stringify(data)}`,
  }))
}

const credit = define(
  'credit',
  fc.record({
    ref: fc.nat(9),
    wallet,
    amount: fc.bigInt(1n, 6_000n),
    source: fc.constantFrom(3 as const, 4 as const),
    class: fc.integer({ min: 1, max: 4 }),
    priority: fc.constantFrom(10, 20, 20, 30),
    expiresIn: fc.constantFrom(null, null, -5, 400, 900, 2_500, 9_000, 70_000),
    body,
  }),
  async ({ ref, expiresIn, ...grant }, { model, books, slot, now }) => {
    const wanted = { ...grant, ref: `grant ${ref}`, expiresAt: expiresIn === null ? null : now + expiresIn }
    return { model: model.credit(slot, wanted), sql: await books.credit(slot, wanted) }
  },
)

const reserveRow = fc.record({
  request: fc.nat(60),
  attempt: fc.nat(2),
  wallet,
  amount,
  floor: fc.oneof(
    { weight: 12, arbitrary: fc.constant('all' as const) },
    { weight: 6, arbitrary: fc.bigInt(0n, 400n) },
    { weight: 1, arbitrary: fc.constant(-1n) },
  ),
  body,
})
const reserve = define(
  'reserve',
  // The lane never puts a request into one batch twice.
  fc.uniqueArray(reserveRow, { minLength: 1, maxLength: 6, selector: (row) => row.request }),
  async (rows, { model, books, slot, epoch, now }) => {
    const batch = rows.map(({ request, attempt, floor, ...row }) => ({
      ...row,
      request: `call ${request}`,
      attempt: `call ${request}, attempt ${attempt}`,
      floor: floor === 'all' ? row.amount : floor,
    }))
    const lease = { slot, epoch }
    return { model: model.reserve(lease, now, TTL_MS, batch), sql: await books.reserve(lease, TTL_MS, batch) }
  },
)

const extendRow = fc.record({
  hold: place,
  unknown: fc.nat(12),
  number: fc.constantFrom('next', 'next', 'next', 'next', 'same', 'older'),
  add: fc.oneof({ weight: 9, arbitrary: fc.bigInt(0n, 2_000n) }, fc.constantFrom(-1n, 1_000_000_000_000n)),
  accrued: fc.oneof({ weight: 9, arbitrary: fc.bigInt(0n, 4_000n) }, fc.constant(-1n)),
})
const extend = define('extend', fc.array(extendRow, { minLength: 1, maxLength: 5 }), async (rows, world) => {
  const { model, books, slot, epoch, now } = world
  const batch = rows.map(({ hold: index, unknown, number, add, accrued }) => {
    const hold = nth([...model.holds.values()], index)
    world.extensions += 1n
    const last = hold?.extension ?? 0n
    return {
      request: unknown === 0 || hold === undefined ? `call ${index % 61}` : hold.request,
      wallet: hold?.wallet ?? 0,
      number: number === 'next' ? world.extensions : number === 'same' ? last : last - 1n,
      add,
      accrued,
      usage: `{"n":${world.extensions}}`,
    }
  })
  const lease = { slot, epoch }
  return { model: model.extend(lease, now, TTL_MS, batch), sql: await books.extend(lease, TTL_MS, batch) }
})

const settleRow = fc.record({
  hold: place,
  // How much of the hold is charged, in percent.
  share: fc.constantFrom(0n, 0n, 30n, 50n, 99n, 100n, 100n),
  absorbed: fc.constantFrom(0n, 0n, 0n, 7n),
  // Mostly none: one row that is not ready refuses the whole batch.
  fault: fc.oneof(
    { weight: 20, arbitrary: fc.constant('none' as const) },
    { weight: 1, arbitrary: fc.constantFrom('exceeds', 'negative', 'seq', 'wallet', 'replay', 'unknown') },
  ),
})
const settle = define(
  'settle',
  fc.record({ rows: fc.array(settleRow, { minLength: 1, maxLength: 5 }), twice: fc.boolean() }),
  async ({ rows, twice }, { model, books, slot, now }) => {
    const open = [...model.holds.values()]
    const picked = rows.map(({ hold: index, share, absorbed, fault }, n) => {
      // Neighbours rather than the same hold again: duplicates are a case of their own.
      const hold = nth(open, index + n)
      const done = nth([...model.records.values()], index)
      const request = fault === 'unknown' || hold === undefined ? `call ${index % 61}` : hold.request
      const held = hold?.amount ?? 0n
      return {
        request: fault === 'replay' && done !== undefined ? done.request : request,
        wallet: (hold?.wallet ?? 0) + (fault === 'wallet' ? 1 : 0),
        seq: (hold?.seq ?? 1n) + (fault === 'seq' ? 1n : 0n),
        charge: fault === 'exceeds' ? held + 1n : fault === 'negative' ? -1n : (held * share) / 100n,
        absorbed,
      }
    })
    const batch = twice ? picked : picked.filter((row, n) => picked.findIndex((r) => r.request === row.request) === n)
    const refused = { model: model.settle(slot, now, batch), sql: await books.settle(slot, batch, now) }
    // The ledger drops what is not ready and sends the rest again.
    const left = batch.filter((_, n) => refused.model[n]?.status === 'ready')
    if (left.length === 0) return refused
    return {
      model: [refused.model, model.settle(slot, now, left)],
      sql: [refused.sql, await books.settle(slot, left, now)],
    }
  },
)

const refund = define(
  'refund',
  fc.record({ record: place, share: fc.constantFrom(1n, 40n, 50n, 100n, 101n), ref: fc.nat(12), body }),
  async ({ record: index, share, ref, body: text }, { model, books, slot, now }) => {
    const record = nth([...model.records.values()], index)
    const wanted = {
      ref: `refund ${ref}`,
      request: record?.request ?? `call ${index % 61}`,
      amount: ((record?.charged ?? 0n) * share) / 100n,
      body: text,
    }
    return { model: model.refund(slot, now, wanted), sql: await books.refund(slot, wanted) }
  },
)

/** What the sweeper does: holds of dead epochs and holds that have run out are settled at their progress. */
const sweep: Command = async ({ model, books, slot, epoch, now }) => {
  const dead = [...model.holds.values()].filter((hold) => hold.epoch < epoch || hold.expiresAt < now)
  const batch = dead.map(({ request, wallet: owner, seq, accrued }) => ({
    request,
    wallet: owner,
    seq,
    charge: accrued,
    absorbed: 0n,
  }))
  const answers = batch.length === 0 ? [] : [model.settle(slot, now, batch), await books.settle(slot, batch, now)]
  return {
    model: [answers[0], model.expireQuiet(slot, now, 256)],
    sql: [answers[1], await books.expireQuiet(slot, 256)],
  }
}

const expireOne: Command = async ({ model, books, slot, now }) => ({
  model: model.expireQuiet(slot, now, 1),
  sql: await books.expireQuiet(slot, 1),
})

const tick = define('tick', fc.constantFrom(1, 50, 300, 700, 1_500, 5_000, 61_000, 400_000), async (ms, world) => {
  world.now += ms
  await sql.setClock(world.now)
  return { model: null, sql: null }
})

const freeze = define(
  'freeze',
  fc.record({ wallet: fc.nat(WALLETS - 1), frozen: fc.constantFrom(true, false, false) }),
  async ({ wallet: index, frozen }, { model, books }) => {
    const target = model.wallets[index]
    assert(target !== undefined)
    target.frozen = frozen
    await books.freeze(index, frozen)
    return { model: null, sql: null }
  },
)

/** The same process again under a new epoch; what it still does under the old one is refused. */
const restart: Command = async (world) => {
  const { slot, epoch, now, model, books } = world
  const claimed = await sql.claim(world.instance)
  world.epoch = model.claim(slot)
  assert.deepEqual(claimed, { slot, epoch: world.epoch })
  const stale = { slot, epoch }
  const reason = (error: unknown) => (error instanceof SlotLostError ? 'slot lost' : error)
  const refused = async (work: () => unknown) => {
    try {
      return await work()
    } catch (error) {
      return reason(error)
    }
  }
  const row = { request: 'late', attempt: 'late', wallet: 0, amount: 1n, floor: 0n, body: 'a' }
  return {
    model: await refused(() => model.reserve(stale, now, TTL_MS, [row])),
    sql: await refused(() => books.reserve(stale, TTL_MS, [row])),
  }
}

const nothing: Command = async () => ({ model: null, sql: null })
const plainly = (name: string, run: Command) => define(name, fc.constant(null), (_, world) => run(world))

// A failing history is shrunk by replacing commands with nothing, which stands first.
const command = fc.oneof(
  { withCrossShrink: true },
  { weight: 1, arbitrary: plainly('nothing', nothing) },
  { weight: 5, arbitrary: credit },
  { weight: 9, arbitrary: reserve },
  { weight: 5, arbitrary: extend },
  { weight: 9, arbitrary: settle },
  { weight: 4, arbitrary: refund },
  { weight: 6, arbitrary: tick },
  { weight: 1, arbitrary: plainly('sweep', sweep) },
  { weight: 1, arbitrary: plainly('expire one', expireOne) },
  { weight: 1, arbitrary: freeze },
  { weight: 1, arbitrary: plainly('restart', restart) },
)

test('the database and the reference ledger answer every random history alike', limit, async (t) => {
  const seed = Number(process.env.FLUXGATE_SEED ?? Date.now() % 1_000_000_000)
  t.diagnostic(`seed ${seed}`)
  const told = new Map<string, number>()
  let histories = 0
  let commands = 0

  async function run(history: { name: string; run: Command }[]): Promise<void> {
    histories += 1
    const instance = `history ${seed} ${histories}`
    await sql.setClock(START_MS)
    const { slot, epoch } = await sql.claim(instance)
    const books = await openSqlHistory(sql, { name: instance, slot, wallets: WALLETS })
    const model = createReferenceLedger()
    for (let n = 0; n < WALLETS; n++) model.wallets.push({ seq: 0n, frozen: false, nextLook: null })
    model.claim(slot)
    for (let n = 0; n < WALLETS; n++) {
      const first = {
        ref: `first ${n}`,
        wallet: n,
        amount: 4_000n,
        source: 4 as const,
        class: 2,
        priority: 20,
        body: 'a',
      }
      model.credit(slot, { ...first, expiresAt: null })
      await books.credit(slot, { ...first, expiresAt: null })
    }
    const world: World = { model, books, slot, epoch, instance, now: START_MS, extensions: 0n }
    for (const [index, { name, run: perform }] of history.entries()) {
      if (name === 'nothing') continue
      commands += 1
      const answers = await perform(world)
      const step = `step ${index}, ${name}`
      assert.deepEqual(plain(answers.sql), plain(answers.model), step)
      for (const status of statuses(answers.sql)) told.set(status, (told.get(status) ?? 0) + 1)
      assert.deepEqual(await books.state(slot), modelState(model, slot), `${step}: the books`)
    }
    // The next history starts its clock again: nothing of this one may be due then.
    await sql.client.query('update wallet set next_expiry = null, version = version + 1 where next_expiry is not null')
  }

  const limits = { interruptAfterTimeLimit: TIME_MS_MAX, markInterruptAsFailure: true }
  await fc.assert(fc.asyncProperty(fc.array(command, COMMANDS), run), { seed, numRuns: HISTORIES, ...limits })
  // Top-ups of these histories are credited without anybody who has paid.
  const broken = (await brokenRules(database)).filter((rule) => !rule.startsWith('every top-up has its payment'))
  assert.deepEqual(broken, [])
  const counts = [...told].sort().map(([status, times]) => `${status} ${times}`)
  t.diagnostic(`${histories} histories, ${commands} commands; ${counts.join(', ')}`)
  const expected = [
    'already',
    'bad_amount',
    'credited',
    'done',
    'exceeds_charge',
    'exceeds_hold',
    'frozen',
    'in_flight',
  ]
  expected.push('insufficient', 'key_reused', 'no_hold', 'no_wallet', 'ready', 'refunded', 'reserved', 'seq_differs')
  expected.push('settled', 'slot lost', 'no_request')
  if (HISTORIES >= 100)
    assert.deepEqual([...told.keys()].filter((status) => expected.includes(status)).sort(), expected.sort())
})

/** BigInts as text, so that a difference can be printed. */
function plain(value: unknown): unknown {
  return JSON.parse(
    JSON.stringify(value ?? null, (_key, member) => (typeof member === 'bigint' ? `${member}` : member)),
  )
}

function statuses(answer: unknown): string[] {
  if (typeof answer === 'string') return [answer]
  if (Array.isArray(answer)) return answer.flatMap(statuses)
  if (typeof answer === 'object' && answer !== null && 'status' in answer) return [String(answer.status)]
  return []
}

function nth<T>(list: T[], index: number): T | undefined {
  return list[index % list.length]
}

/** The model's books in the shape of `state`. */
function modelState(model: ReferenceLedger, slot: number): unknown {
  const lotPlace = new Map(model.lots.map((lot, index) => [lot, index]))
  const records = [...model.records.values()]
  return plain({
    wallets: model.wallets.map(({ seq, frozen, nextLook }, index) => [
      model.posted(index),
      model.held(index),
      seq,
      frozen,
      nextLook,
    ]),
    lots: model.lots.map((lot) => [
      lot.wallet,
      lot.class,
      lot.priority,
      lot.credited,
      lot.spent,
      model.isLotOpen(lot),
      lot.expiresAt,
    ]),
    holds: [...model.holds.values()]
      .map((h) => [
        h.request,
        h.wallet,
        `${h.seq}`,
        `${h.amount}`,
        `${h.accrued}`,
        h.usage,
        h.slot,
        `${h.epoch}`,
        h.expiresAt,
      ])
      .sort(byName),
    system: [2, 3, 4, 5, 6, 7, 8].map((kind) => {
      const { debits, credits } = model.system.get(`${slot} ${kind}`) ?? { debits: 0n, credits: 0n }
      return [kind, debits, credits]
    }),
    records: records.map((r) => [r.request, r.wallet, `${r.seq}`, `${r.charged}`, `${r.absorbed}`]).sort(byName),
    legs: records
      .flatMap((r) => r.legs.map(({ lot, amount: part }, n) => [r.request, n + 1, lotPlace.get(lot), `${part}`]))
      .sort(byName),
    refunds: records
      .flatMap((r) => r.refunds.map(({ lot, amount: part }) => [r.request, lotPlace.get(lot), `${part}`]))
      .sort(byName),
    usage: [...model.usage]
      .map(([key, { calls, charged, absorbed }]) => [...key.split(' ').map(Number), calls, charged, absorbed])
      .sort((a, b) => Number(a[0]) - Number(b[0]) || Number(a[1]) - Number(b[1])),
  })
}
