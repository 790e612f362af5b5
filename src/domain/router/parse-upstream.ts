import { PresetError, presetNames, presetParams, resolvePreset, type UpstreamProtocol } from '#domain/presets.ts'
import { parsePricing } from './parse-price.ts'
import {
  at,
  isObject,
  nameRule,
  own,
  type Problems,
  readEntries,
  readFlag,
  readFreeObject,
  readInteger,
  readList,
  readObject,
  readOneOf,
  readText,
  type TextRule,
} from './read-json.ts'
import type { JsonObject } from './router-document.ts'
import type { Surface } from './snapshot.ts'

export const KEYS_MAX = 64
const HEADERS_MAX = 32
const ADAPTER_PARAMS_CHARS_MAX = 16_384
export const TIMEOUT_RANGE = { min: 1, max: 3_600_000 }
const WEIGHT_RANGE = { min: 1, max: 1_000 }
export const CONCURRENCY_RANGE = { min: 1, max: 100_000 }

/** What speaks to speech vendors, per surface. */
export const speechAdapters = {
  tts: ['azure', 'dashscope-cosyvoice', 'volcengine', 'stepfun', 'elevenlabs', 'openai'],
  asr: ['aliyun-nls', 'openai'],
} as const satisfies Partial<Record<Surface, readonly string[]>>

/** Adapters that know where their vendor is. */
const adaptersWithAddress: readonly string[] = ['aliyun-nls']

/** What an upstream may be asked for, by its name here; the first is AIRI's word for the second. */
export const protocolNames: ReadonlyMap<string, UpstreamProtocol> = new Map<string, UpstreamProtocol>([
  ['chat-completions', 'chat'],
  ...(
    [
      'chat',
      'responses',
      'messages',
      'count_tokens',
      'completions',
      'embeddings',
      'speech',
      'transcriptions',
      'translations',
    ] as const
  ).map((name) => [name, name] as const),
])

const overrideModelRule: TextRule = {
  pattern: /^(?!\s)[^\p{Cc}\p{Cs}]{1,255}(?<!\s)$/u,
  meaning: '1 to 255 characters, without control characters or space at its ends',
}
const providerRule: TextRule = {
  pattern: /^[a-z0-9](?:[a-z0-9._-]{0,62}[a-z0-9])?$/,
  meaning: '1 to 64 lower-case letters, digits, dots, hyphens or underscores',
}
const headerTemplateRule: TextRule = {
  pattern: /^(?=[\t\x20-\x7e]{1,256}$)(?:(?!\{KEY\}).)*\{KEY\}(?:(?!\{KEY\}).)*$/,
  meaning: "1 to 256 visible ASCII characters or spaces with {KEY} once in it, as in 'Bearer {KEY}'",
}
const ciphertextRule: TextRule = {
  pattern: /^v1\.[A-Za-z0-9_-]{16}\.[A-Za-z0-9_-]{1,23000}\.[A-Za-z0-9_-]{22}$/,
  meaning: "an envelope 'v1.<iv>.<ciphertext>.<tag>'",
}

/** Belong to the connection, or carry credentials, which must be sealed. */
const refusedHeaders = new Set(
  `host content-length content-encoding content-type transfer-encoding connection keep-alive upgrade te trailer expect
   accept-encoding cookie authorization proxy-authorization proxy-connection x-api-key api-key x-goog-api-key
   ocp-apim-subscription-key xi-api-key`.split(/\s+/),
)

/** What an upstream is part of. */
export interface UpstreamPlace {
  surface: Surface
  /** Speech: the adapter of the model, for upstreams that name none. */
  modelAdapter: unknown
}

const commonMembers = [
  ...['id', 'provider', 'baseURL', 'overrideModel', 'keys', 'headerTemplate', 'headers', 'timeoutMs', 'weight'],
  ...['maxConcurrency', 'adapterParams', 'price', 'priceRef'],
]
/** Of an upstream of text; one of speech has fewer. */
export const textMembers = [...commonMembers, 'preset', 'protocols']

export function parseUpstream(value: unknown, path: string, place: UpstreamPlace, problems: Problems): void {
  const { surface } = place
  const speech = surface === 'tts' || surface === 'asr'
  const fields = readObject(value, path, speech ? commonMembers : textMembers, problems)
  if (fields === undefined) return
  readText(own(fields, 'id'), at(path, 'id'), nameRule, problems)
  readText(own(fields, 'overrideModel'), at(path, 'overrideModel'), overrideModelRule, problems)
  parseKeys(own(fields, 'keys'), at(path, 'keys'), problems)
  parseTemplate(own(fields, 'headerTemplate'), at(path, 'headerTemplate'), problems)
  parseHeaders(own(fields, 'headers'), at(path, 'headers'), problems)
  readInteger(fields, 'timeoutMs', path, TIMEOUT_RANGE, problems)
  readInteger(fields, 'weight', path, WEIGHT_RANGE, problems)
  readInteger(fields, 'maxConcurrency', path, CONCURRENCY_RANGE, problems)
  readFreeObject(own(fields, 'adapterParams'), at(path, 'adapterParams'), ADAPTER_PARAMS_CHARS_MAX, problems)
  parsePricing(fields, path, surface, problems)
  if (speech) parseSpeechAddress(fields, path, { ...place, surface }, problems)
  else parseTextAddress(fields, path, problems)
}

