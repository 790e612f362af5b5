import assert from 'node:assert/strict'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, before, test } from 'node:test'
import { decodeJwt, decodeProtectedHeader } from 'jose'
import { parseConfig } from '#src/config.ts'
import { ADMIN_KEY, createTestGateway, type Json } from '#test/support/gateway.ts'
import { createOidcApp, ORIGIN, REDIRECT_URI } from '#test/support/oidc-app.ts'
import {
  cookieOf,
  createOidcBench,
  DESKTOP,
  FIXED,
  type OidcBench,
  PASSWORD,
  PHONE,
  refusal,
  SECRET,
  WEB,
} from '#test/support/oidc-bench.ts'

let bench: OidcBench
before(async () => {
  bench = await createOidcBench()
})
after(() => bench.close())

test('an app signs a person in, calls a model at their expense, and goes on with a refresh token', async () => {
  const { app, gateway, call } = bench
  const person = await bench.signUp()
  const tokens = await app.signIn(person)
  assert.equal(tokens.subject, person.userId)
  const header = decodeProtectedHeader(tokens.accessToken)
  const claims = decodeJwt(tokens.accessToken)
  assert.deepEqual([header.alg, header.typ], ['RS256', 'at+jwt'])
  assert.deepEqual(
    [claims.iss, claims.sub, claims.client_id, Number(claims.exp) - Number(claims.iat)],
    [`${ORIGIN}/api/auth`, person.userId, 'stage-web', 300],
  )
  assert([claims.aud].flat().includes(ORIGIN))

  const answer = await call(tokens)
  assert.equal(answer.status, 200, answer.text)
  const key = tokens.accessToken
  const flux = await gateway.chat(undefined, { method: 'GET', path: '/api/v1/flux', key })
  assert.deepEqual([flux.status, flux.json.userId, flux.json.flux], [200, person.userId, 699])
  const history = await gateway.chat(undefined, { method: 'GET', path: '/api/v1/flux/history', key })
  assert.deepEqual(
    history.json.records.map(({ type }: Json) => type),
    ['debit', 'initial'],
  )
  assert.equal((await app.userInfo(tokens)).email, person.email)

  const named = await app.authorize(person, { resource: `${ORIGIN}/` })
  assert.equal((await call(await app.exchange(named.callback, named.verifier))).status, 200)

  const next = await app.refresh(tokens)
  assert.notEqual(next.refreshToken, tokens.refreshToken)
  assert.equal((await call(next)).status, 200)
  const { rows } = await gateway.db.query('select count(*)::int as n from oauth_access_token')
  assert.deepEqual(rows, [{ n: 0 }], 'every token is a JWT')
})

test('an access token opens what a session opens, and no ID token does', async () => {
  const { app, gateway } = bench
  const tokens = await app.signIn(await bench.signUp())
  const ask = (path: string, key: string) => gateway.chat(undefined, { method: 'GET', path, key })
  for (const path of ['/v1/wallet', '/v1/keys', '/v1/models', '/api/v1/flux'])
    assert.equal((await ask(path, tokens.accessToken)).status, 200, path)
  assert.equal((await ask('/v1/wallet', tokens.idToken)).status, 401)
  assert.equal((await ask('/api/admin/projects', tokens.accessToken)).status, 403)
})

test('clients find the provider at the root and where its issuer leads, and its keys without their private half', async () => {
  const { gateway } = bench
  const ask = (path: string) =>
    gateway.chat(undefined, { method: 'GET', path, key: null, headers: { origin: 'https://app.example' } })
  for (const name of ['openid-configuration', 'oauth-authorization-server'])
    for (const path of [`/.well-known/${name}`, `/.well-known/${name}/api/auth`, `/api/auth/.well-known/${name}`]) {
      const { status, json, headers } = await ask(path)
      assert.equal(status, 200, path)
      assert.equal(headers['access-control-allow-origin'], '*', path)
      assert.equal(headers['ratelimit-limit'], '10000', 'counted as all of signing in')
      assert.deepEqual(
        [json.issuer, json.token_endpoint, json.jwks_uri, json.registration_endpoint],
        [`${ORIGIN}/api/auth`, `${ORIGIN}/api/auth/oauth2/token`, `${ORIGIN}/api/auth/jwks`, undefined],
      )
      assert.deepEqual(json.code_challenge_methods_supported, ['S256'])
      assert(json.token_endpoint_auth_methods_supported.includes('none'))
    }
  await bench.app.signIn(await bench.signUp())
  const { json } = await ask('/api/auth/jwks')
  assert(json.keys.length > 0)
  for (const key of json.keys)
    assert.deepEqual([key.alg, key.kty, key.d, key.p], ['RS256', 'RSA', undefined, undefined])
  const { rows } = await gateway.db.query('select private_key as sealed from auth_jwk')
  for (const { sealed } of rows) assert.match(sealed, /^"[0-9a-f]+"$/)
})

