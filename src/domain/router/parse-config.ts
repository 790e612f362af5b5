import { CanonicalJsonError } from '#lib/canonical-json.ts'
import { nearNames } from '#lib/near-names.ts'
import { parseStrictJson } from '#lib/strict-json.ts'
import { configDigest } from './config-digest.ts'
import { parseHttpCodes, parseModel, parseTimes } from './parse-model.ts'
import {
  at,
  createProblems,
  isObject,
  nameRule,
  own,
  type Problems,
  readEntries,
  readObject,
  readText,
} from './read-json.ts'
import {
  type ConfigProblem,
  defaultModelMembers,
  type JsonObject,
  type RouterDocument,
  surfaces,
  timesMembers,
} from './router-document.ts'

export const CONFIG_BYTES_MAX = 4 * 1024 * 1024
const MODELS_MAX = 10_000

/** `auto` stands for the default model, and keys of streaming speech are sealed for `streaming-tts`. */
const reservedNames = ['auto', 'streaming-tts']

export type ParsedRouterConfig =
  | { ok: true; document: RouterDocument; digest: string; text: string; warnings: readonly ConfigProblem[] }
  | { ok: false; problems: readonly ConfigProblem[] }

/**
 * Checks a router config, given as JSON text or as the value of one. All problems are found at once, up to a hundred. The
 * document is what was written, without defaults; `text` is its JSON, to be stored.
 */
export function parseRouterConfig(input: unknown): ParsedRouterConfig {
  const problems = createProblems()
  const warnings = createProblems()
  const read = readJson(input, problems)
  if (read === undefined) return { ok: false, problems: problems.list }
  const fields = readObject(read.value, '', [...surfaces, 'defaults'], problems)
  if (fields !== undefined) {
    parseSections(fields, problems, warnings)
    parseDefaults(fields, problems, warnings)
  }
  if (problems.list.length > 0) return { ok: false, problems: problems.list }
  const document = read.value as RouterDocument
  return { ok: true, document, digest: configDigest(document), text: read.text, warnings: warnings.list }
}

/** One reading of JSON for text and values: size, depth, names that stand twice, what JSON cannot carry. */
export function readJson(input: unknown, problems: Problems): { value: unknown; text: string } | undefined {
  try {
    const text = typeof input === 'string' ? input : JSON.stringify(input)
    if (typeof text !== 'string') return problems.add('', 'must be JSON')
    if (Buffer.byteLength(text) > CONFIG_BYTES_MAX)
      return problems.add('', `must be at most ${CONFIG_BYTES_MAX} bytes of JSON`)
    return { value: parseStrictJson(text, CONFIG_BYTES_MAX, { fractions: true }), text }
  } catch (error) {
    if (error instanceof CanonicalJsonError) return problems.add('', `cannot be read: ${error.message}`)
    if (error instanceof TypeError) return problems.add('', 'must be JSON')
    throw error
  }
}

function parseSections(fields: JsonObject, problems: Problems, warnings: Problems): void {
  const owners = new Map<string, string>()
  for (const surface of surfaces) {
    const section = own(fields, surface)
    if (section === undefined) continue
    const inner = readObject(section, surface, ['models'], problems)
    if (inner === undefined) continue
    const path = at(surface, 'models')
    const models = own(inner, 'models')
    if (models === undefined) {
      problems.add(path, 'is missing')
      continue
    }
    for (const [name, model] of readEntries(models, path, MODELS_MAX, problems)) {
      const place = at(path, name)
      if (!nameRule.pattern.test(name)) problems.add(place, `must be named with ${nameRule.meaning}`)
      if (reservedNames.includes(name)) problems.add(place, `must have another name: '${name}' is reserved`)
      const owner = owners.get(name)
      if (owner !== undefined) problems.add(place, `has the name of a model under ${owner}: a name means one model`)
      owners.set(name, surface)
      parseModel(model, place, surface, problems, warnings)
    }
  }
  if (owners.size > MODELS_MAX) problems.add('', `must have at most ${MODELS_MAX} models`)
}

export const defaultsMembers = [...timesMembers, 'fallbackHttpCodes', ...Object.values(defaultModelMembers)]

function parseDefaults(fields: JsonObject, problems: Problems, warnings: Problems): void {
  const value = own(fields, 'defaults')
  if (value === undefined) return
  const defaults = readObject(value, 'defaults', defaultsMembers, problems)
  if (defaults === undefined) return
  parseTimes(defaults, 'defaults', problems)
  parseHttpCodes(own(defaults, 'fallbackHttpCodes'), 'defaults.fallbackHttpCodes', problems)
  for (const surface of surfaces) {
    const path = at('defaults', defaultModelMembers[surface])
    const name = readText(own(defaults, defaultModelMembers[surface]), path, nameRule, problems)
    if (name !== undefined) checkDefault(fields, surface, name, path, problems, warnings)
  }
}

/**
 * A default stands in the same document as the models, so a name that is none is a slip. Only `provider/model` may be
 * served by a provider of the environment, of which a config knows nothing.
 */
function checkDefault(
  fields: JsonObject,
  surface: (typeof surfaces)[number],
  name: string,
  path: string,
  problems: Problems,
  warnings: Problems,
): void {
  const section = own(fields, surface)
  const models = isObject(section) ? own(section, 'models') : undefined
  if (isObject(models) && Object.hasOwn(models, name)) return
  if (name.includes('/')) {
    warnings.add(path, `is not a model under ${surface}: it is served only if a provider of the environment has it`)
    return
  }
  const near = nearNames(name, isObject(models) ? Object.keys(models) : [], 1)[0]
  problems.add(path, `is not a model under ${surface}${near === undefined ? '' : `; did you mean '${near}'?`}`)
}
