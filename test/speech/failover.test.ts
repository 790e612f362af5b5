import assert from 'node:assert/strict'
import { after, before, describe, test } from 'node:test'
import type { Receipt } from '#billing/receipt.ts'
import type { Usage, UsageKind } from '#billing/usage.ts'
import { createSimulator } from '#simulator/simulator.ts'
import { soundOf } from '#simulator/speech-sound.ts'
import { AZURE_KEY, startFakeAzure } from '#test/support/fakes/fake-azure.ts'
import { type FakeVendor, fakeAudio } from '#test/support/fakes/fake-vendor.ts'
import { createTestGateway, ONE_USD, type Reply, type TestGateway, until } from '#test/support/gateway.ts'
import type { RawUpstream } from '#test/support/raw-upstream.ts'
import { putRouterConfig } from '#test/support/router-config.ts'
import { countTokens, loadTokenizer } from '#wire/count-tokens.ts'
import { type ColumnName, columns, TEXT, VOICE } from './failover-columns.ts'
import { type RawAnswer, startRawVendor, TOLD } from './raw-vendor.ts'

// The sixteen failures of test/gateway/failover.test.ts, met by speech. What does not apply as it stands: a prefill (S14), whose
// place the voice takes, since that is what a fallback may not know; and a malformed chunk (S10) of plain sound, in which
// nothing is malformed, so that it is a body of another kind there.

const COOLDOWN_MS = 10
const ATTEMPT_MS = 400
/** So far apart, the first sound is passed on before a fault comes; together with it, the fault would move on. */
const APART_MS = 100
const CHARACTERS = [...TEXT].length
/** What the fallback of another vendor is asked for instead of VOICE. */
const MAPPED_VOICE = 'zh-CN-YunxiNeural'

type Side = 'first' | 'second'
type Sim = Record<string, unknown>

/** Nano-dollars a unit: a charge at the wrong upstream's price is a wrong charge. */
const PRICES: Record<Side, Record<string, bigint>> = {
  first: { characters: 10n, input: 20n, audio_output: 40n },
  second: { characters: 30n, input: 60n, audio_output: 120n },
}

/** The simulator with switches, bytes that it cannot send, or a vendor with other voices. */
interface Upstream {
  sim?: Sim
  bytes?: RawAnswer
  azure?: boolean
  /** Another model than the column's. */
  model?: 'speak' | 'gpt-sim-tts'
  params?: Record<string, unknown>
}

/** What one call comes to. */
interface Expected {
  /** As `code` of the error for OpenAI's clients, and what AIRI's see. */
  sees: string | { openai: string; airi: string }
  outcome: Receipt['outcome']
  /** Upstream and result, in the order of asking. */
  attempts: string[]
  reason?: string
  /** Whose sound the client hears, whole or in part. */
  by?: Side
  retryAfter?: string
}

interface Scenario {
  name: string
  first: Upstream
  second?: Upstream
  /** All of them by default. */
  in?: ColumnName[]
  mapping?: object
  /** Of each call in turn. */
  calls: Expected[]
}

const PLAIN: ColumnName[] = ['characters', 'airi']
const AS_EVENTS: ColumnName[] = ['tokens', 'events']

const served = (...attempts: string[]): Expected => ({
  sees: '200',
  outcome: 'complete',
  attempts: [...attempts, 'second ok'],
  by: 'second',
})
const refused = (openai: string, airi: string, ...attempts: string[]): Expected => ({
  sees: { openai, airi },
  outcome: 'void',
  attempts,
  reason: attempts.at(-1)?.split(' ')[1] ?? '',
})
/** After the first sound no other upstream is asked, and sound has no place for an error. */
const broken = (result: string): Expected => ({
  sees: '200, then broken off',
  outcome: 'upstream_error',
  attempts: [`first ${result}`],
  reason: result,
  by: 'first',
})
const firstServes: Expected = { sees: '200', outcome: 'complete', attempts: ['first ok'], by: 'first' }

