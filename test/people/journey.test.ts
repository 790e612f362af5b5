import assert from 'node:assert/strict'
import { once } from 'node:events'
import { existsSync } from 'node:fs'
import { type AddressInfo, createServer } from 'node:net'
import { test } from 'node:test'
import { chromium } from 'playwright-core'
import { createTestGateway, ONE_USD, until } from '#test/support/gateway.ts'

const executablePath = ['/usr/bin/chromium', '/usr/bin/chromium-browser', '/usr/bin/google-chrome'].find(existsSync)
const skip = executablePath === undefined ? 'there is no Chromium on this machine' : false
const EMAIL = 'ada@analytical.example'

/** Links in mails begin with the address, so it has to be known before. */
async function freePort(): Promise<string> {
  const server = createServer().listen(0, '127.0.0.1')
  await once(server, 'listening')
  const { port } = server.address() as AddressInfo
  server.close()
  await once(server, 'close')
  return String(port)
}

test('a person signs up, confirms, makes a key, pays for a call and leaves, all in a browser', { skip }, async () => {
  const port = await freePort()
  const gateway = await createTestGateway({
    env: {
      ...{ BETTER_AUTH_SECRET: 'a-secret-of-the-tests-long-enough-for-anybody', MAIL_OUTBOX: 'on', PORT: port },
      API_SERVER_URL: `http://127.0.0.1:${port}`,
    },
  })
  const browser = await chromium.launch({
    args: ['--no-sandbox', '--disable-gpu'],
    ...(executablePath !== undefined && { executablePath }),
  })
  /** The link of the last mail whose subject begins like this, from the log. */
  async function linkOf(subject: string): Promise<string> {
    let link: string | undefined
    await until(`a mail says ${subject}`, () => {
      const lines = gateway.log.lines().map(({ msg }) => String(msg))
      link = /Open (\S+)$/.exec(lines.findLast((line) => line.includes(`configured: ${subject}`)) ?? '')?.[1]
      return link !== undefined
    })
    return link ?? ''
  }
  try {
    const page = await (await browser.newContext()).newPage()
    const faults: string[] = []
    page.on('pageerror', (error) => faults.push(error.message))
    page.on('console', (message) => {
      if (message.type() === 'error' && !/status of 4\d\d/.test(message.text())) faults.push(message.text())
    })

    await page.goto(`${gateway.url}/account`)
    await page.waitForURL(/\/auth\/sign-in/)
    await page.getByRole('link', { name: 'Create an account' }).click()
    await page.getByLabel('Name').fill('Ada Lovelace')
    await page.getByLabel('E-mail address').fill(EMAIL)
    await page.getByLabel(/^Password/).fill('notes on the engine')
    await page.getByRole('button', { name: 'Create account' }).click()
    await page.getByText('Look into your mail').waitFor()

    await page.goto(`${gateway.url}/auth/sign-in`)
    await page.getByLabel('E-mail address').fill(EMAIL)
    await page.getByLabel('Password').fill('notes on the engine')
    await page.getByRole('button', { name: 'Sign in' }).click()
    await page.getByText('This address is not confirmed yet.').waitFor()

    await page.goto(await linkOf('Confirm your e-mail address'))
    await page.getByText('Your address is confirmed.').waitFor()
    await page.getByRole('link', { name: 'Go to your account' }).click()
    await page.getByRole('heading', { name: 'Ada Lovelace' }).waitFor()
    await page.getByText('0 Flux', { exact: true }).waitFor()

    await page.getByLabel('Name of a new key').fill('engine')
    await page.getByRole('button', { name: 'Create key' }).click()
    await page.getByRole('button', { name: 'Revoke the key engine' }).waitFor()
    const key = (await page.locator('#secret').textContent()) ?? ''
    const { rows } = await gateway.db.query(
      'select p.id, p.wallet_id, u.id as "userId" from project p join auth_user u on u.id = p.user_id where u.email = $1',
      [EMAIL],
    )
    const [project] = rows
    const amountNanos = 10n * ONE_USD
    await gateway.app.grants.grant({
      ...{ projectId: project.id, amountNanos, reason: 'a test', actor: 'test', idempotencyKey: 'x' },
    })
    const body = { model: 'sim/echo', messages: [{ role: 'user', content: 'Hello' }] }
    assert.equal((await gateway.chat(body, { key })).status, 200)
    await page.reload()
    await page.getByText(/^9,99\d\.\d+ Flux$/).waitFor()
    await page.locator('#records tr').first().waitFor()

    await page.getByRole('button', { name: 'Sign out' }).click()
    await page.waitForURL(/\/auth\/sign-in/)
    await page.getByLabel('E-mail address').fill(EMAIL)
    await page.getByRole('button', { name: 'Send me a link' }).click()
    await page.getByText('a link is on its way').waitFor()
    await page.goto(await linkOf('Your link to sign in'))
    await page.getByRole('heading', { name: 'Ada Lovelace' }).waitFor()

    // A link that is still open when the account goes.
    await page.request.post(`${gateway.url}/api/auth/sign-in/magic-link`, {
      ...{ data: { email: EMAIL, callbackURL: '/account' }, headers: { origin: gateway.url } },
    })
    await page.getByRole('button', { name: 'Delete my account' }).click()
    await page.goto(await linkOf('Confirm that your account is to be deleted'))
    await page.getByRole('heading', { name: 'Your account is deleted' }).waitFor()
    await until('the key is refused', async () => (await gateway.chat(body, { key })).status === 401, 1_500)
    await page.goto(`${gateway.url}/account`)
    await page.waitForURL(/\/auth\/sign-in/)

    for (const table of ['auth_user', 'auth_session', 'auth_account', 'auth_verification', 'project', 'api_key'])
      for (const text of [EMAIL, 'Ada Lovelace', 'engine']) {
        const found = await gateway.db.query(`select from ${table} t where position($1 in t::text) > 0`, [text])
        assert.equal(found.rowCount, 0, `${table} has ${text}`)
      }
    const sessions = await gateway.db.query('select from auth_session where user_id = $1', [project.userId])
    assert.equal(sessions.rowCount, 0)
    assert.deepEqual(faults, [])
    await gateway.expectAudit()
  } finally {
    await browser.close()
    await gateway.close()
  }
})
