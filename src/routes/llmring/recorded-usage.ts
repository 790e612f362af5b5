import { Type } from 'typebox'
import type { RecordedUsage } from '#domain/usage/record-usage.ts'

/** What is answered to a report of usage. */
export const recordedMembers = {
  log_id: Type.String({ format: 'uuid' }),
  cost: Type.Number({ minimum: 0, description: 'Dollars by the price book; 0 also where nobody knows.' }),
  timestamp: Type.String({ format: 'date-time', description: 'When the call was made, UTC.' }),
  cost_status: Type.String({ description: '`priced`, or why there is no cost: docs/usage.md.' }),
  cost_nanousd: Type.Union([Type.String({ pattern: '^(0|[1-9]\\d*)$' }), Type.Null()], {
    description: 'Nano-dollars; null where nobody knows.',
  }),
}

export function recordedView({ logId, costNanos, occurredAt, costStatus }: RecordedUsage) {
  return {
    log_id: logId,
    cost: Number(costNanos ?? 0n) / 1e9,
    timestamp: occurredAt,
    cost_status: costStatus,
    cost_nanousd: costNanos?.toString() ?? null,
  }
}
