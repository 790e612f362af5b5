import assert from 'node:assert/strict'
import { test } from 'node:test'
import { parseAiriSpeechRequest, parseSpeechRequest } from './speech-request.ts'

const nothing = {
  model: undefined,
  input: 'Hi',
  voice: undefined,
  speed: undefined,
  format: undefined,
  instructions: undefined,
  streamFormat: 'audio',
  extra: undefined,
  airi: { trigger: undefined, voicePackId: undefined },
}

const good: [body: object, differs: object][] = [
  [{ input: 'Hi' }, {}],
  [{ input: 'Hi', model: 'auto', voice: null, speed: null, response_format: null, extra_body: null }, {}],
  [{ input: 'Hi', model: '', voice: '' }, {}],
  [
    { input: 'Hi', model: 'tts-1', voice: { id: 'voice_1' } },
    { model: 'tts-1', voice: 'voice_1' },
  ],
  [
    { input: 'Hi', speed: 0.25, response_format: 'pcm' },
    { speed: 0.25, format: 'pcm' },
  ],
  [
    { input: 'Hi', instructions: 'calm', stream_format: 'sse' },
    { instructions: 'calm', streamFormat: 'sse' },
  ],
  [{ input: 'Hi', unknown: 1, extra_body: { volume: 2 } }, { extra: { volume: 2 } }],
  [
    { input: 'Hi', extra_body: { airi_analytics: { trigger: 'auto' }, voice_pack: { pack_id: 'p' } } },
    { airi: { trigger: 'auto', voicePackId: 'p' } },
  ],
]
for (const [body, differs] of good)
  test(`speech request: ${JSON.stringify(body)}`, () => {
    assert.deepEqual(parseSpeechRequest(JSON.stringify(body)), { ...nothing, ...differs })
    assert.deepEqual(parseAiriSpeechRequest(JSON.stringify(body)), { ...nothing, ...differs })
  })

const deep = JSON.parse(`${'{"a":'.repeat(20)}1${'}'.repeat(20)}`)
const bad: [body: unknown, path: string][] = [
  [[], ''],
  [{}, 'input'],
  [{ input: '' }, 'input'],
  [{ input: ' \n\t\u3000' }, 'input'],
  [{ input: '\u0000\u0001' }, 'input'],
  [{ input: 'a'.repeat(50_001) }, 'input'],
  [{ input: 'a\ud800' }, 'input'],
  [{ input: 'Hi', model: 5 }, 'model'],
  [{ input: 'Hi', model: 'a\nb' }, 'model'],
  [{ input: 'Hi', voice: 5 }, 'voice'],
  [{ input: 'Hi', voice: {} }, 'voice'],
  [{ input: 'Hi', voice: 'a\r\nb' }, 'voice'],
  [{ input: 'Hi', voice: 'x'.repeat(201) }, 'voice'],
  [{ input: 'Hi', speed: 0.2 }, 'speed'],
  [{ input: 'Hi', speed: 4.1 }, 'speed'],
  [{ input: 'Hi', response_format: 5 }, 'response_format'],
  [{ input: 'Hi', extra_body: [] }, 'extra_body'],
  [{ input: 'Hi', extra_body: deep }, 'extra_body'],
  [{ input: 'Hi', extra_body: { a: 'x'.repeat(20_000) } }, 'extra_body'],
  [{ input: 'Hi', instructions: 'x'.repeat(4_097) }, 'instructions'],
]
for (const [body, path] of bad)
  test(`speech request: ${JSON.stringify(body).slice(0, 60)} is refused for ${path}`, () => {
    for (const parse of [parseSpeechRequest, parseAiriSpeechRequest]) {
      const read = parse(JSON.stringify(body))
      assert('path' in read, 'it was read')
      assert.equal(read.path, path)
    }
  })

test('speech request: what only the strict reader refuses', () => {
  for (const [body, path] of [
    [{ input: 'Hi', speed: '1.5' }, 'speed'],
    [{ input: 'Hi', response_format: 'ogg-24khz-16bit-mono-opus' }, 'response_format'],
    [{ input: 'Hi', stream_format: 'x' }, 'stream_format'],
    [{ input: 'Hi', instructions: 5 }, 'instructions'],
  ] as const) {
    const strict = parseSpeechRequest(JSON.stringify(body))
    assert('path' in strict && strict.path === path, path)
  }
  const airi = parseAiriSpeechRequest('{"input":"Hi","speed":"1.5","response_format":"ogg-24khz-16bit-mono-opus"}')
  assert.deepEqual(airi, { ...nothing, speed: 1.5, format: 'ogg-24khz-16bit-mono-opus' })
  const empty = parseAiriSpeechRequest('{"input":5}')
  assert('path' in empty && empty.path === 'input')
  assert.throws(() => parseSpeechRequest('{'), SyntaxError)
})
