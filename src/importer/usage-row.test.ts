import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import { convertUsage, type SourceUsage } from './usage-row.ts'

const plain: SourceUsage = {
  id: '00000000-0000-4000-8000-000000000001',
  model: 'gpt-4o-mini',
  provider: 'openai',
  input: '1000',
  output: '200',
  cached: '400',
  cost: '0.00024000',
  latency: null,
  origin: 'llmring',
  idAtOrigin: null,
  metadata: '{"a": 1}',
  at: '2025-10-03 12:00:00+00',
  alias: 'summarizer',
  profile: 'prod',
  conversationId: null,
}
const options = { importName: 'llmring', relation: 'usage_logs', idIsUuid: true, unpriced: 'not_recorded' }
const convert = (change: Partial<SourceUsage>) => convertUsage({ ...plain, ...change }, options)

const kept: [change: Partial<SourceUsage>, expected: Record<string, unknown>, notes: string[]][] = [
  [{}, { costNanos: 240_000n, usage: '{"cache_read":400,"input":600,"output":200}', costStatus: 'imported' }, []],
  [{ cost: '99.99999999' }, { costNanos: 99_999_999_990n, reportedCost: '99.99999999' }, []],
  [{ cost: '0.0000000005' }, { costNanos: 0n }, ['cost_rounded_to_nanodollars']],
  [{ cost: '0.0000000015' }, { costNanos: 2n }, ['cost_rounded_to_nanodollars']],
  [{ cost: '0.00000000250000001' }, { costNanos: 3n }, ['cost_rounded_to_nanodollars']],
  [{ cost: '-0.00' }, { costNanos: 0n }, []],
  [{ cost: null }, { costNanos: null, costStatus: 'not_recorded', reportedCost: null }, []],
  [{ cached: '4000' }, { cached: 1000n, input: 1000n }, ['cached_exceeds_input=4000']],
  [{ cached: '-1' }, { cached: 0n }, ['cached_negative=-1']],
  [{ cached: null, input: '0', output: '0' }, { cached: 0n, usage: '{}' }, []],
  [{ latency: '-3' }, { latency: null }, ['latency_negative=-3']],
  [{ alias: '' }, { alias: null }, ['alias_blank']],
  [{ alias: ' \t\n' }, { alias: null }, ['alias_blank']],
  [{ alias: null }, { alias: null }, []],
  [{ alias: ' "quoted" \'résumé\' \u0301' }, { alias: ' "quoted" \'résumé\' \u0301' }, []],
  [{ alias: '😀'.repeat(255) }, { alias: '😀'.repeat(255) }, []],
  [{ profile: null }, { profile: 'default' }, ['profile_missing']],
  [{ provider: ' ' }, { provider: 'unknown' }, ['provider_unknown']],
  [{ metadata: null }, { metadata: '{}' }, []],
  [{ metadata: 'null' }, { metadata: '{}' }, []],
  [
    { metadata: '"{\\"a\\": 12345678901234567890}"' },
    { metadata: '{"a": 12345678901234567890}' },
    ['metadata_was_text'],
  ],
  [{ metadata: '[1]' }, { metadata: '{"value":[1]}' }, ['metadata_not_an_object=[1]']],
  [{ metadata: 'no json' }, { metadata: '{"value":"no json"}' }, ['metadata_not_an_object=no json']],
]

for (const [change, expected, notes] of kept) {
  test(`kept: ${JSON.stringify(change).slice(0, 60)}`, () => {
    const converted = convert(change)
    assert(converted.kept !== undefined)
    for (const [name, value] of Object.entries(expected))
      assert.deepEqual(Reflect.get(converted.kept, name), value, name)
    assert.deepEqual(
      [...converted.repairs.map(({ what, original }) => `${what}=${original}`), ...converted.counted],
      notes,
    )
  })
}

for (const [change, reason] of [
  [{ input: '-5' }, 'tokens_negative'],
  [{ output: '-1' }, 'tokens_negative'],
  [{ input: null }, 'tokens_missing'],
  [{ input: '1.5' }, 'tokens_not_whole'],
  [{ input: '9007199254740992' }, 'tokens_too_large'],
  [{ cost: '-0.00033000' }, 'cost_negative'],
  [{ cost: '-0.0000000001' }, 'cost_negative'],
  [{ cost: 'NaN' }, 'cost_not_a_number'],
  [{ cost: '1000000.000000001' }, 'cost_too_large'],
  [{ at: null }, 'time_missing'],
  [{ at: 'infinity' }, 'time_out_of_range'],
  [{ at: '0044-03-15 12:00:00+00 BC' }, 'time_out_of_range'],
  [{ model: '' }, 'model_missing'],
  [{ alias: 'a'.repeat(256) }, 'label_too_long'],
  [{ origin: '😀'.repeat(256) }, 'label_too_long'],
] as const) {
  test(`refused: ${JSON.stringify(change).slice(0, 60)}`, () => assert.deepEqual(convert(change), { reason }))
}

test('metadata that is too large is set aside whole', () => {
  const large = JSON.stringify({ text: 'x'.repeat(70_000) })
  const converted = convert({ metadata: large })
  assert.equal(converted.kept?.metadata, '{}')
  assert.deepEqual(converted.kept && converted.repairs, [{ what: 'metadata_too_large', original: large }])
})

test('an id that is no UUID gets one of its own, always the same, and is told', () => {
  const one = convertUsage({ ...plain, id: '7' }, { ...options, idIsUuid: false })
  assert.match(one.kept?.id ?? '', /^[0-9a-f]{8}-[0-9a-f]{4}-8[0-9a-f]{3}-8[0-9a-f]{3}-[0-9a-f]{12}$/)
  assert.deepEqual(one.kept && one.repairs, [{ what: 'id_derived', original: '7' }])
  assert.deepEqual(one, convertUsage({ ...plain, id: '7' }, { ...options, idIsUuid: false }))
})

test('no kept row changes a sum, and every kept row fits the constraints of its table', () => {
  const figure = fc.oneof(fc.bigInt({ min: -10n, max: 2n ** 31n }).map(String), fc.constant(null))
  const label = fc.oneof(fc.string({ unit: 'binary', maxLength: 300 }), fc.constant(null))
  const cost = fc.tuple(fc.integer({ min: -99, max: 99 }), fc.stringMatching(/^\d{8}$/)).map(([a, b]) => `${a}.${b}`)
  const row = fc.record({
    input: figure,
    output: figure,
    cached: figure,
    latency: figure,
    cost,
    alias: label,
    profile: label,
    origin: label,
  })
  fc.assert(
    fc.property(row, (change) => {
      const { kept } = convert(change)
      if (kept === undefined) return
      assert.deepEqual(
        [String(kept.input), String(kept.output), kept.reportedCost],
        [change.input, change.output, change.cost],
      )
      assert.equal(kept.costNanos, BigInt(change.cost.replace('.', '')) * 10n)
      assert(kept.cached >= 0n && kept.cached <= kept.input && (kept.latency ?? 0n) >= 0n)
      for (const text of [kept.alias, kept.profile, kept.origin])
        assert(text === null || ([...text].length >= 1 && [...text].length <= 255))
      const vector = JSON.parse(kept.usage) as Record<string, number>
      assert.equal((vector.input ?? 0) + (vector.cache_read ?? 0), Number(kept.input))
    }),
  )
})
