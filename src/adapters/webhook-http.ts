import { request } from 'undici'
import { GuardError, type GuardedFetch } from './guarded-fetch.ts'

/** What is read of an answer, and what is kept of one that is no success. */
const ANSWER_BYTES_MAX = 4_096
const KEPT_CHARS_MAX = 300
const HEADER_CHARS_MAX = 100

/**
 * Sends messages to addresses that an operator chose: through the guard, without following redirects, in at most `timeoutMs`
 * from the name of the host to the end of the answer.
 */
export function createWebhookHttp(options: {
  guard: GuardedFetch
  timeoutMs: number
  parseRetryAfter: (value: string | undefined) => number | undefined
}) {
  return async function sendWebhook(
    message: { url: string; headers: Record<string, string>; body: string },
    signal: AbortSignal,
  ): Promise<{ ok: boolean; status: number | undefined; error: string | undefined; retryAfterMs: number | undefined }> {
    let status: number | undefined
    try {
      const { url, dispatcher } = options.guard.route(message.url)
      const answer = await request(url, {
        dispatcher,
        method: 'POST',
        headers: { 'user-agent': 'fluxgate-webhooks', ...message.headers },
        body: message.body,
        signal: AbortSignal.any([signal, AbortSignal.timeout(options.timeoutMs)]),
      })
      status = answer.statusCode
      const ok = status >= 200 && status < 300
      // What was said with a success is of no interest: the status alone counts, however long the body is.
      const said = await readStart(answer.body, ok)
      if (ok) return { ok, status, error: undefined, retryAfterMs: undefined }
      const retryAfter = answer.headers['retry-after']
      const asked = typeof retryAfter === 'string' ? retryAfter.slice(0, HEADER_CHARS_MAX) : undefined
      const what = status >= 300 && status < 400 ? 'redirects are not followed' : `status ${status}`
      return {
        ...{ ok, status, retryAfterMs: options.parseRetryAfter(asked) },
        error: said === '' ? what : `${what}: ${said}`,
      }
    } catch (error) {
      return { ok: false, status, error: nameOf(error), retryAfterMs: undefined }
    }
  }
}

/** The beginning of a body as plain text; the rest is not waited for. */
async function readStart(body: AsyncIterable<Uint8Array> & { destroy(): unknown }, ok: boolean): Promise<string> {
  const chunks: Uint8Array[] = []
  let length = 0
  try {
    for await (const chunk of body) {
      chunks.push(chunk.subarray(0, ANSWER_BYTES_MAX))
      length += chunk.byteLength
      if (length >= ANSWER_BYTES_MAX) break
    }
  } catch (error) {
    if (!ok) throw error
  } finally {
    body.destroy()
  }
  const text = Buffer.concat(chunks)
    .toString('utf8')
    .replace(/\p{C}|\s+/gu, ' ')
  return text.trim().slice(0, KEPT_CHARS_MAX).toWellFormed()
}

/** Short and constant: errors of the network name addresses inside. */
function nameOf(error: unknown): string {
  if (error instanceof GuardError) return error.code
  if (!(error instanceof Error)) return 'unreachable'
  if (error.cause instanceof GuardError) return error.cause.code
  if (error.name === 'TimeoutError') return 'timeout'
  if (error.name === 'AbortError') return 'aborted'
  const code = Reflect.get(error, 'code')
  if (code === 'UND_ERR_CONNECT_TIMEOUT') return 'timeout_connect'
  return typeof code === 'string' && /^[A-Z_0-9]{1,60}$/.test(code) ? code.toLowerCase() : 'unreachable'
}
