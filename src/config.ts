import { isIP } from 'node:net'
import { resolve } from 'node:path'
import type { SocialProvider } from '#adapters/better-auth.ts'
import { decodeBase64 } from '#lib/base64.ts'
import { isLoopback } from '#lib/loopback.ts'
import type { Secret } from '#lib/secret.ts'
import { integer, oneOf, optional, readSettings, type Setting, secret, text, url } from '#lib/settings.ts'
import { accountProblems, accountSettings, readSocialProviders } from './account-settings.ts'
import { mailProblems, mailSettings } from './mail-settings.ts'
import { oidcProblems, oidcSettings } from './oidc-settings.ts'
import { paymentProblems, paymentSettings } from './payment-settings.ts'
import { type ProviderSetting, providerSettings, readProviders } from './provider-settings.ts'

const seconds = (count: number) => count * 1000
const http = ['http:', 'https:']
const WITNESSES_MAX = 16

/** Every environment variable that the gateway reads. docs/configuration.md lists them; a test compares. */
export const settings = {
  HOST: text('Address to listen on. Loopback unless told otherwise.', '127.0.0.1'),
  PORT: integer('Port to listen on; 0 takes a free one.', 3000, { min: 0, max: 65_535 }),
  DATA_DIR: text('Folder for the embedded database, keys and the spool.', './data'),
  DATABASE_URL: url('PostgreSQL 15 or newer. Unset: an embedded server in DATA_DIR.', ['postgres:', 'postgresql:']),
  REDIS_URL: url('Redis or Valkey that carries news between gateways. Unset: PostgreSQL alone does.', [
    'redis:',
    'rediss:',
  ]),
  LOG_LEVEL: oneOf('Least severe log lines to write.', 'info', ['fatal', 'error', 'warn', 'info', 'debug', 'silent']),
  FLUXGATE_ADMIN_KEY: adminKey(),
  FLUXGATE_API_KEY: secret(
    'Pins the first client key of the project `default`, for scripts: at least 24 visible characters.',
  ),
  RECEIPT_SIGNING_KEY: keyOf32Bytes(
    'Ed25519 seed that signs receipts, Base64 of 32 bytes. Required with DATABASE_URL, else made in DATA_DIR.',
  ),
  RECEIPT_ROOT_KEY: keyOf32Bytes(
    'Ed25519 seed that signs lists of receipt keys, Base64 of 32 bytes. Unset with DATABASE_URL: kept offline, see docs/key-rotation.md. Else made in DATA_DIR.',
  ),
  LLM_ROUTER_MASTER_KEY: keyOf32Bytes(
    'Seals the provider keys of the router config, Base64 of 32 bytes. Required with DATABASE_URL, else made in DATA_DIR.',
  ),
  LLM_ROUTER_MASTER_KEY_PREVIOUS: keyOf32Bytes('Opens what was sealed before the last rotation: docs/credentials.md.'),
  RECEIPT_LOG_ORIGIN: logOrigin(),
  LOG_SIGNING_KEY: keyOf32Bytes(
    'Ed25519 seed that signs the receipt log, Base64 of 32 bytes. Required with DATABASE_URL, else made in DATA_DIR.',
  ),
  LOG_DIR: optional({
    description: 'Folder of the files of the receipt log. `log` in DATA_DIR when unset.',
    parse: (value) => resolve(value),
  }),
  LOG_INTERVAL_MS: integer('How often the receipt log takes in what was signed.', seconds(1), {
    min: 20,
    max: seconds(60),
  }),
  LOG_WITNESSES: optional({
    description: 'Who cosigns the receipt log: `VKEY URL`, separated by commas. docs/transparency-log.md.',
    parse: parseWitnesses,
  }),
  LOG_WITNESS_INTERVAL_MS: integer('How often witnesses are asked at most.', seconds(60), {
    min: 20,
    max: seconds(3600),
  }),
  WELCOME_GRANT_USD: optional({
    description: 'Dollars that the project `default` starts with. 5 on the embedded database, 0 with DATABASE_URL.',
    parse(value) {
      const number = /^\d{1,6}$/.test(value) ? Number(value) : Number.NaN
      if (!(number <= 10_000)) throw new Error('an integer from 0 to 10000')
      return number
    },
  }),
  FLUX_NANOUSD: integer('Nano-dollars in one Flux. Fixed at installation.', 1_000_000, {
    min: 1,
    max: 1_000_000_000_000,
  }),
  PRICE_BOOK: optional({
    description: 'Path of a price book to use instead of the bundled one.',
    parse: (value) => value,
  }),
  REGISTRY_URL: optional({
    description:
      'Published registry of models that `/registry` shows beside the price book, as https://llmring.github.io/registry. None is asked when unset: docs/registry.md.',
    parse: readRegistryUrl,
  }),
  REGISTRY_REFRESH_MS: integer('How often the published registry is asked.', seconds(3600), {
    min: 1000,
    max: seconds(7 * 24 * 3600),
  }),

  ...providerSettings,
  GOOGLE_TOKEN_URL: url('Token address that service account keys may name beside those of Google.', [
    'https:',
    'http:',
  ]),
  AZURE_AUTHORITY_HOST: url('Microsoft login of `azure-openai`. https://login.microsoftonline.com when unset.', http),
  OPENROUTER_KEY: secret('What `fluxgate router seed` seals as the key for OpenRouter; read by nothing else.'),
  AZURE_KEY: secret('What `fluxgate router seed` seals as the key for Azure speech; read by nothing else.'),
  DASHSCOPE_KEY: secret('What `fluxgate router seed` seals as the key for DashScope speech; read by nothing else.'),
  FLUXGATE_SIM_URL: url(
    'A simulator to serve `sim/*` models from, instead of the one built in. For tests and benchmarks.',
    http,
  ),

  SPEECH_LINK_HOSTS: optional({
    description:
      'Hosts as `host:port`, separated by commas, that links to spoken audio may lead to over plain http, beside those of Alibaba. For tests.',
    parse: parseHosts,
  }),
  WEBHOOK_INSECURE_HOSTS: optional({
    description:
      'Hosts as `host:port`, separated by commas, that webhooks may be sent to over plain http and wherever they are. For tests and receivers on this machine.',
    parse: parseHosts,
  }),

  CORS_ORIGINS: optional({
    description:
      'Origins whose pages may call the routes of docs/usage.md, separated by commas, or `*` for all. None when unset; cookies are never involved.',
    parse(value) {
      const origins = value.split(',').map((origin) => origin.trim())
      const isOrigin = (origin: string) => origin === '*' || (URL.canParse(origin) && new URL(origin).origin === origin)
      if (origins.length > 100 || !origins.every(isOrigin)) throw new Error('a list of origins, as https://app.example')
      return origins
    },
  }),

  ...accountSettings,
  ...oidcSettings,
  ...mailSettings,
  ...paymentSettings,
  POSTHOG_API_KEY: secret(
    'Sends events of people to PostHog, best effort: docs/analytics.md. Nothing is sent when unset.',
  ),
  POSTHOG_HOST: url('Where PostHog takes events. https://us.i.posthog.com when unset.', http),

  BODY_BYTES_MAX: integer('Longest request body, in bytes.', 32 * 1024 * 1024, { min: 1024, max: 512 * 1024 * 1024 }),
  OPEN_BODY_BYTES_MAX: integer('What the bodies of all open calls may take up together, in bytes.', 256 * 1024 * 1024, {
    min: 1024,
    max: 16 * 1024 * 1024 * 1024,
  }),
  UPLOAD_BYTES_MAX: integer('Longest file of audio, in bytes.', 100 * 1024 * 1024, {
    min: 1024,
    max: 2 * 1024 * 1024 * 1024,
  }),
  FRAME_BYTES_MAX: integer("Longest frame of an upstream's stream, in bytes.", 1024 * 1024, {
    min: 1024,
    max: 64 * 1024 * 1024,
  }),
  ANSWER_BYTES_MAX: integer('Longest answer that is not streamed, in bytes.', 64 * 1024 * 1024, {
    min: 1024,
    max: 512 * 1024 * 1024,
  }),
  HEADERS_MAX: integer('Most headers of a request.', 100, { min: 10, max: 1000 }),
  OPEN_CALLS_MAX: integer('Most calls that run at once in this process.', 10_000, { min: 1, max: 100_000 }),
  LEDGER_QUEUE_MAX: integer('Most admissions that wait for a commit.', 10_000, { min: 256, max: 100_000 }),
  UPSTREAM_CONNECTIONS_MAX: integer('Most connections to one upstream.', 4096, { min: 1, max: 65_000 }),

  CONNECT_TIMEOUT_MS: integer('To connect to an upstream.', seconds(10), { min: 10, max: seconds(120) }),
  FIRST_BYTE_TIMEOUT_MS: integer("To the first byte of an upstream's stream.", seconds(120), {
    min: 10,
    max: seconds(3600),
  }),
  IDLE_TIMEOUT_MS: integer("Between two reads of an upstream's answer.", seconds(60), { min: 10, max: seconds(3600) }),
  TOTAL_TIMEOUT_MS: integer('A whole call.', seconds(600), { min: 10, max: seconds(7200) }),
  CLIENT_STALL_TIMEOUT_MS: integer('A client that reads nothing for this long has left.', seconds(120), {
    min: 10,
    max: seconds(3600),
  }),
  UPSTREAM_COOLDOWN_MS: integer(
    'How long an upstream that failed is passed over the first time; doubled with each further failure.',
    seconds(2),
    { min: 10, max: seconds(3600) },
  ),
  UPSTREAM_COOLDOWN_MS_MAX: integer('The longest that an upstream is passed over.', seconds(300), {
    min: 10,
    max: seconds(3600),
  }),
  KEEPALIVE_MS: integer('A stream that is silent for this long gets a comment.', seconds(10), {
    min: 10,
    max: seconds(600),
  }),
  RESERVE_WAIT_MS: integer('How long an admission waits for a database that is away.', seconds(3), {
    min: 100,
    max: seconds(60),
  }),
  RATE_LIMIT_WAIT_MS: integer(
    'How long an admission waits for rate limits that gateways count together, before this one counts by itself.',
    250,
    { min: 10, max: seconds(10) },
  ),
  SETTLE_WAIT_MS: integer('How long a complete answer waits for a database that is away.', seconds(60), {
    min: 100,
    max: seconds(600),
  }),
  SHUTDOWN_MS: integer('How long running calls may go on after a stop is asked for.', seconds(20), {
    min: 0,
    max: seconds(600),
  }),
  HOLD_TTL_MS: integer('After this a hold whose call is not known any more is swept.', seconds(60), {
    min: 1000,
    max: seconds(3600),
  }),
  SLOT_LEASE_MS: integer('A gateway that is silent for twice this long is taken for dead.', seconds(15), {
    min: 500,
    max: seconds(600),
  }),

  CLIENT_ABORT_POLICY: oneOf(
    'What a client that hangs up leaves: `abort` stops the upstream and charges what was delivered, `drain` reads on and charges the whole.',
    'abort',
    ['abort', 'drain'],
  ),
  UPSTREAM_ERROR_POLICY: oneOf(
    'What an upstream that fails half-way costs the client: `delivered` or `free`.',
    'delivered',
    ['delivered', 'free'],
  ),
} satisfies Record<string, Setting<unknown>>

