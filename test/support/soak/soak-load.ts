/** One call of one worker, as its client knows it. */
export interface SoakCall {
  worker: number
  /** Number of the gateway that was asked. */
  gateway: number
  beganAt: number
  receipt: string | undefined
  /** What is wrong with the answer. */
  problem: string | undefined
}

interface Kind {
  path: string
  body: Record<string, unknown>
  /** How a stream ends that is whole. */
  ends?: RegExp
}

const messages = [{ role: 'user', content: 'Say something of the sea, and mind the tide tables.' }]
const kinds: readonly Kind[] = [
  { path: '/v1/chat/completions', body: { model: 'soak', messages } },
  { path: '/v1/chat/completions', body: { model: 'soak', messages, stream: true }, ends: /data: \[DONE\]\n\n$/ },
  {
    path: '/v1/messages',
    body: { model: 'soak', messages, max_tokens: 50, stream: true },
    ends: /"message_stop"}\n\n(: .*\n\n)?$/,
  },
  { path: '/v1/responses', body: { model: 'soak', input: 'And of the ferries.', store: false } },
  { path: '/api/v1/openai/chat/completions', body: { model: 'auto', messages } },
  { path: '/v1/chat/completions', body: { model: 'flux', messages, stream: true }, ends: /data: \[DONE\]\n\n$/ },
]

/** Workers that call without pause, each on one gateway, until they are stopped. */
export function startSoakLoad(options: { urls: readonly string[]; keys: readonly string[]; workers: number }) {
  const calls: SoakCall[] = []
  const waiting: (() => void)[] = []
  let stopping = false

  const workers = Array.from({ length: options.workers }, async (_, worker) => {
    const gateway = worker % options.urls.length
    const key = options.keys[worker % options.keys.length] ?? ''
    for (let n = worker; !stopping; n += 1) {
      const kind = kinds[n % kinds.length]
      if (kind === undefined) return
      const beganAt = performance.now()
      const made = await call(`${options.urls[gateway]}${kind.path}`, key, kind)
      calls.push({ worker, gateway, beganAt, ...made })
      for (const wake of waiting.splice(0)) wake()
    }
  })

  return {
    calls,

    /** Resolves when every gateway has answered a call that began from now on. */
    async madeMore(): Promise<void> {
      const since = performance.now()
      const from = calls.length
      const isServed = (gateway: number) =>
        calls.slice(from).some((call) => call.gateway === gateway && call.beganAt >= since)
      while (!options.urls.every((_, gateway) => isServed(gateway)))
        await new Promise<void>((resolve) => waiting.push(resolve))
    },

    /** Lets every worker end its last call. */
    async stop(): Promise<SoakCall[]> {
      stopping = true
      await Promise.all(workers)
      return calls
    },
  }
}

async function call(url: string, key: string, kind: Kind): Promise<Pick<SoakCall, 'receipt' | 'problem'>> {
  try {
    const response = await fetch(url, {
      method: 'POST',
      headers: { authorization: `Bearer ${key}`, 'content-type': 'application/json' },
      body: JSON.stringify(kind.body),
    })
    const text = await response.text()
    const receipt = response.headers.get('x-fluxgate-receipt') ?? undefined
    const name = `${kind.path} ${kind.body.model}`
    if (response.status !== 200) return { receipt, problem: `${name}: ${response.status} ${text.slice(0, 300)}` }
    if (receipt === undefined) return { receipt, problem: `${name}: no receipt` }
    if (kind.ends?.test(text) === false) return { receipt, problem: `${name} ended with ${text.slice(-200)}` }
    return { receipt, problem: undefined }
  } catch (error) {
    return { receipt: undefined, problem: `${kind.path}: ${error instanceof Error ? error.message : String(error)}` }
  }
}
