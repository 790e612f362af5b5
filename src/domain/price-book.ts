import { createHash } from 'node:crypto'
import { parsePriceBook } from './parse-price-book.ts'
import type { PriceBookEntry } from './price-book-entry.ts'

export type { PriceBookEntry } from './price-book-entry.ts'

export interface PriceBook {
  readonly version: string
  readonly source: string
  /** `sha256:` and the hex digest of the exact file bytes: what receipts name. */
  readonly digest: string
  /**
   * The entry of this model: by its name, else by an alias, else by the provider's wildcard. Nothing is guessed: another
   * spelling or another date is another model, and snapshots of one name can cost twice as much as each other.
   */
  find(provider: string, model: string): PriceBookEntry | undefined
  /** All entries but wildcards, sorted by provider and model. */
  models(): readonly PriceBookEntry[]
}

/** Everything that is wrong with a price book. The gateway does not start on half of one. */
export class PriceBookError extends Error {
  override readonly name = 'PriceBookError'
  readonly problems: readonly string[]

  constructor(problems: readonly string[]) {
    super(`the price book cannot be used:\n${problems.map((problem) => `- ${problem}`).join('\n')}`)
    this.problems = problems
  }
}

/** Reads a price book from the bytes of its file, or from text that is exactly those bytes. Throws PriceBookError. */
export function loadPriceBook(file: Uint8Array | string): PriceBook {
  const bytes = typeof file === 'string' ? Buffer.from(file, 'utf8') : file
  const { book, problems } = parsePriceBook(decodeUtf8(bytes))
  if (book === undefined || problems.length > 0) throw new PriceBookError(problems)

  const byName = new Map<string, PriceBookEntry>()
  const byAlias = new Map<string, PriceBookEntry>()
  const wildcards = new Map<string, PriceBookEntry>()
  for (const entry of book.entries) {
    if (entry.model === '*') wildcards.set(entry.provider, entry)
    else byName.set(`${entry.provider}/${entry.model}`, entry)
    for (const alias of entry.aliases) byAlias.set(`${entry.provider}/${alias}`, entry)
  }
  const models = Object.freeze([...byName.keys()].sort().flatMap((key) => byName.get(key) ?? []))

  return {
    version: book.version,
    source: book.source,
    digest: `sha256:${createHash('sha256').update(bytes).digest('hex')}`,
    find(provider, model) {
      if (model === '') return undefined
      const key = `${provider}/${model}`
      return byName.get(key) ?? byAlias.get(key) ?? wildcards.get(provider)
    },
    models: () => models,
  }
}

function decodeUtf8(bytes: Uint8Array): string {
  try {
    return new TextDecoder('utf-8', { fatal: true, ignoreBOM: true }).decode(bytes)
  } catch {
    throw new PriceBookError(['the file is not UTF-8'])
  }
}
