import { type OpeningLot, openingLots } from '#importer/airi-balances.ts'
import type { AiriContext } from '#importer/airi-history.ts'
import { backfillAiri, contractAiri, expandAiri, planAiri, switchAiri, verifyAiri } from '#importer/airi-phases.ts'
import { recogniseAiri } from '#importer/airi-shape.ts'
import { runPhase } from '#importer/import-phase.ts'
import type { Phase } from '#importer/report.ts'
import { withBooks } from './books.ts'
import { type CliDeps, readArgs, UsageError } from './command.ts'
import { printReport, readBatchRows, readPhase } from './import-report.ts'

export const summary = 'Import the balances and history of an AIRI server, phase by phase.'
export const usage = `usage: fluxgate import airi PHASE [--source URL] [--schema public] [--source-timezone UTC] [--name airi] [--json]

PHASE is one of, in this order; each may be run again at any time and changes nothing twice:
  plan      look at the source: balances, and those that their transactions do not explain
  expand    nothing to do
  backfill  copy the history; safe to kill and to run again
  verify    compare every sum, after switch every balance too; exit code 1 unless all agree
  switch    copy what came in since and credit the balances as opening lots: stop AIRI first
  contract  nothing to do

Without --source the tables stand in that schema of DATABASE_URL.
  --lot paid|admin  what kind of lot an opening balance becomes; paid by default
  --batch-rows N    rows in one commit, 1 to 10000; 2000 by default
  --source-moved    the same source at another place

Step by step: docs/import.md.`

const options = {
  source: { type: 'string' },
  schema: { type: 'string', default: 'public' },
  'source-timezone': { type: 'string', default: 'UTC' },
  name: { type: 'string', default: 'airi' },
  lot: { type: 'string', default: 'paid' },
  'batch-rows': { type: 'string', default: '2000' },
  'source-moved': { type: 'boolean', default: false },
} as const

export async function run(deps: CliDeps, args: string[]): Promise<number> {
  const { values, words } = readArgs(args, options, ['PHASE'])
  const phase = readPhase(words[0])
  const batchRows = readBatchRows(values['batch-rows'])
  const lot = readLot(values.lot)
  const report = await withBooks(deps, ({ db, slot }) => {
    const work: Record<Phase, (context: AiriContext) => Promise<void>> = {
      plan: planAiri,
      expand: expandAiri,
      backfill: (context) => backfillAiri(context, batchRows),
      verify: (context) => verifyAiri(context, deps.fluxNanousd),
      switch: (context) => switchAiri(context, batchRows, { slot, fluxNanousd: deps.fluxNanousd, lot }),
      contract: contractAiri,
    }
    const settings = {
      system: 'airi' as const,
      phase,
      recognise: recogniseAiri,
      name: values.name,
      sourceUrl: values.source,
      schema: values.schema,
      timeZone: values['source-timezone'],
      sourceMoved: values['source-moved'],
    }
    return runPhase(db, settings, work[phase])
  })
  printReport(deps.out, report, values.json === true)
  return report.ok ? 0 : 1
}

function readLot(text: string): OpeningLot {
  const lot = (Object.keys(openingLots) as OpeningLot[]).find((one) => one === text)
  if (lot === undefined) throw new UsageError('--lot must be paid or admin')
  return lot
}
