import assert from 'node:assert/strict'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { createApp } from '#src/app.ts'
import { parseConfig } from '#src/config.ts'
import { openInstallation } from '#src/installation.ts'
import { createTestClient, createTestGateway, type Reply } from './gateway.ts'
import { type Browser, createOidcApp, ORIGIN, REDIRECT_URI, type Tokens } from './oidc-app.ts'
import { until } from './until.ts'

export const PASSWORD = 'correct horse battery'
export const SECRET = 'a-secret-of-the-tests,-long-enough-for-anybody'
export const WEB = {
  client_id: 'stage-web',
  name: 'The web app',
  redirect_uris: [REDIRECT_URI],
  post_logout_redirect_uris: ['https://app.example/bye'],
}
export const DESKTOP = {
  ...{ client_id: 'desktop', name: 'Desktop', redirect_uris: ['http://127.0.0.1/cb'], any_loopback_port: true },
}
export const FIXED = { client_id: 'fixed', name: 'Fixed', redirect_uris: ['http://127.0.0.1:4100/cb'] }
export const PHONE = { client_id: 'phone', name: 'Phone', redirect_uris: ['com.example.app://links/cb'] }

const CHAT = { model: 'sim/echo', messages: [{ role: 'user', content: 'hi' }] }

/** A person who is signed in with a browser. */
export interface Person extends Browser {
  email: string
  userId: string
}

/** A gateway with apps, and people to sign in to them. */
export async function createOidcBench() {
  const gateway = await createTestGateway({
    env: {
      ...{ BETTER_AUTH_SECRET: SECRET, API_SERVER_URL: ORIGIN, MAIL_OUTBOX: 'on' },
      OIDC_CLIENTS: JSON.stringify([WEB, DESKTOP, FIXED, PHONE]),
    },
  })
  await gateway.db.query(
    `insert into setting (version, key, value, author, reason) values
       (1, 'INITIAL_USER_FLUX', '700', 'x', 'x'), (2, 'AUTH_RATE_LIMIT_MAX', '10000', 'x', 'x')`,
  )
  await gateway.db.query(`select pg_notify('fluxgate_router', '')`)
  const app = createOidcApp(() => gateway.url)
  const others: { close(): Promise<void> }[] = []
  let people = 0

  const auth = (path: string, body?: unknown, headers: Record<string, string> = {}) =>
    gateway.chat(body, {
      path: `/api/auth${path}`,
      key: null,
      method: body === undefined ? 'GET' : 'POST',
      headers: { origin: ORIGIN, ...headers },
    })

  /** The link of the last mail to somebody, as it stands there. */
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
    return link
  }

  async function signInAgain(email: string): Promise<Person> {
    const entered = await auth('/sign-in/email', { email, password: PASSWORD })
    assert.equal(entered.status, 200, entered.text)
    return { email, cookie: cookieOf(entered), userId: entered.json.user.id }
  }

  return {
    ...{ gateway, app, auth, linkTo, signInAgain },

    newEmail: () => `person${++people}@example.com`,

    async signUp(): Promise<Person> {
      const email = this.newEmail()
      assert.equal((await auth('/sign-up/email', { email, password: PASSWORD, name: 'A Person' })).status, 200)
      assert.equal((await app.visit(await linkTo(email))).status, 302)
      return signInAgain(email)
    },

    /** A call of a model, here or at another gateway. */
    call: (tokens: Pick<Tokens, 'accessToken'>, url = gateway.url) =>
      createTestClient(url).chat(CHAT, { key: tokens.accessToken }),

    /** Another gateway on the same database. */
    async openAnother(env: Record<string, string> = {}): Promise<string> {
      const dataDir = await mkdtemp(join(tmpdir(), 'fluxgate-second-'))
      const config = parseConfig({
        ...{ DATABASE_URL: gateway.database.url, DATA_DIR: dataDir, PORT: '0' },
        ...{ FLUXGATE_ADMIN_KEY: gateway.config.FLUXGATE_ADMIN_KEY?.reveal() ?? '' },
        RECEIPT_SIGNING_KEY: gateway.config.RECEIPT_SIGNING_KEY?.reveal() ?? '',
        LOG_SIGNING_KEY: gateway.config.LOG_SIGNING_KEY?.reveal() ?? '',
        LLM_ROUTER_MASTER_KEY: gateway.config.LLM_ROUTER_MASTER_KEY?.reveal() ?? '',
        ...{ FLUXGATE_SIM_URL: gateway.simulatorUrl, BETTER_AUTH_SECRET: SECRET, API_SERVER_URL: ORIGIN },
        OIDC_CLIENTS: JSON.stringify([WEB, DESKTOP]),
        ...env,
      })
      const installation = await openInstallation(config, gateway.log.log)
      const other = await createApp(config, installation, gateway.log.log)
      others.push({
        async close() {
          await other.close(1_000)
          await installation.close()
          await rm(dataDir, { recursive: true, force: true })
        },
      })
      return other.listen()
    },

    async close(): Promise<void> {
      for (const other of others) await other.close()
      await gateway.close()
    },
  }
}

export type OidcBench = Awaited<ReturnType<typeof createOidcBench>>

export function cookieOf(answer: Reply): string {
  return (answer.headers['set-cookie'] ?? []).map((cookie) => cookie.split(';')[0]).join('; ')
}

/** What a refusal of the token endpoint says. */
export async function refusal(answer: Response): Promise<[status: number, error: unknown]> {
  const body: unknown = await answer.json()
  return [answer.status, Reflect.get(Object(body), 'error')]
}
