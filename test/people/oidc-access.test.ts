import assert from 'node:assert/strict'
import { createPrivateKey, createPublicKey, type KeyObject } from 'node:crypto'
import { after, before, test } from 'node:test'
import { symmetricDecrypt } from 'better-auth/crypto'
import { decodeJwt, decodeProtectedHeader, generateKeyPair, type JWTPayload, SignJWT } from 'jose'
import { createSessionSweeper } from '#domain/people/session-sweeper.ts'
import { createOidcApp, ORIGIN, type Tokens } from '#test/support/oidc-app.ts'
import { createOidcBench, DESKTOP, type OidcBench, refusal, SECRET, WEB } from '#test/support/oidc-bench.ts'
import { until } from '#test/support/until.ts'

/** What is felt within a second, with some time to ask. */
const SECOND_MS = 1_500

let bench: OidcBench
let elsewhere: string
before(async () => {
  bench = await createOidcBench()
  elsewhere = await bench.openAnother()
})
after(() => bench.close())

/** The token works at both gateways, and is in their memory. */
async function works(tokens: Tokens): Promise<void> {
  for (const url of [undefined, elsewhere]) {
    const answer = await bench.call(tokens, url)
    assert.equal(answer.status, 200, answer.text)
  }
}

/** Within a second no gateway takes the access token, and nothing comes of the refresh token. */
async function isOver(tokens: Tokens, status = 401): Promise<void> {
  await Promise.all(
    [undefined, elsewhere].map((url) =>
      until('the token is refused', async () => (await bench.call(tokens, url)).status === status, SECOND_MS),
    ),
  )
  assert.deepEqual(await refusal(await bench.app.refreshRaw(tokens.refreshToken)), [400, 'invalid_grant'])
}

const rowsOf = async (userId: string) =>
  (await bench.gateway.db.query('select from oauth_refresh_token where user_id = $1', [userId])).rows.length

test('signing out ends what apps were given in this session, at every gateway, and nothing of another', async () => {
  const { app, auth } = bench
  const person = await bench.signUp()
  const other = await bench.signInAgain(person.email)
  const [tokens, kept] = [await app.signIn(person), await app.signIn(other)]
  await works(tokens)
  assert.equal((await auth('/sign-out', {}, { cookie: person.cookie })).status, 200)
  await isOver(tokens)
  await works(kept)
  await works(await app.refresh(kept))
})

test('every way to end sessions ends what apps were given in them', async () => {
  const { app, auth, gateway } = bench
  const ways: Record<string, (person: { cookie: string; userId: string }) => Promise<unknown>> = {
    'the person ends all': ({ cookie }) => auth('/revoke-sessions', {}, { cookie }),
    'the operator deletes it': ({ userId }) =>
      gateway.db.query('delete from auth_session where user_id = $1', [userId]),
    'it runs out': ({ userId }) =>
      gateway.db.query("update auth_session set expires_at = now() - interval '1 second' where user_id = $1", [userId]),
  }
  for (const [name, end] of Object.entries(ways)) {
    const person = await bench.signUp()
    const tokens = await app.signIn(person)
    await works(tokens)
    await end(person)
    await isOver(tokens).catch((cause: unknown) => assert.fail(`${name}: ${String(cause)}`))
  }
})

test('an app signs the person out: with the browser, and alone by what it was given', async () => {
  const { app } = bench
  for (const withBrowser of [true, false]) {
    const person = await bench.signUp()
    const tokens = await app.signIn(person)
    await works(tokens)
    const url = new URL((await app.server()).end_session_endpoint ?? '')
    url.searchParams.set('id_token_hint', tokens.idToken)
    url.searchParams.set('post_logout_redirect_uri', 'https://app.example/bye')
    url.searchParams.set('state', 'a b')
    const { status, headers } = await app.visit(url.href, withBrowser ? person : undefined)
    assert.deepEqual([status, headers.location], [302, 'https://app.example/bye?state=a+b'])
    if (withBrowser) assert.match(String(headers['set-cookie']), /session_token=;.*Max-Age=0/i)
    await isOver(tokens)
    assert.match(String((await app.visit((await app.ask()).url, person)).headers.location), /^\/auth\/sign-in/)
  }
})

