import assert from 'node:assert/strict'
import { once } from 'node:events'
import type { Socket } from 'node:net'
import { after, before, test } from 'node:test'
import { setTimeout } from 'node:timers/promises'
import { createUpstreamHttp, type UpstreamExchange, type UpstreamHttp } from '#adapters/upstream-http.ts'
import { createRawUpstream, type RawUpstream } from '#test/support/raw-upstream.ts'

// A client that reads slowly pauses its upstream, and the upstream may close its connection just then. An assertion that
// fails in the handler of a socket would end the process, and with it everybody's calls.

let upstream: RawUpstream
let http: UpstreamHttp
before(async () => {
  upstream = await createRawUpstream(() => undefined)
  http = createUpstreamHttp({ connectionsMax: 4, connectTimeoutMs: 1_000 })
})
after(async () => {
  await http.close()
  await upstream.close()
})

const BODY = 'x'.repeat(10_000)
const chunked = `${BODY.length.toString(16)}\r\n${BODY}\r\n`

/** Pauses at the first byte of the body, lets the upstream close, then reads on. Resolves to the body, or to what broke it. */
async function pausedAtClose(answer: string): Promise<string> {
  const paused = Promise.withResolvers<Socket>()
  const over = Promise.withResolvers<string>()
  let connection: Socket | undefined
  let body = ''
  upstream.answerWith((socket) => {
    connection = socket
    socket.write(answer)
  })
  const exchange: UpstreamExchange = http.post(
    { origin: upstream.url, path: '/', headers: {}, body: '{}' },
    {
      onHeaders: () => undefined,
      onBody(chunk) {
        body += chunk.toString()
        exchange.pause()
        if (connection !== undefined) paused.resolve(connection)
      },
      onEnd: () => over.resolve(body),
      onFault: (fault) => over.resolve(fault),
    },
  )
  const socket = await paused.promise
  socket.end()
  await once(socket, 'finish')
  // Nobody tells when the other side has seen it.
  await setTimeout(20)
  const reading = setInterval(() => exchange.resume(), 1)
  try {
    return await over.promise
  } finally {
    clearInterval(reading)
  }
}

for (const [name, answer, want] of [
  ['without a length', `HTTP/1.1 200 OK\r\nconnection: close\r\n\r\n${BODY}`, BODY],
  ['with a length', `HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-length: ${BODY.length}\r\n\r\n${BODY}`, BODY],
  ['in chunks', `HTTP/1.1 200 OK\r\nconnection: close\r\ntransfer-encoding: chunked\r\n\r\n${chunked}0\r\n\r\n`, BODY],
  [
    'cut between chunks',
    `HTTP/1.1 200 OK\r\nconnection: close\r\ntransfer-encoding: chunked\r\n\r\n${chunked}`,
    'reset',
  ],
  ['kept alive and cut', `HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n${chunked}`, 'reset'],
] as const)
  test(`an upstream that closes while it is paused ends its own answer alone: ${name}`, async () => {
    assert.equal(await pausedAtClose(answer), want)
  })
