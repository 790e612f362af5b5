import { createServer, connect as dial, type Socket } from 'node:net'
import { join } from 'node:path'
import pg from 'pg'
import { assert } from '#lib/assert.ts'

/** A door between a gateway and its database: shut, nobody gets through; silent, everybody waits for ever. */
export async function createDatabaseDoor(url: string) {
  const { host, port } = new pg.Client({ connectionString: url })
  const target = host.startsWith('/') ? { path: join(host, `.s.PGSQL.${port}`) } : { host, port }
  const pairs = new Set<Pair>()
  let state: 'open' | 'shut' | 'silent' = 'open'

  const server = createServer((client) => {
    client.on('error', () => undefined)
    if (state === 'shut') {
      client.destroy()
      return
    }
    const upstream = dial(target)
    upstream.on('error', () => undefined)
    const pair: Pair = { client, upstream, dead: state === 'silent' }
    pairs.add(pair)
    pass(pair, client, upstream)
    pass(pair, upstream, client)
  })
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  const address = server.address()
  assert(typeof address === 'object' && address !== null, 'a listening server has a port')
  const through = new URL(url)
  through.hostname = '127.0.0.1'
  through.port = String(address.port)
  through.searchParams.delete('host')

  function pass(pair: Pair, from: Socket, to: Socket): void {
    from.on('data', (chunk) => {
      if (!pair.dead) to.write(chunk)
    })
    from.on('close', () => {
      pairs.delete(pair)
      to.destroy()
    })
  }

  function hangUp(): void {
    for (const { client, upstream } of pairs) for (const socket of [client, upstream]) socket.destroy()
  }

  return {
    /** The same database, through the door. */
    url: through.href,

    /** Lets new connections through. Those that silence has caught stay dead and open, as behind a router that forgot them. */
    reopen(): void {
      state = 'open'
    },

    /** Resets every connection and lets nobody in. */
    shut(): void {
      state = 'shut'
      hangUp()
    },

    /** Swallows every byte from now on; connections stay open and new ones are accepted. */
    silence(): void {
      state = 'silent'
      for (const pair of pairs) pair.dead = true
    },

    async close(): Promise<void> {
      state = 'shut'
      hangUp()
      await new Promise((resolve) => server.close(resolve))
    },
  }
}

interface Pair {
  client: Socket
  upstream: Socket
  dead: boolean
}

export type DatabaseDoor = Awaited<ReturnType<typeof createDatabaseDoor>>
