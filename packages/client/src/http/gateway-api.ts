import { FluxgateError } from '../errors.ts'
import { type ConnectionOptions, createConnection } from './connection.ts'

const PAGE_ENTRIES_MAX = 500

/** Which calls: dates are days of `tz`, the last one included; times are instants, the last one not. What is absent is not asked for. */
export interface UsageQuery {
  from?: string | undefined
  to?: string | undefined
  /** IANA time zone of dates; UTC unless said otherwise. */
  tz?: string | undefined
  alias?: string | undefined
  model?: string | undefined
  origin?: string | undefined
  profile?: string | undefined
  provider?: string | undefined
  /** Id of the key that made the call. */
  key?: string | undefined
  project?: string | undefined
  /** Calls through the gateway, or calls that were reported to it. */
  source?: 'gateway' | 'reported' | undefined
}

export interface UsageTotals {
  requests: number
  /** Dollars. */
  cost: string
  input_tokens: number
  output_tokens: number
  cost_nanousd: string
  /** Calls whose cost is not known, and so not in the cost. */
  unpriced: number
}

/** What `GET /api/v1/stats` answers; there are more groupings of the same form. */
export interface UsageStats {
  summary: { total_requests: number; total_cost: string; total_tokens: number; cost_nanousd: string; unpriced: number }
  by_period: (UsageTotals & { period: string })[]
  by_model: Record<string, UsageTotals>
  by_alias: Record<string, UsageTotals>
  [member: string]: unknown
}

/** One call, as `GET /api/v1/logs` lists it; there are more members. */
export interface UsageLogEntry {
  id: string
  logged_at: string
  provider: string
  model: string
  alias: string | null
  profile: string | null
  origin: string | null
  input_tokens: number
  output_tokens: number
  source: string
  /** Null where nobody knows. */
  cost_nanousd: string | null
  [member: string]: unknown
}

export interface GatewayHealth {
  isHealthy: boolean
  status: string
  name: string
  version: string
}

/** A key as the gateway describes it. */
export interface GatewayKey {
  id: string
  name: string
  project_id: string
  scopes?: readonly string[]
  expires_at?: string | null
  [member: string]: unknown
}

/** What a project may ask of its gateway besides calls. All throw FluxgateError. */
export interface GatewayApi {
  health(): Promise<GatewayHealth>
  stats(query?: UsageQuery & { groupBy?: 'day' | 'week' | 'month' | undefined }): Promise<UsageStats>
  /** Newest first, page by page, as far as the caller reads. */
  logs(query?: UsageQuery): AsyncGenerator<UsageLogEntry, void, undefined>
  /** All of them as a file, piece by piece. */
  exportLogs(format: 'csv' | 'ndjson', query?: UsageQuery): AsyncGenerator<string, void, undefined>
  /** The key that asks. */
  currentKey(): Promise<GatewayKey>
  /** Replaces a key, the one that asks unless another is named. The old one goes on working for so long: a day unless said otherwise. */
  rotateKey(options?: {
    id?: string | undefined
    overlapSeconds?: number | undefined
  }): Promise<GatewayKey & { secret: string; replaced: GatewayKey }>
  /** A provider's prices by the registry of the gateway, as parsed JSON: the current ones, or those of a version. */
  registry(provider: string, version?: number): Promise<unknown>
}

/** Throws TypeError for an unusable base URL; asks nothing yet. */
export function createGatewayApi(options: ConnectionOptions): GatewayApi {
  const connection = createConnection(options)

  async function health(): Promise<GatewayHealth> {
    try {
      return { isHealthy: true, ...readHealth(await connection.json('/health', { isPublic: true })) }
    } catch (error) {
      if (!(error instanceof FluxgateError) || error.status !== 503) throw error
      return { isHealthy: false, status: 'unhealthy', name: '', version: '' }
    }
  }

  async function* logs(query: UsageQuery = {}): AsyncGenerator<UsageLogEntry, void, undefined> {
    for (let after: string | undefined; ; ) {
      const asked = { ...wireQuery(query), limit: PAGE_ENTRIES_MAX, after }
      const { response, done } = await connection.open('/api/v1/logs', { query: asked })
      let page: unknown
      try {
        page = JSON.parse(await connection.read(response))
      } catch (cause) {
        throw notAnswered('/api/v1/logs', cause)
      } finally {
        done()
      }
      if (!Array.isArray(page)) throw notAnswered('/api/v1/logs')
      yield* page as UsageLogEntry[]
      const next = response.headers.get('x-next-cursor') ?? undefined
      if (next === undefined || next === after) return
      after = next
    }
  }

  async function* exportLogs(
    format: 'csv' | 'ndjson',
    query: UsageQuery = {},
  ): AsyncGenerator<string, void, undefined> {
    const { response, done } = await connection.open('/api/v1/logs/export', {
      query: { ...wireQuery(query), format },
      accept: '*/*',
    })
    done() // Only its beginning has a time limit: it may be of any size.
    yield* connection.pieces(response)
  }

  return {
    health,
    logs,
    exportLogs,
    async stats({ groupBy, ...query } = {}) {
      const stats = await connection.json('/api/v1/stats', { query: { ...wireQuery(query), group_by: groupBy } })
      if (!isObject(stats) || !isObject(stats.summary)) throw notAnswered('/api/v1/stats')
      return stats as unknown as UsageStats
    },
    async currentKey() {
      return readKey(await connection.json('/v1/keys/current'), '/v1/keys/current')
    },
    async rotateKey({ id = 'current', overlapSeconds } = {}) {
      const path = `/v1/keys/${encodeURIComponent(id)}/rotate`
      const body = overlapSeconds === undefined ? {} : { overlap_seconds: overlapSeconds }
      const answer = readKey(await connection.json(path, { method: 'POST', body }), path)
      const { secret, replaced } = answer
      if (typeof secret !== 'string') throw notAnswered(path)
      return { ...answer, secret, replaced: readKey(replaced, path) }
    },
    registry(provider, version) {
      const name = encodeURIComponent(provider)
      const path =
        version === undefined ? `/registry/${name}/models.json` : `/registry/${name}/v/${version}/models.json`
      return connection.json(path, { isPublic: true })
    },
  }
}

function wireQuery({ from, to, ...rest }: UsageQuery): Record<string, string | undefined> {
  return { start_date: from, end_date: to, ...rest }
}

function readHealth(answer: unknown): { status: string; name: string; version: string } {
  const { status, name, version } = isObject(answer) ? answer : {}
  if (typeof status !== 'string') throw notAnswered('/health')
  return { status, name: typeof name === 'string' ? name : '', version: typeof version === 'string' ? version : '' }
}

function readKey(answer: unknown, path: string): GatewayKey {
  if (!isObject(answer) || typeof answer.id !== 'string') throw notAnswered(path)
  return answer as unknown as GatewayKey
}

function notAnswered(path: string, cause?: unknown): FluxgateError {
  return new FluxgateError('answer_invalid', `${path} does not answer as a Fluxgate gateway does`, { cause })
}

function isObject(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
}
