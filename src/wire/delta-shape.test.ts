import assert from 'node:assert/strict'
import { test } from 'node:test'
import { createDeltaShape } from './delta-shape.ts'

const frame = (delta: string, sequence: number, rest = '') =>
  `event: x\ndata: {"type":"x","sequence_number":${sequence},"item":"a","delta":"${delta}","obfuscation":"n"${rest}}\n\n`

function learned(first = frame('one', 1)) {
  const shape = createDeltaShape('delta')
  shape.learn(first)
  return shape
}

for (const [name, text, want] of [
  ['another delta, number and noise', frame('two', 12).replace('"n"', '"noise"'), { delta: 'two', sequence: 12 }],
  ['no text', frame('', 2), { delta: '', sequence: 2 }],
  ['escaped quotes', frame('a\\"b\\\\', 2), { delta: 'a\\"b\\\\', sequence: 2 }],
] as const)
  test(`knows ${name}`, () => assert.deepEqual(learned().match(text), want))

for (const [name, text] of [
  ['another member', frame('two', 2, ',"error":{}')],
  ['another item', frame('two', 2).replace('"a"', '"b"')],
  ['another type', frame('two', 2).replaceAll('x', 'y')],
  ['a delta that is no text', frame('two', 2).replace('"two"', 'null')],
  ['a number that is none', frame('two', 2).replace(':2,', ':-2,')],
  ['a number without end', frame('two', 2).replace(':2,', `:${'9'.repeat(20)},`)],
  ['what goes on behind its end', `${frame('two', 2)}data: {}\n\n`],
  ['what breaks off in the delta', frame('two', 2).slice(0, 60)],
  ['nothing', ''],
] as const)
  test(`does not know ${name}`, () => assert.equal(learned().match(text), undefined))

for (const [name, first] of [
  ['two deltas', frame('one', 1, ',"delta":"other"')],
  ['two numbers', frame('one', 1, ',"sequence_number":7')],
  ['no delta', 'data: {"type":"x"}\n\n'],
] as const)
  test(`learns nothing from a frame with ${name}`, () => {
    assert.equal(learned(first).match(first), undefined)
  })

test('knows nothing before it has learned, nor after it has forgotten', () => {
  assert.equal(createDeltaShape('delta').match(frame('one', 1)), undefined)
  const shape = learned()
  shape.forget()
  assert.equal(shape.match(frame('two', 2)), undefined)
})

test('a frame without a number or noise', () => {
  const shape = createDeltaShape('text')
  shape.learn('data: {"choices":[{"text": "a"}]}\n\n')
  assert.deepEqual(shape.match('data: {"choices":[{"text": "b"}]}\n\n'), { delta: 'b', sequence: undefined })
})
