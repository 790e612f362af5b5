import { appendFileSync, mkdirSync, statSync } from 'node:fs'
import { join } from 'node:path'
import type { FluxgateError } from '../errors.ts'
import type { Environment } from '../resolve.ts'
import { createUsageLogger, type UsageLogger, type UsageLoggerOptions } from '../usage/usage-logger.ts'
import { createFileQueue } from './file-queue.ts'
import { gatewayOf } from './gateway-of.ts'

const REJECTED_FILE = 'rejected.ndjson'
const REJECTED_BYTES_MAX = 16 * 1024 * 1024

export interface OpenUsageLoggerOptions extends Partial<Omit<UsageLoggerOptions, 'queue' | 'entriesMax'>> {
  /** Where entries wait, in files: a directory for each project. Processes may share it. Without one they wait in memory. */
  directory?: string | undefined
  env?: Environment | undefined
}

/**
 * `createUsageLogger` with what Node knows: the gateway from `FLUXGATE_URL` and `FLUXGATE_API_KEY`, or `LLMRING_SERVER_URL` and
 * `LLMRING_API_KEY`; entries in files, which a killed process does not lose; what the gateway refuses in `rejected.ndjson` beside them; and
 * a last attempt when the program has nothing else to do. Throws TypeError when the URL or the key is missing.
 */
export function openUsageLogger(options: OpenUsageLoggerOptions = {}): UsageLogger {
  const { directory, env = process.env, bytesMax = 256 * 1024 * 1024, ...rest } = options
  const { baseUrl, apiKey } = gatewayOf(rest, env)
  if (directory === undefined) return endWithProcess(createUsageLogger({ ...rest, baseUrl, apiKey }))
  const queue = createFileQueue({
    directory,
    bytesMax,
    onFault(_error, entriesLost) {
      if (entriesLost > 0) rest.onLost?.(entriesLost, 'queue_failed')
    },
  })
  const logger = createUsageLogger({
    ...rest,
    baseUrl,
    apiKey,
    queue,
    onRejected(entries, error) {
      keepRejected(directory, entries, error)
      rest.onRejected?.(entries, error)
    },
  })
  return endWithProcess(logger)
}

/** Sends what waits when the program ends by itself. Not after `process.exit`, nor after a signal. */
function endWithProcess(logger: UsageLogger): UsageLogger {
  let sentBefore = -1
  const last = () => {
    const { waiting, sent } = logger.counts()
    // It is asked again after each attempt: without progress the next one would not make any either.
    if (waiting === 0 || sent === sentBefore) return
    sentBefore = sent
    void logger.flush({ deadlineMs: 5_000 })
  }
  process.on('beforeExit', last)
  return {
    ...logger,
    async close(deadline) {
      process.off('beforeExit', last)
      return await logger.close(deadline)
    },
  }
}

/** For people to look at; never sent again by itself. */
function keepRejected(
  directory: string,
  entries: readonly unknown[],
  { code, message, requestId }: FluxgateError,
): void {
  const path = join(directory, REJECTED_FILE)
  mkdirSync(directory, { recursive: true, mode: 0o700 })
  if ((statSync(path, { throwIfNoEntry: false })?.size ?? 0) > REJECTED_BYTES_MAX) return
  const at = new Date().toISOString()
  const lines = entries.map(
    (entry) => `${JSON.stringify({ rejected_at: at, code, message, request_id: requestId, entry })}\n`,
  )
  appendFileSync(path, lines.join(''), { mode: 0o600 })
}
