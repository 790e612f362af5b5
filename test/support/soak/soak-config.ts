import { createHash } from 'node:crypto'
import type { Random } from '#test/support/random.ts'

/** What a version of the router config promises, to be compared with receipts. */
export interface Promised {
  /** By upstream: pico-dollars per token. */
  prices: Record<string, { input: string; output: string }>
  /** What receipts may call the keys. */
  keyIds: ReadonlySet<string>
}

interface UpstreamState {
  id: string
  baseURL: string
  keys: { id: string; plaintextKey: string }[]
  weight: number
  isFailing: boolean
}

/** Always the same one: two that cool down beside one that fails would leave a call nobody to ask. */
const FAILING = 'upstream-0'
const KEYS_PER_UPSTREAM = 2
const strategies = ['ordered', 'weighted', 'least-inflight'] as const
const kinds = ['order', 'rotate', 'weights', 'limits', 'failing', 'price'] as const

/**
 * A router config that changes step by step: the model `soak` with its own prices, the model `flux` without any, and models
 * that nobody asks for, which make a version weigh something. Names of keys and prices are never used twice.
 */
export function createSoakConfig(options: { baseURLs: readonly string[]; idleModels: number; random: Random }) {
  const { random, idleModels } = options
  let step = 0
  let serial = 0
  let strategy: (typeof strategies)[number] = 'ordered'
  let maxTokens = 100
  const freshKey = () => {
    serial += 1
    return { id: `key-${serial}`, plaintextKey: `sk-soak-${serial}-0123456789abcdef` }
  }
  let upstreams: UpstreamState[] = options.baseURLs.map((baseURL, index) => ({
    id: `upstream-${index}`,
    baseURL,
    keys: Array.from({ length: KEYS_PER_UPSTREAM }, freshKey),
    weight: 1,
    isFailing: false,
  }))
  const priceOf = (at: number) => ({ input: String(step * 1_000 + at), output: String(step * 2_000 + at) })

  function change(): void {
    step += 1
    for (const upstream of upstreams) upstream.isFailing = false
    const [first, ...rest] = upstreams
    if (first === undefined) return
    const kind = kinds[step % kinds.length]
    if (kind === 'order') upstreams = [...rest, first]
    else if (kind === 'rotate') random.pick([first, ...rest]).keys = [...first.keys.slice(1), freshKey()]
    else if (kind === 'weights') {
      strategy = random.pick([...strategies])
      for (const upstream of upstreams) upstream.weight = random.integer(1, 10)
    } else if (kind === 'limits') maxTokens = random.integer(4, 100)
    else if (kind === 'failing') for (const upstream of upstreams) upstream.isFailing = upstream.id === FAILING
  }

  /** The config as it is now, and what it promises. */
  function now(): { config: object; promised: Promised } {
    const entry = ({ id, baseURL, keys, weight, isFailing }: UpstreamState, at: number) => ({
      id,
      preset: 'sim',
      baseURL: `${baseURL}/v1`,
      overrideModel: 'echo',
      keys,
      weight,
      maxConcurrency: 64,
      ...(isFailing && { headers: { 'x-sim': '{"status":503}' } }),
      price: { lines: priceOf(at) },
    })
    const entries = upstreams.map(entry)
    const groups = [{ id: 'all', strategy, upstreamIds: entries.map(({ id }) => id) }]
    // A provider of this name has no price in the book.
    const flux = entries.map(({ price, ...rest }) => ({ ...rest, provider: 'nobody', keys: rest.keys.slice(0, 1) }))
    const idle = Array.from({ length: idleModels }, (_, at) => [
      `idle-${at}`,
      { upstreams: entries.map(({ keys, ...rest }) => ({ ...rest, keys: [] })), limits: { maxTokens: step + 1 } },
    ])
    return {
      config: {
        llm: {
          models: {
            soak: { upstreams: entries, routing: { groups }, limits: { maxTokens, maxConcurrency: 500 } },
            flux: { upstreams: flux },
            ...Object.fromEntries(idle),
          },
        },
        defaults: { chatModel: 'soak' },
      },
      promised: {
        prices: Object.fromEntries(entries.map(({ id, price }) => [id, price.lines])),
        keyIds: new Set(upstreams.flatMap(({ keys }) => keys.map(({ plaintextKey }) => keyId(plaintextKey)))),
      },
    }
  }

  return { change, now }
}

function keyId(plaintext: string): string {
  return createHash('sha256').update(plaintext).digest('hex').slice(0, 8)
}
