import type { Json } from '#test/support/gateway.ts'
import { type Books, idOf, includable, snapshot } from './books.ts'
import { invalid, missing } from './refusal.ts'

const PAGE = 10
const PAGE_MAX = 100
const LEVELS_MAX = 4
/** Members that are there only once they have something to say; asking for them is no mistake. */
const optional: Record<string, readonly string[]> = { refund: ['failure_balance_transaction'] }

/** Rows that are answered page by page, the newest first as at Stripe. */
export class Listing {
  readonly url: string
  readonly what: string
  readonly rows: readonly Json[]

  constructor(url: string, what: string, rows: readonly Json[]) {
    this.url = url
    this.what = what
    this.rows = rows
  }
}

/** Makes an answer of what a route has found: pages, and what the request wants written out. */
export function createPresent(books: Books) {
  const listOf = (url: string, data: Json[]) => ({ object: 'list', data, has_more: false, url })
  const made: Record<string, (owner: Json) => Json> = {
    refunds: ({ id }) =>
      listOf(
        `/v1/charges/${id}/refunds`,
        books.all('refund').filter(({ charge }) => charge === id),
      ),
    payments: ({ id }) =>
      listOf(
        `/v1/invoice_payments?invoice=${id}`,
        books.all('invoice_payment').filter(({ invoice }) => invoice === id),
      ),
    subscriptions: ({ id }) =>
      listOf(
        `/v1/customers/${id}/subscriptions`,
        books.all('subscription').filter(({ customer, status }) => customer === id && status !== 'canceled'),
      ),
  }

  /** `copy` is what is answered, `kept` the object that it is of. */
  function expand(copy: Json, kept: Json, path: string[], wish: string): void {
    const [name = '', ...rest] = path
    if (Array.isArray(copy)) {
      for (const [index, one] of copy.entries()) expand(one, kept[index], path, wish)
      return
    }
    if (copy === null || typeof copy !== 'object') return
    if (includable[copy.object]?.includes(name) && !(name in copy))
      copy[name] = snapshot(kept[name] ?? made[name]?.(kept) ?? null)
    if (!(name in copy) && optional[copy.object]?.includes(name)) return
    if (!(name in copy)) throw invalid(`This property cannot be expanded (${wish}).`, { param: 'expand' })
    const value = copy[name]
    if (typeof value === 'string') {
      const object = books.byId(value)
      if (object === undefined) throw invalid(`This property cannot be expanded (${wish}).`, { param: 'expand' })
      copy[name] = snapshot(object)
      if (rest.length > 0) expand(copy[name], object, rest, wish)
    } else if (rest.length > 0) expand(value, kept[name] ?? books.byId(idOf(value)) ?? value, rest, wish)
  }

  function written(row: Json, wishes: string[], prefix: string): Json {
    const copy = snapshot(row)
    for (const wish of wishes) {
      const path = wish.split('.')
      if (path.length > LEVELS_MAX)
        throw invalid(`You cannot expand more than ${LEVELS_MAX} levels of a property (${wish}).`)
      if (!wish.startsWith(prefix)) throw invalid(`This property cannot be expanded (${wish}).`, { param: 'expand' })
      expand(copy, row, wish.slice(prefix.length).split('.'), wish)
    }
    return copy
  }

  return function present(found: Json, params: Json): Json {
    const wishes = Object.values<string>(params.expand ?? {})
    if (!(found instanceof Listing)) return written(found, wishes, '')
    const { url, what, rows } = found
    const limit = Number(params.limit ?? PAGE)
    if (!Number.isInteger(limit) || limit < 1 || limit > PAGE_MAX)
      throw invalid(`This value must be between 1 and ${PAGE_MAX}.`, { param: 'limit' })
    const place = (id: string, param: string) => {
      const at = rows.findIndex((row) => row.id === id)
      if (at === -1) throw missing(what, id, param)
      return at
    }
    const end = params.ending_before === undefined ? undefined : place(params.ending_before, 'ending_before')
    const start = params.starting_after === undefined ? 0 : place(params.starting_after, 'starting_after') + 1
    const from = end === undefined ? start : Math.max(end - limit, 0)
    const page = rows.slice(from, Math.min(from + limit, end ?? rows.length))
    return {
      ...{ object: 'list', url, data: page.map((row) => written(row, wishes, 'data.')) },
      has_more: end === undefined ? from + page.length < rows.length : from > 0,
    }
  }
}
