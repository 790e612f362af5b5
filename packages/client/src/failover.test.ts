import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import Anthropic from '@anthropic-ai/sdk'
import { APICallError, RetryError } from 'ai'
import fc from 'fast-check'
import OpenAI from 'openai'
import { failover, failoverStream, nextStep } from './failover.ts'
import { type Fault, faultOf } from './fault.ts'

const withStatus = (status: number) => Object.assign(new Error('failed'), { status })
const called = (statusCode: number | undefined) =>
  new APICallError({
    message: 'failed',
    url: 'http://x',
    requestBodyValues: {},
    ...(statusCode === undefined ? {} : { statusCode }),
  })

describe('faultOf', () => {
  for (const [name, error, want] of [
    ['400', withStatus(400), 'response'],
    ['401', withStatus(401), 'authentication'],
    ['402', withStatus(402), 'response'],
    ['403', withStatus(403), 'authentication'],
    ['404', withStatus(404), 'model_not_found'],
    ['408', withStatus(408), 'timeout'],
    ['429', withStatus(429), 'rate_limit'],
    ['500', withStatus(500), 'response'],
    ['504', withStatus(504), 'timeout'],
    ['529', withStatus(529), 'response'],
    ['OpenAI: rate limit', new OpenAI.RateLimitError(429, {}, 'slow down', new Headers()), 'rate_limit'],
    ['OpenAI: key', new OpenAI.AuthenticationError(401, {}, 'who', new Headers()), 'authentication'],
    ['OpenAI: connection', new OpenAI.APIConnectionError({ cause: new Error('x') }), 'connection'],
    ['OpenAI: timeout', new OpenAI.APIConnectionTimeoutError(), 'timeout'],
    ['OpenAI: aborted', new OpenAI.APIUserAbortError(), 'aborted'],
    ['Anthropic: overloaded', new Anthropic.InternalServerError(529, {}, 'overloaded', new Headers()), 'response'],
    ['Anthropic: aborted', new Anthropic.APIUserAbortError(), 'aborted'],
    ['AI SDK: status', called(429), 'rate_limit'],
    ['AI SDK: no answer', called(undefined), 'connection'],
    [
      'AI SDK: after retries',
      new RetryError({ message: 'gave up', reason: 'maxRetriesExceeded', errors: [called(503), called(401)] }),
      'authentication',
    ],
    [
      'fetch: refused',
      new TypeError('fetch failed', { cause: Object.assign(new Error('x'), { code: 'ECONNREFUSED' }) }),
      'connection',
    ],
    [
      'fetch: slow',
      new TypeError('fetch failed', { cause: Object.assign(new Error('x'), { code: 'UND_ERR_HEADERS_TIMEOUT' }) }),
      'timeout',
    ],
    ['fetch in a browser', new TypeError('Failed to fetch'), 'connection'],
    ['fetch: AbortSignal.timeout', new DOMException('slow', 'TimeoutError'), 'timeout'],
    ['fetch: aborted', new DOMException('stop', 'AbortError'), 'aborted'],
    ['a mistake in the program', new TypeError('x is not a function'), 'unknown'],
    ['a text', 'no', 'unknown'],
    ['nothing', undefined, 'unknown'],
  ] as [string, unknown, Fault][]) {
    test(name, () => assert.equal(faultOf(error), want))
  }

  test('a circle of causes ends', () => {
    const error = new Error('a')
    error.cause = error
    assert.equal(faultOf(error), 'unknown')
  })

  test('names lost to a minifier', () => {
    for (const [message, want] of [
      ['Connection error.', 'connection'],
      ['Request timed out.', 'timeout'],
      ['Request was aborted.', 'aborted'],
    ]) {
      assert.equal(faultOf(Object.assign(new Error(message), { status: undefined })), want)
    }
  })
})

test('nextStep: the whole table', () => {
  const moving: Fault[] = ['rate_limit', 'timeout', 'model_not_found', 'response', 'connection']
  for (const fault of [...moving, 'authentication', 'aborted', 'unknown'] as Fault[])
    for (const hasNext of [true, false])
      for (const hasYielded of [true, false]) {
        const want = moving.includes(fault) && hasNext && !hasYielded ? 'next' : 'stop'
        assert.equal(nextStep({ fault, hasNext, hasYielded }), want, `${fault} ${hasNext} ${hasYielded}`)
      }
})

const POOL = ['a', 'b', 'c'] as const

/** Throws what stands for a model, answers with its name otherwise. */
function script(errors: Partial<Record<string, unknown>>) {
  const asked: string[] = []
  const attempt = async (model: string) => {
    asked.push(model)
    if (model in errors) throw errors[model]
    return model.toUpperCase()
  }
  return { asked, attempt }
}

