import type { IncomingMessage, ServerResponse } from 'node:http'
import Stripe from 'stripe'
import type { Json } from '#test/support/gateway.ts'
import type { Books } from './books.ts'
import type { createFaults } from './faults.ts'
import { parseForm } from './form.ts'
import { type Answer, createIdempotency } from './idempotency.ts'
import { createPresent } from './present.ts'
import { invalid, StripeRefusal } from './refusal.ts'
import { checkParams, type Route } from './routes/route.ts'

interface Request {
  /** As `GET customers/cus_000001`. */
  name: string
  params: string
  key: string | undefined
  id: string
}

/** Stripe's API over HTTP: keys, forms, idempotency, faults, and the counts of what was asked. */
export function createApi(deps: {
  books: Books
  routes: readonly Route[]
  secretKey: string
  faults: ReturnType<typeof createFaults>
}) {
  const { books, faults } = deps
  const present = createPresent(books)
  const idempotency = createIdempotency(books.now)
  const routes = deps.routes.map((route) => ({
    route,
    pattern: new RegExp(`^${route.name.replaceAll('/', '\\/').replace(':id', '([A-Za-z0-9_-]+)')}$`),
  }))
  const requests: string[] = []
  const counts = new Map<string, number>()

  /** A path of fixed words goes before one with an id. */
  function find(name: string): { route: Route; id: string } | undefined {
    const found = routes.flatMap(({ route, pattern }) => {
      const match = pattern.exec(name)
      return match === null ? [] : [{ route, id: match[1] ?? '' }]
    })
    return found.find(({ id }) => id === '') ?? found[0]
  }

  function work({ name, params: text, key, id: requestId }: Request): Answer {
    const found = find(name)
    if (found === undefined)
      throw new StripeRefusal(404, {
        type: 'invalid_request_error',
        message: `Unrecognized request URL (${name}). The double may not have it.`,
      })
    const params = read(text)
    checkParams(found.route, params)
    counts.set(found.route.name, (counts.get(found.route.name) ?? 0) + 1)
    books.asRequest({ id: requestId, idempotency_key: key ?? null })
    try {
      return { status: 200, body: present(found.route.answer({ id: found.id, params }), params) }
    } finally {
      books.asRequest({ id: null, idempotency_key: null })
      books.endAct()
    }
  }

  async function respond(one: Request, request: IncomingMessage, response: ServerResponse): Promise<void> {
    const isKeyed = one.key !== undefined && request.method === 'POST'
    const known = isKeyed ? idempotency.begin(one.key ?? '', `${one.name} ${one.params}`) : undefined
    let answer: Answer | undefined = known
    try {
      await faults.wait(one.name, 'before')
      const struck = faults.take(one.name, 'before')
      if (struck) {
        faults.strike(struck, request, response)
        return
      }
      answer ??= attempt(() => work(one))
      await faults.wait(one.name, 'after')
    } finally {
      if (isKeyed && known === undefined) idempotency.end(one.key ?? '', answer)
    }
    const late = faults.take(one.name, 'after')
    if (late) faults.strike(late, request, response)
    else send(response, answer, { 'request-id': one.id, ...(known && { 'idempotent-replayed': 'true' }) })
  }

  return {
    requests,
    counts,

    async serve(request: IncomingMessage, response: ServerResponse, url: URL, body: string): Promise<void> {
      const name = `${request.method} ${url.pathname.slice(4)}`
      requests.push(name)
      const id = `req_${String(requests.length).padStart(6, '0')}`
      const header = request.headers['idempotency-key']
      const one = {
        ...{ name, id, key: typeof header === 'string' ? header : undefined },
        params: [url.search.slice(1), body].filter((part) => part !== '').join('&'),
      }
      try {
        authenticate(request, deps.secretKey)
        await respond(one, request, response)
      } catch (error) {
        if (!(error instanceof StripeRefusal)) throw error
        send(response, { status: error.status, body: error.body }, { 'request-id': id })
      }
    },
  }
}

function authenticate(request: IncomingMessage, secretKey: string): void {
  const { authorization = '' } = request.headers
  const message =
    authorization === ''
      ? 'You did not provide an API key.'
      : `Invalid API Key provided: ${authorization.slice(7, 11)}****`
  if (authorization !== `Bearer ${secretKey}`) throw new StripeRefusal(401, { type: 'invalid_request_error', message })
}

function read(text: string): Json {
  try {
    return parseForm(text)
  } catch (error) {
    throw invalid(error instanceof Error ? error.message : String(error))
  }
}

/** A refusal is an answer, too. */
function attempt(work: () => Answer): Answer {
  try {
    return work()
  } catch (error) {
    if (error instanceof StripeRefusal) return { status: error.status, body: error.body }
    throw error
  }
}

function send(response: ServerResponse, { status, body }: Answer, headers: Record<string, string>): void {
  response
    .writeHead(status, { 'content-type': 'application/json', 'stripe-version': Stripe.API_VERSION, ...headers })
    .end(JSON.stringify(body))
}
