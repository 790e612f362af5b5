import assert from 'node:assert/strict'
import { ADMIN_KEY, createTestGateway, type Json, type TestGatewayOptions } from '#test/support/gateway.ts'
import { openPerson } from '#test/support/people.ts'
import { claimTestSlot } from '#test/support/slot.ts'
import { createTestTill } from '#test/support/till.ts'
import { until } from '#test/support/until.ts'
import { createStripeDouble, PRODUCT, type StripeDouble } from './double.ts'

export const FLUX = 1_000_000n
export const PAGE_ORIGIN = 'https://app.example'

/** A gateway that sells Flux by a double of Stripe. */
export async function createStripeGateway(options: TestGatewayOptions = {}) {
  const double = await createStripeDouble()
  const gateway = await createTestGateway({
    ...options,
    env: {
      ...{ BETTER_AUTH_SECRET: 'a-secret-of-the-tests-long-enough-for-anybody', MAIL_OUTBOX: 'on' },
      ...{ API_SERVER_URL: 'http://gateway.example', ADDITIONAL_TRUSTED_ORIGINS: PAGE_ORIGIN },
      ...double.env,
      ...options.env,
    },
  })
  const { db } = gateway
  const till = await createTestTill({ database: gateway.database, slot: await claimTestSlot(db) })
  let people = 0

  async function ask(
    line: string,
    call: { key?: string | null; body?: unknown; headers?: Record<string, string> } = {},
  ) {
    const [method = '', path = ''] = line.split(' ')
    const { key = ADMIN_KEY, body, headers } = call
    return gateway.chat(body, { method, path, key, headers: { origin: PAGE_ORIGIN, ...headers } })
  }
  const set = await ask('PUT /api/admin/settings', {
    body: { values: { STRIPE_FLUX_PRODUCT_ID: PRODUCT }, reason: 'a test' },
  })
  assert.equal(set.status, 200, set.text)
  const probe = await openPerson({ db, ...gateway.app }, 'probe@example.com')
  await until('the setting is felt', async () => {
    const body = { enabled: false, thresholdFlux: 1, stripePriceId: 'price_none', maxFluxPerMonth: 1 }
    const { status } = await ask('PUT /api/v1/stripe/auto-top-up', { key: probe.secret, body })
    return status === 400
  })

  return {
    ...gateway,
    double,
    till,
    ask,

    async openPerson(flux = 0n) {
      people += 1
      const person = await openPerson({ db, ...gateway.app }, `buyer${people}@example.com`, { nanos: flux * FLUX })
      return {
        ...person,
        ask: (line: string, body?: unknown) => ask(line, { key: person.secret, body }),

        /** Begins a checkout; resolves to its id at Stripe. */
        async checkout(stripePriceId: string, more: object = {}): Promise<string> {
          const { status, json, text } = await ask('POST /api/v1/stripe/checkout', {
            ...{ key: person.secret, body: { stripePriceId, ...more } },
          })
          assert.equal(status, 200, text)
          return json.url.split('/').at(-1)
        },

        /** Whole balance in Flux, and what of it is owed and whether it is frozen. */
        async money() {
          const { rows } = await db.query<{ flux: bigint; owed: bigint; frozen: boolean }>(
            `select w.posted / 1000000 as flux, w.frozen,
                    (select coalesce(sum(owed), 0) from payment where wallet_id = w.id)::bigint / 1000000 as owed
             from wallet w where w.id = $1`,
            [person.walletId],
          )
          return rows[0]
        },
      }
    },

    /** Delivers events, each of which must be taken. */
    async deliver(...events: Json[]): Promise<void> {
      for (const event of events) assert.equal(await tell(double, event, gateway.url), 200, event.type)
    },
    tell: (event: Json) => tell(double, event, gateway.url),

    async close(): Promise<void> {
      await till.close()
      await gateway.close()
      await double.close()
    },
  }
}

export type StripeGateway = Awaited<ReturnType<typeof createStripeGateway>>
export type Buyer = Awaited<ReturnType<StripeGateway['openPerson']>>

/** Sends an event to a gateway as Stripe does; resolves to the status of its answer. */
export async function tell(double: StripeDouble, event: Json, gateway: string): Promise<number> {
  const response = await double.deliver(event, `${gateway}/api/v1/stripe/webhook`)
  await response.arrayBuffer()
  return response.status
}
