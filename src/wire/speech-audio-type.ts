/** Media types of what OpenAI's names of formats stand for. `pcm` is 16 bit, little-endian, 24 kHz, mono. */
export const audioTypes: Readonly<Record<string, string>> = {
  mp3: 'audio/mpeg',
  opus: 'audio/opus',
  aac: 'audio/aac',
  flac: 'audio/flac',
  wav: 'audio/wav',
  pcm: 'audio/L16',
}