export type Config = ReturnType<typeof parseConfig>

/** The only reader of the environment. Throws one Error that names every problem. */
export function parseConfig(env: Record<string, string | undefined>) {
  let providers: readonly ProviderSetting[] = []
  let socialProviders: readonly SocialProvider[] = []
  const values = readSettings(settings, env, (read) => {
    const { found, problems } = readProviders(read)
    providers = found
    const social = readSocialProviders(read)
    socialProviders = social.found
    const parts = [accountProblems(read), oidcProblems(read), mailProblems(read), paymentProblems(read)]
    return [...problems, ...social.problems, ...parts.flat()]
  })
  const embedded = values.DATABASE_URL === undefined
  const missing = (
    ['FLUXGATE_ADMIN_KEY', 'RECEIPT_SIGNING_KEY', 'LOG_SIGNING_KEY', 'LLM_ROUTER_MASTER_KEY'] as const
  ).filter((name) => values[name] === undefined)
  return Object.freeze({
    ...values,
    DATA_DIR: resolve(values.DATA_DIR),
    LOG_DIR: values.LOG_DIR ?? resolve(values.DATA_DIR, 'log'),
    /** Where to look for an installed PostgreSQL when its package is missing. */
    searchPath: env.PATH ?? '',
    embedded,
    /** Secrets that must be set beside a DATABASE_URL: several machines have to share them. */
    missingSecrets: embedded ? [] : missing,
    welcomeGrantUsd: values.WELCOME_GRANT_USD ?? (embedded ? 5 : 0),
    providers,
    socialProviders,
  })
}

