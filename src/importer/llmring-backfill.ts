import { onSnapshot, readProgress } from './import-run.ts'
import { copyConversations } from './llmring-conversations.ts'
import type { LlmringContext } from './llmring-import.ts'
import { listOwners } from './llmring-owners.ts'
import { addReceiptKeys, copyReceipts } from './llmring-receipts.ts'
import { tableName } from './llmring-shape.ts'
import { openTenants, readTenants } from './llmring-tenants.ts'
import { copyUsage } from './llmring-usage.ts'
import type { ReceiptKey } from './receipt-key-option.ts'
import { ImportRefused } from './report.ts'

export interface BackfillOptions {
  batchRows: number
  /** Public keys that the old server signed with. */
  receiptKeys: readonly ReceiptKey[]
  /** Receipts are copied although no key is known that could tell their exact bytes. */
  withoutReceiptKeys: boolean
  /** What was said in conversations is copied too. */
  withContent: boolean
  onBatch?: (copied: bigint) => void
}

/** Copies what is not here yet: all of it at first, later what came in since. May be killed anywhere and run again. */
export async function backfillLlmring(context: LlmringContext, options: BackfillOptions): Promise<void> {
  const { target, source, shape, run, report } = context
  await requireReceiptKeys(context, options)
  const reopenTenants = async () => {
    await openTenants(target, run.name, await onSnapshot(source.db, (tx) => listOwners(tx, shape)))
    return readTenants(target, run.name)
  }
  const tenants = await reopenTenants()
  const before = await readProgress(target, run.name, 'usage_logs')
  const copy = { source: source.db, target, shape, run, batchRows: options.batchRows }
  await copyUsage({ ...copy, tenants, reopenTenants, ...(options.onBatch && { onBatch: options.onBatch }) })
  await addReceiptKeys(target, options.receiptKeys)
  const all = await readTenants(target, run.name)
  await copyReceipts({ ...copy, tenants: all })
  await copyConversations({ ...copy, tenants: all, withContent: options.withContent })
  if (options.withContent && shape.messages !== undefined)
    report.note(
      'A project forgets what was said when its retention is over, 30 days unless it is set: raise it before the gateway runs.',
    )
  const after = await readProgress(target, run.name, 'usage_logs')
  report.figure('rows of usage copied by this run', after.copied - before.copied)
  await reportCounts(context)
}

/** What is here of this import, with everything that was changed or set aside. */
async function reportCounts({ target, run, report }: LlmringContext): Promise<void> {
  for (const relation of ['usage_logs', 'receipts', 'conversations', 'messages']) {
    const { pass, copied, counts } = await readProgress(target, run.name, relation)
    if (pass === 0 && copied === 0n) continue
    report.figure(`${relation}: rows copied`, copied)
    for (const [what, count] of Object.entries(JSON.parse(counts) as Record<string, number>))
      report.figure(`${relation}: ${what}`, count)
  }
  const { rows } = await target.query<{ relation: string; reason: string; n: bigint }>(
    'select relation, reason, count(*) as n from import_quarantine where import = $1 group by 1, 2 order by 1, 2',
    [run.name],
  )
  for (const { relation, reason, n } of rows) report.figure(`in quarantine: ${relation}, ${reason}`, n)
}

async function requireReceiptKeys(context: LlmringContext, options: BackfillOptions): Promise<void> {
  const { source, shape, target, run } = context
  if (shape.receipts === undefined || options.receiptKeys.length > 0 || options.withoutReceiptKeys) return
  const { copied } = await readProgress(target, run.name, 'receipts')
  const { rows } = await source.db.query<{ any: boolean }>(
    `select exists (select from ${tableName(shape, 'receipts')}) as any`,
  )
  if (rows[0]?.any !== true) return
  const { rows: known } = await target.query('select from legacy_receipt_key limit 1')
  if (known.length > 0 && copied > 0n) return
  throw new ImportRefused(
    'the source has receipts: give the public keys that signed them with --receipt-public-key, because the exact signed bytes are found ' +
      'by checking the signature. Without the keys, --no-receipt-keys keeps what the source says; that cannot be repaired later',
  )
}