test('pages of any origin may exchange and ask, and none may sign people in', async () => {
  const { gateway } = bench
  const preflight = (path: string) =>
    gateway.chat(undefined, {
      ...{ method: 'OPTIONS', path, key: null },
      headers: { origin: 'https://app.example', 'access-control-request-method': 'POST' },
    })
  for (const name of ['oauth2/token', 'oauth2/userinfo', 'oauth2/revoke', 'get-session', 'jwks']) {
    const { status, headers } = await preflight(`/api/auth/${name}`)
    assert.deepEqual([status, headers['access-control-allow-origin']], [204, '*'], name)
    assert.equal(headers['access-control-allow-credentials'], undefined)
  }
  for (const name of ['oauth2/authorize', 'sign-in/email', 'list-sessions'])
    assert.equal((await preflight(`/api/auth/${name}`)).headers['access-control-allow-origin'], undefined, name)
})

test('a code is good once, with its verifier and its address, and takes back what a second use of it would steal', async () => {
  const { app } = bench
  const person = await bench.signUp()
  const first = await app.authorize(person)
  assert.deepEqual(await refusal(await app.exchangeRaw(first.callback, 'x'.repeat(43))), [401, 'invalid_request'])

  const second = await app.authorize(person)
  const wrongAddress = await app.exchangeRaw(second.callback, second.verifier, 'https://app.example/other')
  assert.deepEqual(await refusal(wrongAddress), [400, 'invalid_grant'])

  const third = await app.authorize(person)
  const tokens = await app.exchange(third.callback, third.verifier)
  assert.deepEqual(await refusal(await app.exchangeRaw(third.callback, third.verifier)), [400, 'invalid_grant'])
  assert.deepEqual(await refusal(await app.refreshRaw(tokens.refreshToken)), [400, 'invalid_grant'])

  const fourth = await app.authorize(person)
  const other = createOidcApp(() => bench.gateway.url, { client: DESKTOP })
  assert.deepEqual(await refusal(await other.exchangeRaw(fourth.callback, fourth.verifier, REDIRECT_URI)), [
    400,
    'invalid_grant',
  ])
})

test('who asks wrongly is sent nowhere, or back without a code', async () => {
  const { app } = bench
  const person = await bench.signUp()
  for (const change of [
    { client_id: 'stage-web2' },
    { client_id: undefined },
    { redirect_uri: 'https://evil.example/callback' },
    { redirect_uri: `${REDIRECT_URI}/` },
    { redirect_uri: `${REDIRECT_URI}?x=1` },
    { redirect_uri: 'https://app.example:8443/callback' },
    { redirect_uri: undefined },
    { client_id: 'fixed', redirect_uri: 'http://127.0.0.1:4101/cb' },
    { client_id: 'desktop', redirect_uri: 'http://127.0.0.1:4101/other' },
    { client_id: 'desktop', redirect_uri: 'http://localhost:4101/cb' },
  ]) {
    const { status, headers } = await app.visit((await app.ask(change)).url, person)
    const location = new URL(String(headers.location), ORIGIN)
    assert.deepEqual([status, location.origin], [302, ORIGIN], JSON.stringify(change))
    assert.match(location.search, /error=/)
    assert.doesNotMatch(location.search, /code=/)
  }
  for (const [change, error] of [
    [{ code_challenge: undefined, code_challenge_method: undefined }, 'invalid_request'],
    [{ code_challenge: undefined }, 'invalid_request'],
    [{ code_challenge_method: undefined }, 'invalid_request'],
    [{ code_challenge_method: 'plain' }, 'invalid_request'],
    [{ response_type: 'token' }, 'unsupported_response_type'],
    [{ scope: 'openid admin' }, 'invalid_scope'],
    [{ resource: 'https://other.example' }, 'invalid_target'],
    [{ request_uri: 'https://evil.example/request' }, 'request_uri_not_supported'],
  ] as const) {
    const { status, headers } = await app.visit((await app.ask(change)).url, person)
    const location = new URL(String(headers.location))
    const told = new URLSearchParams(location.search || location.hash.slice(1))
    assert.deepEqual([status, told.get('error'), told.get('code')], [302, error, null], JSON.stringify(change))
  }
})

