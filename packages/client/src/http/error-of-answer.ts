import { FluxgateError } from '../errors.ts'

const MESSAGE_CHARS_MAX = 2_000
const BODY_CHARS_MAX = 64 * 1024

/** However long a server asks to wait, nobody waits longer. */
const RETRY_AFTER_MS_MAX = 10 * 60_000

/** Reads what the gateway says about a request that it refused: OpenAI's shape, llmring's, or no known one. Never throws. */
export async function errorOfAnswer(response: Response, nowMs = Date.now()): Promise<FluxgateError> {
  const said = readError(await bodyOf(response))
  const { status, headers } = response
  return new FluxgateError(said.code ?? 'http_error', said.message ?? `the server answers ${status}`, {
    status,
    requestId: headers.get('x-request-id') ?? undefined,
    retry: mayRetry(status, headers.get('x-should-retry')),
    retryAfterMs: retryAfterMs(headers, nowMs),
  })
}

/** The server's own word, where it gives one; else limits, timeouts and faults of the server pass. */
export function mayRetry(status: number, shouldRetry: string | null): boolean {
  if (shouldRetry === 'true') return true
  if (shouldRetry === 'false') return false
  return status === 408 || status === 409 || status === 425 || status === 429 || status >= 500
}

/** `retry-after-ms`, or `retry-after` in seconds or as a date. Undefined where there is none that can be read. */
export function retryAfterMs(headers: Headers, nowMs: number): number | undefined {
  const millis = headers.get('retry-after-ms')?.trim()
  const text = headers.get('retry-after')?.trim()
  let wait = Number.NaN
  if (millis !== undefined && /^\d+(\.\d+)?$/.test(millis)) wait = Number(millis)
  else if (text !== undefined && /^\d+(\.\d+)?$/.test(text)) wait = Number(text) * 1000
  else if (text !== undefined) wait = Date.parse(text) - nowMs
  return Number.isNaN(wait) ? undefined : Math.min(Math.max(0, wait), RETRY_AFTER_MS_MAX)
}

async function bodyOf(response: Response): Promise<unknown> {
  try {
    const text = await response.text()
    return text.length > BODY_CHARS_MAX ? undefined : JSON.parse(text)
  } catch {
    return undefined // The status says enough.
  }
}

function readError(body: unknown): { code?: string; message?: string } {
  if (!isObject(body)) return {}
  // {"error":{"code","message"}} of the gateway and OpenAI, {"detail","code"} of the llmring surface.
  const inner = isObject(body.error) ? body.error : body
  const code = typeof inner.code === 'string' ? inner.code : undefined
  const message = typeof inner.message === 'string' ? inner.message : detailText(body.detail)
  return {
    ...(code !== undefined && /^\w{1,64}$/.test(code) && { code }),
    ...(message !== undefined && message !== '' && { message: message.slice(0, MESSAGE_CHARS_MAX) }),
  }
}

/** One text, or the list that says which member is wrong. */
function detailText(detail: unknown): string | undefined {
  if (typeof detail === 'string') return detail
  if (!Array.isArray(detail)) return undefined
  return detail
    .filter(isObject)
    .slice(0, 10)
    .map(({ loc, msg }) => `${Array.isArray(loc) ? `${loc.join('.')}: ` : ''}${String(msg)}`)
    .join('; ')
}

function isObject(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
}
