import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { Voice } from './speech-format.ts'
import { speechFormats } from './speech-formats.ts'
import { chooseVoice, type VoiceQuestion } from './speech-voice-mapping.ts'

const voicesOf = (id: string): readonly Voice[] => speechFormats.get(id)?.shippedVoices ?? []
const known = [...speechFormats.values()].flatMap(({ shippedVoices }) => shippedVoices)

const question: VoiceQuestion = {
  voice: undefined,
  mapping: {},
  upstreamId: 'b',
  voices: voicesOf('azure'),
  defaultVoice: 'en-US-AvaMultilingualNeural',
  known,
  model: '',
}
const cosyvoice = { voices: voicesOf('dashscope-cosyvoice'), defaultVoice: 'longxiaochun_v2', model: 'cosyvoice-v2' }
const openai = { voices: voicesOf('openai'), defaultVoice: undefined, model: 'tts-1' }

const rows: [name: string, asked: Partial<VoiceQuestion>, voice: string | undefined, by: string][] = [
  ['nobody names one', {}, 'en-US-AvaMultilingualNeural', 'default'],
  ['nobody names one, and the vendor neither', { defaultVoice: undefined }, undefined, 'none'],
  ['the vendor has it', { voice: 'ja-JP-NanamiNeural' }, 'ja-JP-NanamiNeural', 'same'],
  [
    'the operator says so, even where the vendor has it',
    { voice: 'ja-JP-NanamiNeural', mapping: { 'ja-JP-NanamiNeural': { b: 'ja-JP-AoiNeural', c: 'x' } } },
    'ja-JP-AoiNeural',
    'mapping',
  ],
  [
    'the operator says so for another upstream',
    { voice: 'longxiaochun_v2', mapping: { longxiaochun_v2: { c: 'x' } } },
    'zh-CN-XiaoxiaoNeural',
    'nearest',
  ],
  ['a name that objects have', { voice: 'constructor', voices: [] }, 'constructor', 'same'],
  ['language and gender', { voice: 'loongyuuma_v2' }, 'ja-JP-KeitaNeural', 'nearest'],
  ['region before another region', { voice: 'loongbrian_v2' }, 'en-GB-RyanNeural', 'nearest'],
  ['gender before region', { ...cosyvoice, voice: 'en-AU-WilliamNeural' }, 'loongdavid_v2', 'nearest'],
  ['language before gender', { ...cosyvoice, voice: 'ko-KR-SunHiNeural' }, 'loongjihun_v2', 'nearest'],
  ['one that speaks many languages', { ...openai, voice: 'fr-FR-DeniseNeural' }, 'nova', 'nearest'],
  ['a language that nobody speaks', { ...cosyvoice, voice: 'fr-FR-DeniseNeural' }, 'longxiaochun_v2', 'default'],
  [
    'voices of other models are no neighbours',
    { ...cosyvoice, voice: 'loongeva', model: 'cosyvoice-v3' },
    'loongeva',
    'same',
  ],
  ['a cloned voice is passed on', { voice: 'S_mine' }, 'S_mine', 'same'],
  ['a vendor that lists none', { voice: 'nova', voices: [] }, 'nova', 'same'],
  ['only a locale is known', { locale: 'zh-TW' }, 'zh-TW-HsiaoChenNeural', 'nearest'],
]
for (const [name, asked, voice, by] of rows)
  test(`voice: ${name}`, () => assert.deepEqual(chooseVoice({ ...question, ...asked }), { voice, by }))
