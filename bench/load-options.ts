/** One HTTP request to repeat. Without a body it is a GET. */
export interface LoadRequest {
  headers?: Record<string, string>
  body?: string
}

export interface LoadOptions {
  /** Absolute, `http:` only. */
  url: string
  /** Sent in turn, each serialised once. */
  requests: readonly LoadRequest[]
  connections: number
  /** Arrivals per second. Present: open loop. Absent: each connection sends its next request after its answer. */
  rate?: number
  /** The run ends with whichever of the two comes first; at least one is needed. */
  durationMs?: number
  count?: number
  /** How long one exchange may take. */
  timeoutMs?: number
}

export const CONNECTIONS_MAX = 20_000
export const COUNT_MAX = 10_000_000
export const DURATION_MS_MAX = 3_600_000
export const RATE_MAX = 100_000
export const TIMEOUT_MS_DEFAULT = 60_000

/** What is wrong with the options, or undefined. */
export function findProblem(options: LoadOptions): string | undefined {
  const { rate, durationMs, count } = options
  if (!URL.canParse(options.url) || new URL(options.url).protocol !== 'http:') return 'url must be an http: address'
  if (options.requests.length === 0) return 'requests must not be empty'
  if (!within(options.connections, 1, CONNECTIONS_MAX)) return `connections must be 1 to ${CONNECTIONS_MAX}`
  if (rate !== undefined && !(rate > 0 && rate <= RATE_MAX)) return `rate must be above 0 and at most ${RATE_MAX}`
  if (durationMs === undefined && count === undefined) return 'durationMs or count must be given'
  if (durationMs !== undefined && !within(durationMs, 1, DURATION_MS_MAX)) {
    return `durationMs must be 1 to ${DURATION_MS_MAX}`
  }
  if (count !== undefined && !within(count, 1, COUNT_MAX)) return `count must be 1 to ${COUNT_MAX}`
  return undefined
}

/** The bytes of each request, ready to be written. */
export function serialiseRequests(options: LoadOptions): Buffer[] {
  const { host, pathname, search } = new URL(options.url)
  return options.requests.map(({ headers = {}, body }) => {
    const bytes = Buffer.from(body ?? '')
    const lines = [`${body === undefined ? 'GET' : 'POST'} ${pathname}${search} HTTP/1.1`, `host: ${host}`]
    if (body !== undefined) lines.push('content-type: application/json', `content-length: ${bytes.length}`)
    for (const [name, value] of Object.entries(headers)) lines.push(`${name}: ${value}`)
    return Buffer.concat([Buffer.from(`${lines.join('\r\n')}\r\n\r\n`, 'latin1'), bytes])
  })
}

function within(value: number, min: number, max: number): boolean {
  return Number.isInteger(value) && value >= min && value <= max
}
