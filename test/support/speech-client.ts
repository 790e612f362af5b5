import { once } from 'node:events'
import { WebSocket } from 'ws'
import { until } from '#test/support/until.ts'

/** A client of streaming speech that remembers what it hears. */
export async function openSpeechClient(
  url: string,
  how: { token?: string; protocols?: string[]; headers?: Record<string, string> } = {},
) {
  const address = new URL('/api/v1/audio/speech/ws', url.replace(/^http/, 'ws'))
  if (how.token !== undefined) address.searchParams.set('token', how.token)
  const socket = new WebSocket(address, how.protocols ?? [], { headers: how.headers ?? {} })
  const frames: Record<string, unknown>[] = []
  let audioBytes = 0
  let closed: { code: number; reason: string } | undefined
  socket.on('message', (data, isBinary) => {
    if (isBinary) audioBytes += (data as Buffer).length
    else frames.push(JSON.parse(String(data)) as Record<string, unknown>)
  })
  socket.on('close', (code, reason) => {
    closed = { code, reason: String(reason) }
  })
  socket.on('error', () => undefined)
  await once(socket, 'open')
  return {
    socket,
    frames,
    audioBytes: () => audioBytes,
    say: (frame: unknown) => socket.send(typeof frame === 'string' ? frame : JSON.stringify(frame)),
    events: () => frames.map(({ event }) => event),
    heard: (event: string) => until(`the client hears ${event}`, () => frames.some((frame) => frame.event === event)),
    /** How the gateway closed, with the error that it told before. */
    async closed(withinMs?: number): Promise<{ close: number; code: unknown }> {
      await until('the socket is closed', () => closed !== undefined, withinMs)
      const last = frames.at(-1)
      return { close: closed?.code ?? 0, code: last?.event === 'error' ? last.code : undefined }
    },
  }
}