test('with an access token an app asks who is signed in, and signs out, without coming by the token of the session', async () => {
  const { app, gateway } = bench
  const person = await bench.signUp()
  const tokens = await app.signIn(person)
  await works(tokens)
  const ask = (path: string, key: string, body?: unknown) =>
    gateway.chat(body, { path: `/api/auth${path}`, key, method: body === undefined ? 'GET' : 'POST' })
  const asked = await ask('/get-session', tokens.accessToken)
  assert.deepEqual([asked.json.user.email, asked.json.session.token], [person.email, tokens.accessToken])
  assert.deepEqual(
    Object.keys(asked.headers).filter((name) => /cookie|set-auth/.test(name)),
    [],
  )
  const { rows } = await gateway.db.query('select token from auth_session where user_id = $1', [person.userId])
  for (const { token } of rows) assert(!asked.text.includes(token))
  const forged = `${tokens.accessToken.slice(0, -8)}AAAAAAAA`
  assert.equal((await ask('/get-session', forged)).json, null)
  await ask('/sign-out', forged, {})
  await works(tokens)
  assert.equal((await ask('/sign-out', tokens.accessToken, {})).status, 200)
  await isOver(tokens)
  assert.equal((await ask('/get-session', tokens.accessToken)).json, null)
})

test('an app sends nobody elsewhere by signing out, and ends nothing that it does not show to be its own', async () => {
  const { app, auth } = bench
  const person = await bench.signUp()
  const tokens = await app.signIn(person)
  const other = await bench.signUp()
  const endpoint = (await app.server()).end_session_endpoint ?? ''
  const visit = (params: Record<string, string>, browser = person) =>
    app.visit(`${endpoint}?${new URLSearchParams(params)}`, browser)
  const stranger = await generateKeyPair('RS256')
  const { kid = '' } = decodeProtectedHeader(tokens.idToken)
  const forged = await new SignJWT(decodeJwt(tokens.idToken))
    .setProtectedHeader({ alg: 'RS256', kid })
    .sign(stranger.privateKey)
  for (const [params, browser] of [
    [{ id_token_hint: forged }, person],
    [{ id_token_hint: tokens.accessToken }, person],
    [{ id_token_hint: 'x' }, person],
    [{ id_token_hint: tokens.idToken, client_id: 'desktop' }, person],
    [{ id_token_hint: tokens.idToken }, other],
    [{ client_id: 'stage-web' }, person],
    [{}, person],
  ] as const) {
    const answer = await visit(params, browser)
    assert.deepEqual([answer.status, /Confirm logout/.test(answer.text)], [200, true], JSON.stringify(params))
  }
  await works(tokens)
  const gone = await visit({ id_token_hint: tokens.idToken, post_logout_redirect_uri: 'https://evil.example/' })
  assert.equal(gone.headers.location, `${ORIGIN}/auth/sign-in`)
  await isOver(tokens)
  assert.notEqual((await auth('/get-session', undefined, { cookie: other.cookie })).json, null)
})

test('a ban ends what apps were given, and a code that is under way', async () => {
  const { app, gateway } = bench
  const person = await bench.signUp()
  const tokens = await app.signIn(person)
  await works(tokens)
  const { callback, verifier } = await app.authorize(person)
  await gateway.db.query('update auth_user set banned = true where id = $1', [person.userId])
  await isOver(tokens, 403)
  assert.deepEqual(await refusal(await app.exchangeRaw(callback, verifier)), [400, 'invalid_grant'])
  await assert.rejects(app.userInfo(tokens))
  assert.equal(await rowsOf(person.userId), 0)
  await gateway.db.query('update auth_user set banned = false where id = $1', [person.userId])
  assert.deepEqual(await refusal(await app.refreshRaw(tokens.refreshToken)), [400, 'invalid_grant'])
})

test('with an account goes all that apps were given, and what they have not fetched', async () => {
  const { app, auth, gateway } = bench
  const person = await bench.signUp()
  const tokens = await app.signIn(person)
  await works(tokens)
  const { callback, verifier } = await app.authorize(person)
  assert.equal((await auth('/delete-user', {}, { cookie: person.cookie })).status, 200)
  const gone = await app.visit(await bench.linkTo(person.email, 'deleted'), person)
  assert(gone.status < 400, gone.text)
  await isOver(tokens)
  assert.equal((await refusal(await app.exchangeRaw(callback, verifier)))[0], 400)
  assert.equal(await rowsOf(person.userId), 0)
  const { rows } = await gateway.db.query('select from auth_verification where position($1 in value) > 0', [
    person.userId,
  ])
  assert.equal(rows.length, 0)
})

