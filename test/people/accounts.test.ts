import assert from 'node:assert/strict'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { after, before, test } from 'node:test'
import { exportJWK, generateKeyPair, SignJWT } from 'jose'
import { createTokenIssuer } from '#adapters/token-issuer.ts'
import { createTestGateway, type Json, type TestGateway } from '#test/support/gateway.ts'
import { until } from '#test/support/until.ts'

const ORIGIN = 'http://gateway.example'
const PASSWORD = 'correct horse battery'
const CHAT = { model: 'sim/echo', messages: [{ role: 'user', content: 'hi' }] }

/** Another issuer of tokens, whose keys a test takes away or changes. */
async function createIssuer() {
  let away = false
  let keys = await generateKeyPair('RS256')
  let kid = 'one'
  const server = createServer(async (_req, res) => {
    if (away) {
      res.destroy()
      return
    }
    res.setHeader('content-type', 'application/json')
    res.end(JSON.stringify({ keys: [{ ...(await exportJWK(keys.publicKey)), kid, alg: 'RS256', use: 'sig' }] }))
  })
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`
  return {
    url,
    away(value: boolean): void {
      away = value
    },
    async rotate(): Promise<void> {
      keys = await generateKeyPair('RS256')
      kid = 'two'
    },
    token: (claims: Record<string, unknown>, options: { issuer?: string; audience?: string; expires?: string } = {}) =>
      new SignJWT(claims)
        .setProtectedHeader({ alg: 'RS256', kid })
        .setIssuer(options.issuer ?? `${url}/api/auth`)
        .setAudience(options.audience ?? url)
        .setIssuedAt()
        .setExpirationTime(options.expires ?? '1h')
        .sign(keys.privateKey),
    async close(): Promise<void> {
      server.closeAllConnections()
      await new Promise((resolve) => server.close(resolve))
    },
  }
}

let issuer: Awaited<ReturnType<typeof createIssuer>>
let gateway: TestGateway
before(async () => {
  issuer = await createIssuer()
  gateway = await createTestGateway({
    env: {
      BETTER_AUTH_SECRET: 'a secret of the tests, long enough for anybody'.replaceAll(' ', '-'),
      API_SERVER_URL: ORIGIN,
      ADDITIONAL_TRUSTED_ORIGINS: 'https://app.example',
      MAIL_OUTBOX: 'on',
      AUTH_GITHUB_CLIENT_ID: 'github-id',
      AUTH_GITHUB_CLIENT_SECRET: 'github-secret',
      AUTH_SERVER_URL: issuer.url,
      RATE_LIMIT_TRUSTED_PROXY: '1',
    },
  })
  await gateway.db.query(
    `insert into setting (version, key, value, author, reason) values
       (1, 'INITIAL_USER_FLUX', '700', 'x', 'x'), (2, 'AUTH_RATE_LIMIT_MAX', '1000', 'x', 'x')`,
  )
  await gateway.db.query(`select pg_notify('fluxgate_router', '')`)
})
after(async () => {
  await gateway.close()
  await issuer.close()
})

const auth = (path: string, body?: unknown, headers: Record<string, string> = {}) =>
  gateway.chat(body, {
    path: `/api/auth${path}`,
    key: null,
    method: body === undefined ? 'GET' : 'POST',
    headers: { origin: ORIGIN, ...headers },
  })

/** The link of the last mail to somebody. */
async function linkTo(email: string, text = ''): Promise<string> {
  let link = ''
  await until(`a mail to ${email}`, () => {
    const mail = gateway.log
      .lines()
      .map(({ msg }) => String(msg))
      .findLast((msg) => msg.startsWith(`Mail to ${email},`) && msg.includes(text))
    link = /Open (\S+)/.exec(mail ?? '')?.[1] ?? ''
    return link !== ''
  })
  assert(link.startsWith(`${ORIGIN}/`), 'a link begins with the public address')
  return link.slice(`${ORIGIN}/api/auth`.length)
}

let people = 0
/** Signs up, verifies the address, signs in. */
async function signUp(
  email = `person${++people}@example.com`,
): Promise<{ email: string; token: string; cookie: string; userId: string }> {
  const up = await auth('/sign-up/email', { email, password: PASSWORD, name: 'A Person' })
  assert.equal(up.status, 200, up.text)
  assert.equal(up.json.token, null)
  const verified = await auth(await linkTo(email))
  assert.equal(verified.status, 302, verified.text)
  const entered = await auth('/sign-in/email', { email, password: PASSWORD })
  assert.equal(entered.status, 200, entered.text)
  const [cookie = ''] = entered.headers['set-cookie'] ?? []
  return { email, token: entered.json.token, cookie: cookie.split(';')[0] ?? '', userId: entered.json.user.id }
}

const call = (headers: Record<string, string>, key: string | null = null) => gateway.chat(CHAT, { key, headers })

test('a person signs up, verifies, signs in and pays for a call with the gift, by token and by cookie', async () => {
  const { token, cookie, userId } = await signUp()
  assert.match(userId, /^usr_[0-9a-f]{32}$/)
  for (const answer of [await call({}, token), await call({ cookie, origin: ORIGIN })])
    assert.equal(answer.status, 200, answer.text)
  const flux = await gateway.chat(undefined, { method: 'GET', path: '/api/v1/flux', key: token })
  assert.deepEqual([flux.status, flux.json.userId, flux.json.flux], [200, userId, 699])
  const history = await gateway.chat(undefined, { method: 'GET', path: '/api/v1/flux/history', key: token })
  assert.deepEqual(
    history.json.records.map(({ type }: Json) => type),
    ['debit', 'debit', 'initial'],
  )
  const receipt = await gateway.chat(undefined, {
    method: 'GET',
    path: `/v1/receipts/${history.json.records[0].metadata.receiptId}`,
    key: token,
  })
  assert.equal(receipt.json.receipt.key_id, 'session')
})

test('twenty first calls at once open one wallet with one gift', async () => {
  const { token, userId } = await signUp()
  const answers = await Promise.all(Array.from({ length: 20 }, () => call({}, token)))
  for (const { status } of answers) assert.equal(status, 200)
  const { rows } = await gateway.db.query('select count(*) as n from project where user_id = $1', [userId])
  assert.equal(rows[0].n, 1n)
})

test('nobody enters before the address is verified, or with another password', async () => {
  const email = 'unverified@example.com'
  await auth('/sign-up/email', { email, password: PASSWORD, name: 'x' })
  assert.equal((await auth('/sign-in/email', { email, password: PASSWORD })).status, 403)
  const { email: known } = await signUp()
  assert.equal((await auth('/sign-in/email', { email: known, password: 'another password' })).status, 401)
})

test('whether an address is known shows nowhere: signing up, a forgotten password, a magic link', async () => {
  const { email } = await signUp()
  const shape = ({ status, json }: { status: number; json: Json }) => [
    status,
    Object.keys(json),
    Object.keys(json.user ?? {}).sort(),
  ]
  for (const ask of [
    (to: string) => auth('/sign-up/email', { email: to, password: PASSWORD, name: 'x' }),
    (to: string) => auth('/request-password-reset', { email: to, redirectTo: `${ORIGIN}/reset` }),
    (to: string) => auth('/sign-in/magic-link', { email: to }),
  ]) {
    const [known, unknown] = [await ask(email), await ask(`nobody${Math.random()}@example.com`)]
    assert.deepEqual(shape(known), shape(unknown))
    assert.equal(known.status, 200, known.text)
  }
  assert.equal((await auth('/check-email', { email })).status, 404)
})

test('a magic link signs in once', async () => {
  const { email } = await signUp()
  await auth('/sign-in/magic-link', { email, callbackURL: '/' })
  const link = await linkTo(email, 'magic-link')
  const entered = await auth(link)
  assert.equal(entered.status, 302)
  assert.match(String(entered.headers['set-cookie']), /session_token=/)
  const again = await auth(link)
  assert.doesNotMatch(String(again.headers['set-cookie'] ?? ''), /session_token=[^;]/)
})

test('a forgotten password: the link sets a new one and ends every session', async () => {
  const { email, token } = await signUp()
  await auth('/request-password-reset', { email, redirectTo: `${ORIGIN}/reset` })
  const { headers } = await auth(await linkTo(email, 'reset-password'))
  const resetToken = new URL(String(headers.location)).searchParams.get('token')
  const changed = await auth('/reset-password', { newPassword: 'a new password', token: resetToken })
  assert.equal(changed.status, 200, changed.text)
  assert.equal((await auth('/sign-in/email', { email, password: PASSWORD })).status, 401)
  assert.equal((await auth('/sign-in/email', { email, password: 'a new password' })).status, 200)
  await until('the old session is over', async () => (await call({}, token)).status === 401, 3_000)
})

test('signing out revokes the session: token and cookie are refused within a second', async () => {
  const { token, cookie } = await signUp()
  assert.equal((await call({}, token)).status, 200)
  assert.equal((await auth('/sign-out', {}, { cookie })).status, 200)
  const startedAt = performance.now()
  await until('the token is refused', async () => (await call({}, token)).status === 401, 3_000)
  assert(performance.now() - startedAt < 1_500)
  assert.equal((await call({ cookie, origin: ORIGIN })).status, 401)
})

test('a banned person’s session does nothing below /api/auth but end, and is itself again after the ban', async () => {
  const { token, cookie, userId } = await signUp()
  const ban = (banned: boolean) => gateway.db.query('update auth_user set banned = $2 where id = $1', [userId, banned])
  const ask = [
    () => auth('/get-session', undefined, { cookie }),
    () => auth('/get-session', undefined, { authorization: `Bearer ${token}` }),
    () => auth('/list-sessions', undefined, { cookie }),
    () => auth('/change-password', { currentPassword: PASSWORD, newPassword: 'a new password' }, { cookie }),
    () => auth('/change-email', { newEmail: 'elsewhere@example.com' }, { cookie }),
    () => auth('/update-user', { name: 'Another' }, { cookie }),
    () => auth('/revoke-sessions', {}, { cookie }),
    () => auth('/delete-user', {}, { cookie }),
  ]
  await ban(true)
  for (const [index, answer] of (await Promise.all(ask.map((send) => send()))).entries())
    assert.deepEqual([answer.status, answer.json.code], [403, 'BANNED_USER'], `${index}: ${answer.text}`)
  await ban(false)
  assert.equal((await auth('/get-session', undefined, { cookie })).json.user.name, 'A Person')
  await ban(true)
  const { email } = await signUp()
  const entered = await auth('/sign-in/email', { email, password: PASSWORD }, { cookie })
  assert.equal(entered.status, 200, 'somebody else at the same browser')
  assert.equal((await auth('/sign-out', {}, { cookie })).status, 200)
  await ban(false)
  assert.equal((await auth('/get-session', undefined, { cookie })).json, null)
})

test('a ban is felt by sessions and keys within a second, and by signing in', async () => {
  const { email, token, userId } = await signUp()
  assert.equal((await call({}, token)).status, 200)
  const { rows } = await gateway.db.query('select id from project where user_id = $1', [userId])
  const { secret } = await gateway.app.keys.create({ projectId: rows[0].id, name: 'mine' })
  assert.equal((await call({}, secret)).status, 200)
  await gateway.db.query('update auth_user set banned = true where id = $1', [userId])
  await until(
    'both are refused',
    async () => (await call({}, token)).status === 403 && (await call({}, secret)).status === 401,
    3_000,
  )
  assert.equal((await auth('/sign-in/email', { email, password: PASSWORD })).status, 403)
  await gateway.db.query(`update auth_user set ban_expires_at = now() - interval '1 second' where id = $1`, [userId])
  await until(
    'both are served',
    async () => (await call({}, token)).status === 200 && (await call({}, secret)).status === 200,
    3_000,
  )
})

test('an account is deleted once the person has opened the link: no session, no key, no second gift', async () => {
  const { email, token, cookie, userId } = await signUp()
  assert.equal((await call({}, token)).status, 200)
  const { rows } = await gateway.db.query('select id from project where user_id = $1', [userId])
  const { secret } = await gateway.app.keys.create({ projectId: rows[0].id, name: 'mine' })
  const asked = await auth('/delete-user', { callbackURL: '/' }, { cookie })
  assert.equal(asked.status, 200, asked.text)
  assert.equal((await call({}, token)).status, 200)
  const confirmed = await auth(await linkTo(email, 'delete-user'), undefined, { cookie })
  assert(confirmed.status < 400, confirmed.text)
  await until(
    'nobody is served any more',
    async () => (await call({}, token)).status === 401 && (await call({}, secret)).status === 401,
    3_000,
  )
  const { rows: left } = await gateway.db.query('select count(*) as n from auth_user where email = $1', [email])
  assert.equal(left[0].n, 0n)
  await auth('/sign-up/email', { email, password: PASSWORD, name: 'Again' })
  await auth(await linkTo(email, 'verify-email'))
  const again = await auth('/sign-in/email', { email, password: PASSWORD })
  assert.equal(again.status, 200, again.text)
  assert.equal((await call({}, again.json.token)).status, 402)
})

test('cookies speak for pages of trusted origins alone', async () => {
  const { cookie } = await signUp()
  for (const [headers, status] of [
    [{ origin: 'https://evil.example' }, 401],
    [{ origin: 'null' }, 401],
    [{ 'sec-fetch-site': 'cross-site' }, 401],
    [{}, 401],
    [{ 'sec-fetch-site': 'same-origin' }, 200],
    [{ origin: 'https://app.example' }, 200],
  ] as const)
    assert.equal((await call({ cookie, ...headers })).status, status, JSON.stringify(headers))
  const read = (headers: Record<string, string>) =>
    gateway.chat(undefined, { method: 'GET', path: '/api/v1/flux', key: null, headers })
  assert.equal((await read({ cookie, origin: 'https://evil.example' })).status, 401)
  assert.equal((await read({ cookie })).status, 200)
  const forged = `${cookie.slice(0, -10)}AAAAAAAAAA`
  assert.equal((await read({ cookie: forged })).status, 401)
})

test('people read the usage of a project they are in, by cookie, by session and by a token of another issuer', async () => {
  const { cookie, token, userId } = await signUp()
  const { id } = await gateway.app.projects.create({ name: 'a team that reads' })
  const claims = { sub: 'usr_reader', email: 'reader@example.com', emailVerified: true, name: 'x'.repeat(300) }
  const jwt = await issuer.token(claims)
  const ask = (headers: Record<string, string>, path = '/api/v1/stats') =>
    gateway.chat(undefined, { method: 'GET', path, key: null, headers })
  assert.equal((await ask({ authorization: `Bearer ${jwt}` })).status, 200, 'a token is longer than a key may be')
  const { rows } = await gateway.db.query('select user_id as id from external_identity where subject = $1', [
    claims.sub,
  ])
  for (const member of [userId, rows[0].id])
    await gateway.db.query(`insert into project_member (project_id, user_id, role) values ($1, $2, 'viewer')`, [
      id,
      member,
    ])
  for (const [headers, status] of [
    [{ cookie }, 200],
    [{ cookie, origin: 'https://evil.example' }, 401],
    [{ authorization: `Bearer ${token}` }, 200],
    [{ 'x-api-key': token }, 200],
    [{ authorization: `Bearer ${jwt}` }, 200],
    [{}, 401],
  ] as const) {
    assert.equal((await ask({ ...headers, 'x-fluxgate-project': id })).status, status)
    assert.equal((await ask({ ...headers }, `/api/v1/stats?project=${id}`)).status, status)
    assert.equal((await ask({ ...headers, 'x-fluxgate-project': id }, '/v1/receipts')).status, status)
  }
  // What is not there to be read is done with a key, and not charged to the person instead.
  const called = await call({ cookie, 'sec-fetch-site': 'same-origin', 'x-fluxgate-project': id })
  assert.deepEqual([called.status, called.json.error.code], [403, 'forbidden'])
})

test('whoever is asked to join a project gets a mail, with or without an account, and not without end', async () => {
  const owner = await signUp()
  const guest = await signUp()
  const { id } = await gateway.app.projects.create({ name: 'Cheap pills at pills.example' })
  await gateway.db.query(`insert into project_member (project_id, user_id, role) values ($1, $2, 'owner')`, [
    id,
    owner.userId,
  ])
  const invite = (email: string) =>
    gateway.chat({ email, role: 'editor' }, { path: `/api/v1/projects/${id}/invitations`, key: owner.token })
  const mails = (email: string) =>
    gateway.log
      .lines()
      .map(({ msg }) => String(msg))
      .filter((msg) => msg.startsWith(`Mail to ${email},`) && msg.includes('join a project'))
  const unknown = `nobody${Math.random()}@example.com`
  for (const email of [guest.email, unknown]) {
    assert.equal((await invite(email)).status, 201)
    assert.equal(await linkTo(email, 'join a project'), `${ORIGIN}/account`.slice(`${ORIGIN}/api/auth`.length))
    assert.doesNotMatch(mails(email).join(), /pills/, 'nothing of it is what the owner chose')
  }
  for (let n = 0; n < 4; n += 1) assert.equal((await invite(unknown)).status, 201)
  await until('the second mail', () => mails(unknown).length === 2)
  // Mails are shown in their order, so this one comes after any that were too many.
  assert.equal((await invite(guest.email)).status, 201)
  await until('the last mail', () => mails(guest.email).length === 2)
  assert.equal(mails(unknown).length, 2)
  const [{ id: invitation }] = (
    await gateway.chat(undefined, { method: 'GET', path: '/api/v1/invitations', key: guest.token })
  ).json.data
  const joined = await gateway.chat(undefined, { path: `/api/v1/invitations/${invitation}/accept`, key: guest.token })
  assert.deepEqual([joined.status, joined.json.role], [200, 'editor'])
})

test('links of mails and redirects lead to trusted places alone', async () => {
  for (const callbackURL of ['https://evil.example/', '//evil.example', 'javascript:alert(1)']) {
    const answer = await auth('/sign-up/email', {
      email: `open${Math.random()}@example.com`,
      password: PASSWORD,
      name: 'x',
      callbackURL,
    })
    assert.equal(answer.status, 403, callbackURL)
  }
})

test('another host in the request changes no link', async () => {
  await auth(
    '/sign-up/email',
    { email: 'poisoned@example.com', password: PASSWORD, name: 'x' },
    { host: 'evil.example', 'x-forwarded-host': 'evil.example' },
  )
  await linkTo('poisoned@example.com')
})

test('the ways to sign in are those that are configured; absent ones are refused', async () => {
  const providers = await auth('/providers')
  assert.deepEqual(providers.json, { emailAndPassword: true, magicLink: true, social: ['github'] })
  const github = await auth('/sign-in/social', { provider: 'github', callbackURL: '/' })
  assert.match(github.json.url, /^https:\/\/github\.com\/login\/oauth\/authorize\?.*client_id=github-id/)
  assert.equal((await auth('/sign-in/social', { provider: 'google', callbackURL: '/' })).status, 404)
})

test('bad input is refused in words and changes nothing', async () => {
  for (const [path, body] of [
    ['/sign-up/email', { email: 'nobody', password: PASSWORD, name: 'x' }],
    ['/sign-up/email', { email: 'a@example.com', password: 'short', name: 'x' }],
    ['/sign-up/email', { email: 'a@example.com', password: 'x'.repeat(1_000), name: 'x' }],
    ['/sign-in/email', { email: { $ne: '' }, password: [] }],
    ['/sign-in/email', '{"email":'],
    ['/nothing', {}],
  ] as const) {
    const answer = await auth(path, body)
    assert(answer.status >= 400 && answer.status < 500, `${path}: ${answer.status} ${answer.text}`)
  }
  assert.equal((await auth('/sign-in/email', { email: 'a@example.com', password: 'x'.repeat(70_000) })).status, 413)
})

test('requests are counted by the address that the proxy tells; what a client writes before it changes nothing', async () => {
  await gateway.db.query(
    `insert into setting (version, key, value, author, reason) values (3, 'AUTH_RATE_LIMIT_MAX', '5', 'x', 'x')`,
  )
  await gateway.db.query(`select pg_notify('fluxgate_router', '')`)
  const ask = (forwarded: string) => auth('/providers-of-nobody', undefined, { 'x-forwarded-for': forwarded })
  await until('the new limit holds', async () => (await ask('198.51.100.1')).headers['ratelimit-limit'] === '5')
  const statuses: number[] = []
  for (let n = 0; n < 8; n += 1) statuses.push((await ask(`203.0.113.${n}, 198.51.100.2`)).status)
  assert.deepEqual(
    statuses.slice(0, 5).every((status) => status === 404),
    true,
  )
  assert.deepEqual(statuses.slice(5), [429, 429, 429])
  const refused = await ask('198.51.100.2')
  assert.deepEqual([refused.json.error, refused.json.message], ['TOO_MANY_REQUESTS', 'Too many requests'])
  assert(Number(refused.headers['retry-after']) > 0)
  assert.equal((await ask('198.51.100.3')).status, 404)
  await gateway.db.query(
    `insert into setting (version, key, value, author, reason) values (4, 'AUTH_RATE_LIMIT_MAX', '1000', 'x', 'x')`,
  )
  await gateway.db.query(`select pg_notify('fluxgate_router', '')`)
})

test('a token of the other issuer stands for one person, once; a wrong one for nobody', async () => {
  const token = await issuer.token({ sub: 'abc', email: 'Outside@Example.com', email_verified: true, name: 'Out' })
  const answers = await Promise.all(Array.from({ length: 10 }, () => call({}, token)))
  for (const { status, text } of answers) assert.equal(status, 200, text)
  const { rows } = await gateway.db.query(
    "select email, email_verified from auth_user where email = 'outside@example.com'",
  )
  assert.deepEqual(rows, [{ email: 'outside@example.com', email_verified: true }])
  const claims = { sub: 'abc' }
  for (const bad of [
    await issuer.token(claims, { issuer: 'https://evil.example' }),
    await issuer.token(claims, { audience: 'https://evil.example' }),
    await issuer.token(claims, { expires: '-1h' }),
    await issuer.token({}),
    `${token.slice(0, -8)}AAAAAAAA`,
    `${Buffer.from('{"alg":"none"}').toString('base64url')}.${token.split('.')[1]}.x`,
  ])
    assert.equal((await call({}, bad)).status, 401)
})

test('an unverified address of the other issuer takes over nobody', async () => {
  const { email, userId } = await signUp()
  const unverified = await issuer.token({ sub: 'thief', email, email_verified: false })
  await call({}, unverified)
  const { rows } = await gateway.db.query("select user_id from external_identity where subject = 'thief'")
  assert.notEqual(rows[0].user_id, userId)
  const verified = await issuer.token({ sub: 'owner', email, email_verified: true })
  assert.equal((await call({}, verified)).status, 200)
  const { rows: same } = await gateway.db.query("select user_id from external_identity where subject = 'owner'")
  assert.equal(same[0].user_id, userId)
})

test('who came with an address that was not verified does not share the account of who proves it later', async () => {
  const email = 'later@example.com'
  const thief = await issuer.token({ sub: 'early thief', email, email_verified: false })
  await call({}, thief)
  const { userId } = await signUp(email)
  const { rows } = await gateway.db.query("select user_id from external_identity where subject = 'early thief'")
  assert.notEqual(rows[0].user_id, userId)
})

test('an issuer whose keys cannot be fetched says nothing about a token', async () => {
  const token = await issuer.token({ sub: 'abc' })
  const settings = { issuers: [`${issuer.url}/api/auth`], audiences: [issuer.url], timeoutMs: 1_000 }
  await assert.rejects(createTokenIssuer({ ...settings, jwksUrl: 'http://127.0.0.1:9/jwks' }).verify(token))
  await assert.rejects(createTokenIssuer({ ...settings, jwksUrl: `${gateway.url}/livez` }).verify(token))
})

test('tokens that known keys have signed are taken while their issuer is away', async () => {
  const token = await issuer.token({ sub: 'steady', email: 'steady@example.com', email_verified: true })
  assert.equal((await call({}, token)).status, 200)
  issuer.away(true)
  await issuer.rotate()
  await new Promise((resolve) => setTimeout(resolve, 1_000))
  assert.equal((await call({}, token)).status, 200)
  issuer.away(false)
})

test('sessions that cannot be looked up are 503, never 401, and tell nothing of the database', async () => {
  const { token, email } = await signUp()
  await gateway.db.query('alter table auth_session rename to auth_session_away')
  try {
    const startedAt = performance.now()
    await until('sessions are asked for again', async () => (await call({}, token)).status !== 200, 3_000)
    assert(performance.now() - startedAt < 3_000)
    assert.equal((await call({}, token)).status, 503)
    const answer = await auth('/sign-in/email', { email, password: PASSWORD })
    assert(answer.status >= 500, answer.text)
    assert(!answer.text.includes('auth_session'))
  } finally {
    await gateway.db.query('alter table auth_session_away rename to auth_session')
  }
})

test('without accounts there is nothing to sign in to', async () => {
  const bare = await createTestGateway()
  try {
    assert.equal((await bare.chat({}, { path: '/api/auth/sign-in/email', key: null })).status, 404)
  } finally {
    await bare.close()
  }
})
