import assert from 'node:assert/strict'
import { after, before, test } from 'node:test'
import { createTestClient } from '#test/support/gateway.ts'
import { createDataDir, type GatewayProcess, removeDataDir, startGateway } from '#test/support/gateway-process.ts'
import { until } from '#test/support/until.ts'

// A gateway as `npm start` makes it: nobody has said where it is reached, so accounts are for this machine.

const EMAIL = 'local@example.com'
const PASSWORD = 'correct horse battery'

let dataDir: string
let gateway: GatewayProcess
before(async () => {
  dataDir = await createDataDir()
  gateway = await startGateway({ dataDir })
})
after(async () => {
  gateway.kill('SIGTERM')
  await gateway.exited
  await removeDataDir(dataDir)
})

test('a person signs up on a gateway without any setting, confirms by the mail in the log, and is known by token and cookie', async () => {
  const { chat } = createTestClient(gateway.url)
  const post = (path: string, body: object) => chat(body, { path, key: null, headers: { origin: gateway.url } })
  const signUp = await post('/api/auth/sign-up/email', { name: 'Ada', email: EMAIL, password: PASSWORD })
  assert.equal(signUp.status, 200, signUp.text)
  let link = ''
  await until('a mail is in the log', () => {
    const lines = gateway.log().map(({ msg }) => String(msg))
    link = /Open (\S+)$/.exec(lines.findLast((line) => line.includes('Confirm your e-mail address')) ?? '')?.[1] ?? ''
    return link !== ''
  })
  assert(link.startsWith(gateway.url), link)
  const { pathname, search } = new URL(link)
  const confirmed = await chat(undefined, { method: 'GET', path: pathname + search, key: null })
  assert(confirmed.status < 400, confirmed.text)
  const signedIn = await post('/api/auth/sign-in/email', { email: EMAIL, password: PASSWORD })
  assert.equal(signedIn.status, 200, signedIn.text)
  const cookie = [signedIn.headers['set-cookie'] ?? []]
    .flat()
    .map((one) => one.split(';')[0])
    .join('; ')
  const { token } = signedIn.json
  for (const headers of [{ authorization: `Bearer ${token}` }, { cookie }])
    for (const path of ['/api/v1/flux', '/v1/wallet', '/v1/keys', '/api/v1/flux/history', '/api/v1/projects']) {
      const { status, text } = await chat(undefined, { method: 'GET', path, key: null, headers })
      assert.equal(status, 200, `${path} ${text}`)
    }
  const made = await chat({ name: 'mine' }, { path: '/v1/keys', key: null, headers: { cookie, origin: gateway.url } })
  assert.equal(made.status, 201, made.text)
})
