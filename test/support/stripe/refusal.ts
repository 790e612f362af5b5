import type { Json } from '#test/support/gateway.ts'

/** A request that Stripe would refuse: status and body `{error: {type, code, message, param}}`. */
export class StripeRefusal extends Error {
  readonly status: number
  readonly body: { error: Json }

  constructor(status: number, error: Json) {
    super(error.message)
    this.status = status
    this.body = { error }
  }
}

export function invalid(message: string, more: { code?: string; param?: string } = {}): StripeRefusal {
  return new StripeRefusal(400, { type: 'invalid_request_error', message, ...more })
}

export function missing(what: string, id: string, param = 'id'): StripeRefusal {
  const message = `No such ${what}: '${id}'`
  return new StripeRefusal(404, { type: 'invalid_request_error', code: 'resource_missing', message, param })
}
