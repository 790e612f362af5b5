import assert from 'node:assert/strict'
import { test } from 'node:test'
import { readClientFrame, readVendorFrame } from './speech-socket-frames.ts'

const frames: [text: string, expected: object][] = [
  ['{"event":"authenticate","token":"k"}', { event: 'authenticate', token: 'k' }],
  ['{"event":"authenticate","token":7}', { event: 'invalid', code: 'invalid_frame' }],
  ['{"event":"text","text":"a"}', { event: 'text', text: 'a' }],
  ['{"event":"text","text":"a","text":"b"}', { event: 'text', text: 'b' }],
  ['{"event":"text","text":"\\ud800"}', { event: 'invalid', code: 'invalid_frame' }],
  ['{"event":"text"}', { event: 'invalid', code: 'invalid_frame' }],
  ['{"event":"finish","text":"for nothing"}', { event: 'finish' }],
  ['{"event":"start","voice":7}', { event: 'invalid', code: 'invalid_start_frame' }],
  ['{"event":"start","input":"for nothing"}', { event: 'invalid', code: 'invalid_start_frame' }],
  ['{"event":"start","model":"auto"}', { event: 'start', model: undefined, frame: { event: 'start', model: 'auto' } }],
  ['[]', { event: 'invalid', code: 'invalid_frame' }],
  ['"start"', { event: 'invalid', code: 'invalid_frame' }],
]

for (const [text, expected] of frames)
  test(text, () => {
    assert.deepEqual(readClientFrame(text), expected)
  })

test('the vendor’s own count', () => {
  const finished = (words: unknown) =>
    readVendorFrame(JSON.stringify({ event: 'session.finished', payload: { usage: { text_words: words } } })).characters
  assert.deepEqual(
    [finished(7.9), finished(0), finished(-1), finished('7'), finished(null)],
    [7, 0, undefined, undefined, undefined],
  )
  assert.deepEqual(readVendorFrame('no JSON'), { event: '', characters: undefined, code: undefined })
})
