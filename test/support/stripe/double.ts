import { createHmac } from 'node:crypto'
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import type { Json } from '#test/support/gateway.ts'
import { createBooks, StripeRefusal } from './books.ts'
import { parseForm } from './form.ts'
import { createRoutes } from './routes.ts'
import { createShop } from './shop.ts'

const STRIPE_KEY = 'sk_test_double'
const STRIPE_WEBHOOK_SECRET = 'whsec_test_double'
export const PRODUCT = 'prod_flux'

/** A fault of the next request whose name has this in it, as in `POST customers`: before or after Stripe has done what was asked. */
interface Fault {
  match: RegExp
  when: 'before' | 'after'
  status: 500 | 429 | 'hang up'
}

/** Stripe on this machine, with memory: docs/payments.md says what is asked of it. */
export async function createStripeDouble() {
  const books = createBooks()
  const faults: Fault[] = []
  const declines: string[] = []
  const requests: string[] = []
  const answers = new Map<string, { request: string; status: number; body: Json }>()
  let url = ''
  const shop = createShop(books)
  const answer = createRoutes(books, shop, { url: () => url, decline: () => declines.shift() })
  /** Called before a request is answered; a test that wants one to wait returns a promise. */
  let gate: (name: string) => Promise<void> | void = () => undefined

  const server = createServer((request, response) => {
    void serve(request, response).catch((error) => {
      response.destroy(error)
    })
  })

  async function serve(request: IncomingMessage, response: ServerResponse): Promise<void> {
    let body = ''
    request.setEncoding('utf8')
    for await (const chunk of request) body += chunk
    const { pathname, searchParams } = new URL(request.url ?? '/', url)
    if (!pathname.startsWith('/v1/')) return servePage(request, response, pathname)
    const name = `${request.method} ${pathname.slice(4)}`
    const params = parseForm(request.method === 'GET' ? searchParams.toString() : body)
    requests.push(name)
    await gate(name)
    const fault = faults.findIndex(({ match }) => match.test(name))
    const [struck] = fault === -1 ? [] : faults.splice(fault, 1)
    if (struck?.when === 'before') return strike(struck, response)
    const { status, body: reply } = replyTo(request, name, params, body)
    if (struck?.when === 'after') return strike(struck, response)
    response.writeHead(status, { 'content-type': 'application/json', 'request-id': `req_${requests.length}` })
    response.end(JSON.stringify(reply))
  }

  function strike({ status }: Fault, response: ServerResponse): void {
    if (status === 'hang up') response.destroy()
    else
      response
        .writeHead(status, { 'content-type': 'application/json' })
        .end('{"error":{"type":"api_error","message":"no"}}')
  }

  function replyTo(request: IncomingMessage, name: string, params: Json, body: string): { status: number; body: Json } {
    if (request.headers.authorization !== `Bearer ${STRIPE_KEY}`)
      return { status: 401, body: { error: { type: 'invalid_request_error', message: 'Invalid API Key provided' } } }
    const key = request.headers['idempotency-key']
    const known = typeof key === 'string' && request.method === 'POST' ? answers.get(key) : undefined
    if (known !== undefined) {
      if (known.request === `${name} ${body}`) return known
      const message =
        'Keys for idempotent requests can only be used with the same parameters they were first used with.'
      return { status: 400, body: { error: { type: 'idempotency_error', message } } }
    }
    let made: { status: number; body: Json }
    try {
      made = {
        status: 200,
        body: structuredClone(answer({ method: request.method ?? '', path: name.split(' ')[1] ?? '', params })),
      }
    } catch (error) {
      if (!(error instanceof StripeRefusal)) throw error
      made = { status: error.status, body: structuredClone(error.body) }
    }
    if (typeof key === 'string' && request.method === 'POST') answers.set(key, { request: `${name} ${body}`, ...made })
    return made
  }

  /** The pages that people are sent to. */
  function servePage(request: IncomingMessage, response: ServerResponse, path: string): void {
    const [, kind, id = ''] = path.split('/')
    const html = (text: string) =>
      void response
        .writeHead(200, { 'content-type': 'text/html; charset=utf-8' })
        .end(`<!doctype html><html lang="en"><title>Pay</title>${text}`)
    if (kind === 'portal') {
      const session = books.get('portal', id)
      html(`<h1>Your payments</h1><a href="${session.return_url}">Back</a>`)
      return
    }
    const session = books.get('checkout', id)
    if (request.method === 'POST') {
      shop.pay(id)
      response.writeHead(303, { location: session.success_url }).end()
      return
    }
    html(
      `<h1>${session.amount_total} ${session.currency}</h1><form method="post"><button>Pay</button></form><a href="${session.cancel_url}">Cancel</a>`,
    )
  }

  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`

  /** As Stripe's library signs: `t=…,v1=HMAC(t.body)`. */
  function signed(event: Json, secret = STRIPE_WEBHOOK_SECRET): { body: string; headers: Record<string, string> } {
    const body = JSON.stringify(event)
    const t = Math.floor(Date.now() / 1000)
    const v1 = createHmac('sha256', secret).update(`${t}.${body}`).digest('hex')
    return { body, headers: { 'content-type': 'application/json', 'stripe-signature': `t=${t},v1=${v1}` } }
  }

  return {
    url,
    books,
    shop,
    faults,
    /** Codes that the next payments without the person are declined with. */
    declines,
    requests,
    signed,
    /** What the environment of a gateway needs. */
    env: { STRIPE_SECRET_KEY: STRIPE_KEY, STRIPE_WEBHOOK_SECRET, STRIPE_API_URL: url },
    setGate(next: typeof gate): void {
      gate = next
    },

    addPrice(members: {
      flux?: string
      amount: number | null
      currency?: string
      metadata?: Json
      recurring?: boolean
      options?: Json
      active?: boolean
      product?: string
    }): string {
      const { flux, amount, currency = 'usd', metadata = {}, recurring = false, options, active = true } = members
      return books.add('price', 'price', {
        ...{ product: members.product ?? PRODUCT, active, currency, unit_amount: amount },
        metadata: { ...(flux !== undefined && { fluxAmount: flux }), ...metadata },
        recurring: recurring ? { interval: 'month', interval_count: 1 } : null,
        ...(options && { currency_options: options }),
      }).id
    },

    /** Events since the last call, in the order of Stripe. */
    newEvents: (() => {
      let told = 0
      return (): Json[] => {
        const events = books.all('event').slice(told)
        told += events.length
        return events
      }
    })(),

    /** Sends an event to a gateway as Stripe does. */
    async deliver(event: Json, gateway: string): Promise<number> {
      const { body, headers } = signed(event)
      const response = await fetch(`${gateway}/api/v1/stripe/webhook`, { method: 'POST', headers, body })
      await response.arrayBuffer()
      return response.status
    },

    async close(): Promise<void> {
      server.closeAllConnections()
      await new Promise((resolve) => server.close(resolve))
    },
  }
}

export type StripeDouble = Awaited<ReturnType<typeof createStripeDouble>>