function keyOf32Bytes(description: string): Setting<Secret | undefined> {
  const setting = secret(description)
  return {
    ...setting,
    parse(value) {
      const key = decodeBase64(value)
      if (key?.byteLength !== 32) throw new Error('the Base64 of 32 bytes')
      return setting.parse(value)
    },
  }
}

/** Also the name of the key that signs the log, so it may have no space and no plus. */
function logOrigin(): Setting<string> {
  const setting = text('Name of the receipt log, stated on every receipt.', 'fluxgate.local/1')
  return {
    ...setting,
    parse(value) {
      if (!/^[!-*,-~]{1,255}$/.test(value)) throw new Error('1 to 255 visible ASCII characters without a plus')
      return value
    },
  }
}

/** The keys themselves are read when the log is opened. */
function parseWitnesses(value: string): { vkey: string; url: string }[] {
  const witnesses = value.split(',').map((entry) => {
    const [, vkey = '', url = ''] = /^(\S{1,300}) (\S{1,2000})$/.exec(entry.trim()) ?? []
    const parsed = URL.canParse(url) ? new URL(url) : undefined
    if (parsed === undefined || !http.includes(parsed.protocol) || parsed.username !== '' || parsed.password !== '')
      throw new Error('a list of VKEY URL, the URL with http or https and without a password')
    return { vkey, url: url.replace(/\/+$/, '') }
  })
  if (witnesses.length > WITNESSES_MAX) throw new Error(`a list of at most ${WITNESSES_MAX} witnesses`)
  return witnesses
}

