import assert from 'node:assert/strict'
import { once } from 'node:events'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { after, before, test } from 'node:test'
import { symmetricEncrypt } from 'better-auth/crypto'
import { Secret } from '#lib/secret.ts'
import { socialDeletionPart } from '#src/compose/social-deletion-part.ts'
import { createTestDatabase, type TestDatabase } from '#test/support/database.ts'
import { createLogSink } from '#test/support/log-sink.ts'
import { insertUser } from '#test/support/people.ts'

const secret = new Secret('a-secret-of-the-tests-long-enough-for-anybody')
const asked: { line: string; authorization: string | undefined; body: string }[] = []
let status = 200
const server = createServer(async (req, res) => {
  const chunks: Buffer[] = []
  for await (const chunk of req) chunks.push(chunk as Buffer)
  const body = Buffer.concat(chunks).toString()
  asked.push({ line: `${req.method} ${req.url}`, authorization: req.headers.authorization, body })
  res.writeHead(status).end()
})

let database: TestDatabase
before(async () => {
  database = await createTestDatabase()
  await once(server.listen(0, '127.0.0.1'), 'listening')
})
after(async () => {
  server.closeAllConnections()
  server.close()
  await database.close()
})

/** Somebody who signs in with a password and with all three. */
async function linked(email: string) {
  const user = await insertUser(database.db, email)
  const seal = (data: string) => symmetricEncrypt({ key: secret.reveal(), data })
  for (const [provider, access, refresh] of [
    ['credential', null, null],
    ['google', 'g-access', 'g-refresh'],
    ['github', 'h-access', null],
    ['apple', 'a-access', 'a-refresh'],
  ] as const)
    await database.db.query(
      `insert into auth_account (id, user_id, provider_id, account_id, access_token, refresh_token, created_at, updated_at)
       values ($1, $2, $3, $1, $4, $5, now(), now())`,
      [`${provider}-${email}`, user.id, provider, access && (await seal(access)), refresh && (await seal(refresh))],
    )
  return user
}

function partWith(sink: ReturnType<typeof createLogSink>, ids: readonly ('google' | 'github' | 'apple')[]) {
  const base = `http://127.0.0.1:${(server.address() as AddressInfo).port}`
  return socialDeletionPart(sink, {
    ...{ db: database.db, secret },
    providers: ids.map((id) => ({ id, clientId: `${id} id`, clientSecret: new Secret(`${id}-secret`) })),
    urls: { google: `${base}/google`, github: `${base}/github`, apple: `${base}/apple` },
  })
}

test('what was allowed at Google, GitHub and Apple is taken back in their words', async () => {
  asked.length = 0
  const sink = createLogSink()
  await partWith(sink, ['google', 'github', 'apple']).run(await linked('all@example.com'))
  assert.deepEqual(
    new Set(asked.map(({ line, body }) => `${line} ${body}`)),
    new Set([
      'POST /google token=g-refresh',
      'DELETE /github/github%20id/grant {"access_token":"h-access"}',
      'POST /apple token=a-refresh&client_id=apple+id&client_secret=apple-secret&token_type_hint=refresh_token',
    ]),
  )
  const basic = asked.find(({ line }) => line.startsWith('DELETE'))?.authorization?.slice('Basic '.length) ?? ''
  assert.equal(Buffer.from(basic, 'base64').toString(), 'github id:github-secret')
  assert.equal(sink.text(), '')
})

for (const [answer, requests, warnings] of [
  [404, 1, 0],
  [503, 2, 1],
  [401, 2, 1],
] as const)
  test(`a provider that answers ${answer} keeps nobody: ${requests} requests, ${warnings} warnings`, async () => {
    asked.length = 0
    status = answer
    const sink = createLogSink()
    await partWith(sink, ['github']).run(await linked(`is${answer}@example.com`))
    status = 200
    assert.equal(asked.length, requests)
    assert.equal(sink.lines().length, warnings)
    assert.doesNotMatch(sink.text(), /h-access|github-secret|example\.com/)
  })
