import { createServer, connect as dial, type Socket } from 'node:net'
import { assert } from '#lib/assert.ts'

/** Where the wire breaks: at the n-th message, counted from 0 since `arm`, of one direction of the PostgreSQL protocol. */
export interface Fault {
  side: 'request' | 'reply'
  message: number
  /** The message stays behind, half of it passes, or it passes and nothing after it. */
  cut: 'before' | 'within' | 'after'
  /** `close` ends both connections; `silence` keeps them open and lets nothing pass. */
  how: 'close' | 'silence'
}

interface Link {
  client: Socket
  server: Socket
  /** What silence holds back: a network may deliver it late, when nobody counts on it any more. */
  withheld: Buffer[]
  /** Silence has swallowed something, so this link cannot go on. */
  gap: boolean
  broken: boolean
}

/**
 * A wire between a client and PostgreSQL that breaks where a test wants it to. It cuts at protocol messages, not at bytes
 * of luck: `seen` lists what passed since `arm`, `>B` for a request and `<Z` for a reply.
 */
export async function startTcpProxy(target: { host: string; port: number } | { path: string }) {
  const links = new Set<Link>()
  let mode: 'open' | 'silent' | 'down' = 'open'
  let latencyMs = 0
  let fault: Fault | undefined
  let seen: string[] = []
  let fired: (() => void) | undefined

  const listener = createServer({ noDelay: true }, (client) => {
    if (mode === 'down') {
      client.on('error', () => undefined)
      client.destroy()
      return
    }
    const server = dial({ ...target, noDelay: true })
    const link: Link = { client, server, withheld: [], gap: false, broken: false }
    links.add(link)
    pump(link, 'request')
    pump(link, 'reply')
  })
  await new Promise<void>((resolve) => listener.listen(0, '127.0.0.1', resolve))
  const address = listener.address()
  assert(typeof address === 'object' && address !== null, 'a TCP listener has a port')

  function pump(link: Link, side: Fault['side']): void {
    const [from, to] = side === 'request' ? [link.client, link.server] : [link.server, link.client]
    const split = createSplitter(side)
    let last: Promise<void> = Promise.resolve()
    from.on('data', (chunk) => {
      const frames = split(chunk as Buffer)
      if (latencyMs === 0) {
        for (const frame of frames) pass(link, side, to, frame)
        return
      }
      const delayed = new Promise((resolve) => setTimeout(resolve, latencyMs))
      last = last.then(async () => {
        await delayed
        for (const frame of frames) pass(link, side, to, frame)
      })
    })
    from.on('error', () => undefined)
    from.on('close', () => {
      if (link.server.closed && link.client.closed) links.delete(link)
      // A silent network tells nobody that the other end has gone.
      if (mode === 'silent') link.gap = true
      else if (!link.broken) void last.then(() => to.end())
    })
  }

  function pass(link: Link, side: Fault['side'], to: Socket, frame: { type: string; bytes: Buffer }): void {
    if (link.broken) return
    if (mode === 'silent') {
      link.gap = true
      if (side === 'request') link.withheld.push(frame.bytes)
      return
    }
    const mark = side === 'request' ? '>' : '<'
    const index = seen.reduce((count, name) => count + Number(name.startsWith(mark)), 0)
    seen.push(mark + frame.type)
    if (fault === undefined || fault.side !== side || fault.message !== index) {
      to.write(frame.bytes)
      return
    }
    const { cut, how } = fault
    fault = undefined
    fired?.()
    const passes = { before: 0, within: frame.bytes.length >> 1, after: frame.bytes.length }[cut]
    if (how === 'silence') {
      mode = 'silent'
      link.gap = true
      if (passes > 0) to.write(frame.bytes.subarray(0, passes))
      if (side === 'request') link.withheld.push(frame.bytes.subarray(passes))
      return
    }
    link.broken = true
    const close = () => hangUp(link)
    if (passes === 0) close()
    else to.write(frame.bytes.subarray(0, passes), close)
  }

  return {
    host: '127.0.0.1',
    port: address.port,

    /** Breaks the wire once, at this place; counts messages from now on. Resolves when it has broken. */
    arm(next: Fault): Promise<void> {
      fault = next
      seen = []
      return new Promise((resolve) => {
        fired = resolve
      })
    },

    /** Counts messages from now on, without breaking anything. */
    watch(): string[] {
      fault = undefined
      seen = []
      return seen
    },

    setLatency(ms: number): void {
      latencyMs = ms
    },

    /** From now on nothing passes in either direction, and nobody is told. */
    silence(): void {
      mode = 'silent'
    },

    /** Connections break and new ones are refused. */
    down(): void {
      mode = 'down'
      for (const link of links) hangUp(link)
    },

    /**
     * Ends the silence for new connections. What was held back stays so until `release`, and a client whose connection lost
     * something hears nothing on it any more, not even its end.
     */
    open(): void {
      mode = 'open'
      fault = undefined
      for (const link of links) if (link.gap) link.broken = true
    },

    /**
     * What a silent wire held back arrives now, when its sender has long gone on, or never. Resolves when the server has
     * done with it.
     */
    async release(withheld: 'arrives' | 'lost'): Promise<void> {
      const served = [...links].flatMap(({ broken, server, withheld: bytes }) => {
        if (!broken || server.closed) return []
        const closed = new Promise((resolve) => server.once('close', resolve))
        if (withheld === 'arrives') server.end(Buffer.concat(bytes))
        else server.destroy()
        return [closed]
      })
      await Promise.all(served)
    },

    /** Clients whose connections lost something learn of their end now. */
    cutOff(): void {
      for (const { broken, client } of links) if (broken) client.destroy()
    },

    async heal(withheld: 'arrives' | 'lost'): Promise<void> {
      this.open()
      await this.release(withheld)
    },

    async close(): Promise<void> {
      mode = 'down'
      for (const link of links) hangUp(link)
      await new Promise((resolve) => listener.close(resolve))
    },
  }
}

export type TcpProxy = Awaited<ReturnType<typeof startTcpProxy>>

function hangUp({ client, server }: Link): void {
  client.destroy()
  server.destroy()
}

/** Cuts a byte stream into protocol messages. Only a client's first message has no type of its own. */
function createSplitter(side: Fault['side']) {
  let pending = Buffer.alloc(0)
  let untyped = side === 'request'
  return (chunk: Buffer): { type: string; bytes: Buffer }[] => {
    pending = Buffer.concat([pending, chunk])
    const frames: { type: string; bytes: Buffer }[] = []
    for (;;) {
      const head = untyped ? 0 : 1
      if (pending.length < head + 4) return frames
      const length = head + pending.readUInt32BE(head)
      if (pending.length < length) return frames
      const type = untyped ? 'startup' : String.fromCharCode(pending[0] ?? 0)
      frames.push({ type, bytes: pending.subarray(0, length) })
      pending = pending.subarray(length)
      untyped = false
    }
  }
}
