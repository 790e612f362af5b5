import assert from 'node:assert/strict'
import { after, afterEach, before, test } from 'node:test'
import { connectLane } from '#db/pool.ts'
import { uuidFromName, uuidv7Hex } from '#lib/ids.ts'
import { createTestDatabase, type TestDatabase } from '#test/support/database.ts'
import { SlotLostError } from './reference-model.ts'
import { openSqlHistory, openSqlLedger, type SqlLedger } from './sql-ledger.ts'
import { brokenRules } from './test-books.ts'

// Each rule of the books once, in numbers that can be checked in the head. random-history.test.ts looks for the rest.

const NOW_MS = Date.UTC(2030, 0, 1)
const TTL_MS = 60_000
const DAY_MS = 86_400_000

let database: TestDatabase
let sql: SqlLedger
let lease: { slot: number; epoch: bigint }

before(async () => {
  database = await createTestDatabase()
  sql = await openSqlLedger(database)
  await sql.setClock(NOW_MS)
  lease = await sql.claim('rules')
})
afterEach(async () => assert.deepEqual(await brokenRules(database), []))
after(async () => {
  await sql.close()
  await database.close()
})

interface TestLot {
  amount: bigint
  priority?: number
  /** From the start of the test. */
  expiresInMs?: number
}

let opened = 0

/** A wallet with these lots and nothing else, on a clock that starts anew. */
async function openBooks(...lots: TestLot[]) {
  opened += 1
  await sql.setClock(NOW_MS)
  const books = await openSqlHistory(sql, { name: `rules ${opened}`, slot: lease.slot, wallets: 1 })
  for (const [n, { amount, priority = 20, expiresInMs }] of lots.entries()) {
    const terms = { priority, expiresAt: expiresInMs === undefined ? null : NOW_MS + expiresInMs }
    const grant = { ref: `lot ${n}`, wallet: 0, amount, source: 4 as const, class: 2, body: 'a', ...terms }
    assert.equal(await books.credit(lease.slot, grant), 'credited')
  }
  const seqs = new Map<string, bigint>()

  async function reserve(...rows: [request: string, amount: bigint, floor?: bigint, body?: string][]) {
    const batch = rows.map(([request, amount, floor = amount, body = 'a'], n) => {
      return { request, attempt: `attempt ${n} of ${seqs.size}`, wallet: 0, amount, floor, body }
    })
    const answers = await books.reserve(lease, TTL_MS, batch)
    for (const [n, { status, seq }] of answers.entries()) if (status === 'reserved') seqs.set(rows[n]?.[0] ?? '', seq)
    return answers.map(({ status, granted }) => [status, granted])
  }

  async function settle(...rows: [request: string, charge: bigint, absorbed?: bigint][]): Promise<string[]> {
    const batch = rows.map(([request, charge, absorbed = 0n]) => {
      return { request, wallet: 0, seq: seqs.get(request) ?? 0n, charge, absorbed }
    })
    return (await books.settle(lease.slot, batch, NOW_MS)).map(({ status }) => status)
  }

  return {
    ...books,
    reserveAs: books.reserve,
    seqs,
    reserve,
    settle,

    async charge(request: string, amount: bigint): Promise<void> {
      assert.deepEqual(await reserve([request, amount]), [['reserved', amount]])
      assert.deepEqual(await settle([request, amount]), ['settled'])
    },

    refund: (request: string, amount: bigint, ref: string) =>
      books.refund(lease.slot, { ref, request, amount, body: `${amount}` }),

    extend: (request: string, number: bigint, add: bigint, as = lease) =>
      books.extend(as, TTL_MS, [{ request, wallet: 0, number, add, accrued: 0n, usage: '{}' }]),

    /** What is posted, held and numbered. */
    async wallet(): Promise<bigint[]> {
      const [posted, held, seq] = (await books.state(lease.slot)).wallets[0]
      return [posted, held, seq].map(BigInt)
    },

    /** What each lot has left, in the order in which they were given. */
    async rests(): Promise<bigint[]> {
      const { lots: all } = await books.state(lease.slot)
      return all.map(([, , , credits, debits]: string[]) => BigInt(credits ?? 0) - BigInt(debits ?? 0))
    },
  }
}

