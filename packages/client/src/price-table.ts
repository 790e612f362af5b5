import type { Price } from '../../../src/billing/price.ts'
import type { Usage } from '../../../src/billing/usage.ts'
import { type Cost, costOf } from './cost.ts'
import { priceOf } from './price-row.ts'

const MODELS_MAX = 20_000

/** Lockfiles and registries say `google` for what the gateway calls `gemini`. */
const otherNames: Readonly<Record<string, string>> = { gemini: 'google', google: 'gemini' }

/** The prices of many models, by name. */
export interface PriceTable {
  /** The price of `provider:model` or `provider/model`, by the model's name, else by an alias of it; else why there is none. */
  find(model: string): Price | Exclude<Cost['status'], 'priced' | 'no_usage'>
  /** What this usage of a model costs. Throws RangeError for usage that is none. */
  costOf(model: string, usage: Usage | undefined): Cost
}

/**
 * Reads the answer of a gateway's `/registry`, a file of llmring's registry (`models`), or a price book (`entries`), as parsed JSON.
 * Throws TypeError for anything else; a row that cannot be read throws when it is looked for.
 */
export function readPrices(document: unknown): PriceTable {
  const rows = rowsOf(document)
  const byName = new Map<string, unknown>()
  const byAlias = new Map<string, unknown>()
  for (const [key, row] of rows) {
    const name = split(key)
    if (name === undefined) throw new TypeError(`${JSON.stringify(key.slice(0, 100))} is not provider:model`)
    byName.set(joined(name), row)
    for (const alias of aliasesOf(row)) byAlias.set(joined({ ...name, model: alias }), row)
  }
  const compiled = new Map<unknown, Price | undefined>()

  function find(model: string) {
    const name = split(model)
    if (name === undefined) return 'invalid_model_format'
    const row = rowOf(name) ?? rowOf({ ...name, provider: otherNames[name.provider] ?? name.provider })
    if (row === undefined) return 'model_not_in_registry'
    if (!compiled.has(row)) compiled.set(row, priceOf(row))
    return compiled.get(row) ?? 'no_pricing_in_registry'
  }

  function rowOf(name: { provider: string; model: string }): unknown {
    const key = joined(name)
    return byName.get(key) ?? byAlias.get(key) ?? byName.get(joined({ ...name, model: '*' }))
  }

  return {
    find,
    costOf(model, usage) {
      const price = find(model)
      return typeof price === 'string' ? { status: price } : costOf(usage, price)
    },
  }
}

function rowsOf(document: unknown): [string, unknown][] {
  const rows = isObject(document) ? (document.models ?? document.entries) : undefined
  if (!isObject(rows)) throw new TypeError('there are no models in this document')
  const entries = Object.entries(rows)
  if (entries.length > MODELS_MAX) throw new TypeError(`a document has at most ${MODELS_MAX} models`)
  return entries
}

/** At the first colon or slash. */
function split(key: string): { provider: string; model: string } | undefined {
  const at = key.search(/[:/]/)
  return at < 1 || at === key.length - 1 ? undefined : { provider: key.slice(0, at), model: key.slice(at + 1) }
}

function joined({ provider, model }: { provider: string; model: string }): string {
  return `${provider}/${model}`
}

function aliasesOf(row: unknown): string[] {
  const aliases = isObject(row) ? (row.model_aliases ?? row.aliases) : undefined
  return Array.isArray(aliases) ? aliases.filter((alias) => typeof alias === 'string') : []
}

function isObject(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
}
