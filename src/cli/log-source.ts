import { type LogSource, LogUnreachableError } from '#domain/log/monitor.ts'
import { UsageError } from './command.ts'

const TIMEOUT_MS = 10_000
/** A checkpoint with its cosignatures. */
const TEXT_BYTES_MAX = 131_072
/** 256 leaves of the longest kind. */
const TILE_BYTES_MAX = 256 * 65_537

/** A log at a URL, as any server of c2sp.org/tlog-tiles serves it. */
export interface HttpLogSource extends LogSource {
  /** What our own servers add: the vkey of the log. */
  vkey(): Promise<string>
}

/**
 * `witnessed`: follow the newest checkpoint that witnesses cosigned, where the log has one apart from the newest. Throws UsageError for what
 * is no http or https URL.
 */
export function createHttpLogSource(base: string, options: { witnessed: boolean }): HttpLogSource {
  if (!/^https?:\/\/[^?#]+$/i.test(base) || !URL.canParse(base))
    throw new UsageError('URL must be an http or https URL')
  const prefix = base.replace(/\/+$/, '')

  async function get(path: string, bytesMax: number): Promise<Uint8Array | undefined> {
    const url = `${prefix}/${path}`
    try {
      // A redirect could lead from https to http, or to somebody else's log.
      const response = await fetch(url, { redirect: 'error', signal: AbortSignal.timeout(TIMEOUT_MS) })
      if (response.status === 404) return undefined
      if (!response.ok || response.body === null) throw new Error(`it answers ${response.status}`)
      return await readBytes(response.body, bytesMax)
    } catch (error) {
      const cause = error instanceof Error && error.cause instanceof Error ? `: ${error.cause.message}` : ''
      throw new LogUnreachableError(`cannot read ${url}: ${error instanceof Error ? error.message : error}${cause}`)
    }
  }

  async function text(path: string): Promise<string | undefined> {
    const bytes = await get(path, TEXT_BYTES_MAX)
    return bytes === undefined ? undefined : new TextDecoder().decode(bytes)
  }

  async function needed(path: string): Promise<string> {
    const found = await text(path)
    if (found === undefined) throw new LogUnreachableError(`there is no ${prefix}/${path}`)
    return found
  }

  return {
    checkpoint: async () =>
      (options.witnessed ? await text('witnessed-checkpoint') : undefined) ?? (await needed('checkpoint')),
    tile: (path) => get(path, TILE_BYTES_MAX),
    vkey: async () => (await needed('vkey')).trim(),
  }
}

async function readBytes(source: AsyncIterable<Uint8Array>, bytesMax: number): Promise<Uint8Array> {
  const chunks: Uint8Array[] = []
  let length = 0
  for await (const chunk of source) {
    length += chunk.byteLength
    if (length > bytesMax) throw new Error(`it is longer than ${bytesMax} bytes`)
    chunks.push(chunk)
  }
  return Buffer.concat(chunks)
}