test('an app of this machine is answered at any port if it may, and one with a scheme of its own there', async () => {
  const person = await bench.signUp()
  for (const [client, redirectUri] of [
    [DESKTOP, 'http://127.0.0.1:51234/cb'],
    [FIXED, 'http://127.0.0.1:4100/cb'],
    [PHONE, 'com.example.app://links/cb'],
  ] as const) {
    const app = createOidcApp(() => bench.gateway.url, { client, redirectUri })
    const { callback, verifier, location } = await app.authorize(person)
    assert(location.href.startsWith(`${redirectUri}?`), location.href)
    assert.equal((await bench.call(await app.exchange(callback, verifier))).status, 200)
  }
})

test('nobody is asked for consent, and who has to sign in anew is', async () => {
  const { app } = bench
  const person = await bench.signUp()
  for (const prompt of ['consent', 'none']) assert((await app.authorize(person, { prompt })).callback.has('code'))
  for (const prompt of ['login', 'select_account', 'login consent'])
    assert.match(
      String((await app.visit((await app.ask({ prompt })).url, person)).headers.location),
      /^\/auth\/sign-in\?/,
    )
  const { headers } = await app.visit((await app.ask({ prompt: 'none' })).url)
  assert.equal(new URL(String(headers.location)).searchParams.get('error'), 'login_required')
  const create = await app.visit((await app.ask({ prompt: 'create' })).url)
  assert.match(String(create.headers.location), /^\/auth\/sign-up\?/)
})

test('the page that signs in goes on with what the app asked for', async () => {
  const { app, auth } = bench
  const person = await bench.signUp()
  const { url, verifier, state } = await app.ask({ prompt: 'login' })
  const page = new URL(String((await app.visit(url)).headers.location), ORIGIN)
  assert.equal(page.pathname, '/auth/sign-in')
  const body = { email: person.email, password: PASSWORD, oauth_query: page.search.slice(1) }
  const entered = await auth('/sign-in/email', body)
  const location = new URL(entered.json.url)
  assert.deepEqual([location.origin, location.searchParams.get('state')], ['https://app.example', state])
  const callback = await app.readAnswer(location, state)
  assert.equal((await bench.call(await app.exchange(callback, verifier))).status, 200)

  const changed = { ...body, oauth_query: body.oauth_query.replace('app.example', 'evil.example') }
  assert.equal((await auth('/sign-in/email', changed)).status, 400)
})

test('who has to verify the address first comes back to the app by the link in the mail', async () => {
  const { app, auth } = bench
  const email = bench.newEmail()
  const { url, verifier, state } = await app.ask()
  const page = new URL(String((await app.visit(url)).headers.location), ORIGIN)
  // As src/routes/pages/page-tools.js writes it.
  for (const name of [...page.searchParams.keys()])
    if (['sig', 'exp'].includes(name) || name.startsWith('ba_')) page.searchParams.delete(name)
  const callbackURL = `/api/auth/oauth2/authorize?${page.searchParams}`
  const up = await auth('/sign-up/email', { email, password: PASSWORD, name: 'New', callbackURL })
  assert.equal(up.status, 200, up.text)
  const verified = await app.visit(await bench.linkTo(email))
  assert.equal(verified.status, 302, verified.text)
  const cookie = cookieOf(verified)
  const back = await app.visit(new URL(String(verified.headers.location), ORIGIN).href, { cookie })
  const location = new URL(String(back.headers.location))
  assert.deepEqual([location.origin, location.searchParams.get('state')], ['https://app.example', state])
  const callback = await app.readAnswer(location, state)
  assert.equal((await bench.call(await app.exchange(callback, verifier))).status, 200)
})

test('nobody manages clients over HTTP: not a person, not an operator', async () => {
  const { gateway } = bench
  const { cookie } = await bench.signUp()
  const client = { redirect_uris: ['https://evil.example/cb'], client_name: 'evil', token_endpoint_auth_method: 'none' }
  for (const [method, path] of [
    ...[
      'register',
      'create-client',
      'update-client',
      'delete-client',
      'client/rotate-secret',
      'consent',
      'continue',
    ].map((name) => ['POST', `/oauth2/${name}`] as const),
    ...['get-client?client_id=fixed', 'get-clients', 'public-client?client_id=fixed', 'get-consents'].map(
      (name) => ['GET', `/oauth2/${name}`] as const,
    ),
    ...['/admin/oauth2/create-client', '/admin/oauth2/resources', '//oauth2/register', '/oauth2//register'].map(
      (name) => ['POST', name] as const,
    ),
    ...['/oauth2%2Fregister', '/%6fauth2/register', '/oauth2/./register', '/x/../oauth2/register'].map(
      (name) => ['POST', name] as const,
    ),
    ['GET', '/token'],
  ] as const)
    for (const headers of [
      { origin: ORIGIN, cookie },
      { origin: ORIGIN, authorization: `Bearer ${ADMIN_KEY}` },
    ]) {
      const body = method === 'POST' ? client : undefined
      const answer = await gateway.chat(body, { method, path: `/api/auth${path}`, key: null, headers })
      assert.equal(answer.status, 404, `${method} ${path}: ${answer.text}`)
    }
  await assert.rejects(
    gateway.db.query("insert into oauth_client (id, client_id) values ('x', 'evil')"),
    /oauth_client_check/,
  )
})

