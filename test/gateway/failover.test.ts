import assert from 'node:assert/strict'
import { after, before, describe, test } from 'node:test'
import type { Receipt } from '#billing/receipt.ts'
import { createSimulator } from '#simulator/simulator.ts'
import { createTestGateway, type Reply, type TestGateway, until } from '#test/support/gateway.ts'
import { upstreamOf } from '#test/support/routed-models.ts'
import { putRouterConfig } from '#test/support/router-config.ts'
import { countTokens, loadTokenizer } from '#wire/count-tokens.ts'
import { type ChatMessage, type ColumnName, columns } from './failover-columns.ts'

// The sixteen failures of the public score card failoverbench, each met by a model with two upstreams: what the client sees,
// who is asked, and what is charged, compared with the upstreams' own count. Times are scaled down.

const COOLDOWN_MS = 10
const ATTEMPT_MS = 400
/** Pico-dollars a token: a charge at the wrong upstream's price is a wrong charge. */
const PRICES = { first: 1_000n, second: 3_000n }
const MESSAGES: ChatMessage[] = [{ role: 'user', content: 'Who serves this?' }]

type Sim = Record<string, unknown>
type View = string | Record<ColumnName, string>

/** What one call comes to. */
interface Expected {
  /** By protocol where their words differ. */
  sees: View
  outcome: Receipt['outcome']
  /** Upstream and result, in the order of asking. */
  attempts: string[]
  reason?: string
  /** Whose answer the client gets, whole or in part. */
  by?: 'first' | 'second'
  retryAfter?: string
}

interface Scenario {
  name: string
  first: Sim
  second?: Sim
  messages?: ChatMessage[]
  /** Of each call in turn. */
  streamed: Expected[]
  whole: Expected[]
  /** Where a protocol differs in more than its words. */
  others?: Partial<Record<ColumnName, { streamed: Expected[] }>>
}

const served = (...attempts: string[]): Expected => ({
  sees: '200',
  outcome: 'complete',
  attempts: [...attempts, 'second ok'],
  by: 'second',
})
const both = (...calls: Expected[]) => ({ streamed: calls, whole: calls })
const refused = (sees: View, ...attempts: string[]): Expected => ({
  sees,
  outcome: 'void',
  attempts,
  reason: attempts.at(-1)?.split(' ')[1] ?? '',
})
/** After content no other upstream is asked. */
const broken = (code: 'upstream_failed' | 'upstream_timeout', result: string): Expected => ({
  sees: {
    chat: `200, then ${code}`,
    responses: `200, then ${code}`,
    messages: `200, then ${code === 'upstream_timeout' ? 'timeout_error' : 'api_error'}`,
  },
  outcome: 'upstream_error',
  attempts: [`first ${result}`],
  reason: result,
  by: 'first',
})
const firstServes: Expected = { sees: '200', outcome: 'complete', attempts: ['first ok'], by: 'first' }

const scenarios: Scenario[] = [
  { name: 'S01 429 with Retry-After', first: { status: 429, retry_after: '1' }, ...both(served('first status_429')) },
  {
    name: 'S02 persistent 429',
    first: { status: 429, retry_after: '7' },
    second: { status: 429, retry_after_ms: 3_000 },
    ...both({
      ...refused(
        { chat: '429 rate_limit_exceeded', responses: '429 rate_limit_exceeded', messages: '429 rate_limit_error' },
        'first status_429',
        'second status_429',
      ),
      retryAfter: '3',
    }),
  },
  { name: 'S03 one 500', first: { status: 500 }, ...both(served('first status_500')) },
  { name: 'S04 503', first: { status: 503 }, ...both(served('first status_503')) },
  { name: 'S05 TCP reset', first: { reset: true }, ...both(served('first reset')) },
  { name: 'S06 no response', first: { no_response: true }, ...both(served('first timeout_first_byte')) },
  { name: 'S07 slow first token', first: { first_byte_ms: 20_000 }, ...both(served('first timeout_first_byte')) },
  {
    name: 'S08 stream cut',
    first: { cut_after: 3, chunk_ms: 40 },
    streamed: [broken('upstream_failed', 'reset')],
    whole: [served('first reset')],
  },
  {
    name: 'S09 stall of 30 s',
    first: { stall_after: 3, stall_ms: 30_000 },
    streamed: [broken('upstream_timeout', 'timeout_idle')],
    whole: [served('first timeout_idle')],
  },
  {
    name: 'S10 malformed chunk',
    first: { malformed_after: 3, chunk_ms: 40 },
    streamed: [broken('upstream_failed', 'malformed_frame')],
    whole: [served('first malformed')],
  },
  {
    name: 'S11 missing [DONE]',
    first: { no_done: true },
    ...both(firstServes),
    // The last event of the responses protocol has the answer and its usage: what ends without it is not whole.
    others: { responses: { streamed: [broken('upstream_failed', 'cut')] } },
  },
  {
    name: 'S12 context-length 400',
    first: { context_length: true },
    ...both(
      refused(
        {
          chat: '400 context_length_exceeded',
          responses: '400 context_length_exceeded',
          messages: '400 invalid_request_error',
        },
        'first status_400',
      ),
    ),
  },
  {
    name: 'S13 content-filter 400',
    first: { content_filter: 'prompt' },
    ...both(
      refused(
        { chat: '400 content_filter', responses: '400 content_filter', messages: '400 invalid_request_error' },
        'first status_400',
      ),
    ),
  },
  {
    name: 'S14 prefill-rejecting fallback',
    first: { status: 500 },
    second: { reject_prefill: true },
    messages: [...MESSAGES, { role: 'assistant', content: 'The one who' }],
    ...both(refused('400 invalid_request_error', 'first status_500', 'second status_400')),
  },
  {
    name: 'S15 flapping provider',
    first: { flap: 1, status: 500 },
    ...both(served('first status_500'), firstServes, served('first status_500'), firstServes),
  },
  {
    name: 'S16 usage attribution after fallback',
    first: { error_in_200: true, prompt_tokens: 50_000, tokens: 900 },
    second: { prompt_tokens: 1_234, cached_tokens: 200, tokens: 56 },
    streamed: [served('first error_in_stream')],
    whole: [served('first error_in_200')],
  },
]

