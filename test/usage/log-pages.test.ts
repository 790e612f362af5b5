import assert from 'node:assert/strict'
import { after, before, test } from 'node:test'
import { decodeCursor, encodeCursor, type LogCursor } from '#domain/usage/log-cursor.ts'
import type { LogEntry } from '#domain/usage/log-entry.ts'
import { microsToText } from '#domain/usage/time-range.ts'
import type { UsageFilter } from '#domain/usage/usage-filter.ts'
import { createUsageLog, type LogQuery, type UsageLog } from '#domain/usage/usage-log.ts'
import { createTestDatabase, type TestDatabase } from '#test/support/database.ts'
import { createRandom } from '#test/support/random.ts'
import { createUsageHistory, type UsageFact, type UsageHistory, type UsageProject } from './usage-history.ts'

const SEED = Number(process.env.FLUXGATE_SEED ?? Math.floor(Math.random() * 2 ** 31))
const FACTS = 200
const WALKS = 60
const START = 1_780_000_000_000_000n
const DAY = 86_400_000_000n

let database: TestDatabase
let history: UsageHistory
let log: UsageLog
let projects: [UsageProject, UsageProject]
const facts: UsageFact[] = []
const random = createRandom(SEED)

before(async () => {
  database = await createTestDatabase()
  history = await createUsageHistory(database)
  log = createUsageLog(database)
  projects = [await history.openProject('first'), await history.openProject('second')]
  for (let n = 0; n < FACTS; n += 1) facts.push(await addFact())
})
after(async () => {
  await history.close()
  await database.close()
})

/** Dense in some quarter hours, at the same microsecond now and then, empty for days. */
async function addFact(): Promise<UsageFact> {
  const cluster = BigInt(random.integer(0, 12)) * 2n * DAY
  const known = random.pick([...facts.slice(-5).map((fact) => fact.atMicros), START] as [bigint])
  const at = random.chance(0.2) ? known : START + cluster + BigInt(random.integer(0, 2_000_000_000))
  const made = random.chance(0.5) ? history.call : history.report
  return made(random, random.pick(projects), at)
}

const everything = { from: START - DAY, to: START + 30n * DAY }

async function walk(query: LogQuery, limit: number, between: () => Promise<unknown> = async () => undefined) {
  const seen: LogEntry[] = []
  for (let after: LogCursor | undefined; ; ) {
    const page = await log.page(query, { limit, after })
    seen.push(...page.entries)
    assert(seen.length <= 2 * facts.length, 'a walk comes to its end')
    assert(page.entries.length === limit || page.next === undefined, 'only the last page is short')
    if (page.next === undefined) return seen
    after = decodeCursor(encodeCursor(page.next))
    assert.deepEqual(after, page.next)
    await between()
  }
}

function expected({ filter, range, hasEnd, conversationId }: LogQuery): string[] {
  return facts
    .filter(({ atMicros }) => atMicros >= range.from && (!hasEnd || atMicros < range.to))
    .filter((fact) => conversationId === undefined || fact.conversationId === conversationId)
    .filter((fact) =>
      Object.entries(filter).every(([name, value]) => {
        if (value === undefined) return true
        return (name === 'projectId' ? fact.project.id : Reflect.get(fact, name)) === value
      }),
    )
    .sort((a, b) => (a.atMicros === b.atMicros ? (a.id < b.id ? 1 : -1) : a.atMicros < b.atMicros ? 1 : -1))
    .map(({ id }) => id)
}

function ask(): LogQuery {
  const fact = random.pick(facts as [UsageFact])
  const filter: UsageFilter = {
    projectId: random.chance(0.6) ? fact.project.id : undefined,
    source: random.chance(0.3) ? fact.source : undefined,
    alias: random.chance(0.2) && fact.alias !== null ? fact.alias : undefined,
    model: random.chance(0.2) ? fact.model : undefined,
    origin: random.chance(0.1) && fact.origin !== null ? fact.origin : undefined,
    profile: random.chance(0.1) && fact.profile !== null ? fact.profile : undefined,
    provider: random.chance(0.1) ? fact.provider : undefined,
    keyId: random.chance(0.1) ? fact.keyId : undefined,
  }
  const edge = () =>
    random.pick([everything.from, everything.to, fact.atMicros, fact.atMicros + 1n, fact.atMicros - 1_000_000n])
  const [from, to] = [edge(), edge()].sort((a, b) => (a < b ? -1 : 1)) as [bigint, bigint]
  return {
    filter,
    conversationId: random.chance(0.1) ? (fact.conversationId ?? undefined) : undefined,
    range: { from, to: to + 1n },
    hasEnd: random.chance(0.7),
  }
}

