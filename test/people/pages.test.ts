import assert from 'node:assert/strict'
import { existsSync, mkdirSync } from 'node:fs'
import type { AddressInfo } from 'node:net'
import { join } from 'node:path'
import { after, before, test } from 'node:test'
import { type Browser, chromium, type Page, type Route } from 'playwright-core'
import { createHttpApp, type HttpAppDeps } from '#routes/http-app.ts'
import { createTestApi, type TestApi } from '#test/support/http-api.ts'
import { openPerson } from '#test/support/people.ts'

const executablePath = ['/usr/bin/chromium', '/usr/bin/chromium-browser', '/usr/bin/google-chrome'].find(existsSync)
const skip = executablePath === undefined ? 'there is no Chromium on this machine' : false
/** A folder to put pictures of the pages into, for whoever wants to look at them. */
const pictures = process.env.FLUXGATE_PICTURES
const paths = ['sign-in', 'sign-up', 'verify-email', 'forgot-password', 'reset-password', 'account-deleted']
const EVIL = '<img src=x onerror=alert(1)>'

// What people can do here is answered by the fakes below; test/people/journey.test.ts has the real ones.
const accounts: NonNullable<HttpAppDeps['accounts']> = {
  ...{ publicUrl: undefined, hasApps: false, proxies: undefined, social: ['google', 'github'] },
  handle: async () => new Response('{}', { status: 404, headers: { 'content-type': 'application/json' } }),
  limit: () => ({ max: 1_000, windowMs: 1_000 }),
  trusts: () => false,
}

let api: TestApi
let app: ReturnType<typeof createHttpApp>
let browser: Browser | undefined
let base: string
before(async () => {
  api = await createTestApi()
  app = createHttpApp({ ...api.deps, accounts })
  await app.listen({ host: '127.0.0.1', port: 0 })
  base = `http://127.0.0.1:${(app.server.address() as AddressInfo).port}`
  if (executablePath !== undefined)
    browser = await chromium.launch({ executablePath, args: ['--no-sandbox', '--disable-gpu'] })
})
after(async () => {
  await browser?.close()
  app.server.closeAllConnections()
  await app.close()
  await api.close()
})

type Fake = (body: Record<string, unknown>, route: Route) => { status?: number; body: unknown }

/** A page with its own cookies. Faults of scripts and of the policy fail the test at `close`. */
async function openPage(
  path: string,
  fakes: Record<string, Fake> = {},
  options: { key?: string; dark?: boolean } = {},
) {
  assert(browser)
  const context = await browser.newContext({
    viewport: { width: 1000, height: 900 },
    colorScheme: options.dark ? 'dark' : 'light',
  })
  const page = await context.newPage()
  const faults: string[] = []
  const asked: { line: string; body: unknown }[] = []
  page.on('pageerror', (error) => faults.push(error.message))
  page.on('console', (message) => {
    if (message.type() === 'error' && !/status of [45]\d\d/.test(message.text())) faults.push(message.text())
  })
  await page.route('**/*', async (route) => {
    const request = route.request()
    const url = new URL(request.url())
    assert.equal(url.origin, base, 'nothing is fetched from elsewhere')
    const fake = fakes[`${request.method()} ${url.pathname}`]
    if (fake === undefined)
      return route.continue(
        options.key && url.pathname.startsWith('/v1/')
          ? { headers: { ...request.headers(), authorization: `Bearer ${options.key}` } }
          : {},
      )
    const body = request.postDataJSON() ?? {}
    asked.push({ line: `${request.method()} ${url.pathname}${url.search}`, body })
    const answer = fake(body, route)
    await route.fulfill({ status: answer.status ?? 200, json: answer.body as object })
  })
  await page.goto(base + path)
  return {
    page,
    asked,
    async close() {
      assert.deepEqual(faults, [])
      await context.close()
    },
  }
}

async function picture(page: Page, name: string): Promise<void> {
  if (pictures === undefined) return
  mkdirSync(pictures, { recursive: true })
  await page.screenshot({ path: join(pictures, `${name}.png`), fullPage: true })
}

