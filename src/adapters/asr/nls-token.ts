import { createHmac, randomUUID } from 'node:crypto'
import type { SpeechHttp } from '#adapters/tts/speech-http.ts'

/** An account of the vendor, as a credential holds it in JSON. */
export interface NlsAccount {
  accessKeyId: string
  accessKeySecret: string
}

const RENEW_BEFORE_MS = 60_000
const KEPT_MAX = 1_000
const ANSWER_BYTES_MAX = 64 * 1024
const ASK_MS = 10_000

/**
 * Tokens for sessions, fetched with an access key and kept until shortly before they expire; asked for once however many
 * wait. Rejects where the vendor gives none; the message holds nothing of the key.
 */
export function createNlsTokens(deps: { http: Pick<SpeechHttp, 'send'>; now?: () => number }) {
  const now = deps.now ?? Date.now
  const kept = new Map<string, { token: Promise<string>; untilMs: number }>()

  async function fetchToken(url: string, account: NlsAccount): Promise<{ token: string; untilMs: number }> {
    const signed = new URL(url)
    signed.search = signedQuery(account, { nonce: randomUUID(), nowMs: now(), region: 'cn-shanghai' })
    const response = await deps.http.send(
      { method: 'GET', url: signed.href, headers: { accept: 'application/json' }, body: undefined },
      { signal: AbortSignal.timeout(ASK_MS), firstByteMs: ASK_MS },
    )
    const pieces: Buffer[] = []
    let bytes = 0
    try {
      response.chunks.idle(ASK_MS)
      for (let piece = await response.chunks.next(); piece !== undefined; piece = await response.chunks.next()) {
        bytes += piece.length
        if (bytes > ANSWER_BYTES_MAX) break
        pieces.push(piece)
      }
    } finally {
      response.chunks.close()
    }
    if (response.status !== 200) throw new NlsTokenError(response.status < 500 ? 'credential' : 'provider')
    const { Token: token } = JSON.parse(Buffer.concat(pieces).toString('utf8')) as {
      Token?: { Id?: unknown; ExpireTime?: unknown }
    }
    if (typeof token?.Id !== 'string' || typeof token.ExpireTime !== 'number') throw new NlsTokenError('provider')
    return { token: token.Id, untilMs: token.ExpireTime * 1000 - RENEW_BEFORE_MS }
  }

  return {
    async tokenOf(url: string, account: NlsAccount): Promise<string> {
      const name = `${url} ${account.accessKeyId}`
      const known = kept.get(name)
      if (known !== undefined && known.untilMs > now()) return await known.token
      const fetched = fetchToken(url, account)
      const entry = { token: fetched.then(({ token }) => token), untilMs: now() + ASK_MS }
      // Whoever waits hears of a failure; without a listener it would end the process.
      entry.token.catch(() => undefined)
      if (kept.size >= KEPT_MAX) kept.clear()
      kept.set(name, entry)
      try {
        entry.untilMs = (await fetched).untilMs
      } catch (error) {
        kept.delete(name)
        throw error
      }
      return await entry.token
    },

    /** The vendor has refused a token: it is not used again. */
    forget(url: string, account: NlsAccount): void {
      kept.delete(`${url} ${account.accessKeyId}`)
    },
  }
}

/** A token that the vendor does not give; `fault` says whose fault that is. */
class NlsTokenError extends Error {
  override readonly name = 'NlsTokenError'
  readonly fault: 'credential' | 'provider'

  constructor(fault: 'credential' | 'provider') {
    super('the vendor gives no token')
    this.fault = fault
  }
}

/** The query of CreateToken with its signature, as the vendor's remote calls want it: HMAC-SHA1 over the sorted query. */
export function signedQuery(
  { accessKeyId, accessKeySecret }: NlsAccount,
  at: { nonce: string; nowMs: number; region: string },
): string {
  const params: Record<string, string> = {
    AccessKeyId: accessKeyId,
    Action: 'CreateToken',
    Format: 'JSON',
    RegionId: at.region,
    SignatureMethod: 'HMAC-SHA1',
    SignatureNonce: at.nonce,
    SignatureVersion: '1.0',
    Timestamp: `${new Date(at.nowMs).toISOString().slice(0, 19)}Z`,
    Version: '2019-02-28',
  }
  const query = Object.keys(params)
    .sort()
    .map((name) => `${encoded(name)}=${encoded(params[name] ?? '')}`)
    .join('&')
  const signature = createHmac('sha1', `${accessKeySecret}&`)
    .update(`GET&${encoded('/')}&${encoded(query)}`)
    .digest('base64')
  return `Signature=${encoded(signature)}&${query}`
}

/** RFC 3986, where encodeURIComponent leaves a few characters as they are. */
function encoded(text: string): string {
  return encodeURIComponent(text).replace(
    /[!'()*]/g,
    (character) => `%${character.charCodeAt(0).toString(16).toUpperCase()}`,
  )
}
