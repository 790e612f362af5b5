import { parsePricing } from './parse-price.ts'
import { CONCURRENCY_RANGE, parseUpstream, required, speechAdapters, TIMEOUT_RANGE } from './parse-upstream.ts'
import {
  at,
  isObject,
  nameRule,
  own,
  type Problems,
  readEntries,
  readFlag,
  readInteger,
  readList,
  readObject,
  readOneOf,
  readText,
  type TextRule,
} from './read-json.ts'
import { type JsonObject, timesMembers } from './router-document.ts'
import type { Surface } from './snapshot.ts'

const UPSTREAMS_MAX = 64
const GROUPS_MAX = 64
const HTTP_CODES_MAX = 64
const VOICES_MAX = 1_000
const LOCALES_MAX = 200
const TOTAL_TIMEOUT_RANGE = { min: 1, max: 7_200_000 }
const MAX_TOKENS_RANGE = { min: 1, max: 100_000_000 }
const HEDGE_RANGE = { min: 1, max: 600_000 }

const localeRule: TextRule = { pattern: /^[A-Za-z0-9-]{1,35}$/, meaning: 'a locale such as en-US' }
const voiceRule: TextRule = {
  pattern: /^[^\p{Cc}\p{Cs}]{1,255}$/u,
  meaning: '1 to 255 characters without control characters',
}

/** Of every model; speech has more. */
export const modelMembers = [
  ...['upstreams', 'fallbackTriggers', 'routing', 'price', 'priceRef', 'limits', 'hedge'],
  ...timesMembers,
]

/** Reports what is wrong with one model. `warnings` gets what is allowed and has no effect. */
export function parseModel(
  value: unknown,
  path: string,
  surface: Surface,
  problems: Problems,
  warnings: Problems,
): void {
  const members = [...modelMembers]
  if (surface === 'tts' || surface === 'asr') members.push('provider')
  if (surface === 'tts') members.push('voices')
  const fields = readObject(value, path, members, problems)
  if (fields === undefined) return

  let adapter: unknown
  if (surface === 'tts' || surface === 'asr') {
    adapter = own(fields, 'provider')
    readOneOf(adapter, at(path, 'provider'), speechAdapters[surface], problems)
  }
  const listPath = at(path, 'upstreams')
  const upstreams = required(fields, 'upstreams', path, problems)
  const listed = upstreams === undefined ? [] : readList(upstreams, listPath, { min: 1, max: UPSTREAMS_MAX }, problems)
  for (const [index, upstream] of listed.entries())
    parseUpstream(upstream, at(listPath, index), { surface, modelAdapter: adapter }, problems)
  const ids = checkIds(listed, listPath, problems)

  parseFallback(own(fields, 'fallbackTriggers'), at(path, 'fallbackTriggers'), problems)
  if (own(fields, 'routing') !== undefined)
    parseRouting(fields, path, { ids, upstreams: listed.length }, problems, warnings)
  parseTimes(fields, path, problems)
  parsePricing(fields, path, surface, problems)
  parseLimits(own(fields, 'limits'), at(path, 'limits'), problems)
  parseHedge(own(fields, 'hedge'), at(path, 'hedge'), problems)
  if (surface === 'tts') parseVoices(own(fields, 'voices'), at(path, 'voices'), ids, problems)
}

export function parseTimes(fields: JsonObject, path: string, problems: Problems): void {
  for (const name of timesMembers)
    readInteger(fields, name, path, name === 'totalTimeoutMs' ? TOTAL_TIMEOUT_RANGE : TIMEOUT_RANGE, problems)
}

export function parseHttpCodes(value: unknown, path: string, problems: Problems): void {
  if (value === undefined) return
  for (const [index, code] of readList(value, path, { min: 0, max: HTTP_CODES_MAX }, problems).entries()) {
    if (typeof code !== 'number' || !Number.isInteger(code) || code < 100 || code > 599)
      problems.add(at(path, index), 'must be an integer from 100 to 599')
  }
}

/** A locale's voice, by model or voice: the shape that recommended voices have in models and in settings. */
export function parseLocales(value: unknown, path: string, problems: Problems): void {
  for (const [locale, voice] of readEntries(value, path, LOCALES_MAX, problems)) {
    if (!localeRule.pattern.test(locale)) problems.add(at(path, locale), `must be named ${localeRule.meaning}`)
    if (readText(voice, at(path, locale), voiceRule, problems) === undefined && voice === undefined)
      problems.add(at(path, locale), 'is missing')
  }
}

function checkIds(upstreams: readonly unknown[], path: string, problems: Problems): ReadonlySet<string> {
  const ids = new Set<string>()
  for (const [index, upstream] of upstreams.entries()) {
    const id = isObject(upstream) ? own(upstream, 'id') : undefined
    if (typeof id !== 'string') continue
    if (ids.has(id)) problems.add(at(at(path, index), 'id'), 'is the id of another upstream of this model')
    ids.add(id)
  }
  return ids
}

