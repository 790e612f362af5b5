import assert from 'node:assert/strict'
import { test } from 'node:test'
import { readTranscriptEvent, readTranscription } from './transcription-usage.ts'

const whole: [format: string, body: string, expected: object][] = [
  ['json', '{"text":"a","usage":{"type":"duration","seconds":3.2}}', { text: 'a', usage: { seconds: 4 } }],
  [
    'json',
    '{"text":"a","usage":{"type":"tokens","input_tokens":14,"input_token_details":{"text_tokens":2,"audio_tokens":12},"output_tokens":5}}',
    { text: 'a', usage: { input: 2, audio_input: 12, output: 5 } },
  ],
  [
    'json',
    '{"text":"a","usage":{"type":"tokens","input_tokens":14,"output_tokens":5}}',
    { text: 'a', usage: { input: 0, audio_input: 14, output: 5 } },
  ],
  ['json', '{"text":"a","usage":{"type":"duration","seconds":-3}}', { text: 'a', usage: undefined }],
  ['verbose_json', '{"text":"a","duration":8.47}', { text: 'a', usage: { seconds: 9 } }],
  ['text', 'a\n', { text: 'a\n', usage: undefined }],
  [
    'srt',
    '1\n00:00:00,000 --> 00:01:01,500\na\n',
    { text: '1\n00:00:00,000 --> 00:01:01,500\na\n', usage: { seconds: 62 } },
  ],
  [
    'vtt',
    'WEBVTT\n\n00:00.000 --> 00:02.000\na\n',
    { text: 'WEBVTT\n\n00:00.000 --> 00:02.000\na\n', usage: { seconds: 2 } },
  ],
  ['vtt', '<html>', { fault: 'malformed' }],
  ['json', '{', { fault: 'malformed' }],
  ['json', '{"error":{"message":"no"}}', { fault: 'error_in_200' }],
  ['json', '{"usage":{}}', { fault: 'malformed' }],
]

for (const [format, body, expected] of whole)
  test(`${format}: ${body.slice(0, 60).replaceAll('\n', ' ')}`, () => {
    assert.deepEqual(readTranscription(format, body), expected)
  })

test('events', () => {
  assert.deepEqual(readTranscriptEvent('{"type":"transcript.text.delta","delta":"a"}'), { kind: 'delta', text: 'a' })
  assert.deepEqual(
    readTranscriptEvent('{"type":"transcript.text.done","text":"a","usage":{"type":"duration","seconds":2}}'),
    { kind: 'done', text: 'a', usage: { seconds: 2 } },
  )
  assert.deepEqual(readTranscriptEvent('{"error":{"message":"no"}}'), { kind: 'error' })
  assert.deepEqual(readTranscriptEvent('nonsense'), { kind: 'error' })
  assert.deepEqual(readTranscriptEvent('[DONE]'), { kind: 'other' })
})
