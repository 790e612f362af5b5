import { setTimeout as delay } from 'node:timers/promises'
import { assert } from './assert.ts'

/** Turns of the event loop that a batch gathers for at most. */
const GATHER_TURNS_MAX = 4

/** Why an operation was given up. `sent` says that it may have taken effect all the same. */
export class GivenUpError extends Error {
  override readonly name = 'GivenUpError'
  readonly sent: boolean
  constructor(message: string, sent: boolean, cause?: unknown) {
    super(message, { cause })
    this.sent = sent
  }
}

export interface GroupCommitOptions<Op, Result> {
  /** Operations with one key never share a commit and keep their order. */
  keyOf: (op: Op) => string
  batchMax: number
  queueMax: number
  /** How long one operation is tried before it is given up; Infinity for what must not be lost. */
  giveUpAfterMs: number
  retryDelayMs: { first: number; max: number }
  /** One round trip, one commit, one result per operation in the same order. Must be safe to send again. */
  commit: (ops: Op[]) => Promise<Result[]>
  /** Whether the same operations may succeed later. Anything else is bisected down to the operation that causes it. */
  isTransient: (error: unknown) => boolean
  onCommit?: (ops: number, tookMs: number) => void
  /** A commit failed in passing: these operations stay queued. */
  onOutage?: (error: unknown, ops: readonly Op[]) => void
}

interface Entry<Op, Result> {
  op: Op
  lateAt: number
  sent: boolean
  answered: boolean
  resolve: (result: Result) => void
  reject: (error: unknown) => void
}

interface Outage<Op, Result> {
  entries: Entry<Op, Result>[]
  error: unknown
}

/**
 * Shares commits between concurrent callers, clocked by itself: while one commit is under way the next batch gathers.
 * Without load an operation waits for nobody but those of its own turn of the event loop; under load the batch grows and
 * the cost of a commit is divided.
 */
