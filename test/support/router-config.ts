import assert from 'node:assert/strict'
import { ADMIN_KEY } from '#test/support/gateway.ts'

/** Writes a router config through the operator's door and waits until the gateway serves with it. */
export async function putRouterConfig(url: string, config: object): Promise<number> {
  const headers = { authorization: `Bearer ${ADMIN_KEY}`, 'content-type': 'application/json' }
  const before = await fetch(`${url}/api/admin/router`, { headers })
  const etag = before.headers.get('etag')
  assert(etag !== null, await before.text())
  const written = await fetch(`${url}/api/admin/router`, {
    method: 'PUT',
    headers: { ...headers, 'if-match': etag },
    body: JSON.stringify({ config, reason: 'a test' }),
  })
  const text = await written.text()
  assert.equal(written.status, 200, text)
  const { version } = JSON.parse(text) as { version: { version: number } }
  for (;;) {
    const ready = (await (await fetch(`${url}/readyz`)).json()) as { checks: { router: { version: number } } }
    if (ready.checks.router.version >= version.version) return version.version
  }
}
