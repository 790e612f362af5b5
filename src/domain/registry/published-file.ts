import { isFields, type ModelFields, readModelFields } from './model-fields.ts'

const MODELS_MAX = 5_000
const NAME_CHARS_MAX = 255

/** What somebody else publishes of one provider, in the format of llmring's registry. */
export interface PublishedFile {
  readonly version: number
  /** Undefined where it does not say, or not in words that can be read. */
  readonly updatedAt: Date | undefined
  /** By the provider's own name of the model. */
  readonly models: ReadonlyMap<string, ModelFields>
}

/** A published file that cannot be used. The message names the place, and is for operators. */
export class PublishedFileError extends Error {
  override readonly name = 'PublishedFileError'
}

/**
 * Reads `{provider, version, updated_at, models: {"provider:name": {…}}}`. Strict in what is used, since it is shown to
 * people who spend money by it: one bad price refuses the file. Throws PublishedFileError.
 */
export function parsePublishedFile(text: string, provider: string): PublishedFile {
  let file: unknown
  try {
    file = JSON.parse(text)
  } catch (cause) {
    throw new PublishedFileError('it is not JSON', { cause })
  }
  if (!isFields(file)) throw new PublishedFileError('it is not an object')
  if (file.provider !== provider) throw new PublishedFileError('it is of another provider')
  const { version, models } = file
  if (typeof version !== 'number' || !Number.isSafeInteger(version) || version < 1 || version > 2_147_483_647)
    throw new PublishedFileError('its version is not a number from 1')
  if (!isFields(models)) throw new PublishedFileError('its models are not an object')
  const rows = Object.entries(models)
  if (rows.length === 0) throw new PublishedFileError('it has no models')
  if (rows.length > MODELS_MAX) throw new PublishedFileError(`it has more than ${MODELS_MAX} models`)
  return { version, updatedAt: readTime(file.updated_at), models: new Map(rows.map((row) => readRow(provider, row))) }
}

function readRow(provider: string, [key, row]: [string, unknown]): [string, ModelFields] {
  const name = key.startsWith(`${provider}:`) ? key.slice(provider.length + 1) : ''
  if (name === '' || name.length > NAME_CHARS_MAX || !/^[\x21-\x7e]+$/.test(name))
    throw new PublishedFileError(`a model is not named ${provider}:name`)
  try {
    return [name, readModelFields(name, row)]
  } catch (cause) {
    throw new PublishedFileError(cause instanceof Error ? cause.message : 'a model cannot be read', { cause })
  }
}

/** llmring writes times without a zone, in UTC. */
function readTime(value: unknown): Date | undefined {
  if (typeof value !== 'string' || !/^\d{4}-\d\d-\d\dT[\d:.]+(?:Z|[+-]\d\d:\d\d)?$/.test(value)) return undefined
  const time = new Date(/(?:Z|[+-]\d\d:\d\d)$/.test(value) ? value : `${value}Z`)
  return Number.isNaN(time.getTime()) ? undefined : time
}