export function createGroupCommit<Op, Result>(options: GroupCommitOptions<Op, Result>) {
  assert(options.batchMax > 0 && options.queueMax >= options.batchMax, 'the queue holds at least one batch')
  let queue: Entry<Op, Result>[] = []
  /** Everybody who has no answer yet, the oldest first. */
  const unanswered = new Set<Entry<Op, Result>>()
  let running: Promise<void> | undefined
  let lateTimer: NodeJS.Timeout | undefined
  let closed = false
  const closing = new AbortController()

  async function run(): Promise<void> {
    try {
      let failures = 0
      while (queue.length > 0) {
        await gather()
        if (queue.length === 0) break
        const outage = await commitOrBisect(takeBatch())
        if (outage === undefined) {
          failures = 0
          continue
        }
        queue = [...outage.entries, ...queue]
        options.onOutage?.(
          outage.error,
          queue.map((entry) => entry.op),
        )
        if (closed) break
        const waitMs = Math.min(options.retryDelayMs.first * 2 ** failures, options.retryDelayMs.max)
        failures = Math.min(failures + 1, 20)
        await delay(waitMs, undefined, { signal: closing.signal }).catch(() => undefined)
      }
      if (closed) for (const entry of queue.splice(0)) giveUp(entry, 'closed')
    } finally {
      // No await stands between the last look at the queue and this line: nobody can ask a loop that has already ended.
      running = undefined
    }
  }

  /**
   * Waits while callers keep coming: to the end of this turn of the event loop, and of a few more as long as each brings
   * somebody. A turn without load is over in microseconds; under load the cost of a commit is divided by more.
   */
  async function gather(): Promise<void> {
    let before = 0
    for (let turns = 0; turns < GATHER_TURNS_MAX; turns += 1) {
      if (queue.length <= before || queue.length >= options.batchMax) return
      before = queue.length
      await endOfTurn()
    }
  }

  function takeBatch(): Entry<Op, Result>[] {
    if (queue.length <= options.batchMax && new Set(queue.map((e) => options.keyOf(e.op))).size === queue.length) {
      const all = queue
      queue = []
      return all
    }
    const keys = new Set<string>()
    const batch: Entry<Op, Result>[] = []
    const rest: Entry<Op, Result>[] = []
    for (const entry of queue) {
      const key = options.keyOf(entry.op)
      if (batch.length < options.batchMax && !keys.has(key)) batch.push(entry)
      else rest.push(entry)
      keys.add(key)
    }
    queue = rest
    return batch
  }

  /** Resolves to the entries that a passing failure left undone, if any. */
  async function commitOrBisect(entries: Entry<Op, Result>[]): Promise<Outage<Op, Result> | undefined> {
    for (const entry of entries) entry.sent = true
    const startedAt = performance.now()
    let results: Result[]
    try {
      results = await options.commit(entries.map((entry) => entry.op))
      assert(results.length === entries.length, 'a commit answers every operation')
    } catch (error) {
      return afterFailure(entries, error)
    }
    for (const [index, entry] of entries.entries()) {
      if (answer(entry)) entry.resolve(results[index] as Result)
    }
    options.onCommit?.(entries.length, performance.now() - startedAt)
    return undefined
  }

  async function afterFailure(entries: Entry<Op, Result>[], error: unknown): Promise<Outage<Op, Result> | undefined> {
    // Who was given up meanwhile has been told so: sending it again could make it happen after all.
    const wanted = entries.filter((entry) => !entry.answered)
    const [only] = wanted
    if (only === undefined) return undefined
    if (options.isTransient(error)) return { entries: wanted, error }
    if (entries.length === 1) {
      answer(only)
      only.reject(error)
      return undefined
    }
    const half = Math.ceil(wanted.length / 2)
    const first = await commitOrBisect(wanted.slice(0, half))
    const rest = wanted.slice(half)
    if (first !== undefined) return { entries: [...first.entries, ...rest], error: first.error }
    return rest.length === 0 ? undefined : commitOrBisect(rest)
  }

  /** An entry is answered once: late results of a commit that was given up find nobody. */
  function answer(entry: Entry<Op, Result>): boolean {
    if (entry.answered) return false
    entry.answered = true
    unanswered.delete(entry)
    return true
  }

  function giveUp(entry: Entry<Op, Result>, why: string): void {
    if (answer(entry)) entry.reject(new GivenUpError(why, entry.sent))
  }

  /** One timer serves everybody: all wait equally long, so the oldest is always the next to be late. */
  function watchLate(): void {
    const [oldest] = unanswered
    if (oldest === undefined || oldest.lateAt === Number.POSITIVE_INFINITY) return
    lateTimer ??= setTimeout(
      () => {
        lateTimer = undefined
        giveUpLate()
        watchLate()
      },
      Math.max(1, oldest.lateAt - performance.now()),
    )
  }

  function giveUpLate(): void {
    const now = performance.now()
    for (const entry of unanswered) {
      if (entry.lateAt > now) break
      giveUp(entry, 'waited too long')
    }
    queue = queue.filter((entry) => !entry.answered)
  }

  return {
    /**
     * Resolves with the operation's own result once its commit is durable. Rejects with the error that this operation
     * alone provokes, or with GivenUpError: at its deadline even while a commit hangs, when the queue is full, when closed.
     */
    submit(op: Op): Promise<Result> {
      if (closed) return Promise.reject(new GivenUpError('closed', false))
      if (queue.length >= options.queueMax) return Promise.reject(new GivenUpError('queue full', false))
      return new Promise<Result>((resolve, reject) => {
        const lateAt = performance.now() + options.giveUpAfterMs
        const entry = { op, lateAt, sent: false, answered: false, resolve, reject }
        queue.push(entry)
        unanswered.add(entry)
        if (lateTimer === undefined) watchLate()
        running ??= run()
      })
    },

    /** Operations waiting or under way. */
    get depth(): number {
      return unanswered.size
    },

    /** Commits what is queued, once: operations that an outage leaves over are rejected as given up. */
    async close(): Promise<void> {
      closed = true
      closing.abort()
      await running
      clearTimeout(lateTimer)
    },
  }
}

function endOfTurn(): Promise<void> {
  return new Promise((resolve) => {
    setImmediate(resolve)
  })
}
