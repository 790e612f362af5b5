import { FluxgateError } from '../errors.ts'
import type { Connection } from '../http/connection.ts'

const ANSWER_BYTES_MAX = 4 * 1024 * 1024

/** What became of each entry of a batch, in its order. */
export type EntryVerdict = { outcome: 'kept' } | { outcome: 'again' | 'refused'; error: FluxgateError }

/** Sends entries in one request. Resolves with one verdict for each; throws FluxgateError when the batch as a whole failed. */
export async function sendBatch(
  connection: Connection,
  entries: readonly string[],
  signal: AbortSignal,
): Promise<EntryVerdict[]> {
  const answer = await connection.json('/api/v1/logs:batch', {
    method: 'POST',
    body: `{"logs":[${entries.join(',')}]}`,
    signal,
    bytesMax: ANSWER_BYTES_MAX,
  })
  const results = isObject(answer) ? answer.results : undefined
  // Whoever answers like this is no gateway; the entries have keys, so asking again does no harm.
  if (!Array.isArray(results) || results.length !== entries.length)
    throw new FluxgateError('answer_invalid', 'the answer does not say what became of the entries', { retry: true })
  return results.map(verdictOf)
}

const kept: ReadonlySet<unknown> = new Set(['created', 'duplicate'])

function verdictOf(result: unknown): EntryVerdict {
  const { status, status_code, code, detail } = isObject(result) ? result : {}
  if (kept.has(status)) return { outcome: 'kept' }
  const statusCode = typeof status_code === 'number' ? status_code : undefined
  const retry = statusCode !== undefined && statusCode >= 500
  const message = typeof detail === 'string' ? detail : (JSON.stringify(detail) ?? 'the gateway refused it')
  const error = new FluxgateError(typeof code === 'string' ? code : 'entry_invalid', message.slice(0, 2_000), {
    status: statusCode,
    retry,
  })
  return { outcome: retry ? 'again' : 'refused', error }
}

function isObject(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
}