/** What a screen reader would stumble over: fields without a name, buttons without words, ids twice. */
const unnamed = (page: Page) =>
  page.evaluate(`[...document.querySelectorAll('input, select, button, a')]
    .filter((e) => !(e.labels?.[0]?.textContent || e.getAttribute('aria-label') || e.textContent).trim())
    .map((e) => e.outerHTML).concat([...document.querySelectorAll('[id]')].map((e) => e.id).filter((id, n, all) => all.indexOf(id) !== n))`)

test('pages are sent under a policy without anything inline', async () => {
  for (const path of [...paths.map((name) => `/auth/${name}`), '/account']) {
    const { statusCode, headers, body: text } = await app.inject(path)
    assert.equal(statusCode, 200, path)
    assert.match(
      String(headers['content-security-policy']),
      /^default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self';/,
    )
    assert.match(String(headers['content-security-policy']), /frame-ancestors 'none'/)
    assert.doesNotMatch(text, /<script(?! type="module" src="\/auth\/)|<style|style=| on\w+=|https?:\/\//)
  }
  for (const [file, type] of [
    ['pages.css', /^text\/css/],
    ['forms.js', /^text\/javascript/],
    ['account.js', /^text\/javascript/],
    ['page-tools.js', /^text\/javascript/],
    ['relay.js', /^text\/javascript/],
  ] as const)
    assert.match(String((await app.inject(`/auth/${file}`)).headers['content-type']), type)
})

test('GET /settings/flux leads to the account, and takes nothing else along', async () => {
  for (const [query, location] of [
    ['', '/account'],
    ['?success=true', '/account?success=true'],
    ['?success=true&next=//evil.example', '/account?success=true'],
    ['?success=//evil.example', '/account'],
  ]) {
    const answer = await app.inject(`/settings/flux${query}`)
    assert.deepEqual([answer.statusCode, answer.headers.location], [302, location])
  }
})

test('without accounts there are no pages of them', async () => {
  const bare = createHttpApp({ ...api.deps, accounts: undefined })
  for (const path of ['/auth/sign-in', '/account']) assert.equal((await bare.inject(path)).statusCode, 404)
  await bare.close()
})

test('signing in with the keyboard, after a wrong password', { skip }, async () => {
  let isWrong = true
  const { page, asked, close } = await openPage('/auth/sign-in?next=/account', {
    'POST /api/auth/sign-in/email': () =>
      isWrong
        ? { status: 401, body: { code: 'INVALID_EMAIL_OR_PASSWORD', message: 'x' } }
        : { body: { token: 't', redirect: false } },
    'GET /api/auth/get-session': () => ({ body: { user: { name: 'Ada', email: 'ada@example.com' } } }),
  })
  await page.getByRole('button', { name: 'Continue with GitHub' }).waitFor()
  assert.equal(await page.getByRole('button', { name: /Apple/ }).count(), 0)
  await picture(page, 'sign-in')
  assert.deepEqual(await unnamed(page), [])
  await page.getByLabel('E-mail address').fill('ada@example.com')
  await page.keyboard.press('Tab')
  await page.keyboard.type('not this one')
  await page.keyboard.press('Enter')
  await page.getByText('This address and this password do not belong together.').waitFor()
  await picture(page, 'sign-in-wrong')
  isWrong = false
  await page.keyboard.press('Enter')
  await page.waitForURL(`${base}/account`)
  assert.deepEqual(asked[0]?.body, {
    email: 'ada@example.com',
    password: 'not this one',
    callbackURL: '/auth/verify-email',
  })
  await close()
})

test('signing in leads to pages of this server alone', { skip }, async () => {
  const { page, close } = await openPage('/auth/sign-in')
  for (const [next, goesTo] of [
    ['/docs', '/docs'],
    ['/account?success=true', '/account?success=true'],
    ['//evil.example', '/account'],
    ['/\\evil.example', '/account'],
    ['https://evil.example', '/account'],
    ['javascript:alert(1)', '/account'],
    ['/a b', '/account'],
    ['/\t/evil.example', '/account'],
  ] as const) {
    const found = await page.evaluate(
      async ([name, tools]) => {
        Reflect.get(globalThis, 'history').replaceState(null, '', `?next=${encodeURIComponent(name)}`)
        return (await import(tools)).nextPage()
      },
      [next, '/auth/page-tools.js'] as const,
    )
    assert.equal(found, goesTo, next)
  }
  await close()
})

test('an app that asked for the sign-in is gone on with', { skip }, async () => {
  const asking = 'response_type=code&client_id=app&redirect_uri=http%3A%2F%2F127.0.0.1%2Fcb&state=s'
  const names = ['response_type', 'client_id', 'redirect_uri', 'state', 'prompt', 'exp', 'ba_iat', 'ba_param']
  const signed = (exp: number) =>
    `${asking}&prompt=login&exp=${exp}&ba_iat=1&${names.map((name) => `ba_param=${name}`).join('&')}&sig=x%2B%3D`
  const soon = signed(Math.floor(Date.now() / 1000) + 600)
  const { page, asked, close } = await openPage(`/auth/sign-in?${soon}&provider=none`, {
    'POST /api/auth/sign-in/email': () => ({ body: { token: 't' } }),
    'GET /api/auth/oauth2/authorize': () => ({ body: 'the app' }),
  })
  await page.getByLabel('E-mail address').fill('ada@example.com')
  await page.getByLabel('Password').fill('a good password')
  await page.getByRole('button', { name: 'Sign in' }).click()
  await page.waitForURL(`${base}/api/auth/oauth2/authorize?${asking}`)
  assert.equal(Reflect.get(Object(asked[0]?.body), 'oauth_query'), soon)
  await close()

  const late = await openPage(`/auth/sign-in?${signed(1)}`, {
    'POST /api/auth/sign-in/email': () => ({ body: { token: 't' } }),
    'GET /api/auth/oauth2/authorize': () => ({ body: 'the app' }),
  })
  await late.page.getByLabel('E-mail address').fill('ada@example.com')
  await late.page.getByLabel('Password').fill('a good password')
  await late.page.getByRole('button', { name: 'Sign in' }).click()
  await late.page.waitForURL(`${base}/api/auth/oauth2/authorize?${asking}`)
  assert.equal(Reflect.get(Object(late.asked[0]?.body), 'oauth_query'), undefined)
  await late.close()
})

test('signing up, a link instead of a password, a new password', { skip }, async () => {
  const up = await openPage(
    '/auth/sign-up',
    { 'POST /api/auth/sign-up/email': () => ({ body: { user: {} } }) },
    { dark: true },
  )
  assert.deepEqual(await unnamed(up.page), [])
  await up.page.getByLabel('Name').fill('Ada')
  await up.page.getByLabel('E-mail address').fill('ada@example.com')
  await up.page.getByLabel(/^Password/).fill('a good password')
  await picture(up.page, 'sign-up-dark')
  await up.page.getByRole('button', { name: 'Create account' }).click()
  await up.page.getByText('Look into your mail').waitFor()
  await picture(up.page, 'sign-up-done-dark')
  await up.close()

  const magic = await openPage('/auth/sign-in', {
    'POST /api/auth/sign-in/magic-link': () => ({ body: { status: true } }),
  })
  await magic.page.getByLabel('E-mail address').fill('ada@example.com')
  await magic.page.getByRole('button', { name: 'Send me a link' }).click()
  await magic.page.getByText('a link is on its way').waitFor()
  assert.deepEqual(magic.asked[0]?.body, { email: 'ada@example.com', callbackURL: '/account' })
  await magic.close()

  const forgot = await openPage('/auth/forgot-password', {
    'POST /api/auth/request-password-reset': () => ({ body: { status: true } }),
  })
  await forgot.page.getByLabel('E-mail address').fill('ada@example.com')
  await forgot.page.getByRole('button').click()
  await forgot.page.getByText('the link is on its way').waitFor()
  await forgot.close()

  const reset = await openPage('/auth/reset-password?token=abc', {
    'POST /api/auth/reset-password': () => ({ status: 400, body: { code: 'INVALID_TOKEN', message: 'x' } }),
  })
  await reset.page.getByLabel(/^New password/).fill('a better password')
  await reset.page.getByRole('button').click()
  await reset.page.getByText('used already or is too old').waitFor()
  assert.deepEqual(reset.asked[0]?.body, { newPassword: 'a better password', token: 'abc' })
  await reset.close()
})

test('a link that confirms an address has worked, or another one can be sent', { skip }, async () => {
  const good = await openPage('/auth/verify-email')
  await good.page.getByText('Your address is confirmed.').waitFor()
  assert.equal(await good.page.getByRole('button').count(), 0)
  await picture(good.page, 'verified')
  await good.close()
  const bad = await openPage('/auth/verify-email?error=INVALID_TOKEN', {
    'POST /api/auth/send-verification-email': () => ({ body: { status: true } }),
  })
  await bad.page.getByText('Have another one sent').waitFor()
  assert.equal(await bad.page.getByText('Your address is confirmed.').isVisible(), false)
  await bad.page.getByLabel('E-mail address').fill('ada@example.com')
  await bad.page.getByRole('button').click()
  await bad.page.getByText('the link is on its way').waitFor()
  await bad.close()
})

const packages = [
  {
    stripePriceId: 'price_1',
    label: '3000 Flux',
    defaultCurrency: 'usd',
    currencies: { usd: '$3.00', eur: '€3.00' },
    recommended: false,
  },
  {
    stripePriceId: 'price_2',
    label: '10000 Flux',
    defaultCurrency: 'usd',
    currencies: { usd: '$9.00', eur: '€9.00' },
    recommended: true,
  },
]
const records = [
  { id: '1', type: 'debit', amount: 1234, description: EVIL, metadata: null, createdAt: '2026-11-30T10:00:00.000Z' },
  {
    id: '2',
    type: 'credit',
    amount: 3000,
    description: 'Stripe payment',
    metadata: null,
    createdAt: '2026-11-29T10:00:00.000Z',
  },
]
const invitations = [
  { id: 'inv_a', project_name: EVIL, role: 'editor', expires_at: '2026-12-10T10:00:00.000Z' },
  { id: 'inv_b', project_name: 'of a team', role: 'viewer', expires_at: '2026-12-11T10:00:00.000Z' },
]
const session = { user: { name: EVIL, email: 'ada@example.com' }, session: { id: 's' } }

test('the account: balance, a purchase, history, keys, signing out, deletion', { skip }, async () => {
  const { db } = api.database
  const person = await openPerson({ db, grants: api.deps.grants, keys: api.deps.keys }, 'page@example.com', {
    nanos: 12_345_678_900_000n,
  })
  const fakes: Record<string, Fake> = {
    'GET /api/auth/get-session': () => ({ body: session }),
    'GET /api/v1/stripe/packages': () => ({ body: packages }),
    'GET /api/v1/invitations': () => ({ body: { object: 'list', data: invitations } }),
    'POST /api/v1/invitations/inv_a/accept': () => ({
      body: { object: 'membership', project_id: 'prj_a', role: 'editor' },
    }),
    'DELETE /api/v1/invitations/inv_b': () => ({ status: 204, body: undefined as never }),
    'POST /api/v1/stripe/checkout': () => ({ body: { url: `${base}/settings/flux?success=true` } }),
    'GET /api/v1/flux/history': (_body, route) => ({
      body: route.request().url().includes('offset=0')
        ? { records, hasMore: true }
        : { records: [records[0]], hasMore: false },
    }),
    'POST /api/auth/delete-user': () => ({ body: { success: true, message: 'Verification email sent' } }),
    'POST /api/auth/sign-out': () => ({ body: { success: true } }),
  }
  const { page, asked, close } = await openPage('/account', fakes, { key: person.secret })
  await page.getByText('12,345,678.9 Flux').waitFor()
  await page.getByText('−1,234').waitFor()
  assert.equal(await page.locator('img').count(), 0, 'what people chose is text')
  assert.deepEqual(await unnamed(page), [])
  await picture(page, 'account')

  await page.getByRole('button', { name: `Join ${EVIL}` }).click()
  await page.getByText('You have joined').waitFor()
  await page.getByRole('button', { name: 'Decline of a team' }).click()
  await page.getByText('You have declined "of a team".').waitFor()
  assert.equal(await page.getByRole('heading', { name: 'Invitations' }).isVisible(), false)

  await page.getByRole('button', { name: 'Show more' }).click()
  await page.locator('#records tr').nth(2).waitFor()

  await page.getByLabel('Name of a new key').fill('laptop')
  await page.keyboard.press('Enter')
  const secret = (await page.locator('#secret').textContent({ timeout: 5_000 })) ?? ''
  await page.getByRole('button', { name: 'Revoke the key laptop' }).waitFor()
  const shown = (await page.locator('#secret').textContent()) ?? secret
  assert.match(shown, /^fg_key_/)
  await picture(page, 'account-key')
  page.once('dialog', (dialog) => void dialog.accept())
  await page.getByRole('button', { name: 'Revoke the key laptop' }).click()
  await page.getByText('The key "laptop" is revoked.').waitFor()
  assert.equal((await api.call('GET /v1/keys/current', { key: shown })).status, 401)

  await page.getByLabel('Currency').selectOption('eur')
  await page.getByRole('button', { name: 'Buy 10000 Flux for €9.00' }).click()
  await page.waitForURL(`${base}/account?success=true`)
  await page.getByText('Thank you').waitFor()
  assert.deepEqual(asked.find(({ line }) => line.endsWith('/checkout'))?.body, {
    stripePriceId: 'price_2',
    currency: 'eur',
  })

  await page.getByRole('button', { name: 'Delete my account' }).click()
  await page.getByText('a link there confirms').waitFor()
  await page.getByRole('button', { name: 'Sign out' }).click()
  await page.waitForURL(`${base}/auth/sign-in`)
  await close()
})

test('the account in the dark and narrow, where nothing can be bought', { skip }, async () => {
  const { db } = api.database
  const person = await openPerson({ db, grants: api.deps.grants, keys: api.deps.keys }, 'dark@example.com', {})
  await db.query('update wallet set frozen = true, version = version + 1 where id = $1', [person.walletId])
  const { page, close } = await openPage(
    '/account',
    {
      'GET /api/auth/get-session': () => ({ body: session }),
      'GET /api/v1/stripe/packages': () => ({ body: [] }),
      'GET /api/v1/invitations': () => ({ body: { object: 'list', data: [] } }),
      'GET /api/v1/flux/history': () => ({ status: 503, body: { error: 'x', message: 'The books are away.' } }),
    },
    { key: person.secret, dark: true },
  )
  await page.setViewportSize({ width: 360, height: 800 })
  await page.getByText('Your balance is frozen').waitFor()
  await page.getByText('The books are away.').waitFor()
  assert.equal(await page.getByRole('heading', { name: 'Buy Flux' }).isVisible(), false)
  assert.equal(await page.getByRole('heading', { name: 'Invitations' }).isVisible(), false)
  assert.equal(await page.evaluate('document.documentElement.scrollWidth <= innerWidth'), true, 'nothing sticks out')
  await picture(page, 'account-dark-narrow')
  await close()
})

test('whoever is not signed in is sent to sign in', { skip }, async () => {
  const { page, close } = await openPage('/account', { 'GET /api/auth/get-session': () => ({ body: null }) })
  await page.waitForURL(`${base}/auth/sign-in?next=%2Faccount`)
  await close()
})
