import { hash } from 'node:crypto'
import { sqlState } from '#db/failures.ts'
import { type Db, type Tx, transaction } from '#db/pool.ts'
import { recordAct } from '#domain/audit-trail.ts'
import { assert, unreachable } from '#lib/assert.ts'
import { canonicalJson } from '#lib/canonical-json.ts'
import { uuidFromName } from '#lib/ids.ts'
import { AppError } from '#src/errors.ts'
import { REASON_CHARS_MAX, requireIdempotencyKey, requirePlainText } from './plain-text.ts'

export interface RefundInput {
  /** 32 hex digits. */
  requestId: string
  /** Nano-dollars; what is left of the charge when absent. */
  amountNanos?: bigint
  reason: string
  /** The same key refunds once, whichever receipt it names. */
  idempotencyKey: string
  actor: string
  /** Of the HTTP request; the trail of acts has it. */
  httpRequestId?: string
}

export interface Refund {
  id: string
  requestId: string
  amountNanos: bigint
  reason: string
  actor: string
  createdAt: Date
  replayed: boolean
}

const UNIQUE_VIOLATION = '23505'

export function createRefunds(deps: { db: Db; slot: { current(): { slot: number; epoch: bigint } } }) {
  return {
    /**
     * Returns money of one charge to the lots that it came from, never more than was charged. Safe to repeat.
     * Throws AppError: body_invalid, idempotency_key_invalid, idempotency_mismatch, exceeds_charge, not_found.
     */
    async refund(input: RefundInput): Promise<Refund> {
      requirePlainText(input.reason, 'reason', REASON_CHARS_MAX)
      if (input.amountNanos !== undefined && input.amountNanos < 1n)
        throw new AppError('body_invalid', { message: "'amount_nanousd' must be at least 1.", param: 'amount_nanousd' })
      const ref = uuidFromName('refund', requireIdempotencyKey(input.idempotencyKey))
      try {
        return await transaction(deps.db, (tx) => refundOnce(tx, { input, ref, slot: deps.slot.current().slot }))
      } catch (error) {
        // The same key for calls of two wallets at the same moment: neither saw the other's record.
        if (sqlState(error) === UNIQUE_VIOLATION) throw new AppError('idempotency_mismatch', { cause: error })
        throw error
      }
    },
  }
}

export type Refunds = ReturnType<typeof createRefunds>

async function refundOnce(tx: Tx, call: { input: RefundInput; ref: string; slot: number }): Promise<Refund> {
  const { input, ref } = call
  // Locked before "what is left" is read, so that two refunds of one call cannot both take it.
  await tx.query(
    'select 1 from wallet where id = (select wallet_id from request_log where request_id = $1) for no key update',
    [input.requestId],
  )
  const amount = input.amountNanos ?? (await amountLeft(tx, input.requestId, ref))
  const { rows } = await tx.query<{
    status: 'refunded' | 'already' | 'key_reused' | 'no_request' | 'exceeds_charge'
  }>('select refund($1, $2, $3, $4, $5, $6, $7) as status', [
    call.slot,
    ref,
    input.requestId,
    amount,
    input.reason,
    input.actor,
    bodyHash(input),
  ])
  const status = rows[0]?.status
  assert(status !== undefined, 'refund answers')
  switch (status) {
    case 'no_request':
      throw new AppError('not_found', { message: 'No settled call has this receipt.', param: 'receipt_id' })
    case 'key_reused':
      throw new AppError('idempotency_mismatch')
    case 'exceeds_charge':
      throw new AppError('exceeds_charge', { param: 'amount_nanousd' })
    case 'refunded':
    case 'already': {
      const refund = { ...(await readRecord(tx, ref)), requestId: input.requestId, replayed: status === 'already' }
      if (status === 'refunded')
        await recordAct(tx, {
          ...{ actor: input.actor, action: 'refund.create', subject: refund.id },
          ...(input.httpRequestId !== undefined && { requestId: input.httpRequestId }),
          after: { receipt: input.requestId, amount_nanousd: refund.amountNanos, reason: input.reason },
        })
      return refund
    }
    default:
      return unreachable(status)
  }
}

/** What this key refunded before, or else what no refund has taken yet. Zero when there is no such call. */
async function amountLeft(tx: Tx, requestId: string, ref: string): Promise<bigint> {
  const { rows } = await tx.query<{ amount: bigint }>(
    `select coalesce((select a.amount from adjustment a where a.ref = $2),
                     l.charged - coalesce((select sum(t.amount) from transfer t where t.reverses = $1), 0))::bigint as amount
     from request_log l where l.request_id = $1`,
    [requestId, ref],
  )
  return rows[0]?.amount ?? 0n
}

async function readRecord(tx: Tx, ref: string): Promise<Omit<Refund, 'requestId' | 'replayed'>> {
  const { rows } = await tx.query<{ amount: bigint; reason: string; actor: string; created_at: Date }>(
    'select amount, reason, actor, created_at from adjustment where ref = $1',
    [ref],
  )
  const [record] = rows
  assert(record !== undefined, 'a refund leaves its record')
  const { amount, reason, actor, created_at } = record
  return { id: `rfd_${ref}`, amountNanos: amount, reason, actor, createdAt: created_at }
}

function bodyHash(input: RefundInput): Buffer {
  const body = {
    receipt: input.requestId,
    amount_nanousd: input.amountNanos?.toString() ?? 'all',
    reason: input.reason,
  }
  return hash('sha256', canonicalJson(body), 'buffer')
}
