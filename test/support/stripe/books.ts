import type { Json } from '#test/support/gateway.ts'

/** A request that Stripe would refuse. */
export class StripeRefusal extends Error {
  readonly status: number
  readonly body: Json
  constructor(status: number, error: Json) {
    super(error.message)
    this.status = status
    this.body = { error }
  }
}

export function missing(kind: string, id: string): StripeRefusal {
  return new StripeRefusal(404, {
    ...{ type: 'invalid_request_error', code: 'resource_missing', param: 'id' },
    message: `No such ${kind}: '${id}'`,
  })
}

const kinds = {
  customer: 'cus',
  price: 'price',
  checkout: 'cs_test',
  payment_intent: 'pi',
  charge: 'ch',
  refund: 're',
  dispute: 'dp',
  subscription: 'sub',
  subscription_item: 'si',
  invoice: 'in',
  line: 'il',
  invoice_payment: 'inpay',
  balance_transaction: 'txn',
  event: 'evt',
  payment_method: 'pm',
  portal: 'bps',
} as const

export type Kind = keyof typeof kinds

/** The objects of the double, as Stripe would have them, and the events that tell of their changes. */
export function createBooks() {
  const shelves = new Map<Kind, Map<string, Json>>()
  let count = 0
  let now = Math.floor(Date.now() / 1000)

  const shelf = (kind: Kind): Map<string, Json> => {
    const found = shelves.get(kind) ?? new Map<string, Json>()
    shelves.set(kind, found)
    return found
  }
  function add(kind: Kind, object: string, members: Json): Json {
    count += 1
    const id = members.id ?? `${kinds[kind]}_${String(count).padStart(6, '0')}`
    const made = { id, object, created: now, livemode: false, metadata: {}, ...members }
    shelf(kind).set(made.id, made)
    return made
  }
  return {
    add,
    all: (kind: Kind): Json[] => [...shelf(kind).values()],
    find: (kind: Kind, id: string): Json | undefined => shelf(kind).get(id),
    get(kind: Kind, id: string): Json {
      const found = shelf(kind).get(id)
      if (found === undefined) throw missing(kind, id)
      return found
    },
    now: () => now,
    advance(seconds: number): void {
      now += seconds
    },
    /** A snapshot of the object as it is, under the name of what happened to it. */
    tell(type: string, object: Json): Json {
      return add('event', 'event', { type, api_version: null, data: { object: structuredClone(object) } })
    },
    /** Moves the balance. */
    book(type: string, amount: number, currency: string, source: string): Json {
      const fee = type === 'charge' ? Math.round(amount * 0.029) + 30 : 0
      return add('balance_transaction', 'balance_transaction', {
        ...{ type, amount, currency, source, fee, net: amount - fee, status: 'available', available_on: now },
        ...{ exchange_rate: null, fee_details: [], reporting_category: type, description: null },
      })
    },
  }
}

export type Books = ReturnType<typeof createBooks>
