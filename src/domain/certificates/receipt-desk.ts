import type { Receipt } from '#billing/receipt.ts'
import type { ReceiptKeys } from '#billing/receipt-keys.ts'
import type { Db } from '#db/pool.ts'
import { batchProofs } from '#domain/batch-proofs.ts'
import { assert } from '#lib/assert.ts'
import { type CertificateRequest, type CertificatesDeps, createCertificates } from './certificates.ts'
import { type CertifiedEntry, findCertified, listCertified, readMetadata } from './certified-entries.ts'
import { readEntries } from './read-entries.ts'
import { createReceiptBook, legacyKeys, RECEIPTS_LISTED_MAX, type StoredReceipt } from './receipt-book.ts'
import { bundleOf, certificateOf, type ReceiptView } from './receipt-views.ts'
import {
  type ReceiptVerdict,
  type SentReceipt,
  type VerifierKeys,
  verifyOurBundle,
  verifySent,
} from './verify-receipt.ts'

interface Owner {
  projectId: string
  walletId: bigint
}

export interface LogsOfReceipt {
  total: number
  /** Reported logs; without `inclusion` where no certificate is about them. */
  entries: (Pick<CertifiedEntry, 'entry' | 'metadata'> & Partial<Pick<CertifiedEntry, 'inclusion'>>)[]
  /** The receipt of a call instead: it is about itself. */
  receipt?: Receipt
}

/** Everything that clients of llmring do with receipts. */
export function createReceiptDesk(deps: CertificatesDeps & { receiptKeys: () => Promise<ReceiptKeys> }) {
  const { db } = deps
  const certificates = createCertificates(deps)
  const book = createReceiptBook(deps)

  async function keys(): Promise<VerifierKeys> {
    const [receiptKeys, legacy] = await Promise.all([deps.receiptKeys(), legacyKeys(db)])
    return { receiptKeys, legacy }
  }

  return {
    certificates,
    book,

    /** Certifies, and shows the certificate. Throws like certificates.generate. */
    async generate(request: CertificateRequest): Promise<{ receipt: ReceiptView; certified: number }> {
      const id = await certificates.generate(request)
      const stored = await book.find(request.by, id)
      assert(stored?.kind === 'certificate', 'a certificate that was committed is there')
      return { receipt: await book.show(stored), certified: certificateOf(stored.text).entries.n }
    },

    /** Undefined when the project has no such receipt. */
    async logsOf(
      owner: Owner,
      id: string,
      page: { limit: number; offset: number },
    ): Promise<LogsOfReceipt | undefined> {
      const stored = await book.find(owner, id)
      switch (stored?.kind) {
        case undefined:
          return undefined
        case 'gateway':
          return { total: 1, entries: [], receipt: JSON.parse(stored.text) as Receipt }
        case 'certificate':
          return listCertified(db, stored.id, page)
        case 'llmring':
          return logsOfLegacy(db, owner, stored, page)
      }
    },

    /** The certificate, one of its entries and the path between them. Undefined when there is no such entry. */
    async entryBundle(owner: Owner, id: string, logId: string): Promise<Record<string, unknown> | undefined> {
      const stored = await book.find(owner, id)
      if (stored?.kind !== 'certificate') return undefined
      const found = await findCertified(db, stored.id, logId)
      if (found === undefined) return undefined
      const [proof] = await batchProofs(db, [stored])
      assert(proof !== undefined, 'every certificate has its proof')
      const bundle = bundleOf({ kind: 'certificate', text: stored.text }, proof) as Record<string, unknown>
      return { ...bundle, ...found }
    },

    async verifySent(sent: SentReceipt): Promise<ReceiptVerdict> {
      return verifySent(sent, await keys())
    },

    async verifyBundle(bundle: Readonly<Record<string, unknown>>): Promise<ReceiptVerdict> {
      return verifyOurBundle(bundle, await keys())
    },
  }
}

export type ReceiptDesk = ReturnType<typeof createReceiptDesk>

/** What llmring-server wrote beside a batch receipt, as far as its logs were imported. It signed none of that. */
async function logsOfLegacy(
  db: Db,
  { projectId }: Owner,
  stored: StoredReceipt & { kind: 'llmring' },
  page: { limit: number; offset: number },
): Promise<LogsOfReceipt> {
  const { log_ids, batch_summary } = JSON.parse(stored.unsigned) as Record<string, unknown>
  const listed: unknown = log_ids ?? (batch_summary as { log_ids?: unknown } | null | undefined)?.log_ids
  const named = (Array.isArray(listed) ? listed : [])
    .slice(0, 100 * RECEIPTS_LISTED_MAX)
    .filter((id): id is string => typeof id === 'string' && /^[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}$/.test(id))
  const { rows } = await db.query<{ id: string }>(
    'select id from reported_log where id = any ($1::uuid[]) and project_id = $2 order by occurred_at, id',
    [named, projectId],
  )
  const ids = rows.map(({ id }) => id).slice(page.offset, page.offset + page.limit)
  const metadata = await readMetadata(db, ids)
  const entries = (await readEntries(db, ids)).map(({ entry }) => ({
    entry,
    metadata: metadata.get(entry.log_id) ?? null,
  }))
  return { total: rows.length, entries }
}
