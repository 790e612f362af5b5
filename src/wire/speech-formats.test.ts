import assert from 'node:assert/strict'
import { test } from 'node:test'
import { loadTokenizer } from './count-tokens.ts'
import { isRefusal, type SpeechEndpoint, type SpeechInput } from './speech-format.ts'
import { speechFormats } from './speech-formats.ts'

const endpoint: SpeechEndpoint = { baseUrl: '', key: 'KEY', params: {}, headers: {}, callId: 'CALL' }

interface Row {
  name: string
  vendor: string
  input: SpeechInput
  at?: Partial<SpeechEndpoint>
  url: string
  headers: Record<string, string>
  body: unknown
  type: string
  dropped?: string[]
}

const json = { 'content-type': 'application/json' }
const bearer = { authorization: 'Bearer KEY', ...json }

const rows: Row[] = [
  {
    name: 'a region and nothing else',
    vendor: 'azure',
    input: { text: 'Hi', model: 'microsoft/v1' },
    at: { params: { region: 'eastasia' } },
    url: 'https://eastasia.tts.speech.microsoft.com/cognitiveservices/v1',
    headers: {
      'ocp-apim-subscription-key': 'KEY',
      'x-microsoft-outputformat': 'audio-24khz-48kbitrate-mono-mp3',
      'content-type': 'application/ssml+xml',
      'user-agent': 'fluxgate',
    },
    body: "<speak version='1.0' xml:lang='en-US'><voice name='en-US-AvaMultilingualNeural'>Hi</voice></speak>",
    type: 'audio/mpeg',
  },
  {
    name: 'an address, speed, pitch, volume and a format of its own',
    vendor: 'azure',
    input: {
      text: 'Hi',
      model: '',
      voice: 'de-DE-KatjaNeural',
      speed: 0.8,
      format: 'ogg-48khz-16bit-mono-opus',
      instructions: 'whisper',
      extra: { pitch: 5, volume: 'loud' },
    },
    at: { baseUrl: 'https://westus.tts.speech.microsoft.com/cognitiveservices/v1', headers: { 'User-Agent': 'mine' } },
    url: 'https://westus.tts.speech.microsoft.com/cognitiveservices/v1',
    headers: {
      'ocp-apim-subscription-key': 'KEY',
      'x-microsoft-outputformat': 'ogg-48khz-16bit-mono-opus',
      'content-type': 'application/ssml+xml',
      'user-agent': 'mine',
    },
    body:
      "<speak version='1.0' xml:lang='en-US'><voice name='de-DE-KatjaNeural'>" +
      "<prosody rate='-20%' pitch='+5%' volume='loud'>Hi</prosody></voice></speak>",
    type: 'audio/ogg',
    dropped: ['instructions'],
  },
  {
    name: 'the documented order',
    vendor: 'dashscope-cosyvoice',
    input: { text: '你好', model: 'cosyvoice-v2' },
    at: { params: { region: 'intl' } },
    url: 'https://dashscope-intl.aliyuncs.com/api/v1/services/audio/tts/SpeechSynthesizer',
    headers: bearer,
    body: { model: 'cosyvoice-v2', input: { text: '你好', voice: 'longxiaochun_v2', format: 'mp3' } },
    type: 'audio/mpeg',
  },
  {
    name: 'pcm at the rate that clients of OpenAI expect, and an instruction where there is one',
    vendor: 'dashscope-cosyvoice',
    input: {
      text: 'Hi',
      model: 'x',
      voice: 'longanyang',
      format: 'pcm',
      speed: 1.5,
      instructions: 'calm',
      extra: { volume: 80 },
    },
    at: { baseUrl: 'https://ws.cn-beijing.maas.aliyuncs.com', params: { model: 'cosyvoice-v3-flash' } },
    url: 'https://ws.cn-beijing.maas.aliyuncs.com/api/v1/services/audio/tts/SpeechSynthesizer',
    headers: bearer,
    body: {
      model: 'cosyvoice-v3-flash',
      input: {
        text: 'Hi',
        voice: 'longanyang',
        format: 'pcm',
        rate: 1.5,
        volume: 80,
        sample_rate: 24000,
        instruction: 'calm',
      },
    },
    type: 'audio/L16',
  },
  {
    name: 'the documented request, with the semicolon',
    vendor: 'volcengine',
    input: { text: '你好', model: '' },
    at: { params: { appid: 1234567890 } },
    url: 'https://openspeech.bytedance.com/api/v1/tts',
    headers: { authorization: 'Bearer; KEY', ...json },
    body: {
      app: { appid: '1234567890', token: 'KEY', cluster: 'volcano_tts' },
      user: { uid: 'fluxgate' },
      audio: { voice_type: 'BV001_streaming', encoding: 'mp3', speed_ratio: 1 },
      request: { reqid: 'CALL', text: '你好', operation: 'query' },
    },
    type: 'audio/mpeg',
  },
  {
    name: 'another cluster and an emotion',
    vendor: 'volcengine',
    input: {
      text: 'Hi',
      model: '',
      voice: 'S_abc',
      speed: 1.2,
      format: 'opus',
      extra: { audio: { emotion: 'happy', enable_emotion: true } },
    },
    at: { params: { appid: 'a', cluster: 'volcano_icl', uid: 'u' } },
    url: 'https://openspeech.bytedance.com/api/v1/tts',
    headers: { authorization: 'Bearer; KEY', ...json },
    body: {
      app: { appid: 'a', token: 'KEY', cluster: 'volcano_icl' },
      user: { uid: 'u' },
      audio: { voice_type: 'S_abc', encoding: 'ogg_opus', speed_ratio: 1.2, emotion: 'happy', enable_emotion: true },
      request: { reqid: 'CALL', text: 'Hi', operation: 'query' },
    },
    type: 'audio/ogg',
  },
  {
    name: 'its defaults',
    vendor: 'stepfun',
    input: { text: '你好', model: '', instructions: '温柔' },
    url: 'https://api.stepfun.com/v1/audio/speech',
    headers: bearer,
    body: {
      model: 'stepaudio-2.5-tts',
      input: '你好',
      voice: 'cixingnansheng',
      response_format: 'mp3',
      instruction: '温柔',
    },
    type: 'audio/mpeg',
  },
  {
    name: 'a plan of its own and all that the older models take',
    vendor: 'stepfun',
    input: {
      text: 'Hi',
      model: 'step-tts-2',
      voice: 'v',
      speed: 2,
      format: 'wav',
      instructions: 'x',
      extra: {
        volume: 2,
        sample_rate: 16000,
        pronunciation_map: { tone: ['LOL/laugh out loudly'] },
        markdown_filter: true,
        voice_label: { emotion: '高兴' },
      },
    },
    at: { params: { endpoint_profile: 'step-plan' } },
    url: 'https://api.stepfun.com/step_plan/v1/audio/speech',
    headers: bearer,
    body: {
      model: 'step-tts-2',
      input: 'Hi',
      voice: 'v',
      response_format: 'wav',
      speed: 2,
      volume: 2,
      sample_rate: 16000,
      pronunciation_map: { tone: ['LOL/laugh out loudly'] },
      markdown_filter: true,
      voice_label: { emotion: '高兴' },
    },
    type: 'audio/wav',
    dropped: ['instructions'],
  },
  {
    name: 'voice in the path, format in the query',
    vendor: 'elevenlabs',
    input: { text: 'Hi', model: 'eleven_multilingual_v2', voice: 'JBFqnCBsd6RMkjVDRZzb' },
    url: 'https://api.elevenlabs.io/v1/text-to-speech/JBFqnCBsd6RMkjVDRZzb/stream?output_format=mp3_44100_128',
    headers: { 'xi-api-key': 'KEY', ...json },
    body: { text: 'Hi', model_id: 'eleven_multilingual_v2' },
    type: 'audio/mpeg',
  },
  {
    name: 'settings of the operator under those of the client',
    vendor: 'elevenlabs',
    input: {
      text: 'Hi',
      model: 'eleven_flash_v2_5',
      voice: 'abc',
      speed: 1.1,
      format: 'pcm',
      extra: { voice_settings: { stability: 0.2 }, language_code: 'de', seed: 7 },
    },
    at: { baseUrl: 'https://api.eu.elevenlabs.io/v1/', params: { voice_settings: { stability: 1, style: 0.5 } } },
    url: 'https://api.eu.elevenlabs.io/v1/text-to-speech/abc/stream?output_format=pcm_24000',
    headers: { 'xi-api-key': 'KEY', ...json },
    body: {
      text: 'Hi',
      model_id: 'eleven_flash_v2_5',
      voice_settings: { stability: 0.2, style: 0.5, speed: 1.1 },
      language_code: 'de',
      seed: 7,
    },
    type: 'audio/L16',
  },
  {
    name: 'bytes, where characters are billed',
    vendor: 'openai',
    input: { text: 'Hi', model: 'tts-1', voice: 'nova', speed: 1.5, format: 'opus' },
    at: { baseUrl: 'https://api.openai.com/v1' },
    url: 'https://api.openai.com/v1/audio/speech',
    headers: bearer,
    body: { model: 'tts-1', input: 'Hi', voice: 'nova', speed: 1.5, response_format: 'opus' },
    type: 'audio/opus',
  },
  {
    name: 'events, where tokens are billed',
    vendor: 'openai',
    input: { text: 'Hi', model: 'gpt-4o-mini-tts-2025-12-15', voice: 'coral', instructions: 'calm' },
    at: { baseUrl: 'https://api.openai.com/v1/' },
    url: 'https://api.openai.com/v1/audio/speech',
    headers: bearer,
    body: {
      model: 'gpt-4o-mini-tts-2025-12-15',
      input: 'Hi',
      voice: 'coral',
      instructions: 'calm',
      stream_format: 'sse',
    },
    type: 'audio/mpeg',
  },
  {
    name: 'unspeech, with the extra body as it came',
    vendor: 'openai',
    input: { text: 'Hi', model: 'microsoft/v1', voice: 'v', extra: { region: 'eastasia', app: { appid: '1' } } },
    at: { baseUrl: 'http://unspeech:5933/v1', key: '' },
    url: 'http://unspeech:5933/v1/audio/speech',
    headers: json,
    body: { model: 'microsoft/v1', input: 'Hi', voice: 'v', extra_body: { region: 'eastasia', app: { appid: '1' } } },
    type: 'audio/mpeg',
  },
  {
    name: 'an extra body that is merged never replaces what is billed',
    vendor: 'openai',
    input: { text: 'Hi', model: 'm', voice: 'v', extra: { model: 'dearer', input: 'longer', voice: 'w', top_k: 3 } },
    at: {
      baseUrl: 'https://x.openai.azure.com/openai/deployments/tts?api-version=2025-03-01',
      params: { extra_body: 'merge' },
      headers: { 'API-Key': 'k', Authorization: 'Basic x' },
    },
    url: 'https://x.openai.azure.com/openai/deployments/tts/audio/speech?api-version=2025-03-01',
    headers: { ...json, 'api-key': 'k', authorization: 'Basic x' },
    body: { top_k: 3, model: 'm', input: 'Hi', voice: 'v' },
    type: 'audio/mpeg',
  },
]

