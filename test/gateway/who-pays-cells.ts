import assert from 'node:assert/strict'
import type { Receipt } from '#billing/receipt.ts'
import { ONE_USD, type Reply, type TestGateway, type TestProject, until } from '#test/support/gateway.ts'

export const MESSAGES = [{ role: 'user', content: 'Who pays for this question, and how much?' }]

type Mode = 'streamed' | 'whole'
export type Variant = 'default' | 'other' | 'shutdown'

export type Act = (gateway: TestGateway, project: TestProject, body: object) => Promise<Reply | undefined>

/** One row of docs/who-pays.md, and how it is brought about. */
export interface Cell {
  event: string
  policy?: 'abort' | 'drain' | 'delivered' | 'free'
  mode: Mode
  /** Nothing: the client has left. */
  sees: string
  outcome: Receipt['outcome'] | 'no receipt'
  reason?: string
  pays: 'nothing' | 'the prompt' | 'prompt and delivered' | 'all'
  usage: Receipt['usage_source'] | '–'
  sim?: Record<string, unknown>
  body?: Record<string, unknown>
  balance?: bigint
  gateway?: Variant
  /** Brings the event about when the body alone does not. */
  act?: Act
  check?: (receipt: Receipt, reply: Reply | undefined) => void
}

const slow = { chunk_ms: 15 }
const both = (cell: Omit<Cell, 'mode'>): Cell[] => [
  { ...cell, mode: 'streamed' },
  { ...cell, mode: 'whole' },
]
const voided = { outcome: 'void', pays: 'nothing', usage: 'none' } as const

/** The upstream fails after five chunks: by policy what was delivered is paid, or nothing. */
const broken = (event: string, sees: string, reason: string, sim: Record<string, unknown>): Cell[] => [
  {
    event,
    policy: 'delivered',
    mode: 'streamed',
    sees,
    outcome: 'upstream_error',
    reason,
    pays: 'prompt and delivered',
    usage: 'counted',
    sim: { tokens: 400, ...slow, ...sim },
  },
  {
    event,
    policy: 'free',
    mode: 'streamed',
    sees,
    outcome: 'upstream_error',
    reason,
    pays: 'nothing',
    usage: 'counted',
    gateway: 'other',
    sim: { tokens: 400, ...slow, ...sim },
  },
]

/** The client leaves once so many chunks have come, or once the upstream has the call. */
const leaves =
  (chunks: number): Act =>
  async (gateway, project, body) => {
    if (chunks > 0) {
      const open = await gateway.open(body, { key: project.secret })
      await open.until((text) => text.split('"content":"').length > chunks + 1)
      open.hangUp()
      return open.all()
    }
    const leaving = new AbortController()
    const gone = assert.rejects(gateway.open(body, { key: project.secret, signal: leaving.signal }))
    await until('the upstream has the call', async () => (await gateway.running(project)).length > 0)
    leaving.abort()
    await gone
    return undefined
  }

export const completes: Act = (gateway, project, body) => gateway.chat(body, { key: project.secret })

/** The gateway is stopped without grace once content has come, or once the upstream has the call. */
export const stops: Act = async (gateway, project, body) => {
  const opening = gateway.open(body, { key: project.secret })
  await until('the upstream has the call', async () => (await gateway.running(project)).length > 0)
  if (!('first_byte_ms' in (body as { sim: object }).sim))
    await (await opening).until((text) => text.includes('"content":"'))
  const stopped = gateway.closeApp(0)
  const reply = await (await opening).all()
  await stopped
  return reply
}

/** There is one connection to the upstream: a second call waits for it, and its client leaves. */
const leavesTheQueue: Act = async (gateway, project, body) => {
  const other = await gateway.openProject(ONE_USD)
  const blocker = gateway.chat({ ...body, sim: { first_byte_ms: 500 } }, { key: other.secret })
  await until('the connection is taken', async () => (await gateway.running(other)).length > 0)
  const leaving = new AbortController()
  const gone = assert.rejects(gateway.open(body, { key: project.secret, signal: leaving.signal }))
  await until('the second call is held', async () => (await project.wallet()).heldNanos > 0n)
  leaving.abort()
  await gone
  await blocker
  return undefined
}

