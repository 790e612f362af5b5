import assert from 'node:assert/strict'
import { test } from 'node:test'
import { completePrice, UnpricedUsageError } from '#billing/price.ts'
import { pricedTarget } from '#domain/call-context.ts'
import { parseChatRequest } from '#wire/openai-chat-request.ts'
import { isProblem } from '#wire/text-request.ts'
import { answerLimit, coveredTokens, nanosFor, planHold, TRANCHE_TOKENS_FIRST } from './hold-plan.ts'
import type { Target } from './target.ts'

const HIDDEN_PROMPT_TOKENS = 1_024

/** One nano-dollar for an input token, ten for an output token, unless said otherwise. */
function target(options: Partial<Target> & { input?: bigint; output?: bigint } = {}): Target {
  const { input = 1_000n, output = 10_000n, ...rest } = options
  return {
    priced: pricedTarget({
      provider: 'p',
      model: 'm',
      price: completePrice({ lines: { input, output } }),
      book: `sha256:${'0'.repeat(64)}`,
    }),
    targetId: 't',
    credentialId: 'c',
    groupIndex: 0,
    upstreamWeight: 1,
    credentialWeight: 1,
    eligible: true,
    credential: undefined,
    protocol: 'chat',
    origin: 'http://127.0.0.1:1',
    path: '/v1/chat/completions',
    countPath: undefined,
    headers: {},
    authorize: () => ({}),
    rejected: () => undefined,
    firstByteMs: undefined,
    maxOutputTokens: 8_192,
    outputLimitKnown: true,
    hiddenReasoning: false,
    maxTokensMember: 'max_tokens',
    streamOptions: true,
    ...rest,
  }
}

function routeOf(targets: Target[]) {
  const [first, ...rest] = targets
  assert(first !== undefined)
  return { targets: [first, ...rest] as const, maxTokens: undefined }
}

function request(members: object = {}) {
  const chat = parseChatRequest(
    JSON.stringify({ model: 'p/m', messages: [{ role: 'user', content: 'hello' }], ...members }),
  )
  assert(!isProblem(chat))
  return chat
}

/** The prompt's part of a hold at one nano-dollar a token. */
const promptNanos = (chat: { text: string }) => BigInt(Buffer.byteLength(chat.text) + HIDDEN_PROMPT_TOKENS)

const plans: [name: string, members: object, targets: Target[], outputNanos: bigint, floorNanos: bigint][] = [
  ['a stream is held for its first tranche', { stream: true }, [target()], 10_240n, 160n],
  ['a short stream is held for its limit', { stream: true, max_tokens: 50 }, [target()], 500n, 160n],
  ['a whole answer is held for the worst case', {}, [target()], 81_920n, 160n],
  ['... or for its limit', { max_tokens: 100 }, [target()], 1_000n, 160n],
  ['... but not beyond what the target enforces', { max_tokens: 100_000 }, [target()], 81_920n, 160n],
  [
    'a limit that nobody enforces bounds nothing that was asked for',
    { max_tokens: 100_000 },
    [target({ outputLimitKnown: false })],
    1_000_000n,
    160n,
  ],
  ['hidden reasoning is held for the worst case', { stream: true }, [target({ hiddenReasoning: true })], 81_920n, 160n],
  ['several answers', { n: 3, max_tokens: 100 }, [target()], 3_000n, 480n],
  ['one token', { max_tokens: 1 }, [target()], 10n, 10n],
  [
    'of several targets the dearest decides',
    { max_tokens: 100 },
    [target(), target({ output: 50_000n })],
    5_000n,
    800n,
  ],
  [
    'of several targets the longest decides',
    {},
    [target(), target({ maxOutputTokens: 10_000, outputLimitKnown: false })],
    100_000n,
    160n,
  ],
]
for (const [name, members, targets, outputNanos, floorNanos] of plans)
  test(`what is held: ${name}`, () => {
    const chat = request(members)
    const plan = planHold(chat, routeOf(targets))
    assert.equal(plan.amount, promptNanos(chat) + outputNanos)
    assert.equal(plan.floor, promptNanos(chat) + floorNanos)
  })

test('what is held for an answer covers it, and no token more', () => {
  const chat = request({ stream: true })
  const plan = planHold(chat, routeOf([target()]))
  assert.equal(coveredTokens(chat, plan, target(), plan.amount), TRANCHE_TOKENS_FIRST)
  for (const tokens of [0, 1, 999, 8_192])
    assert.equal(coveredTokens(chat, plan, target(), nanosFor(chat, plan, target(), tokens)), tokens)
})

test('what has no price cannot be held', () => {
  const sound = { role: 'user', content: [{ type: 'input_audio', input_audio: { data: 'UklGRg==', format: 'wav' } }] }
  assert.throws(() => planHold(request({ messages: [sound] }), routeOf([target()])), UnpricedUsageError)
  assert.throws(() => planHold(request({ modalities: ['text', 'audio'] }), routeOf([target()])), UnpricedUsageError)
})

test('a document is held for a quarter of a million tokens, a picture for the dearest there is', () => {
  const withPart = (part: object) => {
    const chat = request({ max_tokens: 1, messages: [{ role: 'user', content: [part] }] })
    return planHold(chat, routeOf([target()])).amount - promptNanos(chat)
  }
  assert.equal(withPart({ type: 'file', file: { file_id: 'f' } }), 250_010n)
  assert.equal(withPart({ type: 'image_url', image_url: { url: 'https://example.com/a.png' } }), 50_010n)
})

const limits: [name: string, members: object, target: Target, short: bigint, limit: number | undefined][] = [
  ['a stream is watched, not limited', { stream: true, max_tokens: 5_000 }, target(), 0n, undefined],
  ['a whole answer that is covered goes as it came', {}, target(), 0n, undefined],
  ['a whole answer that the wallet does not cover is cut to what it does', {}, target(), 80_000n, 192],
  ["... and so is the caller's own limit", { max_tokens: 500 }, target(), 4_000n, 100],
  ['... shared by several answers', { max_tokens: 500, n: 2 }, target(), 8_000n, 100],
  ['a target that enforces no limit is given one', {}, target({ outputLimitKnown: false }), 0n, 8_192],
  ['... unless the caller gave his own', { max_tokens: 90_000 }, target({ outputLimitKnown: false }), 0n, undefined],
]
for (const [name, members, at, short, limit] of limits)
  test(`the limit sent upstream: ${name}`, () => {
    const chat = request(members)
    const plan = planHold(chat, routeOf([at]))
    assert.equal(answerLimit(chat, plan, at, plan.amount - short), limit)
  })
