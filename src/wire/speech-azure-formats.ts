interface AzureFormat {
  /** The value of X-Microsoft-OutputFormat. */
  name: string
  type: string
}

/** What REST documents as audio outputs. Nothing else ever reaches the header. */
const documented = [
  'amr-wb-16000hz',
  'audio-16khz-16bit-32kbps-mono-opus',
  'audio-16khz-32kbitrate-mono-mp3',
  'audio-16khz-64kbitrate-mono-mp3',
  'audio-16khz-128kbitrate-mono-mp3',
  'audio-24khz-16bit-24kbps-mono-opus',
  'audio-24khz-16bit-48kbps-mono-opus',
  'audio-24khz-48kbitrate-mono-mp3',
  'audio-24khz-96kbitrate-mono-mp3',
  'audio-24khz-160kbitrate-mono-mp3',
  'audio-48khz-96kbitrate-mono-mp3',
  'audio-48khz-192kbitrate-mono-mp3',
  'g722-16khz-64kbps',
  'ogg-16khz-16bit-mono-opus',
  'ogg-24khz-16bit-mono-opus',
  'ogg-48khz-16bit-mono-opus',
  'raw-8khz-8bit-mono-alaw',
  'raw-8khz-8bit-mono-mulaw',
  'raw-8khz-16bit-mono-pcm',
  'raw-16khz-16bit-mono-pcm',
  'raw-16khz-16bit-mono-truesilk',
  'raw-22050hz-16bit-mono-pcm',
  'raw-24khz-16bit-mono-pcm',
  'raw-24khz-16bit-mono-truesilk',
  'raw-44100hz-16bit-mono-pcm',
  'raw-48khz-16bit-mono-pcm',
  'riff-8khz-8bit-mono-alaw',
  'riff-8khz-8bit-mono-mulaw',
  'riff-8khz-16bit-mono-pcm',
  'riff-16khz-16bit-mono-pcm',
  'riff-22050hz-16bit-mono-pcm',
  'riff-24khz-16bit-mono-pcm',
  'riff-44100hz-16bit-mono-pcm',
  'riff-48khz-16bit-mono-pcm',
  'webm-16khz-16bit-mono-opus',
  'webm-24khz-16bit-24kbps-mono-opus',
  'webm-24khz-16bit-mono-opus',
]

const short: Readonly<Record<string, string>> = {
  mp3: 'audio-24khz-48kbitrate-mono-mp3',
  opus: 'ogg-24khz-16bit-mono-opus',
  wav: 'riff-24khz-16bit-mono-pcm',
  pcm: 'raw-24khz-16bit-mono-pcm',
}

function typeOf(name: string): string {
  if (name.startsWith('amr-')) return 'audio/amr-wb'
  if (name.startsWith('g722-')) return 'audio/G722'
  if (name.startsWith('ogg-')) return 'audio/ogg'
  if (name.startsWith('webm-')) return 'audio/webm'
  if (name.startsWith('riff-')) return 'audio/wav'
  if (name.endsWith('-mp3')) return 'audio/mpeg'
  if (name.endsWith('-opus')) return 'audio/opus'
  if (name.endsWith('-truesilk')) return 'audio/silk'
  if (name.endsWith('-mulaw')) return 'audio/basic'
  return name.endsWith('-alaw') ? 'audio/x-alaw-basic' : 'audio/L16'
}

/** OpenAI's names and Azure's own, each with what it is on the wire. */
export const azureFormats: Readonly<Record<string, AzureFormat>> = Object.assign(Object.create(null), {
  ...Object.fromEntries(Object.entries(short).map(([name, full]) => [name, { name: full, type: typeOf(full) }])),
  ...Object.fromEntries(documented.map((name) => [name, { name, type: typeOf(name) }])),
})
