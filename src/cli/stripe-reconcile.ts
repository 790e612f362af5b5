import { reconcile } from '#domain/payments/reconcile.ts'
import { withDatabase } from './books.ts'
import { type CliDeps, need, readArgs, readTime, UsageError } from './command.ts'
import { printJson, printTable } from './print.ts'

export const summary = "Compare Stripe's balance with the books, to the cent."
export const usage = `usage: fluxgate stripe reconcile --from TIME --to TIME [--json]

  --from TIME   the first moment, as in 2026-12-01T00:00:00Z
  --to TIME     the first moment that no longer counts

Asks Stripe for every balance transaction of the range and compares it with what was booked of it; each payment with what it has
credited; and the clearing accounts with the payments. Exit code 1 when anything differs. What the last minutes brought may not
have been told yet. Payouts and Stripe's own fees move no payment and are left out.`

export async function run(deps: CliDeps, args: string[]): Promise<number> {
  const { values } = readArgs(args, { from: { type: 'string' }, to: { type: 'string' } })
  const from = readTime(need(values.from, '--from'), '--from')
  const to = readTime(need(values.to, '--to'), '--to')
  if (to <= from) throw new UsageError('--to must be after --from')
  const provider = await deps.paymentProvider?.()
  if (provider === undefined) throw new Error('STRIPE_SECRET_KEY is not set, so Stripe cannot be asked')
  const report = await withDatabase(deps, (db) => reconcile({ db, provider }, { from, to }))
  if (values.json) printJson(deps.out, view(report))
  else print(deps, report)
  return report.ok ? 0 : 1
}

type Report = Awaited<ReturnType<typeof reconcile>>

function print({ out }: CliDeps, report: Report): void {
  printTable(out, [
    ['CURRENCY', 'MOVEMENTS', 'AT STRIPE', 'HERE', 'DIFFERENCE', "STRIPE'S FEES"],
    ...report.currencies.map(({ currency, movements, atStripe, here, fees }) =>
      [currency, movements, atStripe, here, atStripe - here, fees].map(String),
    ),
  ])
  out.write(`\nclearing accounts ${report.clearingNanos} nano-dollars, payments ${report.paymentsNanos}\n`)
  for (const { kind, id, detail } of report.differences) out.write(`${kind} ${id}: ${detail}\n`)
  if (report.leftOut > 0) out.write(`and ${report.leftOut} more\n`)
  out.write(report.ok ? 'Stripe and the books agree\n' : 'Stripe and the books do not agree\n')
}

function view(report: Report) {
  return {
    object: 'stripe_reconciliation' as const,
    ok: report.ok,
    currencies: report.currencies.map(({ currency, movements, atStripe, here, fees }) => ({
      ...{ currency, movements, at_stripe: atStripe.toString(), here: here.toString(), fees: fees.toString() },
      difference: (atStripe - here).toString(),
    })),
    clearing_nanousd: report.clearingNanos.toString(),
    payments_nanousd: report.paymentsNanos.toString(),
    differences: report.differences,
    left_out: report.leftOut,
  }
}
