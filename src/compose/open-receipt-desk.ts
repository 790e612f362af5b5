import type { Db } from '#db/pool.ts'
import { createReceiptDesk, type ReceiptDesk } from '#domain/certificates/receipt-desk.ts'
import { splitReported } from '#domain/certificates/split-reported.ts'
import type { PriceBook } from '#domain/price-book.ts'
import { publicReceiptKeys } from '#domain/receipt-keys.ts'
import type { Parts } from './parts.ts'

/** Receipts as clients of llmring see them, and certificates of what they reported. */
export function openReceiptDesk({ config, installation }: Parts, db: Db, priceBook: PriceBook): ReceiptDesk {
  return createReceiptDesk({
    db,
    signer: installation.signer,
    logOrigin: config.RECEIPT_LOG_ORIGIN,
    splitCost: splitReported(() => priceBook),
    receiptKeys: () => publicReceiptKeys(db),
  })
}