describe('failover', () => {
  test('the first model answers: nobody else is asked', async () => {
    const { asked, attempt } = script({})
    assert.deepEqual(await failover(POOL, attempt), { model: 'a', value: 'A', failed: [] })
    assert.deepEqual(asked, ['a'])
  })

  test('a limit and a missing model lead on, and are told', async () => {
    const errors = { a: withStatus(429), b: withStatus(404) }
    const { attempt } = script(errors)
    const told: string[] = []
    const answer = await failover(POOL, attempt, { onFault: ({ model, fault }) => told.push(`${model} ${fault}`) })
    assert.deepEqual([answer.model, answer.value], ['c', 'C'])
    assert.deepEqual(told, ['a rate_limit', 'b model_not_found'])
    assert.deepEqual(
      answer.failed.map(({ error }) => error),
      [errors.a, errors.b],
    )
  })

  for (const [name, error] of [
    ['a refused key', withStatus(401)],
    ['an abort', new DOMException('stop', 'AbortError')],
    ['a mistake in the program', new RangeError('x')],
  ] as const) {
    test(`${name} ends the walk, unchanged`, async () => {
      const { asked, attempt } = script({ a: error })
      await assert.rejects(failover(POOL, attempt), (thrown) => thrown === error)
      assert.deepEqual(asked, ['a'])
    })
  }

  test('the last error is thrown, unchanged', async () => {
    const last = withStatus(503)
    const { asked, attempt } = script({ a: withStatus(500), b: withStatus(500), c: last })
    await assert.rejects(failover(POOL, attempt), (thrown) => thrown === last)
    assert.deepEqual(asked, ['a', 'b', 'c'])
  })

  test('no model is tried after an abort', async () => {
    const stop = new AbortController()
    const { asked, attempt } = script({ a: withStatus(500) })
    const failing = failover(POOL, attempt, { signal: stop.signal, onFault: () => stop.abort() })
    await assert.rejects(failing, { status: 500 })
    await assert.rejects(failover(POOL, attempt, { signal: stop.signal }), { name: 'AbortError' })
    assert.deepEqual(asked, ['a'])
  })

  test('a caller may know errors better', async () => {
    const { attempt } = script({ a: 'odd' })
    assert.equal((await failover(POOL, attempt, { faultOf: () => 'response' })).model, 'b')
  })

  test('an empty pool is a mistake', async () => {
    await assert.rejects(
      failover([], async () => 1),
      RangeError,
    )
  })
})

/** Yields its chunks, then throws if there is an error. Notes when it was ended early. */
function source(chunks: readonly string[], error?: unknown) {
  const seen = { hasEnded: false }
  async function* run() {
    try {
      yield* chunks
      if (error !== undefined) throw error
    } finally {
      seen.hasEnded = true
    }
  }
  return { seen, stream: run() }
}

async function collect(stream: AsyncIterable<string>): Promise<{ chunks: string[]; error?: unknown }> {
  const chunks: string[] = []
  try {
    for await (const chunk of stream) chunks.push(chunk)
    return { chunks }
  } catch (error) {
    return { chunks, error }
  }
}

describe('failoverStream', () => {
  test('errors before the first chunk lead on, by throwing or by rejecting', async () => {
    const answer = await failoverStream(POOL, (model) => {
      if (model === 'a') return Promise.reject(withStatus(503))
      return model === 'b' ? source([], withStatus(429)).stream : source(['1', '2']).stream
    })
    assert.deepEqual([answer.model, answer.failed.map(({ fault }) => fault)], ['c', ['response', 'rate_limit']])
    assert.deepEqual(await collect(answer.stream), { chunks: ['1', '2'] })
  })

  test('an error after the first chunk reaches the reader, and nobody else is asked', async () => {
    const error = withStatus(503)
    const asked: string[] = []
    const { stream } = await failoverStream(POOL, (model) => {
      asked.push(model)
      return source(['1'], error).stream
    })
    assert.deepEqual(await collect(stream), { chunks: ['1'], error })
    assert.deepEqual(asked, ['a'])
  })

  test('a refused key ends the walk', async () => {
    const error = withStatus(401)
    await assert.rejects(
      failoverStream(POOL, () => source([], error).stream),
      (thrown) => thrown === error,
    )
  })

  test('a stream may be empty', async () => {
    const { model, stream } = await failoverStream(POOL, () => source([]).stream)
    assert.deepEqual([model, await collect(stream)], ['a', { chunks: [] }])
  })

  test('whoever stops reading ends the source, read or not', async () => {
    const read = source(['1', '2', '3'])
    for await (const _ of (await failoverStream(POOL, () => read.stream)).stream) break
    assert.equal(read.seen.hasEnded, true)
    const unread = source(['1', '2', '3'])
    const { stream } = await failoverStream(POOL, () => unread.stream)
    await stream.return?.()
    assert.equal(unread.seen.hasEnded, true)
    assert.deepEqual(await stream.next(), { done: true, value: undefined })
  })

  test('for any pool: one model answers, those before it failed, none after it is asked', async () => {
    const outcome = fc.constantFrom('ok', 429, 500, 404, 401)
    await fc.assert(
      fc.asyncProperty(fc.array(outcome, { minLength: 1, maxLength: 6 }), async (outcomes) => {
        const asked: number[] = []
        const pool = outcomes.map((_, index) => index)
        const walk = failoverStream(pool, (index) => {
          asked.push(index)
          const found = outcomes[index]
          return typeof found === 'number' ? source([], withStatus(found)).stream : source([`${index}`]).stream
        })
        const end = outcomes.findIndex((found) => found === 'ok' || found === 401)
        const last = end < 0 ? outcomes.length - 1 : end
        if (outcomes[last] === 'ok') assert.equal((await walk).model, last)
        else await assert.rejects(walk, { status: outcomes[last] })
        assert.deepEqual(asked, pool.slice(0, last + 1))
      }),
      { seed: 4, numRuns: 200 },
    )
  })
})
