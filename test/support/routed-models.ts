import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import { loadPriceBook } from '#domain/price-book.ts'
import { createRouterStore } from '#domain/router/router-store.ts'
import { type TestGateway, until } from '#test/support/gateway.ts'
import { putRouterConfig } from '#test/support/router-config.ts'

/** One upstream of a model for tests; the members of the config that are not said have usual values. */
export interface UpstreamSpec {
  id: string
  /** Its origin, without a path. */
  url: string
  /** Plaintext keys; none by default. */
  keys?: string[]
  /** Switches of the simulator for everything that it is asked. */
  sim?: Record<string, unknown>
  /** Nano-dollars a token, of the prompt and of the answer: 1 by default. */
  nanosPerToken?: number
  /** Other members, as in docs/router-config.md. */
  more?: Record<string, unknown>
}

/** An upstream of the router config. Without keys it is asked without any. */
export function upstreamOf({ id, url, keys = [], sim, nanosPerToken = 1, more }: UpstreamSpec): object {
  const price = String(nanosPerToken * 1_000)
  return {
    id,
    provider: id,
    preset: keys.length > 0 ? 'openai-compatible' : 'sim',
    baseURL: `${url}/v1`,
    protocols: ['chat'],
    overrideModel: 'echo',
    keys: keys.map((plaintextKey, index) => ({ id: `${id}-${index + 1}`, plaintextKey })),
    price: { lines: { input: price, output: price } },
    ...(sim && { headers: { 'x-sim': JSON.stringify(sim) } }),
    ...more,
  }
}

/** Lets a gateway serve these models and no others. Resolves to the version of the config once it serves. */
export function putModels(
  gateway: Pick<TestGateway, 'url'>,
  models: Record<string, { upstreams: UpstreamSpec[] } & Record<string, unknown>>,
  defaults: Record<string, unknown> = {},
): Promise<number> {
  const entries = Object.entries(models).map(([name, { upstreams, ...model }]) => [
    name,
    { ...model, upstreams: upstreams.map(upstreamOf) },
  ])
  return putRouterConfig(gateway.url, { llm: { models: Object.fromEntries(entries) }, defaults })
}

/**
 * Puts another envelope in the place of the stored key `id`, past the door that would refuse one which does not open. Waits
 * until the gateway serves with it.
 */
export async function replaceCiphertext(gateway: TestGateway, id: string, ciphertext: string): Promise<void> {
  const store = createRouterStore({
    db: gateway.db,
    priceBook: loadPriceBook(readFileSync('prices/price-book.json')),
    fluxNanousd: 1_000_000n,
  })
  const stored = await store.current()
  const text = JSON.stringify(stored?.document)
  const config = text.replace(new RegExp(`("id":"${id}","ciphertext":)"[^"]+"`), `$1"${ciphertext}"`)
  assert.notEqual(config, text, 'the key is in the config')
  const outcome = await store.apply({ config, author: 'test', reason: 'another envelope' })
  assert(outcome.status === 'applied', JSON.stringify(outcome))
  const { version } = outcome.version
  await until('it serves', async () => {
    const ready = (await (await fetch(`${gateway.url}/readyz`)).json()) as { checks: { router: { version: number } } }
    return ready.checks.router.version >= version
  })
}
