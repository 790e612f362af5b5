import { request } from 'undici'
import { isLoopback } from '#lib/loopback.ts'
import { readText } from '#lib/read-text.ts'
import { createGuardedFetch, GuardError } from './guarded-fetch.ts'

/** Why a file was not fetched. `code` is short and constant; nothing that the other side said is in the message. */
class RegistrySourceError extends Error {
  override readonly name = 'RegistrySourceError'
  readonly code: string

  constructor(code: string, message: string, options?: ErrorOptions) {
    super(message, options)
    this.code = code
  }
}

const FILE_BYTES_MAX = 4 * 1024 * 1024
const ETAG_CHARS_MAX = 200

export interface RegistrySourceOptions {
  /** `https://host/path`, or http to this machine. */
  baseUrl: string
  timeoutMs: number
}

/**
 * Fetches files of a published registry: only https, only from the host that is named and only where its name leads to a
 * public address, or from this machine. Redirects are not followed, and no file is longer than 4 MiB.
 */
export function createRegistrySource(options: RegistrySourceOptions) {
  const base = new URL(options.baseUrl)
  const isLocal = isLoopback(base.hostname)
  const guard = createGuardedFetch({
    hostSuffixes: isLocal ? [] : [base.hostname.toLowerCase()],
    insecureHosts: isLocal ? [base.host] : [],
    connectTimeoutMs: options.timeoutMs,
    connectionsMax: 2,
  })

  async function send(url: string, etag: string | undefined, signal: AbortSignal) {
    const { url: address, dispatcher } = guard.route(url)
    return request(address, {
      dispatcher,
      headers: { accept: 'application/json', ...(etag !== undefined && { 'if-none-match': etag }) },
      signal: AbortSignal.any([signal, AbortSignal.timeout(options.timeoutMs)]),
    })
  }

  return {
    /** The file at a path below the source, or `unchanged` when it is the one with this tag. Throws Error with a `code`. */
    async fetch(
      path: string,
      etag: string | undefined,
      signal: AbortSignal,
    ): Promise<{ content: string; etag: string | undefined } | 'unchanged'> {
      try {
        const answer = await send(`${options.baseUrl.replace(/\/$/, '')}/${path}`, etag, signal)
        const { statusCode: status } = answer
        if (status !== 200) {
          await answer.body.dump({ limit: 64 * 1024 })
          if (status === 304 && etag !== undefined) return 'unchanged'
          if (status !== 304 && status >= 300 && status < 400)
            throw new RegistrySourceError('redirected', 'the source points elsewhere')
          throw new RegistrySourceError('status', `the source answered ${status}`)
        }
        const tag = answer.headers.etag
        const content = await readText(answer.body, FILE_BYTES_MAX)
        return { content, etag: typeof tag === 'string' && tag.length <= ETAG_CHARS_MAX ? tag : undefined }
      } catch (error) {
        throw asSourceError(error)
      }
    },

    close: (): Promise<void> => guard.close(),
  }
}

function asSourceError(error: unknown): Error {
  if (error instanceof RegistrySourceError || error instanceof GuardError) return error
  if (error instanceof Error && error.cause instanceof GuardError) return error.cause
  const name = error instanceof Error ? error.name : ''
  if (name === 'TooLongError')
    return new RegistrySourceError('too_long', `a file is longer than ${FILE_BYTES_MAX} bytes`, { cause: error })
  if (error instanceof TypeError) return new RegistrySourceError('not_utf8', 'a file is not UTF-8', { cause: error })
  if (/Timeout/.test(name)) return new RegistrySourceError('timeout', 'the source is too slow', { cause: error })
  return new RegistrySourceError('unreachable', 'the source cannot be reached', { cause: error })
}
