/** 48 ms of sound for each character, so that its length follows from the text. */
const SAMPLE_RATE = 24_000
const SAMPLES_PER_CHARACTER = 1_152
const AMPLITUDE = 6_000
/** A frame of MP3 lasts 24 ms at this rate. */
const MP3_FRAMES_PER_CHARACTER = 2

const WAV_HEADER_BYTES = 44

export const soundTypes = {
  mp3: 'audio/mpeg',
  opus: 'audio/opus',
  aac: 'audio/aac',
  flac: 'audio/flac',
  wav: 'audio/wav',
  pcm: 'audio/pcm',
} as const

export type SoundFormat = keyof typeof soundTypes

/** What stands before the sound of so many characters. */
export function soundHeader(format: SoundFormat, characters: number): Buffer {
  if (format !== 'wav') return Buffer.alloc(0)
  const dataBytes = characters * SAMPLES_PER_CHARACTER * 2
  const header = Buffer.alloc(WAV_HEADER_BYTES)
  header.write('RIFF', 0)
  header.writeUInt32LE(WAV_HEADER_BYTES - 8 + dataBytes, 4)
  header.write('WAVEfmt ', 8)
  header.writeUInt32LE(16, 16)
  header.writeUInt16LE(1, 20) // PCM.
  header.writeUInt16LE(1, 22) // One channel.
  header.writeUInt32LE(SAMPLE_RATE, 24)
  header.writeUInt32LE(SAMPLE_RATE * 2, 28)
  header.writeUInt16LE(2, 32)
  header.writeUInt16LE(16, 34)
  header.write('data', 36)
  header.writeUInt32LE(dataBytes, 40)
  return header
}

/**
 * The sound of a few characters: a tone for each in WAV and PCM, silence that any decoder plays in MP3. The other formats get
 * as many bytes as MP3, which are no sound.
 */
export function soundOf(format: SoundFormat, characters: readonly string[]): Buffer {
  if (format === 'wav' || format === 'pcm') return Buffer.concat(characters.map(toneOf))
  return Buffer.concat(Array.from({ length: characters.length * MP3_FRAMES_PER_CHARACTER }, () => MP3_FRAME))
}

/** 24 ms of silence: MPEG-2 layer III, mono, 64 kbit/s. */
const MP3_FRAME = Buffer.alloc(192)
MP3_FRAME.set([0xff, 0xf3, 0x84, 0xc4])

/** A triangle wave whose pitch is the character's. */
function toneOf(character: string): Buffer {
  const period = 48 + ((character.codePointAt(0) ?? 0) % 96)
  const samples = Buffer.alloc(SAMPLES_PER_CHARACTER * 2)
  for (let at = 0; at < SAMPLES_PER_CHARACTER; at += 1) {
    const phase = (at % period) / period
    samples.writeInt16LE(Math.round(AMPLITUDE * (4 * Math.abs(phase - 0.5) - 1)), at * 2)
  }
  return samples
}
