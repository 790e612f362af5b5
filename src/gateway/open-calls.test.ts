import assert from 'node:assert/strict'
import { test } from 'node:test'
import { createOpenCalls } from './open-calls.ts'

const refused = (code: string) => (error: { code: string; headers: Record<string, string> }) => {
  assert.equal(error.code, code)
  assert.equal(error.headers['retry-after'], '1')
  return true
}

test('no more calls run than allowed, and a leaving one makes room', async () => {
  const calls = createOpenCalls({ callsMax: 2, bodyBytesMax: 100, tickMs: 10, onBroken: () => undefined })
  calls.enter()
  calls.enter()
  assert.throws(() => calls.enter(), refused('overloaded'))
  calls.leave()
  calls.enter()
  assert.equal(calls.size, 2)
  calls.leave()
  calls.leave()
  await calls.drain(0)
})

test('shutdown refuses new calls, waits for the open ones, and cuts them at the deadline', async () => {
  const calls = createOpenCalls({ callsMax: 9, bodyBytesMax: 100, tickMs: 10, onBroken: () => undefined })
  const events: string[] = []
  calls.enter()
  calls.watch({
    tick: () => undefined,
    cut() {
      events.push('cut')
      calls.leave()
    },
  })
  const drained = calls.drain(20).then(() => events.push('drained'))
  assert.throws(() => calls.enter(), refused('shutting_down'))
  assert.equal(calls.cutting, false)
  await drained
  assert.deepEqual(events, ['cut', 'drained'])
  assert.equal(calls.cutting, true)
})

test('a call that ends by itself is not cut', async () => {
  const calls = createOpenCalls({ callsMax: 9, bodyBytesMax: 100, tickMs: 10, onBroken: () => undefined })
  calls.enter()
  const watched = { tick: () => undefined, cut: () => assert.fail('it had ended') }
  calls.watch(watched)
  const drained = calls.drain(60_000)
  calls.unwatch(watched)
  calls.leave()
  await drained
})

test('one timer serves the deadlines of all', async () => {
  const calls = createOpenCalls({ callsMax: 9, bodyBytesMax: 100, tickMs: 5, onBroken: () => undefined })
  const both = [Promise.withResolvers<number>(), Promise.withResolvers<number>()]
  const ticking = both.map(({ resolve }) => ({ tick: resolve, cut: () => undefined }))
  for (const call of ticking) calls.watch(call)
  const keepRunning = setTimeout(() => undefined, 10_000)
  const times = await Promise.all(both.map(({ promise }) => promise))
  clearTimeout(keepRunning)
  assert(times.every((time) => time > 0 && time <= performance.now()))
  for (const call of ticking) calls.unwatch(call)
  await calls.drain(0)
})
