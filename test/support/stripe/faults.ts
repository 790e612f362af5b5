import type { IncomingMessage, ServerResponse } from 'node:http'

/** What happens to the next request whose name has `match` in it, as in `POST customers`: before or after Stripe has done what was asked. */
export interface Fault {
  match: RegExp
  when: 'before' | 'after'
  status: 500 | 429 | 'hang up'
  /** So many requests; one where it is missing. */
  times?: number
}

/** A request that waits until a test lets it go. */
export interface Hold {
  /** Resolves when it waits. */
  reached: Promise<void>
  release(): void
}

/** Faults that tests put in the way of requests. */
export function createFaults() {
  const faults: Fault[] = []
  const holds: { match: RegExp; when: Fault['when']; reach: () => void; released: Promise<void> }[] = []

  return {
    faults,

    /** The fault that strikes a request at this point; it is used up by it. */
    take(name: string, when: Fault['when']): Fault | undefined {
      const index = faults.findIndex((fault) => fault.when === when && fault.match.test(name))
      const fault = faults[index]
      if (fault === undefined) return undefined
      const times = (fault.times ?? 1) - 1
      if (times > 0) faults[index] = { ...fault, times }
      else faults.splice(index, 1)
      return fault
    },

    strike({ status }: Fault, request: IncomingMessage, response: ServerResponse): void {
      if (status === 'hang up') {
        request.socket.destroy()
        return
      }
      const error =
        status === 429
          ? { type: 'invalid_request_error', code: 'rate_limit', message: 'Request rate limit exceeded.' }
          : { type: 'api_error', message: 'An unknown error occurred.' }
      response.writeHead(status, { 'content-type': 'application/json' }).end(JSON.stringify({ error }))
    },

    /** The next request of a name waits: before anything is done, or with its answer ready. */
    hold(match: RegExp, when: Fault['when'] = 'before'): Hold {
      const { promise: reached, resolve: reach } = Promise.withResolvers<void>()
      const { promise: released, resolve: release } = Promise.withResolvers<void>()
      holds.push({ match, when, reach, released })
      return { reached, release }
    },

    async wait(name: string, when: Fault['when']): Promise<void> {
      const index = holds.findIndex((one) => one.when === when && one.match.test(name))
      const [held] = index === -1 ? [] : holds.splice(index, 1)
      held?.reach()
      await held?.released
    },
  }
}