for (const [name, lots, burnt] of [
  [
    'the lower priority',
    [
      { amount: 10n, priority: 30 },
      { amount: 10n, priority: 10 },
    ],
    [10n, 4n],
  ],
  [
    'the earlier expiry',
    [
      { amount: 10n, expiresInMs: 2 * DAY_MS },
      { amount: 10n, expiresInMs: DAY_MS },
    ],
    [10n, 4n],
  ],
  ['what expires at all', [{ amount: 10n }, { amount: 10n, expiresInMs: DAY_MS }], [10n, 4n]],
  ['what was given earlier', [{ amount: 10n }, { amount: 10n }], [4n, 10n]],
  [
    'priority, and then expiry',
    [
      { amount: 10n, priority: 30, expiresInMs: DAY_MS },
      { amount: 10n, priority: 10 },
    ],
    [10n, 4n],
  ],
] as const) {
  test(`of two lots ${name} burns first`, async () => {
    const books = await openBooks(...lots)
    await books.charge('call', 6n)
    assert.deepEqual(await books.rests(), burnt)
  })
}

test('a charge runs on into the next lot, and a batch burns in its own order', async () => {
  const books = await openBooks({ amount: 10n }, { amount: 10n }, { amount: 10n })
  await books.reserve(['a', 8n], ['b', 8n], ['c', 8n])
  await books.settle(['b', 8n], ['a', 8n], ['c', 5n])
  const { legs } = await books.state(lease.slot)
  assert.deepEqual(legs, [
    ['a', 1, 0, '2'],
    ['a', 2, 1, '6'],
    ['b', 1, 0, '8'],
    ['c', 1, 1, '4'],
    ['c', 2, 2, '1'],
  ])
  assert.deepEqual(await books.rests(), [0n, 0n, 9n])
})

test('what is held is not free for others', async () => {
  const books = await openBooks({ amount: 100n })
  assert.deepEqual(await books.reserve(['a', 70n]), [['reserved', 70n]])
  assert.deepEqual(await books.reserve(['b', 31n]), [['insufficient', 0n]])
  assert.deepEqual(await books.reserve(['c', 30n]), [['reserved', 30n]])
  assert.deepEqual(await books.wallet(), [100n, 100n, 2n])
})

test('one batch admits no more than there is, and a large call does not block a small one behind it', async () => {
  const books = await openBooks({ amount: 100n })
  assert.deepEqual(await books.reserve(['a', 60n], ['b', 60n], ['c', 40n], ['d', 1n]), [
    ['reserved', 60n],
    ['insufficient', 0n],
    ['reserved', 40n],
    ['insufficient', 0n],
  ])
})

test('less than asked for is granted down to the floor, and not below', async () => {
  const books = await openBooks({ amount: 100n })
  assert.deepEqual(await books.reserve(['a', 80n, 80n], ['b', 50n, 21n], ['c', 50n, 20n], ['d', 5n, 0n]), [
    ['reserved', 80n],
    ['insufficient', 0n],
    ['reserved', 20n],
    ['reserved', 0n],
  ])
})

test('calls are numbered without a gap; refused ones take no number', async () => {
  const books = await openBooks({ amount: 10n })
  await books.reserve(['a', 1n], ['b', 100n], ['c', 1n])
  await books.reserve(['d', 1n])
  assert.deepEqual(
    [...books.seqs],
    [
      ['a', 1n],
      ['c', 2n],
      ['d', 3n],
    ],
  )
  assert.deepEqual(await books.wallet(), [10n, 3n, 3n])
})

test('one key is one call: another body is told apart, while it runs and when it is done', async () => {
  const books = await openBooks({ amount: 100n })
  await books.reserve(['a', 10n])
  const told = async () => [
    (await books.reserve(['a', 10n, 10n, 'a']))[0]?.[0],
    (await books.reserve(['a', 10n, 10n, 'b']))[0]?.[0],
  ]
  assert.deepEqual(await told(), ['in_flight', 'key_reused'])
  assert.deepEqual(await books.settle(['a', 4n]), ['settled'])
  assert.deepEqual(await told(), ['done', 'key_reused'])
  assert.deepEqual(await books.wallet(), [96n, 0n, 1n])
})