test(`seed ${SEED}: by cursor and by offset, every entry that a question means is met once and in order`, async () => {
  for (let n = 0; n < WALKS; n += 1) {
    const query = ask()
    const what = JSON.stringify(query, (_name, value) => (typeof value === 'bigint' ? microsToText(value) : value))
    const ids = expected(query)
    const limit = random.pick([1, 3, 7, 50, 500])
    const walked = await walk(query, limit)
    assert.deepEqual(
      walked.map(({ id }) => id),
      ids,
      what,
    )
    const offset = random.integer(0, ids.length + 2)
    const { entries, next } = await log.page(query, { limit, offset })
    assert.deepEqual(
      entries.map(({ id }) => id),
      ids.slice(offset, offset + limit),
      `${what} from ${offset}`,
    )
    assert.equal(next !== undefined, ids.length > offset + limit)
  }
})

for (const label of [{}, { provider: 'openai' }])
  test(`seed ${SEED}: entries that are added meanwhile neither hide nor repeat others: ${JSON.stringify(label)}`, async () => {
    for (const projectId of [projects[0].id, undefined]) {
      const query: LogQuery = { filter: { projectId, ...label }, range: everything, hasEnd: true }
      const before = expected(query)
      const added = new Set<string>()
      const seen = await walk(query, 9, async () => {
        for (let n = 0; n < 3; n += 1) {
          const fact = await addFact()
          facts.push(fact)
          added.add(fact.id)
        }
      })
      const ids = seen.map(({ id }) => id)
      assert.equal(new Set(ids).size, ids.length, 'nothing is repeated')
      assert.deepEqual(
        ids.filter((id) => !added.has(id)),
        before,
        'nothing is hidden',
      )
    }
  })

test('an entry says what was recorded', async () => {
  const { entries } = await log.page(
    { filter: { projectId: undefined }, range: everything, hasEnd: true },
    { limit: 10_000 },
  )
  assert.equal(entries.length, facts.length)
  for (const fact of facts) {
    const entry = entries.find(({ id }) => id === fact.id)
    assert(entry)
    const { source, project, keyId, provider, model, modelRequested, profile, origin, costNanos, conversationId } = fact
    assert.deepEqual(
      [entry.source, entry.projectId, entry.keyId, entry.provider, entry.model, entry.modelRequested, entry.aliasName],
      [source, project.id, keyId, provider, model, modelRequested, fact.alias],
    )
    assert.deepEqual([entry.profile, entry.origin, entry.costNanos], [profile, origin, costNanos])
    assert.deepEqual(
      [entry.inputTokens, entry.outputTokens, entry.cachedInputTokens],
      [BigInt(fact.inputTokens), BigInt(fact.outputTokens), BigInt(fact.cachedTokens)],
    )
    assert.equal(entry.occurredAt, microsToText(fact.atMicros))
    assert.equal(entry.conversationId, conversationId)
    assert.equal(entry.receiptId, source === 'gateway' ? `rcp_${fact.id.replaceAll('-', '')}` : null)
    assert.equal(entry.reportedCost, source === 'gateway' ? null : '0.25')
  }
})

for (const [what, text] of [
  ['empty', ''],
  ['not of ours', 'AAAA'],
  ['of a later version', Buffer.from('2 a b c').toString('base64url')],
  ['with another time', encodeCursor({ occurredAt: 'yesterday', id: crypto.randomUUID(), from: microsToText(START) })],
  ...['0000-01-01T00:00:00.000000Z', '2026-02-30T00:00:00.000000Z'].flatMap((none) => [
    [`with ${none}`, encodeCursor({ occurredAt: none, id: crypto.randomUUID(), from: microsToText(START) })] as const,
    [`from ${none}`, encodeCursor({ occurredAt: microsToText(START), id: crypto.randomUUID(), from: none })] as const,
  ]),
  ['with another id', encodeCursor({ occurredAt: microsToText(START), id: 'x', from: microsToText(START) })],
  [
    'with more in it',
    encodeCursor({ occurredAt: microsToText(START), id: crypto.randomUUID(), from: `${microsToText(START)} x` }),
  ],
] as const)
  test(`a cursor that is ${what} is none`, () => assert.equal(decodeCursor(text), undefined))
