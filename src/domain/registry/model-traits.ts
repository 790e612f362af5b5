import { isFields, type ModelFields, readModelFields } from './model-fields.ts'

/** What is known of models beside their prices: names for people, and what they are said to support. */
export interface ModelTraits {
  /** Where it is from. */
  readonly source: string
  /** By `provider/model`, as the gateway names providers. Only members that are known. */
  readonly models: ReadonlyMap<string, ModelFields>
  /** `provider/model` of what the source lists and the price book leaves out for a reason. */
  readonly leftOut: ReadonlySet<string>
}

/** Reads prices/model-traits.json. Throws Error. */
export function loadModelTraits(text: string): ModelTraits {
  const file: unknown = JSON.parse(text)
  if (!isFields(file) || typeof file.source !== 'string' || !isFields(file.models) || !Array.isArray(file.left_out))
    throw new Error('the traits of models cannot be read')
  return {
    source: file.source,
    models: new Map(Object.entries(file.models).map(([name, row]) => [name, readModelFields(name, row)])),
    leftOut: new Set(file.left_out.map(String)),
  }
}
