import { outcomeNumbers } from '#billing/outcome.ts'
import { textCell } from '#domain/usage/export-csv.ts'
import type { Wallet } from '#domain/wallets.ts'
import { formatRatio } from '#lib/decimal.ts'
import type { Movement } from './flux-history.ts'

// Flux as AIRI's clients read it, with exact figures beside it. A Flux is a fixed number of nano-dollars.

const outcomes = new Map<number, string>(Object.entries(outcomeNumbers).map(([name, number]) => [number, name]))
/** AIRI's clients know four types; what took away is a debit, what gave back a credit. */
const prefixes = {
  charge: 'rcp',
  grant: 'grt',
  refund: 'rfd',
  expiry: 'exp',
  reversal: 'rev',
  claw_back: 'clb',
  repayment: 'rpy',
  reinstatement: 'rei',
} as const
/** What adds to a balance. */
const credits: ReadonlySet<Movement['kind']> = new Set(['grant', 'refund', 'reinstatement'])

/** `flux` is whole and never more than there is; the others are exact. */
export function fluxBalanceView(userId: string, wallet: Wallet, fluxNanousd: bigint) {
  return {
    userId,
    flux: Number(wallet.availableNanos / fluxNanousd),
    flux_exact: formatRatio(wallet.availableNanos, fluxNanousd),
    balance_nanousd: wallet.postedNanos.toString(),
    held_nanousd: wallet.heldNanos.toString(),
    available_nanousd: wallet.availableNanos.toString(),
    frozen: wallet.frozen,
  }
}

export function movementView(movement: Movement, isInitial: boolean, fluxNanousd: bigint) {
  const { kind, id, at, nanos, lot, reason, call } = movement
  return {
    id: `${prefixes[kind]}_${id}`,
    type: typeOf(movement, isInitial),
    amount: Number(formatRatio(nanos, fluxNanousd)),
    description: call === null ? (reason ?? 'Expired') : call.model,
    metadata: {
      kind,
      ...(lot !== null && { lot }),
      ...(call !== null && {
        model: call.model,
        promptTokens: Number(call.inputTokens),
        completionTokens: Number(call.outputTokens),
        receiptId: `rcp_${id}`,
        outcome: outcomes.get(call.outcome) ?? 'unknown',
        ...(call.aliasName !== null && { alias: call.aliasName }),
      }),
    },
    createdAt: at,
    amount_nanousd: nanos.toString(),
  }
}

function typeOf({ kind, lot }: Movement, isInitial: boolean): 'credit' | 'debit' | 'initial' | 'promo' {
  if (kind === 'refund' || kind === 'reinstatement') return 'credit'
  if (kind !== 'grant') return 'debit'
  if (isInitial) return 'initial'
  return lot === 'promo' ? 'promo' : 'credit'
}

export const HISTORY_CSV_HEAD =
  'time,id,kind,flux,amount_nanousd,description,model,alias,input_tokens,output_tokens,receipt_id\r\n'

/** One line, RFC 4180, safe for spreadsheets; what was taken away is below zero. */
export function movementCsv({ kind, id, at, nanos, reason, call }: Movement, fluxNanousd: bigint): string {
  const sign = credits.has(kind) ? '' : '-'
  const cells = [
    ...[at, `${prefixes[kind]}_${id}`, kind],
    ...[`${sign}${formatRatio(nanos, fluxNanousd)}`, `${sign}${nanos}`],
    textCell(reason),
    textCell(call?.model ?? null),
    textCell(call?.aliasName ?? null),
    ...[String(call?.inputTokens ?? ''), String(call?.outputTokens ?? '')],
    call === null ? '' : `rcp_${id}`,
  ]
  return `${cells.join(',')}\r\n`
}
