import { parseDecimal } from '#lib/decimal.ts'
import { completePrice, PICO_PER_UNIT_MAX, type Price, type PriceLines, REQUEST_NANOS_MAX } from './price.ts'
import { completionKinds, promptKinds, type UsageKind } from './usage.ts'

/** A Flux rule that is no price: not a plain decimal, finer than money can be, or beyond what a call may cost. */
export class FluxPriceError extends Error {
  override readonly name = 'FluxPriceError'
}

/** Places behind the point: as many as any Flux amount that is shown. */
const FLUX_PLACES_MAX = 18

/**
 * The price of a model that is charged in Flux for all its tokens alike, with a minimum of one Flux. `per1kTokens` and
 * `perRequest`, the flat price where the usage is unknown, are Flux as plain decimals; `fluxNanousd` is one Flux in
 * nano-dollars. Fractions of a Flux are exact. Throws FluxPriceError.
 */
export function fluxTokenPrice(rule: { per1kTokens: string; perRequest?: string; fluxNanousd: bigint }): Price {
  const line = picoPerUnit(rule.per1kTokens, rule.fluxNanousd)
  const kinds: readonly UsageKind[] = [...promptKinds, ...completionKinds]
  const minimum = requestNanos('1', rule.fluxNanousd)
  return { ...priceOf(kinds, line), minimum, ...flatPrice(rule) }
}

/**
 * The price of speech by the characters that are spoken, likewise. There is no minimum: a short sentence costs what its
 * characters cost. Throws FluxPriceError.
 */
export function fluxSpeechPrice(rule: { per1kCharacters: string; perRequest?: string; fluxNanousd: bigint }): Price {
  return { ...priceOf(['characters'], picoPerUnit(rule.per1kCharacters, rule.fluxNanousd)), ...flatPrice(rule) }
}

function priceOf(kinds: readonly UsageKind[], line: bigint): Price {
  const lines: PriceLines = Object.fromEntries(kinds.map((kind) => [kind, line]))
  return completePrice({ lines })
}

function flatPrice(rule: { perRequest?: string; fluxNanousd: bigint }): { flat?: bigint } {
  return rule.perRequest === undefined ? {} : { flat: requestNanos(rule.perRequest, rule.fluxNanousd) }
}

/** A thousandth of a Flux is as many pico-dollars as a Flux is nano-dollars, so a rate per thousand needs no division. */
function picoPerUnit(fluxPer1k: string, fluxNanousd: bigint): bigint {
  const pico = exactProduct(fluxPer1k, fluxNanousd, 'pico-dollar per unit')
  if (pico > PICO_PER_UNIT_MAX)
    throw new FluxPriceError(`${fluxPer1k} Flux per 1,000 units is more than $1,000 per unit`)
  return pico
}

function requestNanos(flux: string, fluxNanousd: bigint): bigint {
  const nanos = exactProduct(flux, fluxNanousd, 'nano-dollar')
  if (nanos > REQUEST_NANOS_MAX)
    throw new FluxPriceError(`${flux} Flux are more than $1,000, the most that a call costs`)
  return nanos
}

function exactProduct(flux: string, factor: bigint, unit: string): bigint {
  const scaled = parseDecimal(flux, FLUX_PLACES_MAX)
  if (scaled === undefined) throw new FluxPriceError(`not a plain decimal of Flux: ${flux.slice(0, 40)}`)
  const product = scaled * factor
  const one = 10n ** BigInt(FLUX_PLACES_MAX)
  if (product % one !== 0n) throw new FluxPriceError(`${flux} Flux are not a whole number of ${unit}s`)
  return product / one
}
