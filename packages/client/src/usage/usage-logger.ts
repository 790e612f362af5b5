import { FluxgateError } from '../errors.ts'
import { asFluxgateError, type ConnectionOptions, createConnection } from '../http/connection.ts'
import { type BackoffOptions, backoffMs, createPause } from './backoff.ts'
import { type EntryVerdict, sendBatch } from './send-batch.ts'
import { encodeEntry, type UsageEntry } from './usage-entry.ts'
import { createMemoryQueue, type UsageQueue } from './usage-queue.ts'

/** A batch that is refused for another reason than an entry, such as a key that lacks the scope, is tried so often. */
const REFUSALS_MAX = 8
const ENTRIES_PER_BATCH = 100
const BYTES_PER_BATCH = 512 * 1024

export type LossReason = 'queue_full' | 'closed' | 'queue_failed'

export interface UsageLoggerOptions extends Omit<ConnectionOptions, 'apiKey'> {
  /** A key of the gateway with the scope `ingest`. */
  apiKey: string
  /** How many entries wait at most, and how many bytes of them; then the oldest go. 10,000 and 16 MiB unless said otherwise. */
  entriesMax?: number | undefined
  bytesMax?: number | undefined
  /** How long entries are collected before they are sent together: a second unless said otherwise. */
  collectMs?: number | undefined
  /** Waits between attempts: from half a second up to a minute unless said otherwise. */
  backoff?: BackoffOptions | undefined
  /** Told of entries that the gateway does not take, with the reason: they will not be sent again. */
  onRejected?: ((entries: readonly unknown[], error: FluxgateError) => void) | undefined
  /** Told how many entries are gone for good. */
  onLost?: ((entries: number, reason: LossReason) => void) | undefined
  /** Told of every attempt that failed, also of those that are repeated. */
  onError?: ((error: FluxgateError) => void) | undefined
  /** Where entries wait; in memory unless said otherwise. `@fluxgate/client/node` has one in files. */
  queue?: UsageQueue | undefined
}

export interface UsageCounts {
  /** Not sent yet, or being sent. */
  waiting: number
  sent: number
  rejected: number
  lost: number
}

export interface UsageLogger {
  /** Takes an entry and returns at once. Never throws, whatever it is given and whatever the gateway does. */
  log(entry: UsageEntry): void
  /** Sends what waits. Resolves to whether nothing waits any more; false when `deadlineMs`, 10 seconds unless said otherwise, are over. */
  flush(options?: { deadlineMs?: number }): Promise<boolean>
  /** The same, and ends the logger. What is then still in memory is lost, and `onLost` told so; what is in files is sent at the next start. */
  close(options?: { deadlineMs?: number }): Promise<boolean>
  counts(): UsageCounts
}

/**
 * Reports calls that did not pass through the gateway: in batches, beside the program's own work, repeated until the gateway has them. An
 * entry has a key of its own, so that one which is sent twice is kept once. Throws TypeError for an unusable base URL.
 */
