import { StripeRefusal } from './refusal.ts'

const KEPT_SECONDS = 86_400
const LENGTH_MAX = 255

export interface Answer {
  status: number
  body: unknown
}

/**
 * Answers by the key of their request, for a day. What was refused before anything was done is not kept, so a request that was
 * wrong may be put right under its key; a declined card is.
 */
export function createIdempotency(now: () => number) {
  const known = new Map<string, { request: string; at: number; answer: Answer | undefined }>()

  return {
    /** What was answered before, or undefined for a key that is this request's from now on. Throws where Stripe refuses. */
    begin(key: string, request: string): Answer | undefined {
      if (key.length > LENGTH_MAX)
        throw new StripeRefusal(400, {
          type: 'invalid_request_error',
          message: 'Idempotency keys are up to 255 characters.',
        })
      const found = known.get(key)
      if (found === undefined || now() - found.at >= KEPT_SECONDS) {
        known.set(key, { request, at: now(), answer: undefined })
        return undefined
      }
      if (found.request !== request)
        throw new StripeRefusal(400, {
          type: 'idempotency_error',
          message: `Keys for idempotent requests can only be used with the same parameters they were first used with. Try using a key other than '${key}' if you meant to execute a different request.`,
        })
      if (found.answer === undefined)
        throw new StripeRefusal(409, {
          ...{ type: 'idempotency_error', code: 'idempotency_key_in_use' },
          message: `There is currently another in-progress request using this Idempotent Key. Please try again later.`,
        })
      return found.answer
    },

    end(key: string, answer: Answer | undefined): void {
      const found = known.get(key)
      if (found === undefined) return
      if (answer === undefined || (answer.status >= 400 && answer.status !== 402)) known.delete(key)
      else found.answer = answer
    },
  }
}
