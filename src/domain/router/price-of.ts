import { FluxPriceError, fluxSpeechPrice, fluxTokenPrice } from '#billing/flux-price.ts'
import type { Price } from '#billing/price.ts'
import type { PriceBook, PriceBookEntry } from '#domain/price-book.ts'
import { settingDefaults } from '#domain/setting-values.ts'
import type { Settings } from '#domain/settings.ts'
import { formatDecimal } from '#lib/decimal.ts'
import { nearNames } from '#lib/near-names.ts'
import { configDigest } from './config-digest.ts'
import { coversSurface, readPrice, wordsForNeeded } from './parse-price.ts'
import type { ModelDocument, UpstreamDocument } from './router-document.ts'
import type { RoutedUpstream, Surface } from './snapshot.ts'

export interface PriceRules {
  priceBook: PriceBook
  settings: Settings
  /** Nano-dollars in one Flux. */
  fluxNanousd: bigint
  /** Of the config: what receipts name as the source of its own price lines. */
  configDigest: string
}

const HINTS_MAX = 10

type Pricing = Pick<UpstreamDocument, 'price' | 'priceRef'>

export interface PricedUpstream {
  price: RoutedUpstream['price']
  limits: RoutedUpstream['limits']
  /** Why there is no price, or why it is not the one that was asked for. */
  problem?: { message: string; fatal: boolean }
}

/** The prices that one compilation needs: the Flux rules are worked out once. */
export function createPricing(rules: PriceRules) {
  const flux = new Map<Surface, Fluxed>()
  const unknown = new Map<string, string>()

  function fluxPrice(surface: Surface): Fluxed {
    let known = flux.get(surface)
    if (known === undefined) {
      known = fluxPriceOf(surface, rules)
      flux.set(surface, known)
    }
    return known
  }

  /** Looking for near names takes long, so only a few are looked for. */
  function unknownReference(reference: string): string {
    let message = unknown.get(reference)
    if (message !== undefined) return message
    const names =
      unknown.size < HINTS_MAX ? rules.priceBook.models().map(({ provider, model }) => `${provider}/${model}`) : []
    const near = nearNames(reference, names, 1)[0]
    message = `is not in the price book${near === undefined ? '' : `; did you mean '${near}'?`}`
    unknown.set(reference, message)
    return message
  }

  return {
    /**
     * The upstream's own lines or reference, the model's, the book's entry for what the upstream serves, the Flux rules: the
     * first that there is. Nothing is guessed: a reference to nothing, or to a price that does not cover what the surface
     * needs, is no price, also where a later rule had one.
     */
    priceOf(
      model: ModelDocument | Pricing,
      upstream: Pricing,
      served: { surface: Surface; provider: string; name: string },
    ): PricedUpstream {
      const { surface } = served
      const chosen: Pricing = upstream.price !== undefined || upstream.priceRef !== undefined ? upstream : model
      const entry =
        chosen.priceRef === undefined
          ? rules.priceBook.find(served.provider, served.name)
          : findReference(rules.priceBook, chosen.priceRef)
      const limits = { maxOutputTokens: entry?.limits.maxOutputTokens, hiddenReasoning: entry?.reasoning ?? false }
      if (chosen.price !== undefined)
        return { price: { price: readPrice(chosen.price), book: rules.configDigest }, limits }
      if (entry === undefined && chosen.priceRef !== undefined)
        return {
          price: undefined,
          limits,
          problem: { message: unknownReference(chosen.priceRef), fatal: true },
        }
      if (entry !== undefined) {
        if (coversSurface(entry.price, surface))
          return { price: { price: entry.price, book: rules.priceBook.digest }, limits }
        const message = `has no price: the entry ${entry.provider}/${entry.model} of the price book does not price ${wordsForNeeded(surface)}`
        return { price: undefined, limits, problem: { message, fatal: chosen.priceRef !== undefined } }
      }
      const { price, reason } = fluxPrice(surface)
      if (price !== undefined) return { price, limits }
      return { price: undefined, limits, problem: { message: `has no price: ${reason}`, fatal: false } }
    },
  }
}

interface Fluxed {
  price?: { price: Price; book: string }
  reason?: string
}

/** A rate applies when an operator has set it: a default would be a guess at what a model costs. */
function fluxPriceOf(surface: Surface, { settings, fluxNanousd }: PriceRules): Fluxed {
  const rate = {
    llm: 'FLUX_PER_1K_TOKENS',
    embedding: 'FLUX_PER_1K_TOKENS',
    tts: 'FLUX_PER_1K_CHARS_TTS',
    asr: undefined,
  } as const
  const name = rate[surface]
  const other = 'give it a price, or a priceRef of the price book'
  if (name === undefined) return { reason: `${other}; no Flux rule covers transcription` }
  const value = settings.stored(name)
  if (value === undefined) return { reason: `${other}, or set ${name}` }
  const per1k = fluxText(value)
  const perRequest = fluxText(settings.stored('FLUX_PER_REQUEST') ?? settingDefaults.FLUX_PER_REQUEST)
  try {
    const price =
      surface === 'tts'
        ? fluxSpeechPrice({ per1kCharacters: per1k, fluxNanousd })
        : fluxTokenPrice({ per1kTokens: per1k, perRequest, fluxNanousd })
    const source = {
      FLUX_NANOUSD: String(fluxNanousd),
      [name]: per1k,
      ...(surface !== 'tts' && { FLUX_PER_REQUEST: perRequest }),
    }
    return { price: { price, book: configDigest(source) } }
  } catch (error) {
    if (error instanceof FluxPriceError) return { reason: error.message }
    throw error
  }
}

/** As a plain decimal: settings allow no finer fractions. */
function fluxText(value: number): string {
  return formatDecimal(BigInt(Math.round(value * 1_000_000)), 6)
}

function findReference(book: PriceBook, reference: string): PriceBookEntry | undefined {
  const slash = reference.indexOf('/')
  return book.find(reference.slice(0, slash), reference.slice(slash + 1))
}
