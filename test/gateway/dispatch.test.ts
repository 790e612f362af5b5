import assert from 'node:assert/strict'
import { after, before, describe, type TestContext, test } from 'node:test'
import type { Receipt } from '#billing/receipt.ts'
import { deriveEnvelopeKey, sealEnvelope } from '#lib/envelope.ts'
import { createTestGateway, type TestGateway, until } from '#test/support/gateway.ts'
import { createRawUpstream, httpAnswer, type RawHandler, streamHead } from '#test/support/raw-upstream.ts'
import { putModels, replaceCiphertext, type UpstreamSpec } from '#test/support/routed-models.ts'
import { textOf, verdictOf } from '#test/support/stream-text.ts'
import { loadTokenizer } from '#wire/count-tokens.ts'

// A real router config in front of upstreams that each test makes for itself.

const COOLDOWN_MS = 1_500
const MESSAGES = [{ role: 'user', content: 'hi' }]

let gateway: TestGateway
before(async () => {
  await loadTokenizer()
  gateway = await createTestGateway({ env: { UPSTREAM_COOLDOWN_MS: String(COOLDOWN_MS) } })
})
after(() => gateway.close())

/** Upstreams by name, each with what it answers; closed after the test. */
async function upstreams<Name extends string>(t: TestContext, handlers: Record<Name, RawHandler>) {
  const made: Record<string, Awaited<ReturnType<typeof createRawUpstream>>> = {}
  for (const [name, handler] of Object.entries<RawHandler>(handlers)) made[name] = await createRawUpstream(handler)
  t.after(() => Promise.all(Object.values(made).map((upstream) => upstream.close())))
  const all = made as Record<Name, Awaited<ReturnType<typeof createRawUpstream>>>
  return {
    ...all,
    specs: (more: Partial<Record<Name, Partial<UpstreamSpec>>> = {}): UpstreamSpec[] =>
      (Object.keys(handlers) as Name[]).map((id) => ({ id, url: all[id].url, ...more[id] })),
  }
}

/** Makes one call by a project of its own, and reads its receipt. */
async function call(model: string, { stream = false } = {}) {
  const project = await gateway.openProject(1_000_000_000n)
  const reply = await gateway.chat({ model, stream, messages: MESSAGES }, { key: project.secret })
  const [receipt] = await project.settled(1)
  assert(receipt !== undefined)
  return { reply, receipt, asked: attemptsOf(receipt), sees: verdictOf(reply) }
}

/** A call that is under way: what it comes to is asked for later. */
async function begin(model: string) {
  const project = await gateway.openProject(1_000_000_000n)
  return { reply: gateway.chat({ model, messages: MESSAGES }, { key: project.secret }), project }
}

/** Seals a key with a master key that this gateway has never had. */
async function forgetKey(model: string, id: string): Promise<void> {
  const stranger = deriveEnvelopeKey(Buffer.alloc(32, 99))
  const ciphertext = sealEnvelope(stranger, { modelName: model, keyEntryId: id }, Buffer.from('key-lost'))
  await replaceCiphertext(gateway, id, ciphertext)
}

function attemptsOf(receipt: Receipt): string[] {
  return (receipt.attempt_list ?? []).map(({ upstream, result }) => `${upstream} ${result}`)
}

const USAGE = { prompt_tokens: 8, completion_tokens: 2 }
const chunk = (delta: object, more: object = {}) =>
  `data: ${JSON.stringify({ id: 'c', model: 'm', choices: [{ index: 0, delta, finish_reason: null }], ...more })}\n\n`
const END = `${chunk({}, { choices: [{ index: 0, delta: {}, finish_reason: 'stop' }] })}${chunk({}, { choices: [], usage: USAGE })}data: [DONE]\n\n`
const WHOLE = JSON.stringify({
  id: 'c',
  model: 'm',
  choices: [{ index: 0, message: { role: 'assistant', content: 'Hello' }, finish_reason: 'stop' }],
  usage: USAGE,
})

/** Answers as it was asked to, streamed or whole. */
const well: RawHandler = (socket, { body }) => {
  const { stream } = JSON.parse(body.toString()) as { stream?: boolean }
  if (stream === true) socket.end(`${streamHead()}${chunk({ content: 'Hello' })}${END}`)
  else socket.write(httpAnswer(WHOLE))
}
const silence: RawHandler = () => undefined
const status =
  (line: string, headers: Record<string, string> = {}): RawHandler =>
  (socket) =>
    socket.write(httpAnswer('{"error":{"message":"no","type":"t"}}', headers, line))