export const cells: Cell[] = [
  ...both({
    event: 'the wallet does not cover the least',
    sees: '402 `insufficient_quota`',
    outcome: 'no receipt',
    pays: 'nothing',
    usage: '–',
    balance: 1_000n,
  }),

  ...both({
    event: "the provider refuses the caller's request",
    sees: '400 `context_length_exceeded`',
    reason: 'status_400',
    ...voided,
    sim: { context_length: true },
  }),
  ...both({
    event: 'the provider refuses our credential',
    sees: '502 `upstream_credential`',
    reason: 'status_401',
    ...voided,
    sim: { status: 401 },
  }),
  ...both({
    event: 'the provider does not know the model',
    sees: '502 `upstream_failed`',
    reason: 'status_404',
    ...voided,
    sim: { status: 404 },
  }),
  ...both({
    event: 'the provider limits our rate',
    sees: '429 `rate_limit_exceeded`',
    reason: 'status_429',
    ...voided,
    sim: { status: 429, retry_after: '3' },
    check(_receipt, reply) {
      assert.equal(reply?.headers['retry-after'], '3')
      assert.equal(reply?.headers['retry-after-ms'], '3000')
    },
  }),
  ...both({
    event: 'the provider fails',
    sees: '502 `upstream_failed`',
    reason: 'status_500',
    ...voided,
    sim: { status: 500 },
  }),
  ...both({
    event: 'a proxy answers with a page',
    sees: '502 `upstream_failed`',
    reason: 'status_502',
    ...voided,
    sim: { html_error: true },
  }),
  ...both({
    event: 'the provider cannot be reached',
    sees: '502 `upstream_failed`',
    reason: 'connect',
    ...voided,
    body: { model: 'ollama/away' },
  }),
  ...both({
    event: 'the connection breaks before the answer',
    sees: '502 `upstream_failed`',
    reason: 'reset',
    ...voided,
    sim: { reset: true },
  }),
  {
    event: 'nothing comes for the time to the first byte',
    mode: 'streamed',
    sees: '504 `upstream_timeout`',
    reason: 'timeout_first_byte',
    ...voided,
    sim: { no_response: true },
  },
  {
    event: 'nothing comes for the whole time',
    mode: 'whole',
    sees: '504 `upstream_timeout`',
    reason: 'timeout_total',
    ...voided,
    sim: { no_response: true },
  },
  ...both({
    event: 'silence before the first content',
    sees: '504 `upstream_timeout`',
    reason: 'timeout_idle',
    ...voided,
    sim: { stall_after: 0 },
  }),
  {
    event: 'an error inside a 200',
    mode: 'streamed',
    sees: '502 `upstream_failed`',
    reason: 'error_in_stream',
    ...voided,
    sim: { error_in_200: true },
  },
  {
    event: 'an error inside a 200',
    mode: 'whole',
    sees: '502 `upstream_failed`',
    reason: 'error_in_200',
    ...voided,
    sim: { error_in_200: true },
  },
  {
    event: 'an answer that ends before its content',
    mode: 'streamed',
    sees: '502 `upstream_failed`',
    reason: 'empty_stream',
    ...voided,
    sim: { end_after: 0 },
  },
  {
    event: 'an answer that ends before its content',
    mode: 'whole',
    sees: '502 `upstream_failed`',
    reason: 'malformed',
    ...voided,
    sim: { end_after: 0 },
  },
  {
    event: 'nonsense before the first content',
    mode: 'streamed',
    sees: '502 `upstream_failed`',
    reason: 'malformed_frame',
    ...voided,
    sim: { malformed_after: 0 },
  },
  {
    event: 'nonsense before the first content',
    mode: 'whole',
    sees: '502 `upstream_failed`',
    reason: 'malformed',
    ...voided,
    sim: { malformed_after: 0 },
  },
  {
    event: 'half of an answer, then the connection breaks',
    mode: 'whole',
    sees: '502 `upstream_failed`',
    reason: 'reset',
    ...voided,
    sim: { cut_after: 5 },
  },
  {
    event: 'a failure after a keep-alive comment',
    mode: 'streamed',
    sees: '200, then `upstream_failed`',
    reason: 'status_503',
    ...voided,
    sim: { status: 503, first_byte_ms: 600 },
    gateway: 'other',
    check: (_receipt, reply) => assert.match(reply?.text ?? '', /^: keepalive\n\n/),
  },

  ...broken('the provider reports an error after content', '200, then `upstream_failed`', 'error_in_stream', {
    error_after: 5,
  }),
  ...broken('the connection breaks after content', '200, then `upstream_failed`', 'reset', { cut_after: 5 }),
  ...broken('the stream ends early after content', '200, then `upstream_failed`', 'cut', { end_after: 5 }),
  ...broken('nonsense after content', '200, then `upstream_failed`', 'malformed_frame', { malformed_after: 5 }),
  ...broken('silence after content', '200, then `upstream_timeout`', 'timeout_idle', { stall_after: 5 }),
  ...broken('the whole time is over after content', '200, then `upstream_timeout`', 'timeout_total', {}),

  {
    event: 'the client leaves after content',
    policy: 'abort',
    mode: 'streamed',
    sees: 'nothing',
    outcome: 'client_abort',
    pays: 'prompt and delivered',
    usage: 'counted',
    sim: { tokens: 80, ...slow },
    act: leaves(5),
  },
  {
    event: 'the client leaves after content',
    policy: 'drain',
    mode: 'streamed',
    sees: 'nothing',
    outcome: 'client_abort',
    pays: 'all',
    usage: 'provider',
    sim: { tokens: 40, ...slow },
    gateway: 'other',
    act: leaves(5),
  },
  ...both({
    event: 'the client leaves before content',
    policy: 'abort',
    sees: 'nothing',
    outcome: 'client_abort',
    pays: 'the prompt',
    usage: 'counted',
    sim: { first_byte_ms: 300 },
    act: leaves(0),
  }),
  ...both({
    event: 'the client leaves before content',
    policy: 'drain',
    sees: 'nothing',
    outcome: 'client_abort',
    pays: 'all',
    usage: 'provider',
    sim: { first_byte_ms: 300 },
    gateway: 'other',
    act: leaves(0),
  }),
  ...both({
    event: 'the client leaves a model that reasons unseen',
    sees: 'nothing',
    outcome: 'client_abort',
    pays: 'all',
    usage: 'provider',
    body: { model: 'sim/reasoner' },
    sim: { first_byte_ms: 300 },
    act: leaves(0),
  }),
  ...both({
    event: 'the client leaves, then the provider fails before content',
    policy: 'drain',
    sees: 'nothing',
    reason: 'status_500',
    ...voided,
    sim: { first_byte_ms: 300, status: 500 },
    gateway: 'other',
    act: leaves(0),
  }),
  ...both({
    event: 'the client leaves before the provider is asked',
    sees: 'nothing',
    reason: 'client_abort',
    ...voided,
    gateway: 'shutdown',
    act: leavesTheQueue,
  }),

  {
    event: 'the wallet runs dry',
    mode: 'streamed',
    sees: '200, then `length`',
    outcome: 'cut_off',
    reason: 'insufficient_credits',
    pays: 'prompt and delivered',
    usage: 'counted',
    sim: { tokens: 4_000 },
    balance: 1_200_000n,
    check(receipt, reply) {
      assert.equal(receipt.absorbed_nanousd, '0')
      assert.match(reply?.text ?? '', /"fluxgate":\{"reason":"insufficient_credits"\}/)
      assert.match(reply?.text ?? '', /data: \[DONE\]\n\n$/)
    },
  },
  {
    event: 'the wallet does not cover the longest answer',
    mode: 'whole',
    sees: '200',
    outcome: 'complete',
    pays: 'all',
    usage: 'provider',
    sim: { tokens: 4_000 },
    balance: 1_200_000n,
    check: (_receipt, reply) => assert.equal(reply?.json.choices[0].finish_reason, 'length'),
  },
  {
    event: 'the hold is lost',
    mode: 'streamed',
    sees: '200, then `ledger_unavailable`',
    outcome: 'cut_off',
    reason: 'hold_lost',
    pays: 'prompt and delivered',
    usage: 'counted',
    sim: { tokens: 4_000, chunk_ms: 1 },
    async act(gateway, project, body) {
      const open = await gateway.open(body, { key: project.secret })
      await gateway.db.query('update hold set epoch = epoch - 1 where wallet_id = $1', [project.walletId])
      return open.all()
    },
  },
  {
    event: 'the gateway is stopped after content',
    mode: 'streamed',
    sees: '200, then `shutting_down`',
    outcome: 'cut_off',
    reason: 'shutting_down',
    pays: 'prompt and delivered',
    usage: 'counted',
    sim: { tokens: 4_000, ...slow },
    gateway: 'shutdown',
  },
  ...both({
    event: 'the gateway is stopped before content',
    sees: '503 `shutting_down`',
    reason: 'shutting_down',
    ...voided,
    sim: { first_byte_ms: 60_000 },
    gateway: 'shutdown',
  }),

  ...both({ event: 'all is well', sees: '200', outcome: 'complete', pays: 'all', usage: 'provider' }),
  ...both({
    event: 'some was cached, some was reasoning',
    sees: '200',
    outcome: 'complete',
    pays: 'all',
    usage: 'provider',
    sim: { prompt_tokens: 100, cached_tokens: 60, reasoning_tokens: 20 },
    check: ({ usage }) => assert.deepEqual([usage.input, usage.cache_read, usage.reasoning], [40, 60, 20]),
  }),
  {
    event: '`[DONE]` is missing',
    mode: 'streamed',
    sees: '200',
    outcome: 'complete',
    pays: 'all',
    usage: 'provider',
    sim: { no_done: true },
    check: (_receipt, reply) => assert.match(reply?.text ?? '', /data: \[DONE\]\n\n$/),
  },
  ...both({
    event: 'no usage is reported',
    sees: '200',
    outcome: 'complete',
    reason: 'usage_missing',
    pays: 'prompt and delivered',
    usage: 'counted',
    sim: { usage: 'none' },
  }),
  ...both({
    event: 'the provider reports zero',
    sees: '200',
    outcome: 'complete',
    pays: 'nothing',
    usage: 'provider',
    sim: { usage: 'zero' },
  }),
  ...(['negative', 'fractional', 'absurd'] as const).flatMap((usage) =>
    both({
      event: `the reported usage is ${usage}`,
      sees: '200',
      outcome: 'complete',
      reason: 'usage_impossible',
      pays: 'prompt and delivered',
      usage: 'counted',
      sim: { usage },
    }),
  ),
  {
    event: 'usage stands in every chunk',
    mode: 'streamed',
    sees: '200',
    outcome: 'complete',
    pays: 'all',
    usage: 'provider',
    sim: { usage: 'every_chunk' },
  },
  {
    event: 'usage comes with the finish reason',
    mode: 'streamed',
    sees: '200',
    outcome: 'complete',
    pays: 'all',
    usage: 'provider',
    sim: { usage: 'with_choices' },
  },
  {
    event: 'a placeholder comes before the usage',
    mode: 'streamed',
    sees: '200',
    outcome: 'complete',
    pays: 'all',
    usage: 'provider',
    sim: { usage: 'placeholder' },
  },
  {
    event: 'the provider refuses to report usage',
    mode: 'streamed',
    sees: '200',
    outcome: 'complete',
    reason: 'usage_missing',
    pays: 'prompt and delivered',
    usage: 'counted',
    sim: { reject_stream_options: true },
    gateway: 'other',
  },
]
