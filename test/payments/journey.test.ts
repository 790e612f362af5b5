import assert from 'node:assert/strict'
import { once } from 'node:events'
import { existsSync } from 'node:fs'
import { type AddressInfo, createServer } from 'node:net'
import { test } from 'node:test'
import { chromium } from 'playwright-core'
import { ADMIN_KEY, createTestGateway, until } from '#test/support/gateway.ts'
import { createStripeDouble, PRODUCT } from '#test/support/stripe/double.ts'
import { tell } from '#test/support/stripe/stripe-gateway.ts'

const executablePath = ['/usr/bin/chromium', '/usr/bin/chromium-browser', '/usr/bin/google-chrome'].find(existsSync)
const skip = executablePath === undefined ? 'there is no Chromium on this machine' : false
const EMAIL = 'grace@compiler.example'
const PASSWORD = 'nanoseconds of wire'

/** Stripe sends people back to the address, so it has to be known before. */
async function freePort(): Promise<string> {
  const server = createServer().listen(0, '127.0.0.1')
  await once(server, 'listening')
  const { port } = server.address() as AddressInfo
  server.close()
  await once(server, 'close')
  return String(port)
}

test('a person signs up, buys Flux at Stripe and pays for a first call with them, all in a browser', {
  skip,
}, async () => {
  const port = await freePort()
  const double = await createStripeDouble()
  double.addPrice({ flux: '600', amount: 300 })
  double.addPrice({ flux: '1000', amount: 500, recurring: true })
  const gateway = await createTestGateway({
    env: {
      ...{ BETTER_AUTH_SECRET: 'a-secret-of-the-tests-long-enough-for-anybody', MAIL_OUTBOX: 'on', PORT: port },
      ...{ API_SERVER_URL: `http://127.0.0.1:${port}`, ...double.env },
    },
  })
  const browser = await chromium.launch({
    args: ['--no-sandbox', '--disable-gpu'],
    ...(executablePath !== undefined && { executablePath }),
  })
  try {
    const set = await gateway.chat(
      { values: { STRIPE_FLUX_PRODUCT_ID: PRODUCT }, reason: 'a test' },
      { method: 'PUT', path: '/api/admin/settings', key: ADMIN_KEY },
    )
    assert.equal(set.status, 200)
    await until('something is sold', async () => {
      const { json } = await gateway.chat(undefined, { method: 'GET', path: '/api/v1/stripe/packages', key: null })
      return json.length === 1
    })
    const page = await (await browser.newContext()).newPage()
    const faults: string[] = []
    page.on('pageerror', (error) => faults.push(error.message))

    await page.goto(`${gateway.url}/auth/sign-up`)
    await page.getByLabel('Name').fill('Grace Hopper')
    await page.getByLabel('E-mail address').fill(EMAIL)
    await page.getByLabel(/^Password/).fill(PASSWORD)
    await page.getByRole('button', { name: 'Create account' }).click()
    await page.getByText('Look into your mail').waitFor()
    let link = ''
    await until('a mail has the link', () => {
      const lines = gateway.log.lines().map(({ msg }) => String(msg))
      link = /Open (\S+)$/.exec(lines.findLast((line) => line.includes('Confirm your e-mail address')) ?? '')?.[1] ?? ''
      return link !== ''
    })
    await page.goto(link)
    await page.getByRole('link', { name: 'Go to your account' }).click()
    await page.getByText('0 Flux', { exact: true }).waitFor()

    await page.getByRole('button', { name: 'Subscribe 1000 Flux a month for $5.00' }).waitFor()
    // Bought at Stripe, which sends the person back and tells the gateway.
    await page.getByRole('button', { name: 'Buy 600 Flux for $3.00' }).click()
    await page.getByRole('button', { name: 'Pay' }).click()
    await page.waitForURL(/\/account\?success=true$/)
    await page.getByText('Thank you.').waitFor()
    for (const event of double.newEvents())
      if (/^(?:checkout|payment_intent|charge)/.test(event.type))
        assert.equal(await tell(double, event, gateway.url), 200)
    await page.reload()
    await page.getByText('600 Flux', { exact: true }).first().waitFor()
    await page.getByText('Stripe payment USD 3.00').waitFor()

    await page.getByLabel('Name of a new key').fill('first')
    await page.getByRole('button', { name: 'Create key' }).click()
    await page.getByRole('button', { name: 'Revoke the key first' }).waitFor()
    const key = (await page.locator('#secret').textContent()) ?? ''
    const called = await gateway.chat({ model: 'sim/echo', messages: [{ role: 'user', content: 'Hello' }] }, { key })
    assert.equal(called.status, 200)
    await page.reload()
    await page.getByText(/^599\.\d+ Flux$/).waitFor()
    await page.getByRole('button', { name: 'Payments and invoices' }).click()
    await page.getByRole('heading', { name: 'Your payments' }).waitFor()
    await page.getByRole('link', { name: 'Back' }).click()
    await page.waitForURL(/\/account$/)
    assert.deepEqual(faults, [])
    await gateway.expectAudit()
  } finally {
    await browser.close()
    await gateway.close()
    await double.close()
  }
})
