import assert from 'node:assert/strict'
import type { Receipt } from '#billing/receipt.ts'
import type { Usage } from '#billing/usage.ts'
import type { OracleCall } from '#simulator/oracle.ts'
import type { TestGateway } from '#test/support/gateway.ts'
import { putRouterConfig } from '#test/support/router-config.ts'
import type { TextProtocol } from '#wire/neutral.ts'

export const textProtocols = ['chat', 'responses', 'messages'] as const satisfies readonly TextProtocol[]

export interface ModelOptions {
  /** As the simulator calls it; `echo` unless given. */
  model?: string
  /** Switches of the simulator for every call of this model. */
  sim?: Record<string, unknown>
  /** Instead of the simulator. */
  baseURL?: string
}

/** One nano-dollar a token: a charge then is the number of tokens. */
const price = { lines: { input: '1000', output: '1000' } }

/** Models of the router config, each as `<name>.<protocol>` served by an upstream that speaks this protocol only. */
export async function putProtocolModels(gateway: TestGateway, models: Record<string, ModelOptions>): Promise<void> {
  const entries = Object.entries(models).flatMap(([name, options]) =>
    textProtocols.map((protocol) => [`${name}.${protocol}`, { upstreams: [upstreamOf(gateway, protocol, options)] }]),
  )
  await putRouterConfig(gateway.url, { llm: { models: Object.fromEntries(entries) } })
}

/** An upstream of the router config that speaks one protocol. */
export function upstreamOf(gateway: TestGateway, protocol: TextProtocol, options: ModelOptions = {}): object {
  const { model = 'echo', sim, baseURL = gateway.simulatorUrl } = options
  return {
    preset: 'sim',
    baseURL: `${baseURL}/v1`,
    protocols: protocol === 'messages' ? [protocol, 'count_tokens'] : [protocol],
    overrideModel: model,
    keys: [],
    price,
    ...(sim && { headers: { 'x-sim': JSON.stringify(sim) } }),
  }
}

/** What a call used up, as the upstream knows it, in the kinds of a receipt. */
export function truthOf(call: OracleCall): Usage {
  const { promptTokens, cachedTokens, cacheWriteTokens, cacheWrite1hTokens, completionTokens, reasoningTokens } = call
  const usage: Record<string, number> = {
    input: promptTokens - cachedTokens - cacheWriteTokens - cacheWrite1hTokens,
    cache_read: cachedTokens,
    cache_write_5m: cacheWriteTokens,
    cache_write_1h: cacheWrite1hTokens,
    output: completionTokens - reasoningTokens,
    reasoning: reasoningTokens,
  }
  for (const [kind, units] of Object.entries(usage))
    if (units === 0 && kind !== 'input' && kind !== 'output') delete usage[kind]
  return usage
}

/** The receipt says what the upstream knows, the upstream said so, and each token was charged one nano-dollar. */
export function expectTruth(gateway: TestGateway, receipt: Receipt, protocol?: string): void {
  const calls = gateway.seen(receipt)
  const served = calls.at(-1)
  assert(served !== undefined, 'the upstream knows the call')
  if (protocol !== undefined) assert.equal(served.protocol, protocol)
  assert.equal(receipt.outcome, 'complete')
  assert.equal(receipt.usage_source, 'provider')
  assert.deepEqual({ ...receipt.usage }, truthOf(served))
  assert.equal(receipt.charged_nanousd, String(served.promptTokens + served.completionTokens))
}