test('an app gives its refresh token back, and looks into no token, which takes a secret', async () => {
  const { app, auth } = bench
  const { refreshToken } = await app.signIn(await bench.signUp())
  const form = (name: string) =>
    auth(`/oauth2/${name}`, new URLSearchParams({ client_id: 'stage-web', token: refreshToken }).toString(), {
      'content-type': 'application/x-www-form-urlencoded',
    })
  const introspected = await form('introspect')
  assert.deepEqual([introspected.status, introspected.json.error], [401, 'invalid_client'])
  assert.equal((await form('revoke')).status, 200)
  assert.deepEqual(await refusal(await app.refreshRaw(refreshToken)), [400, 'invalid_grant'])
})

test('without apps there is no provider', async () => {
  const bare = await createTestGateway({ env: { BETTER_AUTH_SECRET: 'x'.repeat(40), API_SERVER_URL: ORIGIN } })
  try {
    for (const path of ['/.well-known/openid-configuration', '/api/auth/jwks', '/api/auth/oauth2/authorize'])
      assert.equal((await bare.chat(undefined, { method: 'GET', path, key: null })).status, 404, path)
  } finally {
    await bare.close()
  }
})

test('a gateway whose database was away at the first request answers the next', async () => {
  const late = await createTestGateway({
    env: { BETTER_AUTH_SECRET: SECRET, API_SERVER_URL: ORIGIN, OIDC_CLIENTS: JSON.stringify([WEB]) },
  })
  try {
    const ask = async () =>
      (await late.chat(undefined, { method: 'GET', path: '/.well-known/openid-configuration', key: null })).status
    await late.db.query('alter table oauth_resource rename to oauth_resource_away')
    assert(await ask().then((status) => status >= 500))
    await late.db.query('alter table oauth_resource_away rename to oauth_resource')
    assert.equal(await ask(), 200)
  } finally {
    await late.close()
  }
})

test('OIDC_CLIENTS is a list of apps with addresses that nobody else can read', () => {
  const parse = (list: unknown, API_SERVER_URL = ORIGIN) =>
    parseConfig({ OIDC_CLIENTS: typeof list === 'string' ? list : JSON.stringify(list), API_SERVER_URL })
  assert.deepEqual(parse([WEB, DESKTOP]).OIDC_CLIENTS?.[1], {
    ...{ id: 'desktop', name: 'Desktop', redirectUris: ['http://127.0.0.1/cb'], anyLoopbackPort: true },
    postLogoutRedirectUris: [],
  })
  const folder = mkdtempSync(join(tmpdir(), 'fluxgate-clients-'))
  try {
    writeFileSync(join(folder, 'clients.json'), JSON.stringify([WEB]))
    assert.equal(parse(join(folder, 'clients.json')).OIDC_CLIENTS?.[0]?.id, 'stage-web')
  } finally {
    rmSync(folder, { recursive: true })
  }
  for (const address of ['https://a.example/cb', 'http://[::1]:1/cb', 'capacitor://localhost/auth/callback'])
    parse([{ ...WEB, redirect_uris: [address] }])
  for (const bad of [
    ...['[', '{}', '[]', '/no/such/file', '[1]', '[null]'],
    [WEB, WEB],
    [{ ...WEB, redirect_uris: [] }],
    [{ ...WEB, client_secret: 'x' }],
    [{ ...WEB, client_id: 'a b' }],
    [{ ...WEB, name: ' ' }],
    [{ ...WEB, any_loopback_port: 'yes' }],
    ...[
      ...['http://app.example/cb', 'javascript:alert(1)', 'data:text/html,x', 'https://a.example/#x', 'callback', ''],
      ...['https://user@a.example/cb', 'https://*.a.example/cb', 'https://a.example/ x', 'wss://a.example/x'],
    ].map((address) => [{ ...WEB, redirect_uris: [address] }]),
  ])
    assert.throws(() => parse(bad), /OIDC_CLIENTS must be /, JSON.stringify(bad))
  assert.throws(() => parseConfig({ OIDC_CLIENTS: JSON.stringify([WEB]) }), /API_SERVER_URL must be set/)
  assert.throws(() => parse([WEB], 'http://gateway.example'), /API_SERVER_URL must be set/)
  parse([WEB], 'http://127.0.0.1:3000')
})
