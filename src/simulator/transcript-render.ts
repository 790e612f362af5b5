import { pieceEnd } from './tokens.ts'
import type { TranscriptionAnswer } from './transcription.ts'

interface Segment {
  id: number
  start: number
  end: number
  text: string
}

const SEGMENT_TOKENS = 15

/** The body of a transcription in the form that was asked for. `extra` is further members of a JSON object. */
export function renderTranscript(answer: TranscriptionAnswer, usage: object | undefined, extra: string): string {
  const { format, text, request, secondsHeard } = answer
  switch (format) {
    case 'json':
      return withExtra({ text, ...(usage && { usage }) }, extra)
    case 'verbose_json': {
      const segments = segmentsOf(answer).map((segment) => ({
        ...segment,
        seek: 0,
        tokens: [],
        temperature: 0,
        avg_logprob: -0.1,
        compression_ratio: 1,
        no_speech_prob: 0,
      }))
      const { task, language, words } = request
      const said = words ? { words: wordsOf(answer) } : { segments }
      return withExtra({ task, language, duration: secondsHeard, text, ...said, ...(usage && { usage }) }, extra)
    }
    case 'text':
      return `${text}\n`
    case 'srt':
      return segmentsOf(answer)
        .map(({ id, start, end, text: said }) => `${id + 1}\n${clock(start, ',')} --> ${clock(end, ',')}\n${said}\n\n`)
        .join('')
    case 'vtt':
      return `WEBVTT\n\n${segmentsOf(answer)
        .map(({ start, end, text: said }) => `${clock(start, '.')} --> ${clock(end, '.')}\n${said}\n\n`)
        .join('')}`
  }
}

function withExtra(body: object, extra: string): string {
  return `${JSON.stringify(body).slice(0, -1)}${extra}}`
}

/** The text in pieces that follow one another, as long as their share of it. */
function segmentsOf({ text, secondsHeard }: TranscriptionAnswer): Segment[] {
  const segments: Segment[] = []
  for (let at = 0; at < text.length; ) {
    const next = pieceEnd(text, at, SEGMENT_TOKENS)
    const [start, end] = [at, next].map((place) => round((secondsHeard * place) / text.length)) as [number, number]
    segments.push({ id: segments.length, start, end, text: text.slice(at, next) })
    at = next
  }
  return segments
}

function wordsOf({ text, secondsHeard }: TranscriptionAnswer): { word: string; start: number; end: number }[] {
  return [...text.matchAll(/\S+/g)].map(({ 0: word, index }) => ({
    word,
    start: round((secondsHeard * index) / text.length),
    end: round((secondsHeard * (index + word.length)) / text.length),
  }))
}

function round(seconds: number): number {
  return Math.round(seconds * 1000) / 1000
}

/** 3,661.5 seconds are `01:01:01,500`. */
function clock(seconds: number, point: string): string {
  const whole = Math.floor(seconds)
  const two = (value: number) => String(value).padStart(2, '0')
  const millis = String(Math.round((seconds - whole) * 1000)).padStart(3, '0')
  return `${two(Math.floor(whole / 3600))}:${two(Math.floor(whole / 60) % 60)}:${two(whole % 60)}${point}${millis}`
}
