/** One call of one worker, as its client knows it. */
export interface SoakCall {
  worker: number
  /** Number of the gateway that was asked. */
  gateway: number
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
  const waiting: { atLeast: number; resolve: () => void }[] = []
  let stopping = false

  const workers = Array.from({ length: options.workers }, async (_, worker) => {
    const gateway = worker % options.urls.length
    const key = options.keys[worker % options.keys.length] ?? ''
    for (let n = worker; !stopping; n += 1) {
      const kind = kinds[n % kinds.length]
      if (kind === undefined) return
      const made = await call(`${options.urls[gateway]}${kind.path}`, key, kind)
      calls.push({ worker, gateway, ...made })
      for (const { resolve } of waiting.filter(({ atLeast }) => calls.length >= atLeast)) resolve()
    }
  })

  return {
    calls,

    /** Resolves when every worker has begun and ended a call from now on. */
    async madeMore(): Promise<void> {
      const before = calls.length
      for (let atLeast = before + options.workers + 1; !hasAll(before); atLeast = calls.length + 1)
        await new Promise<void>((resolve) => waiting.push({ atLeast, resolve }))
      waiting.length = 0
    },

    /** Lets every worker end its last call. */
    async stop(): Promise<SoakCall[]> {
      stopping = true
      await Promise.all(workers)
      return calls
    },
  }

  /** Two calls of each gateway's every worker: the second one began after the moment that is meant. */
  function hasAll(since: number): boolean {
    const counts = new Map<number, number>()
    for (const { worker } of calls.slice(since)) counts.set(worker, (counts.get(worker) ?? 0) + 1)
    const served = options.urls.map((_, gateway) =>
      [...counts].some(([worker, count]) => worker % options.urls.length === gateway && count >= 2),
    )
    return served.every(Boolean)
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