const byKey =
  (answers: Record<string, RawHandler>): RawHandler =>
  (socket, request, number) => {
    const key = /^authorization: Bearer (\S+)$/im.exec(request.head)?.[1] ?? ''
    answers[key]?.(socket, request, number)
  }

describe('rules of groups', () => {
  const groups = {
    routing: {
      groups: [
        {
          id: 'usual',
          upstreamIds: ['a', 'b'],
          retryOn: { httpCodes: [500] },
          continueOn: { httpCodes: [503], onTimeout: true },
        },
        { id: 'dear', upstreamIds: ['c'] },
      ],
    },
  }
  for (const { name, a, b = well, asked, sees } of [
    {
      name: 'retryOn moves on inside of the group',
      a: status('500 Oops'),
      asked: ['a status_500', 'b ok'],
      sees: '200',
    },
    {
      name: 'what retryOn leaves out skips the rest of the group',
      a: status('503 Oops'),
      asked: ['a status_503', 'c ok'],
      sees: '200',
    },
    {
      name: 'continueOn must let all failures of the group through',
      a: status('500 Oops'),
      b: status('503 Oops'),
      asked: ['a status_500', 'b status_503'],
      sees: '502 `upstream_failed`',
    },
    {
      name: 'silence asks onTimeout',
      a: silence,
      asked: ['a timeout_first_byte', 'c ok'],
      sees: '200',
    },
  ])
    test(name, async (t) => {
      const made = await upstreams(t, { a, b, c: well })
      await putModels(gateway, {
        m: { upstreams: made.specs({ a: { more: { timeoutMs: 500 } } }), ...groups },
      })
      const found = await call('m')
      assert.deepEqual([found.asked, found.sees], [asked, sees])
    })

  test('without onTimeout a slow upstream is the end', async (t) => {
    const made = await upstreams(t, { a: silence, b: well })
    await putModels(gateway, {
      m: {
        upstreams: made.specs({ a: { more: { timeoutMs: 100 } } }),
        fallbackTriggers: { httpCodes: [500], onTimeout: false },
      },
    })
    const { asked, sees } = await call('m', { stream: true })
    assert.deepEqual([asked, sees], [['a timeout_first_byte'], '504 `upstream_timeout`'])
  })

  test('fallbackHttpCodes says which statuses move on', async (t) => {
    const made = await upstreams(t, { a: status('500 Oops'), b: status('503 Oops'), c: well })
    const [a, b, c] = made.specs()
    assert(a && b && c)
    const defaults = { fallbackHttpCodes: [503] }
    await putModels(gateway, { first: { upstreams: [a, c] }, second: { upstreams: [b, c] } }, defaults)
    assert.deepEqual((await call('first')).asked, ['a status_500'])
    assert.deepEqual((await call('second')).asked, ['b status_503', 'c ok'])
  })
})

describe('strategies', () => {
  test('the idlest of a group serves, and nobody more than it may', async (t) => {
    const made = await upstreams(t, { a: silence, b: silence, c: silence })
    const limits = { a: { more: { maxConcurrency: 2 } } }
    const group = { id: 'all', upstreamIds: ['a', 'b', 'c'], strategy: 'least-inflight', maxConcurrency: 1 }
    await putModels(gateway, { m: { upstreams: made.specs(limits), routing: { groups: [group] } } })
    const busy = () => [made.a, made.b, made.c].map(({ requests }) => requests.length)
    const running = []
    for (const expected of [
      [1, 0, 0],
      [1, 1, 0],
      [1, 1, 1],
      [2, 1, 1],
    ]) {
      running.push(await begin('m'))
      await until(`it is ${expected}`, () => String(busy()) === String(expected))
    }
    const { reply, sees, asked } = await call('m')
    assert.deepEqual([sees, asked], ['503 `overloaded`', []])
    assert.equal(reply.headers['retry-after'], '1')
    for (const upstream of [made.a, made.b, made.c]) upstream.answerWith(well)
    await Promise.all([made.a.close(), made.b.close(), made.c.close()])
    for (const { reply: broken, project } of running) {
      await broken
      await project.settled(1)
    }
  })

  test('weights are shares', async (t) => {
    const made = await upstreams(t, { light: well, heavy: well })
    const group = { id: 'all', upstreamIds: ['light', 'heavy'], strategy: 'weighted' }
    await putModels(gateway, {
      m: { upstreams: made.specs({ heavy: { more: { weight: 1_000 } } }), routing: { groups: [group] } },
    })
    for (let calls = 0; calls < 10; calls += 1) assert.equal((await call('m')).sees, '200')
    assert(made.heavy.requests.length >= 8, `${made.heavy.requests.length} of 10 calls`)
  })
})

