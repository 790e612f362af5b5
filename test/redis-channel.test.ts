import assert from 'node:assert/strict'
import { randomBytes } from 'node:crypto'
import { once } from 'node:events'
import { type AddressInfo, createServer, connect as dial, type Socket } from 'node:net'
import { test } from 'node:test'
import { createRedisChannel } from '#adapters/redis.ts'
import { until } from '#test/support/until.ts'

const url = process.env.TEST_REDIS_URL
const skip = url === undefined || url === '' ? 'TEST_REDIS_URL names no Redis' : false

const name = () => `fluxgate-test-${randomBytes(8).toString('hex')}`

/** A wire to the server that can be cut. */
async function relay(target: string) {
  const { hostname, port } = new URL(target)
  const sockets = new Set<Socket>()
  const server = createServer((client) => {
    const upstream = dial(Number(port === '' ? 6379 : port), hostname)
    for (const socket of [client, upstream]) {
      sockets.add(socket)
      socket.on('error', () => undefined)
      socket.on('close', () => sockets.delete(socket))
    }
    client.pipe(upstream).pipe(client)
  })
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  return {
    url: `redis://127.0.0.1:${(server.address() as AddressInfo).port}`,
    cut() {
      for (const socket of sockets) socket.destroy()
    },
    async close() {
      this.cut()
      server.close()
      await once(server, 'close')
    },
  }
}

test('a message reaches those who listen to its channel, and nobody else', { skip }, async () => {
  const channel = name()
  const errors: Error[] = []
  const one = createRedisChannel({ url: url ?? '', channel, onError: (error) => errors.push(error) })
  const other = createRedisChannel({ url: url ?? '', channel: name(), onError: (error) => errors.push(error) })
  const heard: string[] = []
  let listening = 0
  const subscriptions = [one, other].map((redis) =>
    redis.subscribe({ onMessage: (text) => heard.push(text), onListening: () => (listening += 1) }),
  )
  await until('both listen', () => listening === 2)

  one.publish('hello')
  await until('the message', () => heard.length > 0)

  assert.deepEqual(heard, ['hello'])
  assert.deepEqual(errors, [])
  await Promise.all([...subscriptions, one, other].map((part) => part.close()))
})

test('a connection that breaks is made again, and says that it listens again', { skip }, async () => {
  const wire = await relay(url ?? '')
  const errors: Error[] = []
  const redis = createRedisChannel({ url: wire.url, channel: name(), onError: (error) => errors.push(error) })
  const heard: string[] = []
  let listening = 0
  const subscription = redis.subscribe({
    onMessage: (text) => heard.push(text),
    onListening: () => (listening += 1),
  })
  await until('it listens', () => listening === 1)

  wire.cut()
  await until('it listens again', () => listening === 2)
  await until('a message passes again', () => {
    redis.publish('again')
    return heard.length > 0
  })

  assert(errors.length > 0, 'the interruption is told')
  await Promise.all([subscription.close(), redis.close()])
  await wire.close()
})

test('without a server nothing fails: errors are told, and closing ends it', async () => {
  const closed = createServer()
  closed.listen(0, '127.0.0.1')
  await once(closed, 'listening')
  const { port } = closed.address() as AddressInfo
  closed.close()
  await once(closed, 'close')
  const errors: Error[] = []
  const redis = createRedisChannel({
    url: `redis://127.0.0.1:${port}`,
    channel: name(),
    onError: (error) => errors.push(error),
  })
  const subscription = redis.subscribe({
    onMessage: () => assert.fail('nobody sends'),
    onListening: () => assert.fail('nobody is there'),
  })
  redis.publish('lost')
  await until('errors', () => errors.length >= 3)
  await Promise.all([subscription.close(), redis.close()])
})
