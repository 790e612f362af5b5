import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import type { Strategy } from '#domain/router/snapshot.ts'
import type { Candidate } from './candidate.ts'
import { createInflight } from './inflight.ts'
import { orderGroup } from './order.ts'

/** `a1:3` is credential 1 of upstream a with the weight 3; `upstreams` has their weights, 1 where it is silent. */
function members(text: string, upstreams: Record<string, number> = {}): Candidate[] {
  return text.split(' ').map((word) => {
    const [name = '', weight = '1'] = word.split(':')
    const targetId = name.slice(0, 1)
    return {
      targetId,
      credentialId: name,
      groupIndex: 0,
      upstreamWeight: upstreams[targetId] ?? 1,
      credentialWeight: Number(weight),
      eligible: true,
    }
  })
}

function names(candidates: readonly Candidate[]): string {
  return candidates.map(({ credentialId }) => credentialId).join(' ')
}

/** mulberry32: small, seeded, even enough for shares. */
function seeded(seed: number): () => number {
  let state = seed
  return () => {
    state = (state + 0x6d2b79f5) | 0
    let mixed = Math.imul(state ^ (state >>> 15), 1 | state)
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32
  }
}

const idle = createInflight()

for (const { name, given, strategy, random = 0, upstreams = {}, busy = '', want } of [
  { name: 'one', given: 'a1', strategy: 'weighted', want: 'a1' },
  { name: 'ordered keeps the order', given: 'b1 b2 a1', strategy: 'ordered', want: 'b1 b2 a1' },
  { name: 'ordered draws unequal credentials', given: 'a1:1 a2:3', strategy: 'ordered', random: 0.5, want: 'a2 a1' },
  {
    name: 'ordered draws the lighter one as well',
    given: 'a1:1 a2:3',
    strategy: 'ordered',
    random: 0.2,
    want: 'a1 a2',
  },
  { name: 'a credential that weighs nothing is last', given: 'a1:0 a2 a3', strategy: 'ordered', want: 'a2 a3 a1' },
  { name: 'weighted moves whole upstreams', given: 'a1 a2 b1', strategy: 'weighted', random: 0.6, want: 'b1 a1 a2' },
  {
    name: 'weights are shares',
    given: 'a1 b1',
    strategy: 'weighted',
    upstreams: { a: 9 },
    random: 0.89,
    want: 'a1 b1',
  },
  {
    name: 'an upstream that weighs nothing is last',
    given: 'a1 b1',
    strategy: 'weighted',
    upstreams: { a: 0 },
    want: 'b1 a1',
  },
  {
    name: 'if all weigh nothing, the order stays',
    given: 'b1 a1',
    strategy: 'weighted',
    upstreams: { a: 0, b: 0 },
    want: 'b1 a1',
  },
  { name: 'the idlest first', given: 'a1 b1 c1', strategy: 'least_inflight', busy: 'a a b', want: 'c1 b1 a1' },
  { name: 'ties keep the order', given: 'b1 a1 c1', strategy: 'least_inflight', busy: 'b', want: 'a1 c1 b1' },
  {
    name: 'the idlest with all its credentials',
    given: 'a1 a2 b1 b2',
    strategy: 'least_inflight',
    busy: 'a',
    want: 'b1 b2 a1 a2',
  },
] as {
  name: string
  given: string
  strategy: Strategy
  random?: number
  upstreams?: Record<string, number>
  busy?: string
  want: string
}[]) {
  test(`orderGroup: ${name}`, () => {
    const inflight = createInflight()
    for (const id of busy.split(' ')) if (id !== '') inflight.tryEnter(id)
    const got = orderGroup(members(given, upstreams), strategy, { inflight, random: () => random })
    assert.equal(names(got), want)
  })
}

test('a group in order is not copied', () => {
  const given = members('a1 a2 b1')
  assert.equal(orderGroup(given, 'ordered', { inflight: idle, random: Math.random }), given)
})

test('upstreams and credentials are first as often as they weigh, and second among what is left', () => {
  const given = members('a1:1 a2:3 b1 c1', { a: 5, b: 3, c: 2 })
  const random = seeded(7)
  const draws = 20_000
  const firsts = new Map<string, number>()
  let bThenA = 0
  for (let draw = 0; draw < draws; draw += 1) {
    const order = orderGroup(given, 'weighted', { inflight: idle, random })
    const first = order[0]?.credentialId ?? ''
    firsts.set(first, (firsts.get(first) ?? 0) + 1)
    if (first === 'b1' && order[1]?.targetId === 'a') bThenA += 1
  }
  const share = (id: string) => (firsts.get(id) ?? 0) / draws
  for (const [id, want] of [
    ['a1', 0.125],
    ['a2', 0.375],
    ['b1', 0.3],
    ['c1', 0.2],
  ] as const)
    assert(Math.abs(share(id) - want) < 0.02, `${id} is first in ${share(id)} of all draws`)
  assert(Math.abs(bThenA / draws - 0.3 * (5 / 7)) < 0.02)
})

test('property: an order is a permutation that keeps the credentials of an upstream together', () => {
  const upstream = fc.record({
    weight: fc.integer({ min: 0, max: 5 }),
    credentials: fc.array(fc.integer({ min: 0, max: 3 }), { minLength: 1, maxLength: 3 }),
  })
  fc.assert(
    fc.property(
      fc.array(upstream, { maxLength: 5 }),
      fc.constantFrom<Strategy>('ordered', 'weighted', 'least_inflight'),
      fc.integer(),
      (upstreams, strategy, seed) => {
        const given = upstreams.flatMap(({ weight, credentials }, index) =>
          credentials.map((credentialWeight, key) => ({
            targetId: `u${index}`,
            credentialId: `u${index}k${key}`,
            groupIndex: 0,
            upstreamWeight: weight,
            credentialWeight,
            eligible: true as const,
          })),
        )
        const order = orderGroup(given, strategy, { inflight: idle, random: seeded(seed) })
        assert.deepEqual(new Set(order), new Set(given))
        assert.equal(order.length, given.length)
        const turns = order.filter(({ targetId }, index) => order[index - 1]?.targetId !== targetId)
        assert.equal(turns.length, upstreams.length)
      },
    ),
    { seed: 20_260_801, numRuns: 300 },
  )
})
