import { AppError } from '#src/errors.ts'
import { createPlan, type DispatchPlan } from './dispatch/candidates.ts'
import { createHealth } from './dispatch/health.ts'
import { createInflight } from './dispatch/inflight.ts'
import type { CallRoute } from './routes.ts'
import type { CallTarget } from './target.ts'

const REMEMBERED_MAX = 10_000
const SATURATED_RETRY_AFTER_S = '1'

export interface DispatcherOptions {
  /** First cooldown of a target that failed; it doubles with every further failure. */
  cooldownMs: number
  /** No cooldown is longer. */
  cooldownMsMax: number
}

/** What this process knows of its upstreams: their health, and how many calls each is serving. */
export function createDispatcher({ cooldownMs, cooldownMsMax }: DispatcherOptions) {
  const health = createHealth({
    now: () => performance.now(),
    baseMs: Math.min(cooldownMs, cooldownMsMax),
    maxMs: cooldownMsMax,
    entriesMax: REMEMBERED_MAX,
  })
  const inflight = createInflight()
  const models = createInflight()

  return {
    health,
    inflight,

    /** The order of attempts of one call. */
    plan<T extends CallTarget>({
      targets,
      groups,
    }: Pick<CallRoute<T>, 'groups'> & { targets: readonly T[] }): DispatchPlan<T> {
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