test('a refresh token is good once: a second use ends all that came of it', async () => {
  const { app } = bench
  const first = await app.signIn(await bench.signUp())
  const second = await app.refresh(first)
  const third = await app.refresh(second)
  assert.deepEqual(await refusal(await app.refreshRaw(first.refreshToken)), [400, 'invalid_grant'])
  assert.deepEqual(await refusal(await app.refreshRaw(third.refreshToken)), [400, 'invalid_grant'])

  const other = createOidcApp(() => bench.gateway.url, { client: DESKTOP, redirectUri: 'http://127.0.0.1:5000/cb' })
  const mine = await app.signIn(await bench.signUp())
  assert.deepEqual(await refusal(await other.refreshRaw(mine.refreshToken)), [400, 'invalid_grant'])
  await app.refresh(mine)
})

test('of many uses of one refresh token at once at most one is answered', async () => {
  const { app } = bench
  const tokens = await app.signIn(await bench.signUp())
  const answers = await Promise.all(Array.from({ length: 8 }, () => app.refreshRaw(tokens.refreshToken)))
  assert(answers.filter(({ status }) => status === 200).length <= 1)
  assert(answers.every(({ status }) => status === 200 || status === 400))
})

test('a session lasts while an app goes on with it', async () => {
  const { app, gateway } = bench
  const person = await bench.signUp()
  const tokens = await app.signIn(person)
  await gateway.db.query("update auth_session set expires_at = now() + interval '2 days' where user_id = $1", [
    person.userId,
  ])
  await app.refresh(tokens)
  const { rows } = await gateway.db.query(
    "select count(*)::int as n from auth_session where user_id = $1 and expires_at > now() + interval '29 days'",
    [person.userId],
  )
  assert.deepEqual(rows, [{ n: 1 }])
})

test('an app that is configured no more gets nothing, and its tokens open nothing', async () => {
  const desktop = createOidcApp(() => bench.gateway.url, { client: DESKTOP, redirectUri: 'http://127.0.0.1:5000/cb' })
  const person = await bench.signUp()
  const tokens = await desktop.signIn(person)
  const later = await bench.openAnother({ OIDC_CLIENTS: JSON.stringify([WEB]) })
  assert.equal((await bench.call(tokens)).status, 200)
  assert.equal((await bench.call(tokens, later)).status, 401)
  const gone = createOidcApp(() => later, { client: DESKTOP, redirectUri: 'http://127.0.0.1:5000/cb' })
  assert.deepEqual(await refusal(await gone.refreshRaw(tokens.refreshToken)), [400, 'invalid_client'])
  const { headers } = await gone.visit((await gone.ask()).url, person)
  assert.match(String(headers.location), /^https:\/\/gateway\.example\/api\/auth\/error\?error=invalid_client/)
})

/** The key that signs, as whoever has the database and the secret could take it. */
async function signingKey(): Promise<{ kid: string; privateKey: KeyObject; publicKey: KeyObject }> {
  const { rows } = await bench.gateway.db.query<{ id: string; sealed: string }>(
    'select id, private_key as sealed from auth_jwk order by created_at desc limit 1',
  )
  const [row] = rows
  assert(row)
  const jwk = JSON.parse(await symmetricDecrypt({ key: SECRET, data: JSON.parse(row.sealed) }))
  const privateKey = createPrivateKey({ key: jwk, format: 'jwk' })
  return { kid: row.id, privateKey, publicKey: createPublicKey(privateKey) }
}