export function parseKeys(value: unknown, path: string, problems: Problems): void {
  if (value === undefined) return
  const ids = new Set<string>()
  for (const [index, key] of readList(value, path, { min: 0, max: KEYS_MAX }, problems).entries()) {
    const place = at(path, index)
    const fields = readObject(key, place, ['id', 'ciphertext', 'weight', 'disabled'], problems)
    if (fields === undefined) continue
    const id = readText(required(fields, 'id', place, problems), at(place, 'id'), nameRule, problems)
    if (id !== undefined && ids.has(id)) problems.add(at(place, 'id'), 'is the id of another key of this upstream')
    if (id !== undefined) ids.add(id)
    readText(required(fields, 'ciphertext', place, problems), at(place, 'ciphertext'), ciphertextRule, problems)
    readInteger(fields, 'weight', place, WEIGHT_RANGE, problems)
    readFlag(fields, 'disabled', place, problems)
  }
}

export function parseTemplate(value: unknown, path: string, problems: Problems): void {
  readText(value, path, headerTemplateRule, problems)
}

/** An address of one of these protocols. It must not hold a password: it is shown to people and written to logs. */
export function parseAddress(value: unknown, path: string, protocols: readonly string[], problems: Problems): void {
  const url = typeof value === 'string' && value.length <= 2_048 && !/[\s\p{Cc}]/u.test(value) ? URL.parse(value) : null
  if (url === null || !protocols.includes(url.protocol)) {
    problems.add(path, `must be a URL that begins with ${protocols.map((name) => `${name}//`).join(' or ')}`)
    return
  }
  if (url.username !== '' || url.password !== '') problems.add(path, 'must not hold a user or a password: seal a key')
  if (url.hash !== '') problems.add(path, "must not have a '#' part")
}

export function required(fields: JsonObject, name: string, path: string, problems: Problems): unknown {
  const value = own(fields, name)
  return value === undefined ? problems.add(at(path, name), 'is missing') : value
}

function parseTextAddress(fields: JsonObject, path: string, problems: Problems): void {
  const provider = readText(own(fields, 'provider'), at(path, 'provider'), providerRule, problems)
  const preset = readOneOf(own(fields, 'preset'), at(path, 'preset'), presetNames, problems)
  const protocols = own(fields, 'protocols')
  if (protocols !== undefined) parseProtocols(protocols, at(path, 'protocols'), problems)
  const baseUrl = own(fields, 'baseURL')
  if (baseUrl !== undefined) parseAddress(baseUrl, at(path, 'baseURL'), ['https:', 'http:'], problems)
  // Paths are resolved against it, so a query would be lost, and every request refused.
  if (typeof baseUrl === 'string' && URL.parse(baseUrl)?.search)
    problems.add(at(path, 'baseURL'), 'must not have a query')
  if (own(fields, 'preset') !== undefined && preset === undefined) return
  const row = preset ?? presetNames.find((name) => name === provider)
  const known = row === undefined ? undefined : resolvePreset(row)
  if (baseUrl === undefined && known?.baseUrl === undefined)
    problems.add(at(path, 'baseURL'), 'is missing, and no preset says where to send a request')
  if (known === undefined) return
  const params = own(fields, 'adapterParams')
  try {
    presetParams(known, isObject(params) ? params : {})
  } catch (error) {
    if (!(error instanceof PresetError)) throw error
    problems.add(at(path, 'adapterParams'), error.message)
  }
}

function parseProtocols(value: unknown, path: string, problems: Problems): void {
  const known = [...protocolNames.keys()]
  for (const [index, name] of readList(value, path, { min: 1, max: known.length }, problems).entries())
    readOneOf(name, at(path, index), known, problems)
}

function parseSpeechAddress(
  fields: JsonObject,
  path: string,
  place: UpstreamPlace & { surface: 'tts' | 'asr' },
  problems: Problems,
): void {
  const adapters: readonly string[] = speechAdapters[place.surface]
  const adapter = readOneOf(own(fields, 'provider'), at(path, 'provider'), adapters, problems) ?? place.modelAdapter
  if (adapter === undefined) problems.add(at(path, 'provider'), 'is missing: name the adapter here or at the model')
  const baseUrl = own(fields, 'baseURL')
  const protocols = place.surface === 'asr' ? ['https:', 'http:', 'wss:', 'ws:'] : ['https:', 'http:']
  if (baseUrl !== undefined) parseAddress(baseUrl, at(path, 'baseURL'), protocols, problems)
  else if (typeof adapter === 'string' && !adaptersWithAddress.includes(adapter))
    problems.add(at(path, 'baseURL'), 'is missing')
}

function parseHeaders(value: unknown, path: string, problems: Problems): void {
  if (value === undefined) return
  const seen = new Set<string>()
  for (const [name, text] of readEntries(value, path, HEADERS_MAX, problems)) {
    const place = at(path, name)
    const lower = name.toLowerCase()
    if (!/^[!#$%&'*+.^_`|~0-9A-Za-z-]{1,100}$/.test(name)) problems.add(place, 'is not the name of a header')
    if (refusedHeaders.has(lower)) problems.add(place, 'is set by the gateway; credentials belong into keys')
    if (seen.has(lower)) problems.add(place, 'stands twice')
    seen.add(lower)
    if (typeof text !== 'string' || !/^[\t\x20-\x7e]{1,1024}$/.test(text))
      problems.add(place, 'must be 1 to 1024 visible ASCII characters or spaces')
  }
}
