import assert from 'node:assert/strict'
import { after, before, test } from 'node:test'
import { periodKinds } from '#domain/usage/civil-days.ts'
import { statsView } from '#domain/usage/stats-view.ts'
import { parseTimeRange, wholeBuckets } from '#domain/usage/time-range.ts'
import { foldUsage } from '#domain/usage/usage-folder.ts'
import { createUsageStats } from '#domain/usage/usage-stats.ts'
import { brokenRules } from '#test/ledger/test-books.ts'
import { createTestDatabase, type TestDatabase } from '#test/support/database.ts'
import { createRandom, type Random } from '#test/support/random.ts'
import { createUsageHistory, type UsageFact, type UsageHistory, type UsageProject } from './usage-history.ts'

const SEED = Number(process.env.FLUXGATE_SEED ?? Math.floor(Math.random() * 2 ** 31))
const FACTS = 260
const QUESTIONS = 60
const FOLDED = FACTS / 4
const DAY = 86_400_000_000n

// Half hours and quarters of an hour, changes of the clocks in spring and in autumn at different times of day, both ends
// of the world, and one that changes by half an hour.
const zones = [
  'UTC',
  'Asia/Kolkata',
  'Asia/Kathmandu',
  'Pacific/Kiritimati',
  'Pacific/Pago_Pago',
  'America/New_York',
  'Europe/Berlin',
  'Australia/Lord_Howe',
  'America/Santiago',
  'Africa/Cairo',
] as const

let database: TestDatabase
let history: UsageHistory
let projects: UsageProject[]
const facts: UsageFact[] = []
const random = createRandom(SEED)

before(async () => {
  database = await createTestDatabase()
  history = await createUsageHistory(database)
  projects = [await history.openProject('first'), await history.openProject('second')]
  // Around the changes of the clocks of a year, to the second and on the edges of days and quarter hours.
  const anchors = [
    '2026-03-08T07:00Z',
    '2026-03-29T01:00Z',
    '2026-04-05T03:00Z',
    '2026-10-25T01:00Z',
    '2026-11-01T06:00Z',
  ]
  for (let n = 0; n < FACTS; n += 1) {
    const at = Temporal.Instant.from(random.pick(anchors as [string])).epochNanoseconds / 1_000n
    const off = BigInt(random.integer(-6 * 96, 6 * 96)) * 900_000_000n
    const within = random.chance(0.3) ? random.pick([0n, -1n, 1n]) : BigInt(random.integer(0, 899_999_999))
    const project = random.pick(projects as [UsageProject])
    const made = random.chance(0.5) ? history.call : history.report
    facts.push(await made(random, project, at + off + within))
    // Hours that are past are folded now and then; what is recorded of them later belongs to them all the same.
    if (n === FOLDED || n === 2 * FOLDED) for (let step = 0; step < 60; step += 1) await foldUsage(database.db)
  }
})
after(async () => {
  await history.close()
  await database.close()
})

test(`seed ${SEED}: every grouping sums to the summary, and everything is what the records say`, async () => {
  const stats = createUsageStats(database)
  for (let n = 0; n < QUESTIONS; n += 1) {
    const question = ask(random)
    const parsed = parseTimeRange({ start: question.start, end: question.end, zone: question.zone }, 0)
    if (!parsed.ok) {
      assert.equal(parsed.message, 'is not before the end')
      continue
    }
    const { range } = parsed
    const view = statsView(await stats({ ...question, range }), question)
    const looked = wholeBuckets(range)
    const own = facts.filter(
      (fact) =>
        fact.atMicros >= looked.from &&
        fact.atMicros < looked.to &&
        Object.entries(question.filter).every(isMetBy(fact)),
    )
    const what = JSON.stringify(question)
    assert.deepEqual(sumOf(own), pick(view.summary, 'total_requests'), what)
    for (const [grouping, of] of Object.entries(groupingsOfFact)) {
      const shown = Reflect.get(view, grouping) as Record<string, Shown>
      const expected = Map.groupBy(own, of)
      for (const [name, members] of expected) {
        const group = name === null ? view.unlabelled[grouping] : shown[name]
        assert(group !== undefined, `${what}: ${grouping} has ${name}`)
        assert.deepEqual(pick(group, 'requests'), sumOf(members), `${what}: ${grouping} ${name}`)
      }
      assert.equal(Object.keys(shown).length, expected.size - (expected.has(null) ? 1 : 0), `${what}: ${grouping}`)
      const all = [...Object.values(shown), ...[view.unlabelled[grouping]].filter((rest) => rest !== undefined)]
      assert.deepEqual(addUp(all), sumOf(own), `${what}: ${grouping} sums to the summary`)
    }
    assert.equal(view.summary.unique_models, new Set(own.map(({ model }) => model)).size)
    assert.equal(view.summary.unique_origins, new Set(own.flatMap(({ origin }) => origin ?? [])).size)
    checkSpans(
      own,
      view.by_day,
      question.zone,
      ({ date }) => date,
      (date) => date,
      what,
    )
    checkSpans(own, view.by_period, question.zone, ({ period }) => period, periodNames[question.groupBy], what)
  }
})

test(`seed ${SEED}: the roll-ups are what the records say`, async () => {
  assert.deepEqual(await brokenRules(database), [])
})

test('stats are read from the roll-ups and never from the records', async () => {
  const { db } = database
  const texts: string[] = []
  const watched = {
    query(text: string, values?: unknown[]) {
      texts.push(text)
      return db.query(text, values)
    },
  }
  const range = { from: 1_760_000_000_000_000n, to: 1_800_000_000_000_000n }
  const ask = { filter: { projectId: undefined }, range, zone: 'UTC', groupBy: 'day' as const }
  // The moment that is folded to, and then one statement for everything.
  const { summary } = await createUsageStats({ db: watched as unknown as TestDatabase['db'] })(ask)
  assert.equal(summary.requests, facts.length)
  assert.deepEqual([texts.length, texts.filter((text) => /request_log|reported_log/.test(text))], [2, []])
})

