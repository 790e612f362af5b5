import type { Tx } from '#db/pool.ts'
import { emitOperatorEvent } from '#domain/operator-events.ts'

const FAILURES_MAX = 3

/**
 * Ends an attempt that was not paid. After three in a row, or where the bank wants the person to be there, no more are made until the
 * person says so. Returns whether this ended it.
 */
export async function failAttempt(
  tx: Tx,
  failed: { id: string; intentId: string | null; failure: string },
): Promise<boolean> {
  const { rows } = await tx.query<{ projectId: string }>(
    `update auto_top_up_attempt set state = 'failed', intent_id = coalesce($2, intent_id), error = left($3, 500),
       ended_at = clock_timestamp()
     where id = $1 and state = 'pending' returning project_id as "projectId"`,
    [failed.id, failed.intentId, failed.failure],
  )
  const [attempt] = rows
  if (attempt === undefined) return false
  const needsPerson = failed.failure === 'authentication_required' || failed.failure === 'payment_method_missing'
  await tx.query(
    `update auto_top_up set failures = failures + 1, enabled = enabled and failures + 1 < $2 and not $3,
       disabled_reason = case when failures + 1 >= $2 or $3 then left($4, 500) else disabled_reason end,
       updated_at = clock_timestamp()
     where project_id = $1`,
    [attempt.projectId, FAILURES_MAX, needsPerson, failed.failure],
  )
  await emitOperatorEvent(tx, {
    type: 'payment.failed',
    once: [failed.id],
    data: { project_id: attempt.projectId, payment_id: failed.intentId ?? failed.id, reason: failed.failure },
  })
  return true
}