test('a token that anything is wrong with opens nothing', async () => {
  const { app } = bench
  const person = await bench.signUp()
  const genuine = await app.signIn(person)
  const claims = decodeJwt(genuine.accessToken)
  const { kid, privateKey, publicKey } = await signingKey()
  const header = { alg: 'RS256', typ: 'at+jwt', kid }
  const sign = (change: JWTPayload, head: { alg: string; typ?: string; kid?: string } = header, key = privateKey) =>
    new SignJWT({ ...claims, ...change }).setProtectedHeader(head).sign(key)
  const without = (name: string) => {
    const { [name]: _gone, ...rest } = claims
    return new SignJWT(rest).setProtectedHeader(header).sign(privateKey)
  }
  const now = Math.floor(Date.now() / 1000)
  const stranger = (await generateKeyPair('RS256', { extractable: true })).privateKey
  const [, payload = ''] = genuine.accessToken.split('.')
  const encode = (value: unknown) => Buffer.from(JSON.stringify(value)).toString('base64url')
  const hmacKey = new TextEncoder().encode(publicKey.export({ type: 'spki', format: 'pem' }).toString())
  const { sid: foreign } = decodeJwt((await app.signIn(await bench.signUp())).accessToken)
  assert.equal((await bench.call({ accessToken: await sign({}) })).status, 200, 'the forger can sign')

  const forged: Record<string, string> = {
    'no signature': `${encode({ ...header, alg: 'none' })}.${payload}.`,
    'no signature, and something in its place': `${encode({ ...header, alg: 'none' })}.${payload}.AA`,
    'the public key as a secret': await new SignJWT(claims)
      .setProtectedHeader({ ...header, alg: 'HS256' })
      .sign(hmacKey),
    'another algorithm of this key': await sign({}, { ...header, alg: 'RS512' }),
    'a stranger under our key id': await new SignJWT(claims).setProtectedHeader(header).sign(stranger),
    'a stranger under another key id': await new SignJWT(claims)
      .setProtectedHeader({ ...header, kid: 'another' })
      .sign(stranger),
    'a changed signature': `${genuine.accessToken.slice(0, -8)}AAAAAAAA`,
    'another audience': await sign({ aud: 'https://other.example' }),
    'the app as audience, as in an ID token': await sign({ aud: 'stage-web' }),
    'no audience': await without('aud'),
    'another issuer': await sign({ iss: 'https://evil.example/api/auth' }),
    'no issuer': await without('iss'),
    'run out': await sign({ exp: now - 60 }),
    'without an end': await without('exp'),
    'not valid yet': await sign({ nbf: now + 600 }),
    'without the type of access tokens': await sign({}, { alg: 'RS256', kid }),
    'another type': await sign({}, { ...header, typ: 'logout+jwt' }),
    'no session': await without('sid'),
    'a session that never was': await sign({ sid: 'never' }),
    'the session of somebody else': await sign({ sid: foreign }),
    'another person': await sign({ sub: 'usr_0' }),
    'no app': await without('client_id'),
    'an app that nobody configured': await sign({ client_id: 'evil' }),
    'bound to a key that is not shown': await sign({ cnf: { jkt: 'x' } }),
  }
  for (const [name, accessToken] of Object.entries(forged)) {
    for (const url of [undefined, elsewhere]) assert.equal((await bench.call({ accessToken }, url)).status, 401, name)
    const asked = await bench.auth('/get-session', undefined, { authorization: `Bearer ${accessToken}` })
    assert.equal(asked.json, null, name)
  }
  assert.equal((await bench.call(genuine)).status, 200)
})

test('a key that is taken away opens nothing, and tokens are signed with another', async () => {
  const { app, gateway } = bench
  const person = await bench.signUp()
  await app.signIn(person)
  await gateway.db.query('delete from auth_jwk')
  const tokens = await app.signIn(person)
  // Neither gateway has seen the key.
  await until('the new key is known', async () => (await bench.call(tokens)).status === 200, 5_000)
  await until('the new key is known there', async () => (await bench.call(tokens, elsewhere)).status === 200, 5_000)
})

test('tokens whose session cannot be looked up are 503, never 401', async () => {
  const { app, gateway } = bench
  const tokens = await app.signIn(await bench.signUp())
  await works(tokens)
  await gateway.db.query('alter table auth_session rename to auth_session_away')
  try {
    await until('it is asked for again', async () => (await bench.call(tokens)).status !== 200, 5_000)
    assert.equal((await bench.call(tokens)).status, 503)
  } finally {
    await gateway.db.query('alter table auth_session_away rename to auth_session')
  }
})

test('what is over is swept', async () => {
  const { app, gateway } = bench
  const { db } = gateway
  const person = await bench.signUp()
  await app.signIn(person)
  const kept = await app.signIn(await bench.signUp())
  await db.query("update oauth_refresh_token set expires_at = now() - interval '1 minute' where user_id = $1", [
    person.userId,
  ])
  await db.query(`insert into auth_jwk (id, public_key, private_key, created_at, expires_at)
                  values ('old', '{}', '{}', now(), now() - interval '31 days'),
                         ('late', '{}', '{}', now(), now() - interval '29 days')`)
  const sweeper = createSessionSweeper({ db, everyMs: 3_600_000, onError: (error) => assert.fail(String(error)) })
  await sweeper.sweep()
  await sweeper.close()
  assert.equal(await rowsOf(person.userId), 0)
  assert.equal(await rowsOf(kept.subject), 1)
  const { rows } = await db.query("select id from auth_jwk where id in ('old', 'late')")
  assert.deepEqual(rows, [{ id: 'late' }])
  await db.query("delete from auth_jwk where id = 'late'")
})