describe('keys', () => {
  test('a limited key gives its turn to the next one, and rests', async (t) => {
    const keys = byKey({ 'key-one': status('429 Slow', { 'retry-after': '60' }), 'key-two': well })
    const made = await upstreams(t, { a: keys })
    await putModels(gateway, { m: { upstreams: made.specs({ a: { keys: ['key-one', 'key-two'] } }) } })
    const first = await call('m')
    assert.deepEqual([first.sees, first.asked], ['200', ['a status_429', 'a ok']])
    const ids = first.receipt.attempt_list?.map(({ key }) => key)
    assert.equal(new Set(ids).size, 2)
    for (const id of ids ?? []) assert.match(id ?? '', /^[0-9a-f]{8}$/)
    assert.deepEqual((await call('m')).asked, ['a ok'])
  })

  test('a refused key is passed over in every model that uses it', async (t) => {
    const keys = byKey({ 'key-bad': status('401 Unauthorized'), 'key-good': well })
    const made = await upstreams(t, { a: keys })
    const spec = made.specs({ a: { keys: ['key-bad', 'key-good'] } })
    const other = made.specs({ a: { keys: ['key-bad', 'key-good'], more: { overrideModel: 'another' } } })
    await putModels(gateway, { m: { upstreams: spec }, n: { upstreams: other } })
    assert.deepEqual((await call('m')).asked, ['a status_401', 'a ok'])
    assert.deepEqual((await call('n')).asked, ['a ok'])
  })

  test('a key that does not open is skipped while another does', async (t) => {
    const made = await upstreams(t, { a: well })
    await putModels(gateway, { m: { upstreams: made.specs({ a: { keys: ['key-lost', 'key-two'] } }) } })
    await forgetKey('m', 'a-1')
    const { asked, sees } = await call('m')
    assert.deepEqual([sees, asked], ['200', ['a ok']])
    assert.match(made.a.requests[0]?.head ?? '', /^authorization: Bearer key-two$/im)
    const alarm = gateway.log.lines().find(({ msg }) => /does not open/.test(String(msg)))
    assert.equal(alarm?.key, 'a-1')
  })

  test('when none opens nothing is held and nobody is asked', async (t) => {
    const made = await upstreams(t, { a: well })
    await putModels(gateway, { m: { upstreams: made.specs({ a: { keys: ['key-lost'] } }) } })
    await forgetKey('m', 'a-1')
    const project = await gateway.openProject(1_000_000n)
    const reply = await gateway.chat({ model: 'm', messages: MESSAGES }, { key: project.secret })
    assert.equal(verdictOf(reply), '503 `decrypt_failed`')
    await project.settled(0)
    assert.equal(made.a.requests.length, 0)
  })

  test('when every key is refused the client learns whose fault it is not', async (t) => {
    const made = await upstreams(t, { a: status('401 Unauthorized') })
    await putModels(gateway, { m: { upstreams: made.specs({ a: { keys: ['key-one', 'key-two'] } }) } })
    const { sees, asked, receipt } = await call('m')
    assert.deepEqual([sees, asked], ['502 `upstream_credential`', ['a status_401', 'a status_401']])
    assert.equal(receipt.charged_nanousd, '0')
  })
})

