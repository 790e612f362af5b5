import { type FakeAnswer, type FakeRequest, fakeAudio, inPieces, jsonAnswer, startFakeVendor } from './fake-vendor.ts'
import { readXml, type XmlElement, xmlText } from './well-formed-xml.ts'

export const AZURE_KEY = 'azure-speech-key-000000000001'

const outputs: Record<string, string> = {
  'audio-24khz-48kbitrate-mono-mp3': 'audio/mpeg',
  'audio-48khz-192kbitrate-mono-mp3': 'audio/mpeg',
  'ogg-24khz-16bit-mono-opus': 'audio/ogg; codecs=opus',
  'riff-24khz-16bit-mono-pcm': 'audio/x-wav',
  'raw-24khz-16bit-mono-pcm': 'audio/basic',
}

/** Three rows as the service documents them, and one that no reader can use. */
const voices = [
  {
    Name: 'Microsoft Server Speech Text to Speech Voice (en-US, AvaMultilingualNeural)',
    DisplayName: 'Ava Multilingual',
    LocalName: 'Ava Multilingual',
    ShortName: 'en-US-AvaMultilingualNeural',
    Gender: 'Female',
    Locale: 'en-US',
    LocaleName: 'English (United States)',
    SecondaryLocaleList: ['de-DE', 'zh-CN'],
    SampleRateHertz: '24000',
    VoiceType: 'Neural',
    Status: 'GA',
    WordsPerMinute: '190',
  },
  {
    Name: 'Microsoft Server Speech Text to Speech Voice (zh-CN, YunxiNeural)',
    DisplayName: 'Yunxi',
    LocalName: '云希',
    ShortName: 'zh-CN-YunxiNeural',
    Gender: 'Male',
    Locale: 'zh-CN',
    LocaleName: 'Chinese (Mandarin, Simplified)',
    StyleList: ['cheerful', 'sad'],
    SampleRateHertz: '24000',
    VoiceType: 'Neural',
    Status: 'GA',
  },
  {
    DisplayName: 'Orla',
    LocalName: 'Orla',
    ShortName: 'ga-IE-OrlaNeural',
    Gender: 'Female',
    Locale: 'ga-IE',
    VoiceType: 'Neural',
    Status: 'GA',
  },
  { DisplayName: 'Nobody' },
]

/** Azure AI Speech: SSML in, audio out. */
export function startFakeAzure(port = 0) {
  return startFakeVendor(answer, port)
}

function answer(request: FakeRequest): FakeAnswer {
  if (request.headers['ocp-apim-subscription-key'] !== AZURE_KEY) return plain(401, '')
  if (request.path === '/cognitiveservices/voices/list' && request.method === 'GET') return jsonAnswer(200, voices)
  if (request.path !== '/cognitiveservices/v1' || request.method !== 'POST') return plain(404, '')
  if (request.headers['content-type'] !== 'application/ssml+xml') return plain(415, '')
  if (!request.headers['user-agent']) return plain(400, 'User-Agent is required')
  const format = String(request.headers['x-microsoft-outputformat'])
  const type = outputs[format]
  if (type === undefined) return plain(400, `Unsupported output format: ${format}`)
  let spoken: { text: string; voice: string }
  try {
    spoken = readSsml(readXml(request.body.toString('utf8')))
  } catch (error) {
    return plain(400, error instanceof Error ? error.message : 'malformed SSML')
  }
  const audio = fakeAudio('azure', { ...spoken, format })
  return {
    status: 200,
    headers: { 'content-type': type, 'x-requestid': 'azure-request-1' },
    chunks: inPieces(audio),
    speech: { ...spoken, format, characters: billed(request.body.toString('utf8'), spoken.text) },
  }
}

function readSsml(root: XmlElement): { text: string; voice: string } {
  if (root.name !== 'speak' || root.attributes.version !== '1.0') throw new Error('speak 1.0 is expected')
  if (!root.attributes['xml:lang']) throw new Error('speak needs xml:lang')
  const [voice, ...more] = root.children
  if (typeof voice !== 'object' || voice.name !== 'voice' || more.length > 0) throw new Error('one voice is expected')
  const [prosody] = voice.children
  if (typeof prosody === 'object') {
    if (prosody.name !== 'prosody') throw new Error(`${prosody.name} is not known`)
    for (const [name, value] of Object.entries(prosody.attributes))
      if (!['rate', 'pitch', 'volume'].includes(name) || !/^[+-]?[\w.-]+%?$/.test(value))
        throw new Error(`${name}=${value} is no prosody`)
  }
  const name = voice.attributes.name ?? ''
  if (!/^[a-z]{2,3}-[A-Za-z-]+Neural$/.test(name)) throw new Error(`Unsupported voice ${name}.`)
  const text = xmlText(voice)
  if (text.trim() === '') throw new Error('there is no text')
  return { text, voice: name }
}

/** By another way than the gateway's: the tags but speak and voice, and the text with ideographs twice. */
function billed(ssml: string, text: string): number {
  const tags = (ssml.match(/<[^>]*>/g) ?? []).filter((tag) => !/^<\/?(?:speak|voice)\b/.test(tag)).join('')
  return tags.length + [...text].reduce((sum, character) => sum + (/\p{Script=Han}/u.test(character) ? 2 : 1), 0)
}

function plain(status: number, text: string): FakeAnswer {
  return { status, headers: { 'content-type': 'text/plain' }, chunks: [Buffer.from(text)] }
}
