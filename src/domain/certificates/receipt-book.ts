import type { LlmringKey } from '#billing/llmring-receipt.ts'
import type { Db } from '#db/pool.ts'
import { batchProofs } from '#domain/batch-proofs.ts'
import { readLegacyReceiptKeys } from '#domain/legacy-receipt-keys.ts'
import { parseReceiptId } from '#domain/receipt-log.ts'
import type { DocumentSigner } from '#domain/signed-documents.ts'
import { assert } from '#lib/assert.ts'
import {
  bundleOf,
  legacyView,
  type ReceiptView,
  type SignedText,
  type StoredLegacyReceipt,
  signedView,
} from './receipt-views.ts'

export const RECEIPTS_LISTED_MAX = 1_000
/** Pages beyond are refused: each has to read all that is before it. `GET /v1/receipts` goes on from any number. */
export const RECEIPTS_OFFSET_MAX = 100_000

/** Signatures that are made without a break. */
const SIGNED_AT_ONCE = 50

type Place = { kind: 'gateway' | 'certificate' | 'llmring'; id: string }

interface Owner {
  projectId: string
  walletId: bigint
}

/** A receipt as it is stored, of any kind. */
export type StoredReceipt =
  | { kind: 'gateway' | 'certificate'; id: string; text: string; batchId: string; pos: number }
  | ({ kind: 'llmring'; id: string } & StoredLegacyReceipt)

/** All receipts of a project as clients of llmring see them: of calls, of reported usage, and those of llmring-server. */
export function createReceiptBook(deps: { db: Db; signer: DocumentSigner }) {
  const { db, signer } = deps

  async function viewsOf(receipts: readonly StoredReceipt[]): Promise<ReceiptView[]> {
    const keys = receipts.some(({ kind }) => kind === 'llmring') ? await legacyKeys(db) : []
    const views: ReceiptView[] = []
    for (const [index, receipt] of receipts.entries()) {
      if (index > 0 && index % SIGNED_AT_ONCE === 0) await new Promise((resolve) => setImmediate(resolve))
      views.push(
        receipt.kind === 'llmring' ? await legacyView(receipt, keys) : signedView(receipt as SignedText, signer),
      )
    }
    return views
  }

  return {
    /** The stored receipt with this id, if it is the project's. */
    find: (owner: Owner, id: string): Promise<StoredReceipt | undefined> => findReceipt(db, owner, id),

    /** The receipt with everything that verifies it offline. */
    async show(receipt: StoredReceipt): Promise<ReceiptView> {
      const [view] = await viewsOf([receipt])
      assert(view !== undefined, 'a receipt has a view')
      if (receipt.kind === 'llmring') return view
      const [proof] = await batchProofs(db, [receipt])
      assert(proof !== undefined, 'every signed text has its proof')
      return { ...view, v2: bundleOf({ kind: receipt.kind, text: receipt.text }, proof) }
    },

    /** The newest first, without their bundles. */
    async list(
      owner: Owner,
      page: { limit: number; offset: number },
    ): Promise<{ receipts: ReceiptView[]; total: number }> {
      assert(page.limit <= RECEIPTS_LISTED_MAX && page.offset <= RECEIPTS_OFFSET_MAX, 'a page is bounded')
      const places = await listPlaces(db, owner, page)
      const stored = await readPlaces(db, owner, places)
      return { receipts: await viewsOf(stored), total: await countReceipts(db, owner) }
    },
  }
}

async function findReceipt(db: Db, owner: Owner, id: string): Promise<StoredReceipt | undefined> {
  const requestId = parseReceiptId(id)
  const place: Place =
    requestId !== undefined
      ? { kind: 'gateway', id: requestId }
      : { kind: /^crt_[0-9a-f]{32}$/.test(id) ? 'certificate' : 'llmring', id }
  const [receipt] = await readPlaces(db, owner, [place])
  return receipt
}

async function listPlaces(
  db: Db,
  { projectId }: Owner,
  { limit, offset }: { limit: number; offset: number },
): Promise<Place[]> {
  const { rows } = await db.query<Place>(
    `select kind, id from (
       (select 'gateway' as kind, replace(request_id::text, '-', '') as id, settled_at as at from request_log
        where project_id = $1 order by settled_at desc, request_id desc limit $2)
       union all
       (select 'certificate', id, issued_at from signed_document
        where project_id = $1 and kind = 'certificate' order by issued_at desc, id desc limit $2)
       union all
       (select 'llmring', receipt_id, issued_at from legacy_receipt
        where project_id = $1 order by issued_at desc, receipt_id desc limit $2)) r
     order by at desc, id desc limit $3 offset $4`,
    [projectId, limit + offset, limit, offset],
  )
  return rows
}

/** Receipts by kind and id, in the order of the places. What is not the project's is left out. */
async function readPlaces(db: Db, { projectId }: Owner, places: readonly Place[]): Promise<StoredReceipt[]> {
  const idsOf = (kind: Place['kind']) => places.filter((place) => place.kind === kind).map((place) => place.id)
  const found = new Map<string, StoredReceipt>()
  const [calls, certificates, old] = [idsOf('gateway'), idsOf('certificate'), idsOf('llmring')]
  if (calls.length > 0) {
    const { rows } = await db.query<{ id: string; text: string; batchId: string; pos: number }>(
      `select replace(request_id::text, '-', '') as id, receipt as text, batch_id as "batchId", pos from request_log
       where request_id = any ($1::uuid[]) and project_id = $2`,
      [calls, projectId],
    )
    for (const row of rows) found.set(`gateway ${row.id}`, { kind: 'gateway', ...row })
  }
  if (certificates.length > 0) {
    const { rows } = await db.query<{ id: string; text: string; batchId: string; pos: number }>(
      `select id, document as text, batch_id as "batchId", pos from signed_document
       where id = any ($1::text[]) and project_id = $2 and kind = 'certificate'`,
      [certificates, projectId],
    )
    for (const row of rows) found.set(`certificate ${row.id}`, { kind: 'certificate', ...row })
  }
  if (old.length > 0) {
    const { rows } = await db.query<StoredLegacyReceipt & { id: string }>(
      `select receipt_id as id, payload, signature, key_id as "keyId", unsigned, alias_name as "aliasName",
              model_used as "modelUsed", project_id as "projectId"
       from legacy_receipt where receipt_id = any ($1::text[]) and project_id = $2`,
      [old, projectId],
    )
    for (const row of rows) found.set(`llmring ${row.id}`, { kind: 'llmring', ...row })
  }
  return places.flatMap(({ kind, id }) => found.get(`${kind} ${id}`) ?? [])
}

/** Calls by the roll-up, which is never behind; the other kinds are few. */
async function countReceipts(db: Db, { projectId, walletId }: Owner): Promise<number> {
  const { rows } = await db.query<{ n: bigint }>(
    `select coalesce((select sum(u.calls) from usage_15m u join usage_series s on s.id = u.series
                      where u.wallet_id = $2 and s.project_id = $1 and s.source = 1), 0)::bigint
            + (select count(*) from certificate where project_id = $1)
            + (select count(*) from legacy_receipt where project_id = $1) as n`,
    [projectId, walletId],
  )
  return Number(rows[0]?.n ?? 0)
}

/** The public keys of llmring-server. */
export async function legacyKeys(db: Db): Promise<LlmringKey[]> {
  const keys = await readLegacyReceiptKeys(db)
  return keys.map(({ keyId, publicKey }) => ({ key_id: keyId, public_key: new Uint8Array(publicKey), revoked: false }))
}