interface Shown {
  requests: number
  input_tokens: number
  output_tokens: number
  cost_nanousd: string
  unpriced: number
  cost: string | number
}

type Sum = [requests: number, input: number, output: number, cost: bigint, unpriced: number]

const groupingsOfFact: Record<string, (fact: UsageFact) => string | null> = {
  by_model: ({ model }) => model,
  by_origin: ({ origin }) => origin,
  by_alias: ({ alias }) => alias,
  by_profile: ({ profile }) => profile,
  by_provider: ({ provider }) => provider,
  by_project: ({ project }) => project.id,
  by_key: ({ keyId }) => keyId,
  by_source: ({ source }) => source,
}

function ask(random: Random) {
  const [{ project, ...fact }] = [random.pick(facts as [UsageFact])]
  const day = () => new Date(Number((fact.atMicros + BigInt(random.integer(-9, 9)) * DAY) / 1_000n)).toISOString()
  const point = () => (random.chance(0.6) ? day().slice(0, 10) : day())
  const [start, end] = [point(), point()].sort()
  const filter = {
    projectId: random.chance(0.7) ? project.id : undefined,
    ...(random.chance(0.2) && { source: fact.source }),
    ...(random.chance(0.15) && fact.alias !== null && { alias: fact.alias }),
    ...(random.chance(0.15) && { model: fact.model }),
    ...(random.chance(0.1) && fact.origin !== null && { origin: fact.origin }),
    ...(random.chance(0.1) && fact.profile !== null && { profile: fact.profile }),
    ...(random.chance(0.1) && { provider: fact.provider }),
    ...(random.chance(0.1) && { keyId: fact.keyId }),
  }
  return { filter, start, end, zone: random.pick(zones), groupBy: random.pick(periodKinds) }
}

function isMetBy(fact: UsageFact) {
  return ([name, value]: [string, unknown]) =>
    value === undefined || (name === 'projectId' ? fact.project.id : Reflect.get(fact, name)) === value
}

function sumOf(own: UsageFact[]): Sum {
  return own.reduce<Sum>(
    ([requests, input, output, cost, unpriced], fact) => [
      requests + 1,
      input + fact.inputTokens,
      output + fact.outputTokens,
      cost + (fact.costNanos ?? 0n),
      unpriced + (fact.costNanos === null ? 1 : 0),
    ],
    [0, 0, 0, 0n, 0],
  )
}

/** Every figure that llmring shows must also be the exact one beside it. */
function pick(shown: object, requests: 'requests' | 'total_requests'): Sum {
  const { input_tokens, output_tokens, cost_nanousd, unpriced, cost, total_cost } = shown as Shown & {
    total_cost?: string
  }
  const dollars = total_cost ?? cost
  if (typeof dollars === 'number') assert.equal(dollars, Number(cost_nanousd) / 1e9)
  else {
    assert.match(dollars, /^\d+\.\d{9}$/)
    assert.equal(BigInt(dollars.replace('.', '')), BigInt(cost_nanousd))
  }
  return [Reflect.get(shown, requests) as number, input_tokens, output_tokens, BigInt(cost_nanousd), unpriced]
}

function addUp(groups: Shown[]): Sum {
  return groups.reduce<Sum>(
    (sum, group) => {
      const one = pick(group, 'requests')
      return [sum[0] + one[0], sum[1] + one[1], sum[2] + one[2], sum[3] + one[3], sum[4] + one[4]]
    },
    [0, 0, 0, 0n, 0],
  )
}

/** The date of a moment on the calendar of a zone, by Intl alone. */
function dateOf(atMicros: bigint, zone: string): string {
  return new Intl.DateTimeFormat('en-CA', { timeZone: zone, year: 'numeric', month: '2-digit', day: '2-digit' }).format(
    new Date(Number(atMicros / 1_000n)),
  )
}

const periodNames = {
  day: (date: string) => date,
  month: (date: string) => date.slice(0, 7),
  /** The week of its Thursday, whose number is that of the Thursdays of the year so far. */
  week(date: string) {
    const thursday = new Date(`${date}T00:00Z`)
    thursday.setUTCDate(thursday.getUTCDate() + 4 - (thursday.getUTCDay() || 7))
    const year = thursday.getUTCFullYear()
    const number = Math.floor((thursday.getTime() - Date.UTC(year, 0, 1)) / 86_400_000 / 7) + 1
    return `${year}-W${String(number).padStart(2, '0')}`
  },
}

function checkSpans<Span extends Shown & { top_model: string }>(
  own: UsageFact[],
  spans: Span[],
  zone: string,
  nameOf: (span: Span) => string,
  periodOf: (date: string) => string,
  what: string,
): void {
  const expected = Map.groupBy(own, ({ atMicros }) => periodOf(dateOf(atMicros, zone)))
  assert.deepEqual(spans.map(nameOf), [...expected.keys()].sort().reverse(), `${what}: newest first`)
  for (const span of spans) {
    const members = expected.get(nameOf(span)) ?? []
    assert.deepEqual(pick(span, 'requests'), sumOf(members), `${what}: ${nameOf(span)}`)
    const counts = [...Map.groupBy(members, ({ model }) => model)].map(([name, calls]) => [name, calls.length] as const)
    const most = Math.max(...counts.map(([, count]) => count))
    const isTop = counts.some(([name, count]) => name === span.top_model && count === most)
    assert(isTop, `${what}: ${span.top_model} has the most calls of ${nameOf(span)}`)
  }
}