const scenarios: Scenario[] = [
  {
    name: 'S01 429 with Retry-After',
    first: { sim: { status: 429, retry_after: '1' } },
    calls: [served('first status_429')],
  },
  {
    name: 'S02 persistent 429',
    first: { sim: { status: 429, retry_after: '7' } },
    second: { sim: { status: 429, retry_after_ms: 3_000 } },
    calls: [
      {
        ...refused('429 rate_limit_exceeded', '503 SERVICE_UNAVAILABLE', 'first status_429', 'second status_429'),
        retryAfter: '3',
      },
    ],
  },
  { name: 'S03 one 500', first: { sim: { status: 500 } }, calls: [served('first status_500')] },
  { name: 'S04 503', first: { sim: { status: 503 } }, calls: [served('first status_503')] },
  { name: 'S05 TCP reset', first: { sim: { reset: true } }, calls: [served('first reset')] },
  { name: 'S06 no response', first: { sim: { no_response: true } }, calls: [served('first timeout_first_byte')] },
  {
    name: 'S07 slow first byte',
    first: { sim: { first_byte_ms: 20_000 } },
    calls: [served('first timeout_first_byte')],
  },
  {
    name: 'S07 head without a first byte',
    first: { sim: { stall_after: 0, stall_ms: 20_000 } },
    calls: [served('first timeout_first_byte')],
  },
  { name: 'S08 cut', first: { sim: { cut_after: 2, chunk_ms: APART_MS } }, calls: [broken('reset')] },
  { name: 'S09 stall of 30 s', first: { sim: { stall_after: 3, stall_ms: 30_000 } }, calls: [broken('timeout_idle')] },
  {
    name: 'S10 malformed chunk',
    in: AS_EVENTS,
    first: { sim: { malformed_after: 2, chunk_ms: APART_MS } },
    calls: [broken('malformed_frame')],
  },
  { name: 'S10 a page in a 200', first: { bytes: 'page' }, calls: [served('first error_in_200')] },
  { name: 'S10 words in a 200', first: { bytes: 'words' }, calls: [served('first error_in_200')] },
  { name: 'S10 an empty 200', in: PLAIN, first: { bytes: 'nothing' }, calls: [served('first empty')] },
  {
    name: 'S10 an empty 200',
    in: AS_EVENTS,
    first: { sim: { end_after: 0 } },
    calls: [served('first empty')],
  },
  { name: 'S11 missing last chunk', in: PLAIN, first: { bytes: 'truncated' }, calls: [broken('reset')] },
  { name: 'S11 less than its length', in: PLAIN, first: { bytes: 'short' }, calls: [broken('reset')] },
  // The last event has the usage: what ends without it is not whole.
  { name: 'S11 missing last event', in: AS_EVENTS, first: { sim: { no_done: true } }, calls: [broken('cut')] },
  // Everything has been heard and told: what the connection does then is nobody's loss.
  { name: 'S11 stall behind the last event', in: AS_EVENTS, first: { bytes: 'told' }, calls: [firstServes] },
  { name: 'S11 cut behind the last event', in: AS_EVENTS, first: { bytes: 'leaving' }, calls: [firstServes] },
  {
    name: 'S12 input-length 400',
    first: { sim: { context_length: true } },
    calls: [refused('400 context_length_exceeded', '400 BAD_REQUEST', 'first status_400')],
  },
  {
    name: 'S12 too long for the first alone',
    first: { params: { input_chars_max: CHARACTERS - 1 } },
    calls: [served()],
  },
  {
    name: 'S13 content-filter 400',
    first: { sim: { content_filter: 'prompt' } },
    calls: [refused('400 content_filter', '400 BAD_REQUEST', 'first status_400')],
  },
  {
    name: 'S14 voice mapped for the fallback',
    in: ['characters', 'airi', 'tokens'],
    first: { sim: { status: 500 } },
    second: { azure: true },
    mapping: { [VOICE]: { second: MAPPED_VOICE } },
    calls: [served('first status_500')],
  },
  {
    name: 'S14 voice unknown at the fallback',
    in: ['characters', 'airi', 'tokens'],
    first: { sim: { status: 500 } },
    second: { azure: true },
    calls: [served('first status_500')],
  },
  {
    name: 'S14 voice-rejecting fallback',
    first: { sim: { status: 500 } },
    second: {
      sim: {
        status: 400,
        error: { message: 'no such voice', type: 'invalid_request_error', param: 'voice', code: 'voice_not_found' },
      },
    },
    calls: [refused('400 voice_not_found', '400 BAD_REQUEST', 'first status_500', 'second status_400')],
  },
  {
    name: 'S15 flapping provider',
    first: { sim: { flap: 1, status: 500 } },
    calls: [served('first status_500'), firstServes, served('first status_500'), firstServes],
  },
  {
    name: 'S16 usage attribution after fallback',
    in: PLAIN,
    first: { sim: { error_in_200: true } },
    calls: [served('first error_in_200')],
  },
  {
    name: 'S16 usage attribution after fallback',
    in: AS_EVENTS,
    first: { sim: { error_in_200: true, prompt_tokens: 9 } },
    second: { sim: { prompt_tokens: 3 } },
    calls: [served('first error_in_stream')],
  },
  {
    name: 'S16 from characters to tokens',
    in: PLAIN,
    first: { sim: { status: 500 } },
    second: { model: 'gpt-sim-tts', sim: { prompt_tokens: 5 } },
    calls: [served('first status_500')],
  },
  {
    name: 'S16 from tokens to characters',
    in: ['tokens'],
    first: { sim: { status: 500 } },
    second: { model: 'speak' },
    calls: [served('first status_500')],
  },
]

