import assert from 'node:assert/strict'
import { readFile } from 'node:fs/promises'
import { after, before, test } from 'node:test'
import { createTestGateway, ONE_USD, type TestGateway } from '#test/support/gateway.ts'
import { until } from '#test/support/until.ts'

// The ways in which AIRI's server lost money, each by a test that fails on what it did. Those that other files show better are named
// here, so that none goes away unnoticed.

let gateway: TestGateway
before(async () => {
  gateway = await createTestGateway()
})
after(() => gateway.close())

const words = (count: number) => Array.from({ length: count }, (_, n) => `word${n}`).join(' ')
const ask = (content: string, more: object = {}) => ({
  model: 'sim/echo',
  messages: [{ role: 'user', content }],
  ...more,
})
const chargedOf = (headers: Record<string, unknown>) => BigInt(String(headers['x-fluxgate-charged-nanousd']))

test('1: hanging up before the end of a stream is not free', async () => {
  const project = await gateway.openProject(ONE_USD)
  const abort = new AbortController()
  const reply = await gateway.open(ask(words(50), { stream: true, sim: { tokens: 200, chunk_ms: 10 } }), {
    ...{ key: project.secret, signal: abort.signal },
  })
  assert.equal(reply.status, 200)
  abort.abort()
  await until('the call is settled', async () => (await project.receipts()).length === 1)
  const [receipt] = await project.receipts()
  assert(BigInt(receipt?.charged_nanousd ?? 0) > 0n, JSON.stringify(receipt))
})

test('3: not asking for usage makes no difference, however long the prompt is', async () => {
  const project = await gateway.openProject(100n * ONE_USD)
  for (const more of [{}, { stream_options: { include_usage: true } }, { stream_options: { include_usage: false } }])
    assert.equal(
      (await gateway.chat(ask(words(20_000), { stream: true, ...more }), { key: project.secret })).status,
      200,
    )
  const charges = (await project.receipts()).map((receipt) => receipt.charged_nanousd)
  assert.equal(charges.length, 3)
  assert.equal(new Set(charges).size, 1)
  const small = await gateway.chat(ask('hi'), { key: project.secret })
  assert(BigInt(charges[0] ?? 0) > 100n * chargedOf(small.headers))
})

test('4 and 13: fifty at once on the balance of one spend what is there, and not a nano-dollar more', async () => {
  const probe = await gateway.openProject(ONE_USD)
  const cost = chargedOf((await gateway.chat(ask('hello there', { max_tokens: 16 }), { key: probe.secret })).headers)
  const project = await gateway.openProject(cost * 2n)
  const answers = await Promise.all(
    Array.from({ length: 50 }, () => gateway.chat(ask('hello there', { max_tokens: 16 }), { key: project.secret })),
  )
  const charged = answers.filter(({ status }) => status === 200).map(({ headers }) => chargedOf(headers))
  assert(answers.every(({ status }) => status === 200 || status === 402))
  const wallet = await project.wallet()
  assert.equal(
    charged.reduce((sum, one) => sum + one, 0n),
    cost * 2n - wallet.postedNanos,
  )
  assert(wallet.postedNanos >= 0n && wallet.heldNanos === 0n)
})

test('5: parameters that would choose something dearer are refused by name', async () => {
  const project = await gateway.openProject(ONE_USD)
  for (const [name, value] of [
    ['models', ['dear/model']],
    ['route', 'fallback'],
    ['provider', { order: ['dear'] }],
    ['plugins', [{ id: 'web' }]],
    ['web_search_options', {}],
  ] as const) {
    const { status, json } = await gateway.chat(ask('hi', { [name]: value }), { key: project.secret })
    assert.equal(status, 400, name)
    assert.equal(json.error.param, name)
  }
  const one = await gateway.chat(ask('hi there'), { key: project.secret })
  const three = await gateway.chat(ask('hi there', { n: 3 }), { key: project.secret })
  assert(chargedOf(three.headers) > chargedOf(one.headers), 'each answer is paid')
})

test('6: input, output and models have prices of their own', async () => {
  const project = await gateway.openProject(ONE_USD)
  const short = await gateway.chat(ask('hi', { sim: { tokens: 10 } }), { key: project.secret })
  const long = await gateway.chat(ask('hi', { sim: { tokens: 1_000 } }), { key: project.secret })
  assert(chargedOf(long.headers) > 10n * chargedOf(short.headers))
})

const shown: readonly [number, string, string][] = [
  [2, 'speech/speech-socket.test.ts', 'a client that leaves has paid for what was sent, and the vendor is let go'],
  [7, 'speech/airi-speech.test.ts', 'a Flux for a thousand characters is exact to the character'],
  [8, 'speech/speech.test.ts', 'what nobody can say is refused before anything is held'],
  [9, 'payments/purchase.test.ts', 'a checkout that is not paid is not credited, whatever event comes'],
  [9, 'payments/claw-back.test.ts', 'a refund takes back its part of the Flux, once, and the whole for the whole'],
  [
    9,
    'payments/claw-back.test.ts',
    'a dispute takes at once, and gives again when it is won; an inquiry takes nothing',
  ],
  [10, 'people/account-deletion.test.ts', 'whoever registers again gets a new wallet and no second gift'],
  [11, 'gateway/two-targets.test.ts', 'an error in a 200'],
  [12, 'outage.test.ts', '... or by the next process, when this one is killed meanwhile'],
  [12, 'crash.test.ts', 'under load loses nothing that was acknowledged and charges nothing twice'],
  [14, 'flux/flux-grants.test.ts', 'idempotency_mismatch'],
  [15, 'flux/flux-grants.test.ts', 'fifty identical requests at once grant once, and all of them tell the truth'],
  [16, 'speech/transcription.test.ts', 'tokens are charged as the provider tells them, whole and streamed'],
]

test('the other leaks are shown by tests that are still there', async () => {
  for (const [leak, file, title] of shown)
    assert((await readFile(`test/${file}`, 'utf8')).includes(title), `leak ${leak}: ${file} shows "${title}"`)
  assert.deepEqual(
    [...new Set([1, 3, 4, 5, 6, 13, ...shown.map(([leak]) => leak)])].sort((a, b) => a - b),
    Array.from({ length: 16 }, (_, n) => n + 1),
  )
})