for (const { name, vendor, input, at, url, headers, body, type, dropped = [] } of rows)
  test(`${vendor} sends ${name}`, () => {
    const call = speechFormats.get(vendor)?.call(input, { ...endpoint, ...at })
    assert(call && !isRefusal(call), JSON.stringify(call))
    assert.equal(call.url, url)
    assert.deepEqual(call.headers, headers)
    assert.deepEqual(typeof body === 'string' ? call.body : JSON.parse(call.body ?? ''), body)
    assert.equal(call.contentType, type)
    assert.deepEqual(call.dropped, dropped)
  })

const long = (characters: number) => 'a'.repeat(characters)
const refusals: [vendor: string, path: string, input: Partial<SpeechInput>, params?: Record<string, unknown>][] = [
  ['azure', 'voice', { voice: "x'><audio" }],
  ['azure', 'voice', { voice: 'en-US-Ava:DragonHDLatestNeural' }],
  ['azure', 'response_format', { format: 'aac' }],
  ['azure', 'response_format', { format: 'audio-24khz-48kbitrate-mono-mp3\r\nx: y' }],
  ['azure', 'response_format', { format: 'toString' }],
  ['azure', 'extra_body.region', { extra: { region: 'westus' } }],
  ['azure', 'extra_body.pitch', { extra: { pitch: "5%'><x" } }],
  ['azure', 'extra_body.pitch', { extra: { pitch: Number.NaN } }],
  ['azure', 'extra_body.volume', { extra: { volume: {} } }],
  ['azure', 'stream_format', { streamFormat: 'sse' }],
  ['azure', 'input', { text: long(70_000) }],
  ['azure', 'region', {}, { region: 'evil.example/' }],
  ['azure', 'region', {}, {}],
  ['dashscope-cosyvoice', 'region', {}, {}],
  ['dashscope-cosyvoice', 'voice', { model: 'cosyvoice-v3-flash' }],
  ['dashscope-cosyvoice', 'speed', { speed: 4 }],
  ['dashscope-cosyvoice', 'input', { text: '好'.repeat(10_001) }],
  ['dashscope-cosyvoice', 'extra_body.sample_rate', { extra: { sample_rate: 1 } }],
  ['volcengine', 'appid', {}, {}],
  ['volcengine', 'input', { text: '好'.repeat(342) }],
  ['volcengine', 'speed', { speed: 3.5 }],
  ['volcengine', 'extra_body.app', { extra: { app: { appid: 'another' } } }],
  ['volcengine', 'extra_body.audio.voice_type', { extra: { audio: { voice_type: 'dearer' } } }],
  ['volcengine', 'extra_body.request.text', { extra: { request: { text: 'more' } } }],
  ['volcengine', 'extra_body.audio.emotion', { extra: { audio: { emotion: {} } } }],
  ['stepfun', 'input', { text: long(1_001) }],
  ['stepfun', 'extra_body.endpoint_profile', { extra: { endpoint_profile: 'step-plan' } }],
  ['stepfun', 'endpoint_profile', {}, { endpoint_profile: 'https://evil.example' }],
  ['stepfun', 'extra_body.instruction', { model: 'step-tts-2', extra: { instruction: 'x' } }],
  ['stepfun', 'extra_body.voice_label', { model: 'stepaudio-2.5-tts', extra: { voice_label: { style: 'x' } } }],
  ['stepfun', 'extra_body.voice_label', { model: 'step-tts-2', extra: { voice_label: { style: 'x', emotion: 'y' } } }],
  ['stepfun', 'extra_body.volume', { extra: { volume: 3 } }],
  ['elevenlabs', 'voice', {}],
  ['elevenlabs', 'voice', { voice: '../../v1/user' }],
  ['elevenlabs', 'speed', { voice: 'a', speed: 2 }],
  ['elevenlabs', 'input', { voice: 'a', model: 'eleven_multilingual_v2', text: long(10_001) }],
  ['elevenlabs', 'input', { voice: 'a', model: 'eleven_v3', text: long(5_001) }],
  ['elevenlabs', 'extra_body.voice_settings.stability', { voice: 'a', extra: { voice_settings: { stability: 2 } } }],
  ['elevenlabs', 'extra_body.voice_settings.x', { voice: 'a', extra: { voice_settings: { x: 1 } } }],
  ['elevenlabs', 'response_format', { voice: 'a', format: 'wav' }],
  ['openai', 'input', { text: long(4_097) }],
  ['openai', 'stream_format', { model: 'tts-1-hd', streamFormat: 'sse' }],
  ['openai', 'response_format', { format: 'audio/mp3' }],
]
const configured: Record<string, Record<string, unknown>> = {
  azure: { region: 'eastasia' },
  'dashscope-cosyvoice': { region: 'cn' },
  volcengine: { appid: '1' },
}
for (const [vendor, path, input, params] of refusals)
  test(`${vendor} refuses ${path}: ${JSON.stringify(params ?? input).slice(0, 60)}`, () => {
    const call = speechFormats.get(vendor)?.call(
      { text: 'Hi', model: 'cosyvoice-v2', ...input },
      {
        ...endpoint,
        params: params ?? configured[vendor] ?? {},
        baseUrl: vendor === 'openai' ? 'https://api.openai.com/v1' : '',
      },
    )
    assert(call && isRefusal(call), 'it was not refused')
    assert.equal(call.path, path)
    // What the operator has left out is never said to be the client's fault.
    assert.equal(call.refused, params === undefined ? 'caller' : 'config')
  })