test('an extension is taken from the wallet, once, and only what is there', async () => {
  const books = await openBooks({ amount: 100n })
  await books.reserve(['a', 40n])
  assert.deepEqual(await books.extend('a', 1n, 30n), [30n])
  assert.deepEqual(await books.wallet(), [100n, 70n, 1n])
  assert.deepEqual(await books.extend('a', 1n, 30n), [30n], 'the same one again')
  assert.deepEqual(await books.wallet(), [100n, 70n, 1n])
  assert.deepEqual(await books.extend('a', 2n, 50n), [30n])
  assert.deepEqual(await books.extend('a', 1n, 30n), [0n], 'one that comes late')
  assert.deepEqual(await books.wallet(), [100n, 100n, 1n])
  assert.deepEqual(await books.settle(['a', 100n]), ['settled'])
  assert.deepEqual(await books.wallet(), [0n, 0n, 1n])
})

test('a settlement takes its charge and gives back its whole hold', async () => {
  const books = await openBooks({ amount: 100n })
  await books.reserve(['a', 40n], ['b', 30n])
  assert.deepEqual(await books.settle(['a', 25n]), ['settled'])
  assert.deepEqual(await books.wallet(), [75n, 30n, 2n])
  assert.deepEqual(await books.settle(['a', 25n]), ['already'])
  assert.deepEqual(await books.settle(['b', 0n]), ['settled'], 'a void one')
  assert.deepEqual(await books.wallet(), [75n, 0n, 2n])
})

test('a settlement is counted in its quarter of an hour, and what it costs is posted', async () => {
  const books = await openBooks({ amount: 100n })
  const before = (await books.state(lease.slot)).system
  await books.reserve(['a', 40n], ['b', 30n])
  await books.settle(['a', 25n, 5n], ['b', 10n])
  await sql.setClock(NOW_MS + 15 * 60_000 - 1)
  await books.reserve(['c', 7n])
  await books.settle(['c', 7n])
  await sql.setClock(NOW_MS + 15 * 60_000)
  await books.reserve(['d', 1n])
  await books.settle(['d', 1n])
  const { usage, system } = await books.state(lease.slot)
  assert.deepEqual(usage, [
    [0, NOW_MS, '3', '42', '5'],
    [0, NOW_MS + 15 * 60_000, '1', '1', '0'],
  ])
  const moved = (kind: number) => {
    const [now, then] = [system, before].map((all) =>
      all
        .find(([k]: number[]) => k === kind)
        .slice(1)
        .map(BigInt),
    )
    return [now[0] - then[0], now[1] - then[1]]
  }
  assert.deepEqual(moved(2), [0n, 43n], 'revenue')
  assert.deepEqual(moved(6), [48n, 0n], 'cost')
  assert.deepEqual(moved(7), [0n, 48n], 'owed to providers')
})

test('refunds go back where the money came from, last burnt first, up to the charge', async () => {
  const books = await openBooks({ amount: 10n }, { amount: 10n }, { amount: 10n })
  await books.charge('call', 25n)
  assert.deepEqual(await books.rests(), [0n, 0n, 5n])
  assert.equal(await books.refund('call', 3n, 'one'), 'refunded')
  assert.deepEqual(await books.rests(), [0n, 0n, 8n])
  assert.equal(await books.refund('call', 3n, 'one'), 'already')
  assert.equal(await books.refund('call', 4n, 'one'), 'key_reused')
  assert.equal(await books.refund('call', 7n, 'two'), 'refunded')
  assert.deepEqual(await books.rests(), [0n, 5n, 10n])
  assert.equal(await books.refund('call', 16n, 'three'), 'exceeds_charge')
  assert.equal(await books.refund('call', 15n, 'three'), 'refunded')
  assert.deepEqual(await books.rests(), [10n, 10n, 10n])
  assert.equal(await books.refund('call', 1n, 'four'), 'exceeds_charge')
})

