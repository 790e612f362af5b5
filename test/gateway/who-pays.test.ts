import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import { after, before, describe, test } from 'node:test'
import type { Receipt } from '#billing/receipt.ts'
import {
  createTestGateway,
  ONE_USD,
  type Reply,
  type TestGateway,
  type TestProject,
  until,
} from '#test/support/gateway.ts'
import { textOf, verdictOf } from '#test/support/stream-text.ts'
import { countPrompt, countTokens, loadTokenizer } from '#wire/count-tokens.ts'
import { type Cell, cells, completes, MESSAGES, stops, type Variant } from './who-pays-cells.ts'

// Pico-dollars per token, from the price book.
const ECHO = { input: 150_000n, cache_read: 15_000n, output: 600_000n, reasoning: 600_000n }
const REASONER = { input: 37_500n, cache_read: 3_750n, output: 150_250n, reasoning: 150_333n }

const SHORT = { FIRST_BYTE_TIMEOUT_MS: '1000', IDLE_TIMEOUT_MS: '700', TOTAL_TIMEOUT_MS: '2500' }
const gateways = new Map<Variant, TestGateway>()
before(async () => {
  await loadTokenizer()
  gateways.set('default', await createTestGateway({ env: { ...SHORT, OLLAMA_BASE_URL: 'http://127.0.0.1:1/v1' } }))
  const other = { CLIENT_ABORT_POLICY: 'drain', UPSTREAM_ERROR_POLICY: 'free', KEEPALIVE_MS: '300' }
  gateways.set('other', await createTestGateway({ env: { ...SHORT, ...other } }))
})
after(async () => {
  for (const gateway of gateways.values()) await gateway.close()
})

describe('who pays', { concurrency: 16 }, () => {
  for (const cell of cells.filter(({ gateway }) => gateway !== 'shutdown')) define(cell)
})

// Each has a gateway of its own, and the connections of a database are few.
describe('who pays at the end of a gateway', () => {
  for (const cell of cells.filter(({ gateway }) => gateway === 'shutdown')) define(cell)
})

function define(cell: Cell): void {
  const { event, policy, mode } = cell
  test(`${event}, ${mode}${policy === undefined ? '' : `, policy ${policy}`}`, () => run(cell))
}

test('docs/who-pays.md has one row for each of these', () => {
  const rows = readFileSync('docs/who-pays.md', 'utf8')
    .split('\n')
    .filter((line) => /^\|.*\| (?:streamed|whole) \|/.test(line))
  assert.deepEqual(rows.toSorted(), cells.map(rowOf).toSorted())
})

function rowOf({ event, policy, mode, sees, outcome, reason, pays, usage }: Cell): string {
  const code = (text: string | undefined) => (text === undefined ? '–' : `\`${text}\``)
  return `| ${[event, code(policy), mode, sees, outcome, code(reason), pays, usage].join(' | ')} |`
}

async function run(cell: Cell): Promise<void> {
  const shared = gateways.get(cell.gateway ?? 'default')
  const gateway = shared ?? (await createTestGateway({ env: { UPSTREAM_CONNECTIONS_MAX: '1' } }))
  try {
    const project = await gateway.openProject(cell.balance ?? ONE_USD)
    const body = {
      model: 'sim/echo',
      stream: cell.mode === 'streamed',
      messages: MESSAGES,
      ...(cell.sim && { sim: cell.sim }),
      ...cell.body,
    }
    const act = cell.act ?? (cell.gateway === 'shutdown' ? stops : completes)
    const reply = await act(gateway, project, body)
    if (cell.sees !== 'nothing') assert.equal(reply && verdictOf(reply), cell.sees)
    await expectBooks(cell, gateway, project, reply)
  } finally {
    if (shared === undefined) await gateway.close()
  }
}

async function expectBooks(cell: Cell, gateway: TestGateway, project: TestProject, reply: Reply | undefined) {
  if (cell.outcome === 'no receipt') {
    await project.settled(0)
    return
  }
  const [receipt] = await project.settled(1)
  assert(receipt !== undefined)
  assert.deepEqual(
    [receipt.outcome, receipt.reason, receipt.usage_source],
    [cell.outcome, cell.reason, cell.usage],
    JSON.stringify(receipt),
  )
  await until('the upstream has ended the call', () => gateway.seen(receipt).every(({ state }) => state !== 'open'))
  const { usage } = receipt
  assert.deepEqual(usage, expectedUsage(cell, gateway, receipt, reply))
  const priced = nanos(usage, receipt.model === 'sim/reasoner' ? REASONER : ECHO)
  const charged = cell.pays === 'nothing' ? 0n : priced
  assert.equal(receipt.charged_nanousd, String(charged))
  assert.equal(receipt.absorbed_nanousd, String(cell.outcome === 'void' ? 0n : priced - charged))
  cell.check?.(receipt, reply)
}

function nanos(usage: Receipt['usage'], prices: typeof ECHO): bigint {
  const kinds = Object.entries(prices) as [keyof typeof prices, bigint][]
  const pico = kinds.reduce((sum, [kind, price]) => sum + BigInt(usage[kind] ?? 0) * price, 0n)
  return (pico + 999n) / 1_000n
}

/** From the oracle where the provider is believed, else from the prompt and what reached the client. */
function expectedUsage(cell: Cell, gateway: TestGateway, receipt: Receipt, reply: Reply | undefined) {
  const seen = gateway.seen(receipt).at(-1)
  if (cell.usage === 'none' || (cell.usage === 'provider' && cell.pays === 'nothing')) return {}
  assert(seen !== undefined, 'the upstream has seen the call')
  if (cell.usage === 'provider') {
    const { promptTokens, cachedTokens, completionTokens, reasoningTokens } = seen
    return onlyUnits({
      input: promptTokens - cachedTokens,
      cache_read: cachedTokens,
      output: completionTokens - reasoningTokens,
      reasoning: reasoningTokens,
    })
  }
  const input = countPrompt({ messages: MESSAGES }).tokens
  if (cell.pays === 'the prompt') return onlyUnits({ input })
  const text = deliveredText(cell, reply)
  const tokens = Math.ceil(text.length / 4)
  if (cell.outcome === 'client_abort') {
    // What lay in a socket when the client left was delivered all the same, as far as the gateway can know.
    assert(seen.state === 'aborted' && tokens <= seen.completionTokens)
    const output = receipt.usage.output ?? 0
    // Four bytes are a token of the simulator's and nearly one of ours.
    assert(output >= countTokens(text) && output <= seen.completionTokens + 3, `${output} tokens of ${text}`)
    return { input, output }
  }
  // An upstream that was closed had written more than was read of it.
  if (seen.state === 'aborted' || cell.outcome === 'cut_off') assert(tokens <= seen.completionTokens)
  else assert.equal(tokens, seen.completionTokens, 'all that the upstream wrote has reached the client')
  return onlyUnits({ input, output: countTokens(text) })
}

function deliveredText(cell: Cell, reply: Reply | undefined): string {
  assert(reply !== undefined)
  return cell.mode === 'streamed' ? textOf(wholeFrames(reply.text)) : String(reply.json.choices[0].message.content)
}

/** Without a frame that the connection cut in two. */
function wholeFrames(text: string): string {
  return text.slice(0, text.lastIndexOf('\n\n') + 2)
}

function onlyUnits(usage: Record<string, number>): Record<string, number> {
  return Object.fromEntries(Object.entries(usage).filter(([, units]) => units > 0))
}
