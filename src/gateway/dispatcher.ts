import { AppError } from '#src/errors.ts'
import { createPlan, type DispatchPlan } from './dispatch/candidates.ts'
import { createHealth } from './dispatch/health.ts'
import { createInflight } from './dispatch/inflight.ts'
import type { CallRoute } from './routes.ts'
import type { CallTarget } from './target.ts'

/** First cooldown of a target that failed; it doubles with every further failure. */
const COOLDOWN_MS = 2_000
const COOLDOWN_MS_MAX = 300_000
const REMEMBERED_MAX = 10_000
const SATURATED_RETRY_AFTER_S = '1'

/** What this process knows of its upstreams: their health, and how many calls each is serving. */
export function createDispatcher() {
  const health = createHealth({
    now: () => performance.now(),
    baseMs: COOLDOWN_MS,
    maxMs: COOLDOWN_MS_MAX,
    entriesMax: REMEMBERED_MAX,
  })
  const inflight = createInflight()
  const models = createInflight()

  return {
    health,
    inflight,

    /** The order of attempts of one call. */
    plan<T extends CallTarget>({ targets, groups }: Pick<CallRoute<T>, 'targets' | 'groups'>): DispatchPlan<T> {
      return createPlan({ candidates: targets, groups, health, inflight })
    },

    /** Takes one of the model's places until the returned function is called. Throws AppError overloaded. */
    enterModel({ model, maxConcurrency }: Pick<CallRoute, 'model' | 'maxConcurrency'>): () => void {
      if (maxConcurrency === undefined) return nothing
      if (!models.tryEnter(model, maxConcurrency))
        throw new AppError('overloaded', {
          message: 'This model serves as many calls as it may. Try again soon.',
          headers: { 'retry-after': SATURATED_RETRY_AFTER_S },
        })
      return () => models.leave(model)
    },
  }
}

const nothing = () => undefined

export type Dispatcher = ReturnType<typeof createDispatcher>
