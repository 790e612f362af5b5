import type { Price, PriceLines } from '#billing/price.ts'
import type { UsageKind } from '#billing/usage.ts'
import type { PriceBook, PriceBookEntry } from '#domain/price-book.ts'
import { isPriceField, type ModelFields } from './model-fields.ts'
import type { ModelTraits } from './model-traits.ts'
import type { PublishedFile } from './published-file.ts'

/** A model as /registry shows it: llmring's fields, and ours beside them. What is not known is absent. */
export type RegistryModel = Readonly<Record<string, unknown>>

/** What somebody else publishes now, by llmring's names of the providers. */
export type Published = ReadonlyMap<string, { source: string; file: PublishedFile }>

/** Providers that llmring calls otherwise than the gateway. */
const llmringNames: Readonly<Record<string, string>> = { gemini: 'google' }

export function llmringProvider(provider: string): string {
  return llmringNames[provider] ?? provider
}

function gatewayProvider(provider: string): string {
  return Object.entries(llmringNames).find(([, name]) => name === provider)?.[0] ?? provider
}

/** llmring's names of prices, in dollars per million tokens. A long-context price has `_long_context` behind it. */
const tokenPrices: readonly (readonly [UsageKind, readonly string[]])[] = [
  ['input', ['input']],
  ['output', ['output']],
  ['cache_read', ['cached_input', 'cache_read']],
  ['cache_write_5m', ['cache_write_5m']],
  ['cache_write_1h', ['cache_write_1h']],
  ['reasoning', ['output_thinking']],
  ['audio_input', ['audio_input']],
  ['audio_output', ['audio_output']],
]

/** Prices that llmring has no name for, in dollars: the unit, and how many of them. */
const otherPrices: readonly (readonly [UsageKind, string, number])[] = [
  ['characters', 'dollars_per_million_characters', 1_000_000],
  ['seconds', 'dollars_per_second', 1],
  ['calls', 'dollars_per_call', 1],
]

const PICOS_PER_DOLLAR = 1_000_000_000_000

/** llmring's clients refuse to read any other. */
const apiEndpoints: Readonly<Record<string, string>> = { chat: 'chat', responses: 'responses', embedding: 'embeddings' }

/**
 * Every model of the price book at what this gateway charges, and beside them those that only somebody else's registry has:
 * by llmring's name of the provider, then by `provider:model`.
 */
export function registryModels(
  book: PriceBook,
  traits: ModelTraits,
  published: Published,
): Map<string, Record<string, RegistryModel>> {
  const providers = new Map<string, Record<string, RegistryModel>>()
  const add = (provider: string, model: string, row: RegistryModel) => {
    const models = providers.get(provider) ?? {}
    models[`${provider}:${model}`] = row
    providers.set(provider, models)
  }
  for (const entry of book.models()) {
    const provider = llmringProvider(entry.provider)
    const row = published.get(provider)?.file.models.get(entry.model)
    add(provider, entry.model, pricedModel(entry, traits.models.get(`${entry.provider}/${entry.model}`), row))
  }
  for (const [provider, { file }] of published) {
    const own = gatewayProvider(provider)
    for (const [model, fields] of file.models) {
      if (providers.get(provider)?.[`${provider}:${model}`] !== undefined) continue
      if (traits.leftOut.has(`${own}/${model}`)) continue
      add(provider, model, { ...names(provider, model, fields), ...fields, price_source: 'published' })
    }
  }
  return providers
}

function names(provider: string, model: string, fields: ModelFields | undefined) {
  // llmring's clients want a name for people of every model.
  return { provider, model_name: model, display_name: fields?.display_name ?? model }
}

function pricedModel(
  entry: PriceBookEntry,
  known: ModelFields | undefined,
  published: ModelFields | undefined,
): RegistryModel {
  const { provider, model, aliases, limits, price } = entry
  const said = { ...known, ...published }
  const traits = Object.entries(said).filter(([name]) => /^(?:supports_|deprecated_date$|description$)/.test(name))
  const prices = dollarPrices(price)
  const endpoint = provider === 'gemini' && entry.endpoint === 'chat' ? 'generateContent' : apiEndpoints[entry.endpoint]
  const differing = Object.entries(published ?? {}).filter(
    ([name, value]) => isPriceField(name) && prices[name] !== value,
  )
  return {
    ...Object.fromEntries(traits),
    ...names(llmringProvider(provider), model, said),
    model_aliases: aliases,
    ...(limits.maxInputTokens !== undefined && { max_input_tokens: limits.maxInputTokens }),
    ...(limits.maxOutputTokens !== undefined && { max_output_tokens: limits.maxOutputTokens }),
    ...prices,
    supports_long_context_pricing: price.longContext !== undefined,
    ...(price.longContext && { long_context_threshold_tokens: price.longContext.aboveTokens }),
    supports_streaming: entry.streaming,
    is_reasoning_model: entry.reasoning,
    is_active: entry.active,
    ...(endpoint !== undefined && { api_endpoint: endpoint }),
    endpoint: entry.endpoint,
    gateway_model: `${provider}/${model}`,
    picousd_per_unit: picoPrices(price.lines),
    ...(price.longContext && { picousd_per_unit_long_context: picoPrices(price.longContext.lines) }),
    price_source: 'price_book',
    ...(differing.length > 0 && { published_prices: Object.fromEntries(differing) }),
  }
}

function dollarPrices({ lines, longContext }: Price): Record<string, number> {
  const prices: Record<string, number> = {}
  for (const [kind, fields] of tokenPrices) {
    for (const field of fields) {
      const name = `dollars_per_million_tokens_${field}`
      const base = lines[kind]
      const long = longContext?.lines[kind]
      if (base !== undefined) prices[name] = dollars(base, 1_000_000)
      if (long !== undefined) prices[`${name}_long_context`] = dollars(long, 1_000_000)
    }
  }
  for (const [kind, name, units] of otherPrices) {
    const base = lines[kind]
    if (base !== undefined) prices[name] = dollars(base, units)
  }
  return prices
}

/** The nearest number; the exact price stands beside it as text. */
function dollars(picosPerUnit: bigint, units: number): number {
  return Number(picosPerUnit) / (PICOS_PER_DOLLAR / units)
}

function picoPrices(lines: PriceLines): Record<string, string> {
  return Object.fromEntries(Object.entries(lines).map(([kind, picos]) => [kind, String(picos)]))
}
