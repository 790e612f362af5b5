import { soundOf } from '#simulator/speech-sound.ts'
import { createRawUpstream, httpAnswer, streamHead } from '#test/support/raw-upstream.ts'
import { TEXT } from './failover-columns.ts'

export type RawAnswer = keyof typeof answers

/** What the last event says of the cost. */
export const TOLD = { input: 14, audio_output: [...TEXT].length }

const SOUND = soundOf('pcm', [...TEXT])
const BEGINNING = SOUND.subarray(0, 64)

const events = [
  { type: 'speech.audio.delta', audio: SOUND.toString('base64') },
  { type: 'speech.audio.done', usage: { input_tokens: TOLD.input, output_tokens: TOLD.audio_output } },
].map((event) => `data: ${JSON.stringify(event)}\n\n`)

const answers = {
  /** A 200 that is no sound, or none at all. */
  page: [httpAnswer('<!doctype html><p>busy</p>', { 'content-type': 'text/html; charset=utf-8' })],
  words: [httpAnswer('upstream connect error', { 'content-type': 'text/plain' })],
  nothing: [httpAnswer('', { 'content-type': 'audio/pcm' })],
  /** Ends without its last chunk, or before its length. */
  truncated: [streamHead({ 'content-type': 'audio/pcm', 'transfer-encoding': 'chunked' }), chunk(BEGINNING)],
  short: [streamHead({ 'content-type': 'audio/pcm', 'content-length': '100000' }), BEGINNING],
  /** Every event; then nothing, or the end of the connection without the last chunk. */
  told: [streamHead(), ...events],
  leaving: [streamHead({ 'transfer-encoding': 'chunked' }), ...events.map(chunk)],
}
const leaves: readonly string[] = ['truncated', 'short', 'leaving'] satisfies RawAnswer[]

/** A vendor on loopback that sends what a server with working HTTP cannot: the first part of the path says which. */
export function startRawVendor() {
  return createRawUpstream((socket, { head }) => {
    const name = /^POST \/(\w+)\//.exec(head)?.[1] as RawAnswer
    for (const bytes of answers[name]) socket.write(bytes)
    if (leaves.includes(name)) socket.end()
  })
}

function chunk(bytes: string | Buffer): Buffer {
  const body = Buffer.from(bytes)
  return Buffer.concat([Buffer.from(`${body.length.toString(16)}\r\n`), body, Buffer.from('\r\n')])
}
