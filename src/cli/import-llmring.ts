import type { Db } from '#db/pool.ts'
import { runPhase } from '#importer/import-phase.ts'
import { type BackfillOptions, backfillLlmring } from '#importer/llmring-backfill.ts'
import { contractLlmring } from '#importer/llmring-contract.ts'
import { expandLlmring } from '#importer/llmring-expand.ts'
import type { LlmringContext } from '#importer/llmring-import.ts'
import { planLlmring } from '#importer/llmring-plan.ts'
import { recogniseLlmring } from '#importer/llmring-shape.ts'
import { switchLlmring } from '#importer/llmring-switch.ts'
import { verifyLlmring } from '#importer/llmring-verify.ts'
import { readReceiptKey } from '#importer/receipt-key-option.ts'
import type { Phase } from '#importer/report.ts'
import { withDatabase } from './books.ts'
import { type CliDeps, readArgs } from './command.ts'
import { printReport, readBatchRows, readPhase } from './import-report.ts'

export const summary = 'Import the usage, receipts and keys of an llmring-server, phase by phase.'
export const usage = `usage: fluxgate import llmring PHASE [--source URL] [--schema llmring] [--source-timezone UTC] [--name llmring] [--json]

PHASE is one of, in this order; each may be run again at any time and changes nothing twice:
  plan      look at the source; --lockfiles DIR writes its aliases to lockfiles
  expand    in place only: keep alias names as text beside what an old server goes on writing
  backfill  copy what is not here yet; safe to kill and to run again
  verify    compare every row and sum; exit code 1 unless all agree
  switch    copy what came in since and accept the old keys
  contract  in place only: drop alias tables and columns for good; needs --drop-alias-storage and --i-have-a-backup

Without --source the tables stand in the schema of the same name of DATABASE_URL. The options below belong to backfill, verify and switch:
  --receipt-public-key [KEYID=]KEY  base64url of a key that the old server signed receipts with; may be given more than once
  --no-receipt-keys                 copy receipts although no such key is known
  --with-content                    copy what was said in conversations too
  --batch-rows N                    rows in one commit, 1 to 10000; 2000 by default
  --source-moved                    the same source at another place

Step by step: docs/import.md.`

const options = {
  source: { type: 'string' },
  schema: { type: 'string', default: 'llmring' },
  'source-timezone': { type: 'string', default: 'UTC' },
  name: { type: 'string', default: 'llmring' },
  lockfiles: { type: 'string' },
  'receipt-public-key': { type: 'string', multiple: true },
  'no-receipt-keys': { type: 'boolean', default: false },
  'with-content': { type: 'boolean', default: false },
  'batch-rows': { type: 'string', default: '2000' },
  'source-moved': { type: 'boolean', default: false },
  'drop-alias-storage': { type: 'boolean', default: false },
  'i-have-a-backup': { type: 'boolean', default: false },
} as const

export async function run(deps: CliDeps, args: string[]): Promise<number> {
  const { values, words } = readArgs(args, options, ['PHASE'])
  const phase = readPhase(words[0])
  const batchRows = readBatchRows(values['batch-rows'])
  const receiptKeys = (values['receipt-public-key'] ?? []).map(readReceiptKey)
  const backfill: BackfillOptions = {
    batchRows,
    receiptKeys,
    withoutReceiptKeys: values['no-receipt-keys'],
    withContent: values['with-content'],
    ...(!values.json && { onBatch: (copied) => deps.err.write(`copied ${copied} rows of usage\n`) }),
  }
  const work: Record<Phase, (context: LlmringContext) => Promise<void>> = {
    plan: (context) => planLlmring(context, values.lockfiles),
    expand: (context) => expandLlmring(context, batchRows),
    backfill: (context) => backfillLlmring(context, backfill),
    verify: verifyLlmring,
    switch: (context) => switchLlmring(context, backfill),
    contract: (context) => contractLlmring(context, values['drop-alias-storage'] && values['i-have-a-backup']),
  }
  const settings = {
    system: 'llmring' as const,
    phase,
    recognise: recogniseLlmring,
    name: values.name,
    sourceUrl: values.source,
    schema: values.schema,
    timeZone: values['source-timezone'],
    sourceMoved: values['source-moved'],
  }
  const report = await withDatabase(deps, (db: Db) => runPhase(db, settings, work[phase]))
  printReport(deps.out, report, values.json === true)
  return report.ok ? 0 : 1
}