let gateway: TestGateway
let azure: FakeVendor
let raw: RawUpstream
const upstreams = { first: createSimulator(), second: createSimulator() }

before(async () => {
  await loadTokenizer()
  const urls = { first: (await upstreams.first.listen()).url, second: (await upstreams.second.listen()).url }
  azure = await startFakeAzure()
  raw = await startRawVendor()
  const cooldown = { UPSTREAM_COOLDOWN_MS: String(COOLDOWN_MS), UPSTREAM_COOLDOWN_MS_MAX: String(COOLDOWN_MS) }
  gateway = await createTestGateway({ env: cooldown })
  const upstream = (id: Side, column: ColumnName, key: string, spec: Upstream) => ({
    id,
    provider: spec.azure ? 'azure' : 'openai',
    baseURL: spec.azure ? azure.url : `${spec.bytes ? `${raw.url}/${spec.bytes}` : urls[id]}/v1`,
    ...(!spec.azure && { overrideModel: spec.model ?? columns[column].model }),
    keys: [{ id: `${id}-1`, plaintextKey: spec.azure ? AZURE_KEY : `sk-${id}0000000000000000001` }],
    ...(spec.sim && { headers: { 'x-sim': JSON.stringify({ ...spec.sim, ...(spec.sim.flap ? { key } : {}) }) } }),
    ...(spec.params && { adapterParams: spec.params }),
    price: priceOf(id, spec, column),
  })
  const models = scenarios.flatMap(({ first, second = {}, mapping, ...scenario }, index) =>
    columnsOf(scenario).map((column) => {
      const name = modelOf(index, column)
      return [
        name,
        {
          provider: 'openai',
          upstreams: [upstream('first', column, name, first), upstream('second', column, name, second)],
          ...(mapping && { voices: { mapping } }),
        },
      ]
    }),
  )
  const defaults = { perAttemptTimeoutMs: ATTEMPT_MS, idleTimeoutMs: ATTEMPT_MS }
  await putRouterConfig(gateway.url, { tts: { models: Object.fromEntries(models) }, defaults })
})
after(async () => {
  await gateway.close()
  await Promise.all([upstreams.first, upstreams.second, azure, raw].map((upstream) => upstream.close()))
})

function columnsOf(scenario: Pick<Scenario, 'in'>): ColumnName[] {
  return scenario.in ?? (Object.keys(columns) as ColumnName[])
}

function modelOf(index: number, column: ColumnName): string {
  return `failover/${index}-${column}`
}

function isByTokens({ azure = false, model }: Upstream, column: ColumnName): boolean {
  return !azure && (model ?? columns[column].model) === 'gpt-sim-tts'
}

function priceOf(side: Side, spec: Upstream, column: ColumnName) {
  const lines = Object.entries(PRICES[side])
    .filter(([unit]) => (unit === 'characters') !== isByTokens(spec, column))
    .map(([unit, nanos]) => [unit, String(nanos * 1_000n)])
  return { lines: Object.fromEntries(lines) }
}

function nanosAt(side: Side, usage: Usage): bigint {
  return Object.entries(usage).reduce((sum, [unit, units]) => sum + BigInt(units) * (PRICES[side][unit] ?? 0n), 0n)
}

for (const column of Object.keys(columns) as ColumnName[])
  describe(`failover of speech, ${column}`, () => {
    for (const [index, scenario] of scenarios.entries()) {
      if (!columnsOf(scenario).includes(column)) continue
      test(scenario.name, async () => {
        const project = await gateway.openProject(ONE_USD)
        for (const [number, expected] of scenario.calls.entries()) {
          await restored()
          const { path, body } = columns[column]
          const reply = await gateway.chat(body(modelOf(index, column)), { key: project.secret, path })
          const receipts = await project.settled(number + 1)
          const receipt = receipts.find(({ seq }) => seq === number + 1)
          assert(receipt !== undefined)
          expectAnswer(expected, column, reply, receipt)
          if (expected.by === undefined) assert.equal(receipt.charged_nanousd, '0')
          else expectSound({ ...expected, by: expected.by }, scenario, column, reply, receipt)
        }
      })
    }
  })

