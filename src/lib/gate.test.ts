import assert from 'node:assert/strict'
import { test } from 'node:test'
import { createGate, GateFullError } from './gate.ts'

test('a gate lets a few through, the others in their order, and refuses who would wait too long', async () => {
  const gate = createGate({ runningMax: 2, waitingMax: 3 })
  const order: number[] = []
  let running = 0
  let most = 0
  const work = (n: number) =>
    gate.run(async () => {
      running += 1
      most = Math.max(most, running)
      order.push(n)
      await new Promise((resolve) => setImmediate(resolve))
      running -= 1
      if (n === 1) throw new Error('one fails')
      return n
    })
  const results = await Promise.allSettled([0, 1, 2, 3, 4, 5].map(work))
  assert.deepEqual(order, [0, 1, 2, 3, 4])
  assert.equal(most, 2)
  assert.deepEqual(
    results.map((result) => (result.status === 'fulfilled' ? result.value : result.reason.constructor)),
    [0, Error, 2, 3, 4, GateFullError],
  )
  assert.equal(await work(7), 7)
})
