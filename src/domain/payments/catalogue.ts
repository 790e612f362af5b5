import type { Settings } from '#domain/settings.ts'
import { AppError } from '#src/errors.ts'
import { formatPrice } from './currency.ts'
import type { PaymentProvider, Price } from './provider.ts'

const BELIEVED_MS = 300_000
/** A price that was just made is sold at once; who asks for many that do not exist makes no more requests than this. */
const MISSES_PER_MINUTE = 60
const CURRENCY = /^[a-z]{3}$/

export interface SoldPrice extends Price {
  flux: bigint
}

/** As AIRI's clients show it. */
export interface PackageView {
  stripePriceId: string
  label: string
  defaultCurrency: string
  currencies: Record<string, string>
  recommended: boolean
}

export interface PlanView extends PackageView {
  fluxAmount: number
  rolloverFlux: number
  interval: string
  intervalCount: number
}

/** What is sold: the active prices of the product STRIPE_FLUX_PRODUCT_ID, each with its Flux in the metadata. */
export function createCatalogue(deps: { provider: PaymentProvider; settings: () => Settings }) {
  const { provider, settings } = deps
  let known: { productId: string; prices: readonly Price[]; until: number } | undefined
  let loading: Promise<readonly Price[]> | undefined
  let misses = { since: 0, count: 0 }

  function product(): string {
    const id = settings().getOptional('STRIPE_FLUX_PRODUCT_ID')
    if (id === undefined) throw new AppError('payments_not_configured')
    return id
  }

  async function prices(): Promise<readonly Price[]> {
    const productId = product()
    if (known !== undefined && known.productId === productId && performance.now() < known.until) return known.prices
    loading ??= provider
      .listPrices(productId)
      .then((listed) => {
        known = { productId, prices: listed, until: performance.now() + BELIEVED_MS }
        return listed
      })
      .finally(() => {
        loading = undefined
      })
    return loading
  }

  async function sold(): Promise<SoldPrice[]> {
    const listed = await prices()
    return listed
      .filter((price): price is SoldPrice => price.flux !== undefined)
      .sort((a, b) => Number((a.amounts[a.currency] ?? 0n) - (b.amounts[b.currency] ?? 0n)))
  }

  function mayAsk(): boolean {
    const now = performance.now()
    if (now - misses.since > 60_000) misses = { since: now, count: 0 }
    misses.count += 1
    return misses.count <= MISSES_PER_MINUTE
  }

  return {
    /** Cheapest first. Throws AppError: payments_not_configured, payment_provider_unavailable, payment_provider_refused. */
    async packages(): Promise<PackageView[]> {
      return (await sold()).filter(({ interval }) => interval === null).map(packageView)
    },

    async plans(): Promise<PlanView[]> {
      return (await sold()).flatMap((price) =>
        price.interval === null
          ? []
          : [
              {
                ...packageView(price),
                fluxAmount: Number(price.flux),
                rolloverFlux: Number(price.rolloverFlux),
                interval: price.interval,
                intervalCount: price.intervalCount,
              },
            ],
      )
    },

    /**
     * A price that is sold, in the currency where one is named. Throws AppError: package_invalid, payments_not_configured,
     * payment_provider_unavailable, payment_provider_refused.
     */
    async sold(priceId: string, currency?: string): Promise<SoldPrice> {
      const refused = new AppError('package_invalid', {
        param: 'stripePriceId',
        publicDetails: { stripePriceId: priceId },
      })
      let price = (await prices()).find(({ id }) => id === priceId)
      if (price === undefined && mayAsk()) {
        price = await provider.findPrice(priceId)
        known = undefined
      }
      if (price === undefined || !price.active || price.productId !== product() || price.flux === undefined)
        throw refused
      if (currency !== undefined && (!CURRENCY.test(currency) || !(currency in price.amounts)))
        throw new AppError('package_invalid', {
          message: 'This is not sold in that currency.',
          param: 'currency',
          publicDetails: { stripePriceId: priceId, currency },
        })
      return { ...price, flux: price.flux }
    },

    /** Any price, also one that is sold no longer: an invoice may be of long ago. */
    async find(priceId: string): Promise<Price | undefined> {
      return known?.prices.find(({ id }) => id === priceId) ?? (await provider.findPrice(priceId))
    },
  }
}

export type Catalogue = ReturnType<typeof createCatalogue>

function packageView(price: SoldPrice): PackageView {
  return {
    stripePriceId: price.id,
    label: `${price.flux} Flux`,
    defaultCurrency: price.currency,
    currencies: Object.fromEntries(
      Object.entries(price.amounts).map(([code, minor]) => [code, formatPrice(minor, code)]),
    ),
    recommended: price.recommended,
  }
}
