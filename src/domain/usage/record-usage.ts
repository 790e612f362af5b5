import { hash } from 'node:crypto'
import { type Db, transaction } from '#db/pool.ts'
import { claimConversationCall, lockNames } from '#domain/conversations/conversation-call.ts'
import type { PriceBook } from '#domain/price-book.ts'
import { assert } from '#lib/assert.ts'
import { dashedUuid, uuidFromName, uuidv7Hex } from '#lib/ids.ts'
import { AppError } from '#src/errors.ts'
import type { Reporter, Stored, UsageRow } from './stored-usage.ts'
import { reportText, type UsageReport } from './usage-report.ts'
import { writeUsage } from './write-usage.ts'

export const REPORTS_PER_BATCH_MAX = 1_000

export interface ReportEntry {
  report: UsageReport
  /** The same key and the same report are recorded once, whichever of the project's keys sends them. */
  idempotencyKey: string | undefined
}

/** What is recorded of a report. */
export interface RecordedUsage {
  /** UUID with dashes. */
  logId: string
  /** ISO 8601, UTC, to the microsecond. */
  occurredAt: string
  costNanos: bigint | null
  costStatus: string
  /** It was recorded before, by the same key or with the conversation that it names. */
  isReplay: boolean
}

/**
 * Records usage of calls that did not pass through the gateway. Nothing of it is ever charged: no wallet, no transfer and
 * no hold is touched.
 */
export function createUsageRecorder(deps: { db: Db; priceBook: () => PriceBook }) {
  const { db, priceBook } = deps

  /**
   * Records all in one commit. One result for each entry, in their order; an idempotency key that was used for another
   * report gives AppError idempotency_mismatch in its place.
   */
  async function recordBatch(
    reporter: Reporter,
    entries: readonly ReportEntry[],
  ): Promise<(RecordedUsage | AppError)[]> {
    assert(entries.length <= REPORTS_PER_BATCH_MAX, 'a batch is bounded')
    if (entries.length === 0) return []
    const named = entries.map((entry) => rowOf(reporter, entry))
    // The first of several with one key is recorded, as if they had come one after the other.
    const rows = [...new Map(named.toReversed().map((row) => [row.id, row])).values()]
    const written = new Map<string, Stored>()
    const inConversation = rows.filter(({ report }) => report.conversationId !== null)
    if (inConversation.length === 0) await writeUsage(db, reporter, rows, priceBook(), written)
    else {
      await transaction(db, async (tx) => {
        await lockNames(tx, inConversation)
        for (const row of inConversation) {
          const counted = await claimConversationCall(tx, reporter, row)
          if (counted !== undefined) written.set(row.id, counted)
        }
        const rest = rows.filter(({ id }) => !written.has(id))
        await writeUsage(tx, reporter, rest, priceBook(), written)
      })
    }
    const seen = new Set<string>()
    return named.map((row) => {
      const stored = written.get(row.id)
      assert(stored !== undefined, 'every report is recorded or was before')
      if (!stored.bodyHash.equals(row.bodyHash)) return new AppError('idempotency_mismatch')
      const isReplay = !stored.isNew || seen.has(row.id)
      seen.add(row.id)
      return toRecorded(stored, isReplay)
    })
  }

  return {
    recordBatch,

    /** The same for one report. Throws AppError: idempotency_mismatch. */
    async record(reporter: Reporter, entry: ReportEntry): Promise<RecordedUsage> {
      const [result] = await recordBatch(reporter, [entry])
      assert(result !== undefined, 'one entry has one result')
      if (result instanceof AppError) throw result
      return result
    },
  }
}

export type UsageRecorder = ReturnType<typeof createUsageRecorder>

function toRecorded({ logId, occurredAt, costNanos, costStatus }: Stored, isReplay: boolean): RecordedUsage {
  return { logId, occurredAt, costNanos, costStatus, isReplay }
}

const noHash = Buffer.alloc(0)

function rowOf(reporter: Reporter, { report, idempotencyKey }: ReportEntry): UsageRow {
  if (idempotencyKey === undefined) return { id: dashedUuid(uuidv7Hex()), bodyHash: noHash, report }
  return {
    id: dashedUuid(uuidFromName('usage', reporter.projectId, idempotencyKey)),
    bodyHash: hash('sha256', reportText(report), 'buffer'),
    report,
  }
}
