import { hash } from 'node:crypto'
import { type Db, type Tx, transaction } from '#db/pool.ts'
import { assert } from '#lib/assert.ts'
import { canonicalJson } from '#lib/canonical-json.ts'
import { uuidFromName } from '#lib/ids.ts'
import { AppError } from '#src/errors.ts'
import { REASON_CHARS_MAX, requireIdempotencyKey, requirePlainText } from './plain-text.ts'
import { lotKinds } from './wallets.ts'

/** $1,000,000: a larger grant is taken for a slip of the keyboard. */
export const GRANT_NANOS_MAX = 1_000_000n * 1_000_000_000n

export interface GrantInput {
  projectId: string
  amountNanos: bigint
  reason: string
  /** Within one project, the same key grants once. */
  idempotencyKey: string
  /** Who asked: `admin`, `cli`, `gateway`. */
  actor: string
  expiresAt?: Date
  kind?: keyof typeof kinds
}

export interface Grant {
  id: string
  projectId: string
  amountNanos: bigint
  reason: string
  actor: string
  expiresAt: Date | null
  createdAt: Date
  /** This key had granted the same before, and nothing was granted now. */
  replayed: boolean
}

// A welcome gift burns before what an operator gave for a purpose.
const kinds = {
  admin: { lot: 'admin', priority: 25 },
  welcome: { lot: 'promo', priority: 10 },
  promo: { lot: 'promo', priority: 10 },
} as const

const PROMO_EXPENSE = 4 // The kind of account that pays for grants.

export function createGrants(deps: { db: Db; slot: { current(): { slot: number; epoch: bigint } } }) {
  return {
    /**
     * Credits a project's wallet with a lot of its own. Safe to repeat: the idempotency key finds the first grant.
     * Throws AppError: body_invalid, idempotency_key_invalid, idempotency_mismatch, not_found.
     */
    grant: (input: GrantInput): Promise<Grant> => transaction(deps.db, (tx) => grantOnce(tx, input, deps.slot)),

    /** The same as a part of something larger. It locks the wallet: whoever locks several does so by ascending id. */
    grantIn: (tx: Tx, input: GrantInput): Promise<Grant> => grantOnce(tx, input, deps.slot),
  }
}

export type Grants = ReturnType<typeof createGrants>

async function grantOnce(tx: Tx, input: GrantInput, writer: { current(): { slot: number } }): Promise<Grant> {
  requireGrantable(input)
  const key = requireIdempotencyKey(input.idempotencyKey)
  const ref = uuidFromName('grant', input.projectId, key)
  const { lot, priority } = kinds[input.kind ?? 'admin']
  const { rows: wallets } = await tx.query<{ wallet_id: bigint; due: boolean }>(
    `select wallet_id, coalesce($3::timestamptz <= now(), false) and not exists (select 1 from adjustment where ref = $2) as due
     from project where id = $1`,
    [input.projectId, ref, input.expiresAt ?? null],
  )
  const [wallet] = wallets
  if (wallet === undefined) throw new AppError('not_found', { message: 'No project has this id.' })
  // A replay is answered as it was, however late it comes.
  if (wallet.due)
    throw new AppError('body_invalid', { message: "'expires_at' must be in the future.", param: 'expires_at' })

  const { rows } = await tx.query<{ status: 'credited' | 'already' | 'key_reused' | 'no_wallet' }>(
    'select status from credit($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11)',
    [
      writer.current().slot,
      ref,
      wallet.wallet_id,
      input.amountNanos,
      PROMO_EXPENSE,
      lotKinds.indexOf(lot) + 1,
      priority,
      input.expiresAt ?? null,
      input.reason,
      input.actor,
      bodyHash(input),
    ],
  )
  const status = rows[0]?.status
  if (status === 'key_reused') throw new AppError('idempotency_mismatch')
  assert(status === 'credited' || status === 'already', 'a wallet of a project can be credited')

  const { rows: records } = await tx.query<{ actor: string; created_at: Date }>(
    'select actor, created_at from adjustment where ref = $1',
    [ref],
  )
  const [record] = records
  assert(record !== undefined, 'a grant leaves its record')
  return {
    id: `grt_${ref}`,
    projectId: input.projectId,
    amountNanos: input.amountNanos,
    reason: input.reason,
    actor: record.actor,
    expiresAt: input.expiresAt ?? null,
    createdAt: record.created_at,
    replayed: status === 'already',
  }
}

function requireGrantable(input: GrantInput): void {
  requirePlainText(input.reason, 'reason', REASON_CHARS_MAX)
  if (input.amountNanos >= 1n && input.amountNanos <= GRANT_NANOS_MAX) return
  throw new AppError('body_invalid', {
    message: `'amount_nanousd' must be 1 to ${GRANT_NANOS_MAX}, which is $1,000,000.`,
    param: 'amount_nanousd',
  })
}

/** What must be equal for two requests under one key to be the same request. */
function bodyHash(input: GrantInput): Buffer {
  const body = {
    amount_nanousd: input.amountNanos.toString(),
    kind: input.kind ?? 'admin',
    reason: input.reason,
    ...(input.expiresAt && { expires_at: input.expiresAt.toISOString() }),
  }
  return hash('sha256', canonicalJson(body), 'buffer')
}
