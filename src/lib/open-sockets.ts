import type { Server } from 'node:http'
import type { Socket } from 'node:net'
import { setTimeout as delay } from 'node:timers/promises'

const POLL_MS = 20

/** Watches the connections of a server, so that a stop can wait for what was written and not yet read. */
export function watchSockets(server: Server) {
  const sockets = new Set<Socket>()
  server.on('connection', (socket) => {
    sockets.add(socket)
    socket.once('close', () => sockets.delete(socket))
  })
  return {
    /** Resolves when everything that was written has been taken in by the clients, or after `msMax`. */
    async flushed(msMax: number): Promise<void> {
      const deadline = performance.now() + msMax
      while (performance.now() < deadline) {
        if (![...sockets].some((socket) => socket.writableLength > 0)) return
        await delay(POLL_MS)
      }
    },
  }
}

export type OpenSockets = ReturnType<typeof watchSockets>
