import assert from 'node:assert/strict'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { test } from 'node:test'
import { Webhook } from 'standardwebhooks'
import { LEASE_MS } from '#domain/webhooks/claims.ts'
import { createTestDatabase } from '#test/support/database.ts'
import { ADMIN_KEY, type GatewayProcess, startGateway } from '#test/support/gateway-process.ts'
import { until } from '#test/support/until.ts'
import { createWebhookReceiver } from '#test/support/webhook-receiver.ts'

test('webhooks: a gateway is killed before the answer; the next one delivers under the same id', {
  timeout: 60_000,
}, async () => {
  let answers = false
  const receiver = await createWebhookReceiver((_message, response) => {
    if (answers) response.writeHead(200).end()
  })
  const database = await createTestDatabase()
  const dataDir = await mkdtemp(join(tmpdir(), 'fluxgate-webhooks-'))
  const env = { DATABASE_URL: database.url, WEBHOOK_INSECURE_HOSTS: receiver.host, RECEIPT_LOG_ORIGIN: 'hooks.test/1' }
  let gateway: GatewayProcess | undefined
  const call = async (line: string, body?: object) => {
    const [method = '', path = ''] = line.split(' ')
    const headers = { authorization: `Bearer ${ADMIN_KEY}`, 'content-type': 'application/json' }
    const response = await fetch(`${gateway?.url}${path}`, {
      ...{ method, headers },
      ...(body !== undefined && { body: JSON.stringify(body) }),
    })
    // biome-ignore lint/suspicious/noExplicitAny: the routes' own tests check the shapes.
    return (path === '/metrics' ? await response.text() : await response.json()) as any
  }
  try {
    gateway = await startGateway({ dataDir, env })
    const { id, secret } = await call('POST /api/admin/webhooks', { url: receiver.url })
    const { authorization } = { authorization: `Bearer ${ADMIN_KEY}` }
    await fetch(`${gateway.url}/api/admin/webhooks/${id}/test`, { method: 'POST', headers: { authorization } })
    await until('the first attempt', () => receiver.messages.length === 1)
    gateway.kill('SIGKILL')
    await gateway.exited
    answers = true
    // A minute passes.
    const { rowCount } = await database.db.query(
      `update webhook_delivery set next_attempt_at = next_attempt_at - $1 * interval '1 millisecond' where claim is not null`,
      [LEASE_MS],
    )
    assert.equal(rowCount, 1)
    gateway = await startGateway({ dataDir, env })
    await until('the second attempt', () => receiver.messages.length === 2)
    const [first, second] = receiver.messages
    assert(first && second)
    assert.equal(second.id, first.id)
    new Webhook(secret).verify(second.body, second.headers as Record<string, string>)
    await until('its record', async () => {
      const { data } = await call(`GET /api/admin/webhooks/${id}/deliveries`)
      return data[0].state === 'delivered' && data[0].attempts === 2
    })
    const metrics: string = await call('GET /metrics')
    assert.match(metrics, /fluxgate_webhook_deliveries\{state="delivered"\} 1/)
    assert.match(metrics, /fluxgate_webhook_oldest_pending_seconds 0/)
  } finally {
    gateway?.kill('SIGKILL')
    await gateway?.exited
    await database.close()
    await receiver.close()
    await rm(dataDir, { recursive: true, force: true })
  }
})