const counts: [vendor: string, input: Partial<SpeechInput>, rule: string, usage: object, params?: object][] = [
  ['azure', { text: '你好 world' }, 'azure-billable-characters', { characters: 10 }],
  ['azure', { text: `it's` }, 'azure-billable-characters', { characters: 4 }],
  // <prosody rate='+20%'></prosody>
  ['azure', { text: 'Hi', speed: 1.2 }, 'azure-billable-characters', { characters: 33 }],
  // <prosody pitch='low'></prosody>
  ['azure', { text: 'Hi' }, 'azure-billable-characters', { characters: 33 }, { pitch: 'low' }],
  ['azure', { text: 'a\u0000b😀' }, 'azure-billable-characters', { characters: 3 }],
  ['dashscope-cosyvoice', { text: '中A文123' }, 'dashscope-characters', { characters: 8 }],
  ['dashscope-cosyvoice', { text: '<speak>你好</speak>' }, 'dashscope-characters', { characters: 4 }],
  ['dashscope-cosyvoice', { text: '3 < 4 > 2' }, 'dashscope-characters', { characters: 9 }],
  ['volcengine', { text: '你好😀' }, 'volcengine-characters', { characters: 3 }],
  ['stepfun', { text: '你好😀' }, 'stepfun-characters', { characters: 3 }],
  ['elevenlabs', { text: 'abc', model: 'eleven_multilingual_v2' }, 'elevenlabs-credits', { characters: 3 }],
  ['elevenlabs', { text: 'abc', model: 'eleven_flash_v2_5' }, 'elevenlabs-credits', { characters: 2 }],
  ['elevenlabs', { text: 'a', model: 'eleven_turbo_v2' }, 'elevenlabs-credits', { characters: 1 }],
  ['openai', { text: 'a😀你', model: 'tts-1-hd' }, 'openai-characters', { characters: 3 }],
  ['openai', { text: 'Hello', model: 'gpt-4o-mini-tts' }, 'openai-tokens', { input: 1, audio_output: 265 }],
  ['openai', { text: 'Hello', model: 'gpt-4o-mini-tts', speed: 0.5 }, 'openai-tokens', { input: 1, audio_output: 330 }],
]
for (const [vendor, input, rule, usage, params] of counts)
  test(`${vendor} bills ${JSON.stringify(input)} as ${JSON.stringify(usage)}`, async () => {
    await loadTokenizer()
    const count = speechFormats.get(vendor)?.count({ text: '', model: '', ...input }, { ...params })
    assert.deepEqual(count, { rule, usage, exact: rule !== 'openai-tokens' })
  })

test('shipped voices have a language, a name and an id of their own', () => {
  for (const [id, { shippedVoices, defaultVoice }] of speechFormats) {
    assert(shippedVoices.length >= 11, id)
    assert.equal(new Set(shippedVoices.map((voice) => voice.id)).size, shippedVoices.length, id)
    for (const voice of shippedVoices) {
      assert(voice.name !== '' && voice.languages.length > 0 && voice.formats.length > 0, voice.id)
      for (const { code, title } of voice.languages) assert.notEqual(code, title, voice.id)
    }
    if (defaultVoice !== undefined)
      assert(
        shippedVoices.some((voice) => voice.id === defaultVoice),
        defaultVoice,
      )
  }
})
