import type { Dispatch } from './call.ts'
import type { Route } from './routes.ts'

/** Decides which target of a call is next, by what is known of their health. */
export function createDispatcher() {
  return {
    start(route: Route): Dispatch {
      let index = 0
      return {
        next: () => (index < route.targets.length ? index++ : undefined),
        report: () => undefined,
      }
    },
  }
}

export type Dispatcher = ReturnType<typeof createDispatcher>
