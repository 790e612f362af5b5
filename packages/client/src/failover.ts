import { type Fault, faultOf } from './fault.ts'

const mayMoveOn: Readonly<Record<Fault, boolean>> = {
  rate_limit: true,
  timeout: true,
  model_not_found: true,
  response: true,
  connection: true,
  authentication: false,
  aborted: false,
  unknown: false,
}

/**
 * The rule of llmring: a limit, a timeout, a missing model or a bad answer leads to the next model of the pool; a refused key never does,
 * nor does anything once the first chunk of a stream has been handed on.
 */
export function nextStep(state: { fault: Fault; hasNext: boolean; hasYielded: boolean }): 'next' | 'stop' {
  return state.hasNext && !state.hasYielded && mayMoveOn[state.fault] ? 'next' : 'stop'
}

export interface FailedAttempt<M> {
  model: M
  fault: Fault
  error: unknown
}

export interface FailoverOptions<M> {
  /** Once it is aborted, no further model is tried. */
  signal?: AbortSignal | undefined
  /** Reads the fault off errors that `faultOf` does not know. */
  faultOf?: ((error: unknown) => Fault) | undefined
  /** Told of each attempt that failed, the last one included. */
  onFault?: ((attempt: FailedAttempt<M>) => void) | undefined
}

export interface Answered<M, T> {
  /** Which model of the pool answered. */
  model: M
  value: T
  failed: readonly FailedAttempt<M>[]
}

/** Calls `attempt` for one model of the pool after the other. Rejects with the error that ended the walk, unchanged. */
export async function failover<M, T>(
  pool: readonly M[],
  attempt: (model: M) => PromiseLike<T> | T,
  options: FailoverOptions<M> = {},
): Promise<Answered<M, T>> {
  const failed: FailedAttempt<M>[] = []
  for (const [index, model] of pool.entries()) {
    options.signal?.throwIfAborted()
    try {
      return { model, value: await attempt(model), failed }
    } catch (error) {
      const fault = (options.faultOf ?? faultOf)(error)
      failed.push({ model, fault, error })
      options.onFault?.({ model, fault, error })
      const hasNext = index < pool.length - 1 && options.signal?.aborted !== true
      if (nextStep({ fault, hasNext, hasYielded: false }) === 'stop') throw error
    }
  }
  throw new RangeError('the pool holds no model')
}

/**
 * The same for streams: resolves when a model has sent its first chunk, or ended without one. From then on its errors are thrown to
 * whoever reads the stream. A stream that is not read must be ended with its `return`.
 */
export async function failoverStream<M, T>(
  pool: readonly M[],
  attempt: (model: M) => PromiseLike<AsyncIterable<T>> | AsyncIterable<T>,
  options: FailoverOptions<M> = {},
): Promise<{ model: M; stream: AsyncIterableIterator<T>; failed: readonly FailedAttempt<M>[] }> {
  const { model, value, failed } = await failover(pool, async (candidate) => begin(await attempt(candidate)), options)
  return { model, stream: value, failed }
}

async function begin<T>(source: AsyncIterable<T>): Promise<AsyncIterableIterator<T>> {
  const iterator = source[Symbol.asyncIterator]()
  let first: IteratorResult<T> | undefined = await iterator.next()
  let hasEnded = first.done === true
  const stream: AsyncIterableIterator<T> = {
    [Symbol.asyncIterator]: () => stream,
    async next() {
      const held = first
      first = undefined
      if (held !== undefined && held.done !== true) return held
      if (hasEnded) return { done: true, value: undefined }
      const result = await iterator.next()
      hasEnded = result.done === true
      return result
    },
    async return() {
      first = undefined
      if (!hasEnded) {
        hasEnded = true
        await iterator.return?.()
      }
      return { done: true, value: undefined }
    },
  }
  return stream
}
