import { auditLedger } from '#domain/audit.ts'
import { auditView } from '#domain/views.ts'
import { withDatabase } from './books.ts'
import { type CliDeps, readArgs } from './command.ts'
import { printJson, printTable } from './print.ts'

export const summary = 'Recompute the books from their postings and report every invariant.'
export const usage = `usage: fluxgate ledger audit [--json]

Exit code 1 when any row breaks an invariant.`

export async function run(deps: CliDeps, args: string[]): Promise<number> {
  const { values } = readArgs(args, {})
  const report = await withDatabase(deps, auditLedger)
  if (values.json) printJson(deps.out, auditView(report))
  else {
    printTable(deps.out, [
      ['CHECKED', 'BAD', 'INVARIANT'],
      ...report.invariants.map(({ name, checked, bad }) => [String(checked), String(bad), name]),
    ])
    const bad = report.invariants.reduce((sum, invariant) => sum + invariant.bad, 0)
    deps.out.write(report.ok ? '\nthe books balance\n' : `\n${bad} bad rows\n`)
  }
  return report.ok ? 0 : 1 // A script can trust the exit code.
}
