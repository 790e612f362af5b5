import { ADMIN_KEY } from '#test/support/gateway-process.ts'
import type { Random } from '#test/support/random.ts'
import { until } from '#test/support/until.ts'
import type { createSoakConfig, Promised } from './soak-config.ts'

const SERVED_MS_MAX = 10_000
const badConfigs: readonly [unknown, ...unknown[]] = [
  { llm: { models: { soak: { upstrems: [] } } } },
  { llm: { models: { soak: { upstreams: [{ baseURL: 'ftp://nowhere.test' }] } } } },
  { llm: { models: { soak: { upstreams: [{ id: 'a', baseURL: 'https://a.test/v1', priceRef: 'no/such' }] } } } },
  { llm: { models: {} }, defaults: { chatModel: 'nobody' } },
  {
    llm: { models: { soak: { upstreams: [{ id: 'a', preset: 'sim', keys: [{ id: 'k', ciphertext: 'v1.a.b.c' }] }] } } },
  },
]
const FLUX_RATES_MAX = 1_000

/** An operator who never rests: writes versions, refused ones too, goes back, and turns settings. */
export function createSoakAdmin(options: {
  urls: readonly [string, ...string[]]
  config: ReturnType<typeof createSoakConfig>
  random: Random
}) {
  const { urls, random, config } = options
  const versions = new Map<number, Promised>()
  const fluxRates = new Set<number>()
  const problems: string[] = []
  let writes = 0

  async function ask(line: string, body?: unknown, headers: Record<string, string> = {}) {
    const [method = '', path = ''] = line.split(' ')
    const response = await fetch(`${random.pick([...urls])}${path}`, {
      method,
      headers: {
        authorization: `Bearer ${ADMIN_KEY}`,
        ...(body !== undefined && { 'content-type': 'application/json' }),
        ...headers,
      },
      ...(body !== undefined && { body: JSON.stringify(body) }),
    })
    return { status: response.status, etag: response.headers.get('etag') ?? '', text: await response.text() }
  }

  /** Every gateway serves this version, or a later one. */
  async function served(version: number): Promise<void> {
    for (const url of urls)
      await until(
        `version ${version} serves`,
        async () => {
          const ready = await (await fetch(`${url}/readyz`)).json()
          return (ready as { checks: { router: { version: number } } }).checks.router.version >= version
        },
        SERVED_MS_MAX,
      )
  }

  async function write(line: string, body: object, expected: number): Promise<number> {
    const { etag } = await ask('GET /api/admin/router')
    const answer = await ask(line, body, { 'if-match': etag })
    writes += 1
    if (answer.status !== expected) problems.push(`${line} ${answer.status}, not ${expected}: ${answer.text}`)
    if (answer.status !== 200) return 0
    return (JSON.parse(answer.text) as { version: { version: number } }).version.version
  }

  async function writeNext(): Promise<void> {
    config.change()
    const { config: next, promised } = config.now()
    const version = await write('PUT /api/admin/router', { config: next, reason: 'soak' }, 200)
    versions.set(version, promised)
    await served(version)
  }

  async function refused(): Promise<void> {
    await write('PUT /api/admin/router', { config: random.pick([...badConfigs]), reason: 'bad' }, 400)
    const stale = await ask(
      'PUT /api/admin/router',
      { config: config.now().config, reason: 'r' },
      { 'if-match': '"1-0"' },
    )
    writes += 1
    if (stale.status !== 412) problems.push(`a stale tag is ${stale.status}`)
  }

  async function goBack(): Promise<void> {
    const known = [...versions.keys()]
    const [first = 1, ...rest] = known.slice(-10)
    const to = random.pick([first, ...rest])
    const body = { version: to, reason: 'soak' }
    const version = await write('POST /api/admin/router:rollback', body, 200)
    const promised = versions.get(to)
    if (promised !== undefined) versions.set(version, promised)
    await served(version)
  }

  async function turnSetting(): Promise<void> {
    const rate = random.integer(1, FLUX_RATES_MAX)
    fluxRates.add(rate)
    const answer = await ask('PUT /api/admin/settings/FLUX_PER_1K_TOKENS', { value: rate, reason: 'soak' })
    writes += 1
    if (answer.status !== 200) problems.push(`a setting is ${answer.status}: ${answer.text}`)
  }

  const acts = [writeNext, writeNext, refused, writeNext, goBack, writeNext, turnSetting]

  return {
    versions,
    fluxRates,

    /** How many writes there were since this was asked, and what was answered otherwise than it should have been. */
    answers(): { checked: number; bad: number; examples: string[] } {
      const found = { checked: writes, bad: problems.length, examples: problems.splice(0) }
      writes = 0
      return found
    },

    /** The first version, with which calls can begin. */
    async begin(): Promise<void> {
      await turnSetting()
      await writeNext()
    },

    async act(n: number): Promise<void> {
      await acts[n % acts.length]?.()
    },
  }
}
