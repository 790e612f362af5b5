import { nearNames } from '#lib/near-names.ts'
import { AppError } from '#src/errors.ts'

/** Names that an error about an unknown one tells. */
const LISTED_MAX = 200

/** Why a configured upstream cannot serve. */
export type Exclusion = 'pricing_missing' | 'decrypt_failed' | 'protocol_unsupported' | 'unaddressable'

/** The reason that most concerns the caller is told: money first, then what nobody can open, then what nobody speaks. */
export function atLeastOne<T>(targets: T[], model: string, excluded: readonly Exclusion[]): [T, ...T[]] {
  const [first, ...rest] = targets
  if (first !== undefined) return [first, ...rest]
  if (excluded.includes('decrypt_failed')) throw new AppError('decrypt_failed', { publicDetails: { modelName: model } })
  if (excluded.includes('pricing_missing')) throw pricingMissing(model)
  if (excluded.includes('unaddressable')) throw new AppError('config_invalid', { publicDetails: { modelName: model } })
  throw new AppError('protocol_unsupported', {
    message: `The model ${quote(model)} is not served on this route.`,
    param: 'model',
  })
}

export function pricingMissing(model: string, where = ''): AppError {
  return new AppError('pricing_missing', {
    message: `The model ${quote(model)} has no price${where}, so it cannot be charged.`,
    param: 'model',
  })
}

/** `listed`: what could have been meant. */
export function unknownModel(model: string, listed: readonly string[]): AppError {
  const near = nearNames(model, listed)
  const hint = near.length > 0 ? ` Did you mean ${near.map(quote).join(', ')}?` : ' GET /v1/models lists the models.'
  return new AppError('model_not_found', {
    message: `No model is named ${quote(model)}.${hint}`,
    param: 'model',
    publicDetails: { requested: model.slice(0, 255), available: listed.slice(0, LISTED_MAX) },
  })
}

function quote(name: string): string {
  return `'${name.length > 100 ? `${name.slice(0, 100)}…` : name}'`
}
