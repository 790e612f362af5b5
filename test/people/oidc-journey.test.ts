import assert from 'node:assert/strict'
import { once } from 'node:events'
import { existsSync } from 'node:fs'
import { createServer as createHttpServer } from 'node:http'
import { type AddressInfo, createServer } from 'node:net'
import { test } from 'node:test'
import { chromium } from 'playwright-core'
import { createTestGateway, until } from '#test/support/gateway.ts'

const executablePath = ['/usr/bin/chromium', '/usr/bin/chromium-browser', '/usr/bin/google-chrome'].find(existsSync)
const skip = executablePath === undefined ? 'there is no Chromium on this machine' : false
const EMAIL = 'ada@analytical.example'
const PASSWORD = 'notes on the engine'
const VERIFIER = 'v'.repeat(43)
const CHALLENGE = Buffer.from(await crypto.subtle.digest('SHA-256', new TextEncoder().encode(VERIFIER))).toString(
  'base64url',
)

async function freePort(): Promise<string> {
  const server = createServer().listen(0, '127.0.0.1')
  await once(server, 'listening')
  const { port } = server.address() as AddressInfo
  server.close()
  await once(server, 'close')
  return String(port)
}

/** A program on this machine that waits for its answer. */
async function createDesktopApp() {
  const answers: URLSearchParams[] = []
  const server = createHttpServer((req, res) => {
    if (req.url?.startsWith('/callback?')) answers.push(new URL(req.url, 'http://x').searchParams)
    res.end('You may go back to the app.')
  })
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  return {
    port: (server.address() as AddressInfo).port,
    async answer(): Promise<URLSearchParams> {
      await until('the app is answered', () => answers.length > 0)
      const [answer] = answers.splice(0)
      assert(answer)
      return answer
    },
    async close(): Promise<void> {
      server.closeAllConnections()
      server.close()
      await once(server, 'close')
    },
  }
}

test('somebody comes from a program, signs up, confirms, and is back in it; the next time with a password, and by the page of AIRI', {
  skip,
}, async () => {
  const port = await freePort()
  const origin = `http://127.0.0.1:${port}`
  const relay = `${origin}/api/auth/oidc/electron-callback`
  const gateway = await createTestGateway({
    env: {
      ...{ BETTER_AUTH_SECRET: 'a-secret-of-the-tests-long-enough-for-anybody', MAIL_OUTBOX: 'on', PORT: port },
      API_SERVER_URL: origin,
      OIDC_CLIENTS: JSON.stringify([
        {
          ...{ client_id: 'desktop', name: 'Desktop', any_loopback_port: true },
          redirect_uris: ['http://127.0.0.1/callback', relay],
        },
      ]),
    },
  })
  const app = await createDesktopApp()
  const browser = await chromium.launch({
    args: ['--no-sandbox', '--disable-gpu'],
    ...(executablePath !== undefined && { executablePath }),
  })
  const redirectUri = `http://127.0.0.1:${app.port}/callback`
  const asking = (change: Record<string, string>) =>
    `${origin}/api/auth/oauth2/authorize?${new URLSearchParams({
      ...{ response_type: 'code', client_id: 'desktop', redirect_uri: redirectUri, state: 's*t~' },
      ...{ scope: 'openid email offline_access', code_challenge: CHALLENGE, code_challenge_method: 'S256', ...change },
    })}`
  const exchange = async (code: string, address: string) => {
    const body = { grant_type: 'authorization_code', client_id: 'desktop', code, code_verifier: VERIFIER }
    const answer = await fetch(`${origin}/api/auth/oauth2/token`, {
      method: 'POST',
      body: new URLSearchParams({ ...body, redirect_uri: address }),
    })
    const { access_token } = (await answer.json()) as { access_token: string }
    const wallet = await gateway.chat(undefined, { method: 'GET', path: '/v1/wallet', key: access_token })
    assert.equal(wallet.status, 200, wallet.text)
  }
  try {
    const page = await (await browser.newContext()).newPage()
    const faults: string[] = []
    page.on('pageerror', (error) => faults.push(error.message))
    page.on('console', (message) => {
      if (message.type() === 'error' && !/status of 4\d\d/.test(message.text())) faults.push(message.text())
    })

    await page.goto(asking({}))
    await page.waitForURL(/\/auth\/sign-in\?/)
    await page.getByRole('link', { name: 'Create an account' }).click()
    await page.getByLabel('Name').fill('Ada Lovelace')
    await page.getByLabel('E-mail address').fill(EMAIL)
    await page.getByLabel(/^Password/).fill(PASSWORD)
    await page.getByRole('button', { name: 'Create account' }).click()
    await page.getByText('Look into your mail').waitFor()
    let link = ''
    await until('a mail came', () => {
      const lines = gateway.log.lines().map(({ msg }) => String(msg))
      link = /Open (\S+)$/.exec(lines.findLast((line) => line.includes('Confirm your e-mail address')) ?? '')?.[1] ?? ''
      return link !== ''
    })
    await page.goto(link)
    await page.getByText('You may go back to the app.').waitFor()
    const first = await app.answer()
    assert.equal(first.get('state'), 's*t~')
    await exchange(first.get('code') ?? '', redirectUri)

    await page.goto(asking({ prompt: 'login' }))
    await page.getByLabel('E-mail address').fill(EMAIL)
    await page.getByLabel('Password').fill(PASSWORD)
    await page.getByRole('button', { name: 'Sign in' }).click()
    await page.getByText('You may go back to the app.').waitFor()
    await exchange((await app.answer()).get('code') ?? '', redirectUri)

    await page.goto(asking({ redirect_uri: relay, state: `${app.port}:opaque` }))
    await page.getByText('You are signed in.').waitFor()
    assert.equal(page.url(), relay)
    const relayed = await app.answer()
    assert.equal(relayed.get('state'), 'opaque')
    await exchange(relayed.get('code') ?? '', relay)
    await page.goto(`${relay}?code=x&state=evil.example:80`)
    await page.getByText('This is no answer that an app has asked for.').waitFor()
    assert.deepEqual(faults, [])
  } finally {
    await browser.close()
    await app.close()
    await gateway.close()
  }
})
