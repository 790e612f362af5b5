import type { Voice, VoiceFormat } from '#wire/speech-format.ts'
import azure from './azure.json' with { type: 'json' }
import cosyvoice from './dashscope-cosyvoice.json' with { type: 'json' }
import elevenlabs from './elevenlabs.json' with { type: 'json' }
import openai from './openai.json' with { type: 'json' }
import stepfun from './stepfun.json' with { type: 'json' }
import volcengine from './volcengine.json' with { type: 'json' }

/** A voice as its file has it. */
interface VoiceRow {
  id: string
  name: string
  gender?: string
  locales: string[]
  description?: string
  tags?: string[]
  /** Absent: all of the vendor's. */
  models?: string[]
}

interface Shipped {
  rows: VoiceRow[]
  formats: readonly VoiceFormat[]
}

const extensions: Readonly<Record<string, [extension: string, type: string]>> = {
  MP3: ['mp3', 'audio/mpeg'],
  Opus: ['opus', 'audio/opus'],
  'Ogg Opus': ['ogg', 'audio/ogg'],
  AAC: ['aac', 'audio/aac'],
  FLAC: ['flac', 'audio/flac'],
  WAV: ['wav', 'audio/wav'],
  PCM: ['pcm', 'audio/L16'],
}

function format(name: string, code: string, sampleRate: number): VoiceFormat {
  const [extension = '', type = ''] = extensions[name] ?? []
  return { name, extension, mime_type: type, sample_rate: sampleRate, format_code: code }
}

const shipped: Readonly<Record<string, Shipped>> = {
  azure: {
    rows: azure,
    formats: [
      format('MP3', 'audio-24khz-48kbitrate-mono-mp3', 24_000),
      format('Ogg Opus', 'ogg-24khz-16bit-mono-opus', 24_000),
      format('WAV', 'riff-24khz-16bit-mono-pcm', 24_000),
      format('PCM', 'raw-24khz-16bit-mono-pcm', 24_000),
    ],
  },
  'dashscope-cosyvoice': {
    rows: cosyvoice,
    formats: [
      format('MP3', 'mp3', 22_050),
      format('Ogg Opus', 'opus', 22_050),
      format('WAV', 'wav', 22_050),
      format('PCM', 'pcm', 24_000),
    ],
  },
  volcengine: {
    rows: volcengine,
    formats: [
      format('MP3', 'mp3', 24_000),
      format('Ogg Opus', 'ogg_opus', 24_000),
      format('WAV', 'wav', 24_000),
      format('PCM', 'pcm', 24_000),
    ],
  },
  stepfun: {
    rows: stepfun,
    formats: [
      format('MP3', 'mp3', 24_000),
      format('Opus', 'opus', 24_000),
      format('FLAC', 'flac', 24_000),
      format('WAV', 'wav', 24_000),
      format('PCM', 'pcm', 24_000),
    ],
  },
  elevenlabs: {
    rows: elevenlabs,
    formats: [
      format('MP3', 'mp3_44100_128', 44_100),
      format('Opus', 'opus_48000_64', 48_000),
      format('PCM', 'pcm_24000', 24_000),
    ],
  },
  openai: {
    rows: openai,
    formats: [
      format('MP3', 'mp3', 24_000),
      format('Opus', 'opus', 24_000),
      format('AAC', 'aac', 24_000),
      format('FLAC', 'flac', 24_000),
      format('WAV', 'wav', 24_000),
      format('PCM', 'pcm', 24_000),
    ],
  },
}

/** The voices that are shipped for a vendor: what is served where it lists none, or cannot be reached. */
export function voicesOf(vendor: string): readonly Voice[] {
  const { rows, formats } = shipped[vendor] ?? { rows: [], formats: [] }
  return rows.map((row) => ({
    id: row.id,
    name: row.name,
    ...(row.description !== undefined && { description: row.description }),
    languages: languagesOf(row.locales),
    formats,
    labels: { ...(row.gender !== undefined && { gender: row.gender }) },
    tags: row.tags ?? [],
    compatible_models: row.models ?? [],
  }))
}

/** The formats of a vendor's voices. */
export function formatsOf(vendor: string): readonly VoiceFormat[] {
  return shipped[vendor]?.formats ?? []
}

const names = new Intl.DisplayNames(['en'], { type: 'language', fallback: 'none' })

/** Codes with their English names; a code that is none is its own name. */
export function languagesOf(codes: readonly string[]): { code: string; title: string }[] {
  return codes.map((code) => ({ code, title: titleOf(code) }))
}

function titleOf(code: string): string {
  try {
    return names.of(code) ?? code
  } catch {
    return code
  }
}
