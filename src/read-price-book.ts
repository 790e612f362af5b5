import { readFile } from 'node:fs/promises'
import { fileURLToPath } from 'node:url'
import { loadPriceBook, type PriceBook } from '#domain/price-book.ts'
import type { Config } from './config.ts'

const bundled = fileURLToPath(new URL('../prices/price-book.json', import.meta.url))

/** The price book of PRICE_BOOK, else the bundled one. */
export async function readPriceBook(config: Config): Promise<PriceBook> {
  return loadPriceBook(await readFile(config.PRICE_BOOK ?? bundled))
}
