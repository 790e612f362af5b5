import { parsePricing } from './router/parse-price.ts'
import {
  CONCURRENCY_RANGE,
  KEYS_MAX,
  parseAddress,
  parseKeys,
  parseTemplate,
  required,
} from './router/parse-upstream.ts'
import {
  at,
  nameRule,
  own,
  type Problems,
  readFreeObject,
  readInteger,
  readList,
  readObject,
  readText,
  type TextRule,
} from './router/read-json.ts'

const MODELS_MAX = 1_000
const ADAPTER_PARAMS_CHARS_MAX = 16_384
const labelRule: TextRule = {
  pattern: /^[^\p{Cc}\p{Cs}]{1,500}$/u,
  meaning: '1 to 500 characters without control characters',
}

const members = [
  ...['baseURL', 'keys', 'headerTemplate', 'adapterParams', 'maxConcurrency', 'models', 'defaultModel'],
  ...['price', 'priceRef'],
]

/** Reports what is wrong with STREAMING_TTS_UPSTREAM, or with the `streaming` of UNSPEECH_UPSTREAM. */
export function parseStreamingUpstream(value: unknown, path: string, problems: Problems): void {
  const fields = readObject(value, path, members, problems)
  if (fields === undefined) return
  const baseUrl = required(fields, 'baseURL', path, problems)
  if (baseUrl !== undefined) parseAddress(baseUrl, at(path, 'baseURL'), ['wss:', 'ws:'], problems)
  const keys = required(fields, 'keys', path, problems)
  parseKeys(keys, at(path, 'keys'), problems)
  if (Array.isArray(keys) && keys.length === 0) problems.add(at(path, 'keys'), `must have 1 to ${KEYS_MAX} members`)
  parseTemplate(own(fields, 'headerTemplate'), at(path, 'headerTemplate'), problems)
  readFreeObject(own(fields, 'adapterParams'), at(path, 'adapterParams'), ADAPTER_PARAMS_CHARS_MAX, problems)
  readInteger(fields, 'maxConcurrency', path, CONCURRENCY_RANGE, problems)
  parsePricing(fields, path, 'tts', problems)

  const models = own(fields, 'models')
  const ids = models === undefined ? [] : parseModels(models, at(path, 'models'), problems)
  const chosen = readText(own(fields, 'defaultModel'), at(path, 'defaultModel'), nameRule, problems)
  if (chosen !== undefined && ids.length > 0 && !ids.includes(chosen))
    problems.add(at(path, 'defaultModel'), 'is not one of models')
}

export function parseUnspeechUpstream(value: unknown, path: string, problems: Problems): void {
  const fields = readObject(value, path, ['restBaseURL', 'streaming'], problems)
  if (fields === undefined) return
  const baseUrl = required(fields, 'restBaseURL', path, problems)
  if (baseUrl !== undefined) parseAddress(baseUrl, at(path, 'restBaseURL'), ['https:', 'http:'], problems)
  const streaming = own(fields, 'streaming')
  if (streaming !== undefined) parseStreamingUpstream(streaming, at(path, 'streaming'), problems)
}

function parseModels(value: unknown, path: string, problems: Problems): string[] {
  const ids: string[] = []
  for (const [index, model] of readList(value, path, { min: 0, max: MODELS_MAX }, problems).entries()) {
    const place = at(path, index)
    const fields = readObject(model, place, ['id', 'name', 'description'], problems)
    if (fields === undefined) continue
    const id = readText(required(fields, 'id', place, problems), at(place, 'id'), nameRule, problems)
    readText(own(fields, 'name'), at(place, 'name'), labelRule, problems)
    readText(own(fields, 'description'), at(place, 'description'), labelRule, problems)
    if (id === undefined) continue
    if (ids.includes(id)) problems.add(at(place, 'id'), 'stands twice')
    ids.push(id)
  }
  return ids
}
