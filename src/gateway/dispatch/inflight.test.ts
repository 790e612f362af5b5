import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import { createInflight } from './inflight.ts'

test('as many enter as the limit says', () => {
  const inflight = createInflight()
  assert.deepEqual(
    [inflight.tryEnter('a', 2), inflight.tryEnter('a', 2), inflight.tryEnter('a', 2)],
    [true, true, false],
  )
  assert.equal(inflight.count('a'), 2, 'a refusal counts nothing')
  assert.equal(inflight.tryEnter('b', 2), true)
  inflight.leave('a')
  assert.equal(inflight.tryEnter('a', 2), true)
})

test('without a limit all enter; with none at all nobody does', () => {
  const inflight = createInflight()
  for (let call = 0; call < 100; call += 1) assert.equal(inflight.tryEnter('a'), true)
  assert.equal(inflight.tryEnter('b', 0), false)
  assert.deepEqual(inflight.snapshot(), [{ id: 'a', count: 100 }])
})

test('nobody leaves who has not entered', () => {
  const inflight = createInflight()
  assert.throws(() => inflight.leave('a'), /only a call that has entered leaves/)
  inflight.tryEnter('a')
  inflight.leave('a')
  assert.throws(() => inflight.leave('a'), /only a call that has entered leaves/)
})

test('property: counts are those of a plain list, never above the limit, and end at nothing', () => {
  const step = fc.record({
    id: fc.constantFrom('a', 'b', 'c'),
    enter: fc.boolean(),
    max: fc.option(fc.integer({ min: 0, max: 4 }), { nil: undefined }),
  })
  fc.assert(
    fc.property(fc.array(step, { maxLength: 80 }), (steps) => {
      const inflight = createInflight()
      const inside: string[] = []
      const expected = (id: string) => inside.filter((one) => one === id).length
      for (const { id, enter, max } of steps) {
        if (enter) {
          const fits = max === undefined || expected(id) < max
          assert.equal(inflight.tryEnter(id, max), fits)
          if (fits) inside.push(id)
        } else if (inside.includes(id)) {
          inside.splice(inside.indexOf(id), 1)
          inflight.leave(id)
        }
        for (const each of ['a', 'b', 'c']) assert.equal(inflight.count(each), expected(each))
      }
      for (const id of inside) inflight.leave(id)
      assert.deepEqual(inflight.snapshot(), [])
    }),
    { seed: 20_260_801, numRuns: 300 },
  )
})