describe('health', () => {
  test('what failed is passed over for a while, probed by one call, and trusted again', async (t) => {
    const made = await upstreams(t, { a: status('500 Oops'), b: well })
    await putModels(gateway, { m: { upstreams: made.specs() } })
    assert.deepEqual((await call('m')).asked, ['a status_500', 'b ok'])
    const failedAt = performance.now()
    made.a.answerWith(silence)
    assert.deepEqual((await call('m')).asked, ['b ok'])
    await until('the cooldown is over', () => performance.now() > failedAt + COOLDOWN_MS)
    const seen = made.a.requests.length
    made.a.answerWith((socket) => {
      probed = socket
    })
    let probed: Parameters<RawHandler>[0] | undefined
    const probe = await begin('m')
    await until('a call probes', () => made.a.requests.length > seen)
    assert.deepEqual((await call('m')).asked, ['b ok'], 'one probe at a time')
    probed?.write(httpAnswer(WHOLE))
    assert.equal((await probe.reply).status, 200)
    const [receipt] = await probe.project.settled(1)
    assert.deepEqual(receipt && attemptsOf(receipt), ['a ok'])
    made.a.answerWith(well)
    assert.deepEqual((await call('m')).asked, ['a ok'])
  })

  test('a caller’s own fault is nobody’s: the target serves on', async (t) => {
    const made = await upstreams(t, { a: status('422 No'), b: well })
    await putModels(gateway, { m: { upstreams: made.specs() } })
    const { reply, sees, asked } = await call('m')
    assert.deepEqual([sees, asked, reply.json.error.message], ['422 `t`', ['a status_422'], 'no'])
    made.a.answerWith(well)
    assert.deepEqual((await call('m')).asked, ['a ok'])
  })

  const inHalfAnHour = new Date(Date.now() + 1_800_000).toUTCString()
  for (const [name, headers, least, most] of [
    ['milliseconds', { 'retry-after-ms': '2500' }, 2_500, 2_500],
    ['seconds', { 'retry-after': '7' }, 7_000, 7_000],
    ['fractions of a second', { 'retry-after': '0.5' }, 500, 500],
    ['a date', { 'retry-after': inHalfAnHour }, 1_000_000, 1_800_000],
  ] as const)
    test(`a provider's wait is told to the client: ${name}, and the least of several`, async (t) => {
      const made = await upstreams(t, {
        a: status('429 Slow', headers),
        b: status('429 Slow', { 'retry-after': '3600' }),
      })
      await putModels(gateway, { m: { upstreams: made.specs() } })
      const { reply, sees } = await call('m')
      assert.equal(sees, '429 `rate_limit_exceeded`')
      const ms = Number(reply.headers['retry-after-ms'])
      assert(ms >= least && ms <= most, `${ms} ms`)
      assert.equal(reply.headers['retry-after'], String(Math.ceil(ms / 1_000)))
    })
})

