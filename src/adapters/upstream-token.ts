import { createHash } from 'node:crypto'
import { Agent, request } from 'undici'
import { readText } from '#lib/read-text.ts'
import { UpstreamAuthError } from './upstream-auth-error.ts'

/** A token request: a form, sent to an address that the caller trusts. */
export interface TokenRequest {
  url: string
  form: Readonly<Record<string, string>>
}

const TOKENS_MAX = 1_000
const ANSWER_BYTES_MAX = 64 * 1024
/** A token that is about to expire might do so on its way. */
const EARLY_MS = 60_000
const LIFE_MS_MAX = 86_400_000

/**
 * Fetches OAuth tokens and keeps them until a minute before they expire: one per credential, and one request at a time for
 * each. Nothing of a credential is kept but its hash.
 */
export function createUpstreamTokens(options: { timeoutMs: number; now: () => number }) {
  const { timeoutMs, now } = options
  const tokens = new Map<string, { token: string; until: number }>()
  const running = new Map<string, Promise<string>>()
  const agent = new Agent({
    allowH2: false,
    connect: { timeout: timeoutMs },
    headersTimeout: timeoutMs,
    bodyTimeout: timeoutMs,
  })

  async function fetchToken(id: string, { url, form }: TokenRequest): Promise<string> {
    const { status, text } = await send(url, new URLSearchParams(form).toString())
    if (status === 429 || status >= 500) throw new UpstreamAuthError('provider', `the token address answered ${status}`)
    if (status !== 200) throw new UpstreamAuthError('credential', `the token address answered ${status}`)
    const { token, lifeMs } = readToken(text)
    tokens.delete(id)
    if (tokens.size >= TOKENS_MAX) {
      const [oldest] = tokens.keys()
      if (oldest !== undefined) tokens.delete(oldest)
    }
    tokens.set(id, { token, until: now() + lifeMs - EARLY_MS })
    return token
  }

  async function send(url: string, body: string): Promise<{ status: number; text: string }> {
    try {
      const answer = await request(url, {
        method: 'POST',
        headers: { 'content-type': 'application/x-www-form-urlencoded', accept: 'application/json' },
        body,
        dispatcher: agent,
        signal: AbortSignal.timeout(timeoutMs),
      })
      return { status: answer.statusCode, text: await readText(answer.body, ANSWER_BYTES_MAX) }
    } catch (error) {
      const timedOut = error instanceof Error && /Timeout/.test(error.name)
      throw new UpstreamAuthError('provider', 'the token address cannot be reached', { timedOut, cause: error })
    }
  }

  return {
    /** `describe` is called where a token has to be fetched. Throws UpstreamAuthError. */
    async get(credential: string, describe: () => TokenRequest): Promise<string> {
      const id = hashOf(credential)
      const known = tokens.get(id)
      if (known !== undefined && known.until > now()) return known.token
      const underWay = running.get(id)
      if (underWay !== undefined) return underWay
      const fetching = fetchToken(id, describe()).finally(() => running.delete(id))
      running.set(id, fetching)
      return fetching
    },

    forget(credential: string): void {
      tokens.delete(hashOf(credential))
    },

    async close(): Promise<void> {
      await agent.destroy()
    },
  }
}

function readToken(text: string): { token: string; lifeMs: number } {
  let value: unknown
  try {
    value = JSON.parse(text)
  } catch {
    // Handled below: what is no JSON has no token either. The text itself may hold one, so it is not repeated.
  }
  const answer: Record<string, unknown> = typeof value === 'object' && value !== null ? { ...value } : {}
  const token = answer.access_token
  const seconds = Number(answer.expires_in)
  if (typeof token !== 'string' || !/^[\x21-\x7e]{1,16000}$/.test(token) || !(seconds > 0))
    throw new UpstreamAuthError('provider', 'the token address answered without a token')
  return { token, lifeMs: Math.min(seconds * 1000, LIFE_MS_MAX) }
}

function hashOf(credential: string): string {
  return createHash('sha256').update(credential).digest('base64url')
}