test('what came from a lot that has expired since is refunded into a fresh one', async () => {
  const books = await openBooks({ amount: 10n, expiresInMs: DAY_MS }, { amount: 10n })
  await books.charge('call', 15n)
  await sql.setClock(NOW_MS + DAY_MS)
  assert.equal(await books.refund('call', 15n, 'all'), 'refunded')
  assert.deepEqual(await books.rests(), [0n, 10n, 10n])
  const { lots } = await books.state(lease.slot)
  assert.equal(lots[2].at(-1), NOW_MS + 31 * DAY_MS)
})

test('a lot that is due loses what no running call may still need, and the rest later', async () => {
  const books = await openBooks({ amount: 100n, expiresInMs: DAY_MS })
  await books.reserve(['a', 40n])
  await sql.setClock(NOW_MS + DAY_MS - 1)
  await books.expireQuiet(lease.slot, 10)
  assert.deepEqual(await books.wallet(), [100n, 40n, 1n], 'not before its time')
  await sql.setClock(NOW_MS + DAY_MS)
  assert.deepEqual(await books.reserve(['b', 1n]), [['insufficient', 0n]])
  assert.deepEqual(await books.wallet(), [40n, 40n, 1n])
  assert.deepEqual(await books.settle(['a', 25n]), ['settled'])
  assert.deepEqual(await books.wallet(), [15n, 0n, 1n])
  await sql.setClock(NOW_MS + DAY_MS + 60_000)
  await books.expireQuiet(lease.slot, 10)
  assert.deepEqual(await books.wallet(), [0n, 0n, 1n])
})

test('after its epoch was taken a writer neither reserves nor extends, but what is held can be settled', async () => {
  const books = await openBooks({ amount: 100n })
  await books.reserve(['a', 40n])
  const stale = lease
  lease = await sql.claim('rules')
  assert.deepEqual([lease.slot, lease.epoch], [stale.slot, stale.epoch + 1n])
  const row = { request: 'b', attempt: 'b', wallet: 0, amount: 1n, floor: 1n, body: 'a' }
  await assert.rejects(books.reserveAs(stale, TTL_MS, [row]), SlotLostError)
  await assert.rejects(books.extend('a', 1n, 1n, stale), SlotLostError)
  assert.deepEqual(await books.extend('a', 2n, 1n), [-1n], 'the hold is of the old epoch')
  assert.deepEqual(await books.settle(['a', 40n]), ['settled'])
})

test('two batches for one wallet follow each other: the second sees what the first has taken', async (t) => {
  const books = await openBooks({ amount: 100n })
  const other = await connectLane(database.connection, (error) => assert.fail(error))
  t.after(() => other.end())
  const second = await other.query('select pg_backend_pid() as pid')
  await sql.client.query('begin')
  assert.deepEqual(await books.reserve(['a', 70n]), [['reserved', 70n]])
  const waiting = other.query('select status, granted, free from reserve($1,$2,$3,$4,$5,$6,$7,$8,$9,$10)', [
    lease.slot,
    lease.epoch,
    '1 minute',
    [uuidv7Hex()],
    [uuidv7Hex()],
    [await walletOf('a')],
    [50n],
    [10n],
    [Buffer.alloc(0)],
    ['{}'],
  ])
  await lockAwaited(second.rows[0].pid)
  await sql.client.query('commit')
  assert.deepEqual((await waiting).rows, [{ status: 'reserved', granted: 30n, free: 30n }])
  assert.deepEqual(await books.wallet(), [100n, 100n, 2n])

  async function walletOf(request: string): Promise<bigint> {
    const { rows } = await sql.client.query('select wallet_id from hold where request_id = $1', [
      uuidFromName(`rules ${opened}`, request),
    ])
    return rows[0].wallet_id
  }
})

/** Resolves when this session waits for a lock. */
async function lockAwaited(pid: number): Promise<void> {
  for (;;) {
    const { rows } = await database.db.query('select wait_event_type from pg_stat_activity where pid = $1', [pid])
    if (rows[0]?.wait_event_type === 'Lock') return
  }
}