function parseFallback(value: unknown, path: string, problems: Problems): void {
  if (value === undefined) return
  const fields = readObject(value, path, ['httpCodes', 'onTimeout'], problems)
  if (fields === undefined) return
  parseHttpCodes(own(fields, 'httpCodes'), at(path, 'httpCodes'), problems)
  readFlag(fields, 'onTimeout', path, problems)
}

export const groupMembers = ['id', 'upstreamIds', 'strategy', 'retryOn', 'continueOn', 'maxConcurrency']

function parseRouting(
  model: JsonObject,
  path: string,
  known: { ids: ReadonlySet<string>; upstreams: number },
  problems: Problems,
  warnings: Problems,
): void {
  const routing = readObject(own(model, 'routing'), at(path, 'routing'), ['groups'], problems)
  if (routing === undefined) return
  if (known.ids.size < known.upstreams) problems.add(at(path, 'upstreams'), 'need an id each, since routing names them')
  const listPath = at(at(path, 'routing'), 'groups')
  const groups = required(routing, 'groups', at(path, 'routing'), problems)
  if (groups === undefined) return
  const groupIds = new Set<unknown>()
  const placed = new Set<string>()
  let allHaveRules = true
  for (const [index, value] of readList(groups, listPath, { min: 1, max: GROUPS_MAX }, problems).entries()) {
    const place = at(listPath, index)
    const fields = readObject(value, place, groupMembers, problems)
    if (fields === undefined) continue
    const id = readText(required(fields, 'id', place, problems), at(place, 'id'), nameRule, problems)
    if (id !== undefined && groupIds.has(id)) problems.add(at(place, 'id'), 'is the id of another group of this model')
    groupIds.add(id)
    readOneOf(own(fields, 'strategy'), at(place, 'strategy'), ['ordered', 'least-inflight', 'weighted'], problems)
    parseFallback(own(fields, 'retryOn'), at(place, 'retryOn'), problems)
    parseFallback(own(fields, 'continueOn'), at(place, 'continueOn'), problems)
    readInteger(fields, 'maxConcurrency', place, CONCURRENCY_RANGE, problems)
    placeUpstreams(fields, place, known.ids, placed, problems)
    if (own(fields, 'retryOn') === undefined) allHaveRules = false
  }
  for (const id of known.ids)
    if (!placed.has(id)) problems.add(listPath, `must name the upstream '${id}': in no group it would never be used`)
  if (allHaveRules && own(model, 'fallbackTriggers') !== undefined)
    warnings.add(at(path, 'fallbackTriggers'), 'has no effect, since every group has its own retryOn')
}

function placeUpstreams(
  group: JsonObject,
  path: string,
  ids: ReadonlySet<string>,
  placed: Set<string>,
  problems: Problems,
): void {
  const value = required(group, 'upstreamIds', path, problems)
  if (value === undefined) return
  const listPath = at(path, 'upstreamIds')
  for (const [index, id] of readList(value, listPath, { min: 1, max: UPSTREAMS_MAX }, problems).entries()) {
    if (typeof id !== 'string' || !ids.has(id)) problems.add(at(listPath, index), 'is not the id of an upstream')
    else if (placed.has(id)) problems.add(at(listPath, index), 'is named twice')
    else placed.add(id)
  }
}

function parseLimits(value: unknown, path: string, problems: Problems): void {
  if (value === undefined) return
  const fields = readObject(value, path, ['maxTokens', 'maxConcurrency'], problems)
  if (fields === undefined) return
  readInteger(fields, 'maxTokens', path, MAX_TOKENS_RANGE, problems)
  readInteger(fields, 'maxConcurrency', path, CONCURRENCY_RANGE, problems)
}

function parseHedge(value: unknown, path: string, problems: Problems): void {
  if (value === undefined) return
  const fields = readObject(value, path, ['afterMs'], problems)
  if (fields === undefined || required(fields, 'afterMs', path, problems) === undefined) return
  readInteger(fields, 'afterMs', path, HEDGE_RANGE, problems)
}

function parseVoices(value: unknown, path: string, ids: ReadonlySet<string>, problems: Problems): void {
  if (value === undefined) return
  const fields = readObject(value, path, ['recommended', 'mapping'], problems)
  if (fields === undefined) return
  const recommended = own(fields, 'recommended')
  if (recommended !== undefined) parseLocales(recommended, at(path, 'recommended'), problems)
  const mapping = own(fields, 'mapping')
  if (mapping === undefined) return
  for (const [voice, names] of readEntries(mapping, at(path, 'mapping'), VOICES_MAX, problems)) {
    const place = at(at(path, 'mapping'), voice)
    if (!voiceRule.pattern.test(voice)) problems.add(place, `must be named with ${voiceRule.meaning}`)
    for (const [id, name] of readEntries(names, place, UPSTREAMS_MAX, problems)) {
      if (!ids.has(id)) problems.add(at(place, id), 'is not the id of an upstream')
      readText(name, at(place, id), voiceRule, problems)
    }
  }
}
