// Whoever reads a gateway's output may leave, as `head` does: it goes on, and it stops when it is told to.
import assert from 'node:assert/strict'
import { spawn } from 'node:child_process'
import { randomBytes } from 'node:crypto'
import { once } from 'node:events'
import { mkdtemp, rm } from 'node:fs/promises'
import { createServer } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { test } from 'node:test'
import { createTestDatabase } from '#test/support/database.ts'
import { until } from '#test/support/until.ts'

test('a gateway whose output nobody reads answers, and ends at SIGTERM', { timeout: 90_000 }, async () => {
  const database = await createTestDatabase()
  const dataDir = await mkdtemp(join(tmpdir(), 'fluxgate-unread-'))
  const port = await freePort()
  const secret = () => randomBytes(32).toString('base64')
  const gateway = spawn(process.execPath, ['src/main.ts', 'api'], {
    env: {
      PATH: process.env.PATH,
      DATABASE_URL: database.url,
      DATA_DIR: dataDir,
      PORT: String(port),
      FLUXGATE_ADMIN_KEY: secret(),
      RECEIPT_SIGNING_KEY: secret(),
      LOG_SIGNING_KEY: secret(),
      LLM_ROUTER_MASTER_KEY: secret(),
    },
    stdio: ['ignore', 'pipe', 'pipe'],
  })
  const ended = once(gateway, 'exit')
  try {
    gateway.stdout.destroy()
    gateway.stderr.destroy()
    const isReady = async () => (await fetch(`http://127.0.0.1:${port}/readyz`).catch(() => undefined))?.status === 200
    await until('it answers', isReady, 60_000)
    gateway.kill('SIGTERM')
    assert.deepEqual(await ended, [0, null])
  } finally {
    gateway.kill('SIGKILL')
    await ended
    await database.close()
    await rm(dataDir, { recursive: true, force: true })
  }
})

async function freePort(): Promise<number> {
  const server = createServer().listen(0, '127.0.0.1')
  await once(server, 'listening')
  const address = server.address()
  server.close()
  await once(server, 'close')
  assert(typeof address === 'object' && address !== null)
  return address.port
}