let gateway: TestGateway
const upstreams = { first: createSimulator(), second: createSimulator() }

before(async () => {
  await loadTokenizer()
  const urls = { first: (await upstreams.first.listen()).url, second: (await upstreams.second.listen()).url }
  const cooldown = { UPSTREAM_COOLDOWN_MS: String(COOLDOWN_MS), UPSTREAM_COOLDOWN_MS_MAX: String(COOLDOWN_MS) }
  gateway = await createTestGateway({ env: cooldown })
  const upstream = (id: 'first' | 'second', protocol: string, sim: Sim) =>
    upstreamOf({ id, url: urls[id], sim, nanosPerToken: Number(PRICES[id] / 1_000n), more: { protocols: [protocol] } })
  const models = scenarios.flatMap(({ first, second = {}, ...scenario }) =>
    Object.keys(columns).flatMap((protocol) =>
      ['streamed', 'whole'].map((mode) => {
        const name = modelOf(scenario, protocol, mode)
        const key = first.flap === undefined ? {} : { key: name }
        return [
          name,
          { upstreams: [upstream('first', protocol, { ...first, ...key }), upstream('second', protocol, second)] },
        ]
      }),
    ),
  )
  const defaults = { perAttemptTimeoutMs: ATTEMPT_MS, idleTimeoutMs: ATTEMPT_MS }
  await putRouterConfig(gateway.url, { llm: { models: Object.fromEntries(models) }, defaults })
})
after(async () => {
  await gateway.close()
  await upstreams.first.close()
  await upstreams.second.close()
})

function modelOf({ name }: Pick<Scenario, 'name'>, protocol: string, mode: string): string {
  return `${name.split(' ')[0]}.${protocol}.${mode}`
}

for (const protocol of Object.keys(columns) as ColumnName[])
  describe(`failover on ${protocol}`, () => {
    for (const scenario of scenarios)
      for (const mode of ['streamed', 'whole'] as const)
        test(`${scenario.name}, ${mode}`, async () => {
          const project = await gateway.openProject(1_000_000_000n)
          const { path, body } = columns[protocol]
          const request = body(modelOf(scenario, protocol, mode), mode === 'streamed', scenario.messages ?? MESSAGES)
          const calls = (mode === 'streamed' && scenario.others?.[protocol]?.streamed) || scenario[mode]
          for (const [index, expected] of calls.entries()) {
            await restored()
            const reply = await gateway.chat(request, { key: project.secret, path })
            const receipts = await project.settled(index + 1)
            const receipt = receipts.find(({ seq }) => seq === index + 1)
            assert(receipt !== undefined)
            expectCall(expected, protocol, reply, receipt)
          }
        })
  })

/** No upstream cools down any more from what was tested before. */
async function restored(): Promise<void> {
  const fromMs = performance.now()
  await until('the cooldown is over', () => performance.now() - fromMs > COOLDOWN_MS)
}

function expectCall(expected: Expected, protocol: ColumnName, reply: Reply, receipt: Receipt): void {
  const { sees, outcome, attempts, reason, by, retryAfter } = expected
  const { viewOf, textOf } = columns[protocol]
  assert.equal(viewOf(reply), typeof sees === 'string' ? sees : sees[protocol], reply.text)
  const asked = receipt.attempt_list?.map(({ upstream, result }) => `${upstream} ${result}`)
  assert.deepEqual(
    { outcome: receipt.outcome, asked, reason: receipt.reason },
    { outcome, asked: attempts, reason },
    JSON.stringify(receipt),
  )
  assert.equal(reply.headers['retry-after'], retryAfter)
  assert.equal(reply.headers['x-fluxgate-attempts'], String(attempts.length))
  if (by === undefined) {
    assert.equal(receipt.charged_nanousd, '0')
    return
  }
  assert.equal(receipt.provider, by)
  assert.equal(receipt.price.lines.output, String(PRICES[by]))
  const text = textOf(reply)
  const seen = upstreams[by].oracle.find(receipt.receipt_id.slice('rcp_'.length)).at(-1)
  assert(seen !== undefined, 'the upstream has seen the call')
  // What was delivered in full is charged as the upstream knows it, anything else as it was passed on.
  const tokens =
    outcome === 'complete' ? seen.promptTokens + seen.completionTokens : (receipt.usage.input ?? 0) + countTokens(text)
  assert.equal(receipt.usage_source, outcome === 'complete' ? 'provider' : 'counted')
  assert.equal(BigInt(receipt.charged_nanousd), (BigInt(tokens) * PRICES[by]) / 1_000n)
  assert(text.length > 0)
  if (outcome === 'complete') assert.equal(Math.ceil(Buffer.byteLength(text) / 4), seen.completionTokens, text)
  for (const attempt of receipt.attempt_list ?? []) {
    const cut: boolean = attempt.result.startsWith('timeout') && attempt.upstream !== by
    assert.equal(attempt.cost_nanousd !== undefined, cut, 'only what we hung up on may have a cost of its own')
  }
}