/** No upstream cools down any more from what was tested before. */
async function restored(): Promise<void> {
  const fromMs = performance.now()
  await until('the cooldown is over', () => performance.now() - fromMs > COOLDOWN_MS)
}

function expectAnswer(expected: Expected, column: ColumnName, reply: Reply, receipt: Receipt): void {
  const { sees, outcome, attempts, reason, retryAfter } = expected
  const whole = reply.whole ? '200' : '200, then broken off'
  const seen = reply.status === 200 ? whole : `${reply.status} ${columns[column].errorOf(reply)}`
  assert.equal(seen, typeof sees === 'string' ? sees : sees[column === 'airi' ? 'airi' : 'openai'])
  const asked = receipt.attempt_list?.map(({ upstream, result }) => `${upstream} ${result}`)
  assert.deepEqual(
    { outcome: receipt.outcome, asked, reason: receipt.reason },
    { outcome, asked: attempts, reason },
    JSON.stringify(receipt),
  )
  assert.equal(reply.headers['retry-after'], retryAfter)
  assert.equal(reply.headers['x-fluxgate-attempts'], String(attempts.length))
}

/** What was heard is a beginning of what that upstream speaks, and the charge is what it has counted, at its price. */
function expectSound(
  { by, outcome }: Expected & { by: Side },
  scenario: Scenario,
  column: ColumnName,
  reply: Reply,
  receipt: Receipt,
): void {
  const spec = scenario[by] ?? {}
  const complete = outcome === 'complete'
  const { sound, usage } = spokenBy(by, spec, receipt)
  const heard = columns[column].soundOf(reply)
  assert(heard.length > 0)
  assert.deepEqual(heard, complete ? sound : sound.subarray(0, heard.length))
  if (!complete) assert(heard.length < sound.length)
  assert.equal(reply.headers['x-fluxgate-voice'], spec.azure ? azure.delivered.at(-1)?.voice : undefined)
  if (scenario.mapping) assert.equal(reply.headers['x-fluxgate-voice'], MAPPED_VOICE)

  for (const [unit, pico] of Object.entries(priceOf(by, spec, column).lines))
    assert.equal(receipt.price.lines[unit as UsageKind], pico)
  const text = { input: countTokens(TEXT) }
  const charged = complete || !isByTokens(spec, column) ? usage : text
  const exact = isByTokens(spec, column) ? (complete ? 'provider' : 'estimated') : 'counted'
  assert.deepEqual({ usage: receipt.usage, source: receipt.usage_source }, { usage: charged, source: exact })
  assert.equal(BigInt(receipt.charged_nanousd), nanosAt(by, charged))
  for (const { upstream, result, cost_nanousd } of receipt.attempt_list ?? []) {
    const hungUp = result.startsWith('timeout') && upstream !== by
    const sent = isByTokens(scenario.first, column) ? text : { characters: CHARACTERS }
    assert.equal(cost_nanousd, hungUp ? String(nanosAt('first', sent)) : undefined, 'the text that it was sent')
  }
}

/** All that an upstream would speak, and what it has counted of it. */
function spokenBy(by: Side, { azure: isAzure, bytes }: Upstream, receipt: Receipt): { sound: Buffer; usage: Usage } {
  if (isAzure) {
    const spoken = azure.delivered.at(-1)
    assert(spoken !== undefined)
    return { sound: fakeAudio('azure', spoken), usage: { characters: spoken.characters } }
  }
  const sound = soundOf('pcm', [...TEXT])
  if (bytes === 'told' || bytes === 'leaving') return { sound, usage: TOLD }
  if (bytes) return { sound, usage: { characters: CHARACTERS } }
  const seen = upstreams[by].oracle.find(receipt.receipt_id.slice('rcp_'.length)).at(-1)
  assert(seen !== undefined, 'the upstream has seen the call')
  if (receipt.outcome === 'complete') assert.equal(seen.spokenCharacters, CHARACTERS)
  if (seen.characters > 0) return { sound, usage: { characters: seen.characters } }
  return { sound, usage: { input: seen.promptTokens, audio_output: seen.completionTokens } }
}