export function createUsageLogger(options: UsageLoggerOptions): UsageLogger {
  const { collectMs = 1_000, backoff = { firstMs: 500, mostMs: 60_000 } } = options
  const { entriesMax = 10_000, bytesMax = 16 * 1024 * 1024 } = options
  const connection = createConnection(options)
  const queue = options.queue ?? createMemoryQueue({ entriesMax, bytesMax })
  const pause = createPause()
  const ended = new AbortController()
  const emptied = new Set<() => void>()
  let sent = 0
  let rejected = 0
  let lost = 0
  let isRunning = false
  let isClosed = false
  let hurried = 0 // How many wait in flush.
  let failures = 0
  let refusals = 0
  let ownWaitUntil = 0
  let askedWaitUntil = 0
  let batchMax = ENTRIES_PER_BATCH
  let closing: Promise<boolean> | undefined

  function log(entry: UsageEntry): void {
    try {
      const encoded = encodeEntry(entry, Date.now())
      if (isClosed) lose(1, 'closed')
      else {
        lose(queue.push(encoded), 'queue_full')
        start()
      }
    } catch (error) {
      reject([entry], error instanceof FluxgateError ? error : new FluxgateError('entry_invalid', String(error)))
    }
  }

  function start(): void {
    if (isRunning || isClosed || queue.waiting === 0) {
      if (queue.waiting >= batchMax && failures === 0 && !isClosed) pause.wake()
      return
    }
    isRunning = true
    void run().finally(() => {
      isRunning = false
      for (const resolve of emptied) resolve()
      start() // For what came in the last moment.
    })
  }

  /** Collects, sends, waits, until nothing waits. Never rejects. */
  async function run(): Promise<void> {
    if (hurried === 0 && queue.waiting < batchMax) await pause.sleep(collectMs, { mayEndWithProcess: false })
    while (queue.waiting > 0 && !ended.signal.aborted) {
      const wait = Math.max(ownWaitUntil, askedWaitUntil) - Date.now()
      if (wait > 0) await pause.sleep(wait, { mayEndWithProcess: true })
      else await sendNext()
    }
  }

  async function sendNext(): Promise<void> {
    const batch = await queue.peek({ entries: batchMax, bytes: BYTES_PER_BATCH })
    if (batch.length === 0) {
      ownWaitUntil = Date.now() + backoff.mostMs
      return
    }
    let verdicts: EntryVerdict[]
    try {
      verdicts = await sendBatch(connection, batch, ended.signal)
    } catch (error) {
      failBatch(batch, asFluxgateError(error))
      return
    }
    const again = verdicts.find(({ outcome }) => outcome === 'again')
    // All of them once more: those that are kept already are recognised by their keys.
    if (again !== undefined && 'error' in again) {
      fail(again.error)
      return
    }
    queue.remove(batch.length)
    for (const [index, verdict] of verdicts.entries()) {
      if (verdict.outcome === 'kept') sent += 1
      else reject([parsed(batch[index])], verdict.error)
    }
    failures = 0
    refusals = 0
    batchMax = Math.min(ENTRIES_PER_BATCH, batchMax * 2)
  }

  function failBatch(batch: readonly string[], error: FluxgateError): void {
    if (ended.signal.aborted) return
    // It is about what was sent, not about the sender or the server.
    const isAboutContent = error.status === 400 || error.status === 413 || error.status === 422
    if (error.retry) fail(error)
    else if (!isAboutContent) {
      // Both can be put right, but not for ever.
      refusals += 1
      fail(error)
      if (refusals >= REFUSALS_MAX) give(batch, error)
    } else if (batch.length > 1) {
      // One entry may spoil the others: halve until it stands alone.
      batchMax = Math.ceil(batch.length / 2)
      tell(() => options.onError?.(error))
    } else give(batch, error)
  }

  /** Gives entries up. */
  function give(batch: readonly string[], error: FluxgateError): void {
    queue.remove(batch.length)
    reject(batch.map(parsed), error)
  }

  function fail(error: FluxgateError): void {
    failures += 1
    if (error.retryAfterMs === undefined) ownWaitUntil = Date.now() + backoffMs(failures, backoff)
    else askedWaitUntil = Date.now() + error.retryAfterMs
    tell(() => options.onError?.(error))
  }

  async function flush({ deadlineMs = 10_000 } = {}): Promise<boolean> {
    const deadline = Date.now() + deadlineMs
    hurried += 1
    try {
      // What the server asked to wait for is waited for; our own patience is not.
      ownWaitUntil = 0
      while (queue.waiting > 0 && Date.now() < deadline && !isClosed) {
        start()
        pause.wake()
        await runEndOr(deadline - Date.now())
      }
    } finally {
      hurried -= 1
    }
    return queue.waiting === 0
  }

  async function runEndOr(ms: number): Promise<void> {
    if (!isRunning) return
    let timer: ReturnType<typeof setTimeout> | undefined
    await new Promise<void>((resolve) => {
      timer = setTimeout(resolve, ms)
      const done = () => {
        emptied.delete(done)
        resolve()
      }
      emptied.add(done)
    })
    clearTimeout(timer)
  }

  async function close({ deadlineMs = 5_000 } = {}): Promise<boolean> {
    const isEmpty = await flush({ deadlineMs })
    isClosed = true
    ended.abort(new DOMException('the logger is closed', 'AbortError'))
    pause.wake()
    if (!queue.isDurable) lose(queue.waiting, 'closed')
    queue.close()
    return isEmpty
  }

  function lose(entries: number, reason: LossReason): void {
    if (entries === 0) return
    lost += entries
    tell(() => options.onLost?.(entries, reason))
  }

  function reject(entries: readonly unknown[], error: FluxgateError): void {
    rejected += entries.length
    tell(() => options.onRejected?.(entries, error))
  }

  queue.onFound?.(start)
  start()
  return {
    log,
    flush,
    close(deadline) {
      closing ??= close(deadline)
      return closing
    },
    counts: () => ({ waiting: queue.waiting, sent, rejected, lost }),
  }
}

/** What a callback throws is its own affair. */
function tell(callback: () => void): void {
  try {
    callback()
  } catch {
    // There is nobody else to tell.
  }
}

function parsed(json: string | undefined): unknown {
  return json === undefined ? undefined : JSON.parse(json)
}
