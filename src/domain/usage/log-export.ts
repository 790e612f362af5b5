import { Readable } from 'node:stream'
import { AppError } from '#src/errors.ts'
import { encodeCsv } from './export-csv.ts'
import { encodeNdjson } from './export-ndjson.ts'
import { encodeParquet } from './export-parquet.ts'
import type { LogEntry } from './log-entry.ts'
import type { LogPage, LogQuery, UsageLog } from './usage-log.ts'

/** Exports at once in one process: each of them keeps a connection busy while its client reads fast enough. */
export const EXPORTS_MAX = 4
const PAGE_ENTRIES = 1_000
/** A client that takes nothing for so long has gone, or might as well. */
const STALL_MS_MAX = 120_000
const RETRY_SECONDS = 10

const encoders = { csv: encodeCsv, ndjson: encodeNdjson, parquet: encodeParquet }
export type ExportFormat = keyof typeof encoders
export const exportFormats = Object.keys(encoders) as ExportFormat[]

/**
 * Everything that a query finds, as a file that is made while it is being read: memory holds a page or a row group,
 * whatever the size. It is read page by page by cursor, never in one long transaction: entries that were there at the
 * start are each in it once, and one that is reported meanwhile with a time of the past may be in it.
 */
export function createLogExports(deps: { usageLog: UsageLog; exportsMax?: number; stallMs?: number }) {
  const { usageLog, exportsMax = EXPORTS_MAX, stallMs = STALL_MS_MAX } = deps
  let running = 0
  return {
    running: () => running,

    /** Throws AppError overloaded when too many exports are running. */
    async open(query: LogQuery, format: ExportFormat): Promise<Readable> {
      if (running >= exportsMax) {
        throw new AppError('overloaded', {
          message: `${exportsMax} exports are running already. Try again when one has ended.`,
          headers: { 'retry-after': String(RETRY_SECONDS) },
        })
      }
      running += 1
      try {
        // Read before anything is sent, so that a database that is away is an answer and not half a file.
        const first = await usageLog.page(query, { limit: PAGE_ENTRIES })
        const stream = toStream(encoders[format](pagesFrom(usageLog, query, first)), stallMs)
        stream.once('close', () => {
          running -= 1
        })
        return stream
      } catch (error) {
        running -= 1
        throw error
      }
    },
  }
}

export type LogExports = ReturnType<typeof createLogExports>

async function* pagesFrom(usageLog: UsageLog, query: LogQuery, first: LogPage): AsyncGenerator<LogEntry[]> {
  let page = first
  for (;;) {
    yield page.entries
    if (page.next === undefined) return
    page = await usageLog.page(query, { limit: PAGE_ENTRIES, after: page.next })
  }
}

/** Asks for the next chunk when the one before has been taken; ends when its reader does, or when it takes nothing. */
export function toStream(chunks: AsyncIterable<Uint8Array>, stallMs = STALL_MS_MAX): Readable {
  let stalled: NodeJS.Timeout | undefined
  async function* watched(): AsyncGenerator<Uint8Array> {
    for await (const chunk of chunks) {
      stalled = setTimeout(() => stream.destroy(new Error('the client of an export takes nothing')), stallMs)
      yield chunk
      clearTimeout(stalled)
    }
  }
  const stream = Readable.from(watched(), { objectMode: false })
  return stream.once('close', () => clearTimeout(stalled))
}
