import type { AuthenticatedKey } from '#domain/keyring.ts'
import type { UsageReport } from './usage-report.ts'

/** Who reports. */
export type Reporter = Pick<AuthenticatedKey, 'keyId' | 'projectId' | 'walletId'>

/** A report that is ready to be a row. */
export interface UsageRow {
  id: string
  bodyHash: Buffer
  report: UsageReport
}

/** What the table has of a report. */
export interface Stored {
  logId: string
  occurredAt: string
  costNanos: bigint | null
  costStatus: string
  bodyHash: Buffer
  isNew: boolean
}

/** What a Stored is made of, from a row `l` of reported_log. */
export const storedColumns = `l.id as "logId",
  to_char(l.occurred_at at time zone 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"') as "occurredAt",
  l.cost as "costNanos", l.cost_status as "costStatus", l.body_hash as "bodyHash"`
