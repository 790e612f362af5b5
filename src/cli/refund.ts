import { parseReceiptId } from '#domain/receipt-log.ts'
import { createRefunds } from '#domain/refunds.ts'
import { refundView } from '#domain/views.ts'
import { amountOptions, formatUsd, readAmount } from './amount.ts'
import { withBooks } from './books.ts'
import { type CliDeps, need, readArgs, UsageError } from './command.ts'
import { printJson } from './print.ts'

export const summary = 'Return a charge, or a part of it, once per key.'
export const usage = `usage: fluxgate refund RECEIPT [--usd 0.25 | --nanousd N] --reason R --key K [--json]

RECEIPT is rcp_… or req_…. Without an amount, what is left of the charge is returned. Running it again with the same K
changes nothing; the same K with other values is refused.`

export async function run(deps: CliDeps, args: string[]): Promise<number> {
  const { values, words } = readArgs(args, { ...amountOptions, reason: { type: 'string' }, key: { type: 'string' } }, [
    'RECEIPT',
  ])
  const requestId = parseReceiptId(words[0] ?? '')
  if (requestId === undefined) throw new UsageError('RECEIPT must be rcp_ or req_ and 32 hex digits')
  const amountNanos = readAmount(values)
  const input = {
    requestId,
    reason: need(values.reason, '--reason'),
    idempotencyKey: need(values.key, '--key'),
    actor: 'cli',
    ...(amountNanos !== undefined && { amountNanos }),
  }
  const refund = await withBooks(deps, (books) => createRefunds(books).refund(input))
  if (values.json) printJson(deps.out, { ...refundView(refund), replayed: refund.replayed })
  else
    deps.out.write(
      refund.replayed
        ? `${refund.id} was refunded before; nothing changed\n`
        : `refunded ${formatUsd(refund.amountNanos)} of rcp_${refund.requestId} as ${refund.id}\n`,
    )
  return 0
}
