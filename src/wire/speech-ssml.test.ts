import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import { buildSsml, type Prosody, rateOfSpeed, ssmlVoice } from './speech-ssml.ts'

const open = "<speak version='1.0' xml:lang='en-US'><voice name='en-US-AvaMultilingualNeural'>"
const close = '</voice></speak>'
const ssml = (text: string, prosody: Prosody = {}) => buildSsml({ text, voice: 'en-US-AvaMultilingualNeural', prosody })

const rows: [name: string, text: string, prosody: Prosody, inside: string][] = [
  ['plain text', 'Hello', {}, 'Hello'],
  ['all that XML reserves', `a & b < c > d "e" 'f'`, {}, 'a &amp; b &lt; c &gt; d &quot;e&quot; &apos;f&apos;'],
  ['what is escaped already stays text', '&lt;', {}, '&amp;lt;'],
  ['markup is text', "</voice><voice name='x'>", {}, '&lt;/voice&gt;&lt;voice name=&apos;x&apos;&gt;'],
  ['control characters go', 'a\u0000b\u0008c\u001fd', {}, 'abcd'],
  ['line breaks and tabs stay', 'a\tb\nc\rd', {}, 'a\tb\nc\rd'],
  ['halves of characters go', 'a\ud800b😀', {}, 'ab😀'],
  ['no characters', 'a\ufffeb\uffff', {}, 'ab'],
  ['faster', 'Hi', { rate: '+20%' }, "<prosody rate='+20%'>Hi</prosody>"],
  [
    'all of prosody',
    'Hi',
    { volume: 'loud', pitch: '-2st', rate: '-20%' },
    "<prosody rate='-20%' pitch='-2st' volume='loud'>Hi</prosody>",
  ],
]
for (const [name, text, prosody, inside] of rows)
  test(`ssml: ${name}`, () => assert.equal(ssml(text, prosody), open + inside + close))

for (const [speed, rate] of [
  [undefined, undefined],
  [1, undefined],
  [1.004, undefined],
  [0.996, undefined],
  [1.2, '+20%'],
  [0.8, '-20%'],
  [0.25, '-75%'],
  [4, '+300%'],
  [1.005, undefined],
  [1.006, '+1%'],
] as const)
  test(`ssml: speed ${speed} is ${rate}`, () => assert.equal(rateOfSpeed(speed), rate))

test('ssml: a voice is a name and nothing else', () => {
  assert(ssmlVoice.test('zh-CN-XiaoxiaoMultilingualNeural'))
  for (const voice of ["x'/><audio src='http://x'/>", 'en US', '', 'a\nb', 'x'.repeat(101)])
    assert(!ssmlVoice.test(voice), voice)
})

test('ssml: no text can open or close an element', () => {
  fc.assert(
    fc.property(fc.string({ unit: 'binary', maxLength: 200 }), (text) => {
      const inside = ssml(text).slice(open.length, -close.length)
      assert.doesNotMatch(inside, /[<>"']/)
      assert.doesNotMatch(inside, /&(?!(?:amp|lt|gt|quot|apos);)/)
    }),
    { seed: 11, numRuns: 100 },
  )
})