function parseHosts(value: string): string[] {
  const hosts = value.split(',').map((host) => host.trim())
  if (hosts.length > 16 || !hosts.every((host) => /^[\w.-]{1,200}:\d{1,5}$/.test(host)))
    throw new Error('a list of host:port')
  return hosts
}

/** What no redirect and no name server can turn into an address inside the network. */
function readRegistryUrl(value: string): string {
  const url = URL.canParse(value) ? new URL(value) : undefined
  const isPlain = url?.username === '' && url.password === '' && url.search === '' && url.hash === ''
  const isPublic = url?.protocol === 'https:' && url.port === '' && isIP(url.hostname.replace(/^\[|\]$/g, '')) === 0
  const isLocal = (url?.protocol === 'https:' || url?.protocol === 'http:') && isLoopback(url.hostname)
  if (url === undefined || value.length > 2000 || !isPlain || !(isPublic || isLocal))
    throw new Error('an https address by name without a port, or one on this machine')
  return url.href
}

function adminKey(): Setting<Secret | undefined> {
  const setting = secret(
    'Opens /api/admin: at least 24 visible characters. Required with DATABASE_URL, else made in DATA_DIR.',
  )
  return {
    ...setting,
    parse(value) {
      if (!/^[\x21-\x7e]{24,255}$/.test(value)) throw new Error('24 to 255 visible ASCII characters')
      return setting.parse(value)
    },
  }
}