describe('times', () => {
  const chained = async (t: TestContext, handlers: { a: RawHandler; b: RawHandler }) => {
    const made = await upstreams(t, handlers)
    const times = { perAttemptTimeoutMs: 10_000, fullChainTimeoutMs: 700 }
    await putModels(gateway, { m: { upstreams: made.specs(), ...times } })
    return made
  }
  const over = ['504 `upstream_timeout`', 'timeout_chain']

  for (const stream of [true, false]) {
    const mode = stream ? 'streamed' : 'whole'
    test(`the time of all attempts together ends them, ${mode}`, async (t) => {
      const made = await chained(t, { a: silence, b: well })
      const { sees, asked, receipt } = await call('m', { stream })
      assert.deepEqual([sees, receipt.reason, asked], [...over, ['a timeout_chain']])
      assert.equal(made.b.requests.length, 0)
      assert.equal(receipt.charged_nanousd, '0')
    })

    test(`it also ends the second one, ${mode}`, async (t) => {
      await chained(t, { a: (socket) => setTimeout(() => socket.resetAndDestroy(), 200), b: silence })
      const { sees, asked, receipt } = await call('m', { stream })
      assert.deepEqual([sees, receipt.reason, asked], [...over, ['a reset', 'b timeout_chain']])
    })

    test(`what comes and is no content does not stop it, ${mode}`, async (t) => {
      await chained(t, {
        a: (socket) =>
          socket.write(
            stream
              ? streamHead() + chunk({ role: 'assistant' })
              : `${streamHead({ 'content-type': 'application/json' })} \n`,
          ),
        b: silence,
      })
      const { sees, asked } = await call('m', { stream })
      assert.deepEqual([sees, asked], ['504 `upstream_timeout`', ['a timeout_chain']])
    })

    test(`content stops it, ${mode}`, async (t) => {
      await chained(t, {
        a(socket) {
          const head = stream
            ? streamHead() + chunk({ content: 'Hel' })
            : streamHead({ 'content-type': 'application/json' })
          socket.write(head + (stream ? '' : WHOLE.slice(0, 20)))
          setTimeout(() => socket.end(stream ? chunk({ content: 'lo' }) + END : WHOLE.slice(20)), 1_200)
        },
        b: silence,
      })
      const { reply, sees, asked } = await call('m', { stream })
      assert.deepEqual([sees, asked], ['200', ['a ok']])
      assert.equal(stream ? textOf(reply.text) : reply.json.choices[0].message.content, 'Hello')
    })

    test(`an attempt has its own time, that of its upstream first, ${mode}`, async (t) => {
      const made = await upstreams(t, { a: silence, b: silence, c: well })
      await putModels(gateway, {
        m: { upstreams: made.specs({ a: { more: { timeoutMs: 100 } } }), perAttemptTimeoutMs: 300 },
      })
      const { asked, receipt } = await call('m', { stream })
      assert.deepEqual(asked, ['a timeout_first_byte', 'b timeout_first_byte', 'c ok'])
      for (const { cost_nanousd, result } of receipt.attempt_list ?? [])
        assert.equal(cost_nanousd !== undefined, result !== 'ok', 'a provider that we hung up on may bill the prompt')
    })

    test(`silence between two reads, and the whole time, ${mode}`, async (t) => {
      const begins: RawHandler = (socket) =>
        socket.write(
          stream
            ? streamHead() + chunk({ role: 'assistant' })
            : streamHead({ 'content-type': 'application/json' }) + WHOLE.slice(0, 20),
        )
      const made = await upstreams(t, { a: begins, b: well })
      const [a, b] = made.specs()
      assert(a && b)
      await putModels(gateway, {
        idle: { upstreams: [a, b], idleTimeoutMs: 200 },
        total: { upstreams: [{ ...a, more: { overrideModel: 'other' } }, b], totalTimeoutMs: 500 },
      })
      assert.deepEqual((await call('idle', { stream })).asked, ['a timeout_idle', 'b ok'])
      const { asked, sees } = await call('total', { stream })
      assert.deepEqual([asked, sees], [['a timeout_total'], '504 `upstream_timeout`'])
    })
  }
})

describe('models', () => {
  test('a model serves as many calls as it may', async (t) => {
    const made = await upstreams(t, { a: silence })
    await putModels(gateway, { m: { upstreams: made.specs(), limits: { maxConcurrency: 1 } } })
    let first: Parameters<RawHandler>[0] | undefined
    made.a.answerWith((socket) => {
      first = socket
    })
    const running = await begin('m')
    await until('it runs', () => first !== undefined)
    const project = await gateway.openProject(1_000_000n)
    const refused = await gateway.chat({ model: 'm', messages: MESSAGES }, { key: project.secret })
    assert.equal(verdictOf(refused), '503 `overloaded`')
    assert.equal(refused.headers['retry-after'], '1')
    await project.settled(0)
    made.a.answerWith(well)
    first?.write(httpAnswer(WHOLE))
    assert.equal((await running.reply).status, 200)
    assert.equal((await call('m')).sees, '200')
  })

  test('`auto` is the default model, and the receipt names the config and every attempt', async (t) => {
    const made = await upstreams(t, { a: status('503 Oops'), b: well })
    const models = { m: { upstreams: made.specs({ b: { nanosPerToken: 5 } }) } }
    const version = await putModels(gateway, models, { chatModel: 'm' })
    const { reply, receipt } = await call('auto')
    assert.equal(reply.headers['x-fluxgate-model'], 'm')
    const { model, config_version, attempts, provider, charged_nanousd, attempt_list } = receipt
    assert.deepEqual(
      { model, config_version, attempts, provider, charged_nanousd },
      { model: 'm', config_version: version, attempts: 2, provider: 'b', charged_nanousd: '50' },
    )
    assert.deepEqual(
      attempt_list?.map(({ ms, ...attempt }) => ({ ...attempt, timed: ms >= 0 })),
      [
        { model: 'echo', protocol: 'chat', provider: 'a', result: 'status_503', timed: true, upstream: 'a' },
        { model: 'echo', protocol: 'chat', provider: 'b', result: 'ok', timed: true, upstream: 'b' },
      ],
    )
  })
})
