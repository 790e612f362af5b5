import { providerKeyProblem } from './credentials.ts'
import type { ConfigProblem, JsonObject } from './router/router-document.ts'

/** The most slices of one request. */
export const SLICES_MAX = 20
export const SLICE_UPSTREAMS_MAX = 32
export const SLICE_KEYS_MAX = 64
/** A key of a slice. Longer ones, as service accounts, are written with the whole config. */
export const SLICE_KEY_CHARS_MAX = 1024

export const sliceKinds = [
  'openrouter',
  'openai',
  'anthropic',
  'gemini',
  'azure',
  'dashscope-cosyvoice',
  'streaming-tts',
] as const
type SliceKind = (typeof sliceKinds)[number]

interface SliceKey {
  id?: string
  plaintextKey: string
  weight?: number
}

/** One endpoint: its members beside the common ones depend on the kind. */
interface SliceEndpoint {
  /** One key, or `keys`. */
  plaintextKey?: string
  keyEntryId?: string
  keys?: SliceKey[]
  baseURL?: string
  headerTemplate?: string
  /** Text: what the provider calls the model. */
  overrideModel?: string
  /** azure: any; dashscope-cosyvoice: `intl` or `cn`. */
  region?: string
  /** dashscope-cosyvoice. */
  upstreamModel?: string
  /** streaming-tts. */
  upstreamURL?: string
}

export interface SliceUpstream extends SliceEndpoint {
  id?: string
  /** Of the same surface as the slice's own, which it is when nothing is said. */
  kind?: SliceKind
  timeoutMs?: number
  weight?: number
  maxConcurrency?: number
}

/** What an operator says of one model, as in `{kind: 'openrouter', modelName: 'chat-default', plaintextKey: 'sk-…'}`. */
export interface Slice extends SliceEndpoint {
  kind: SliceKind
  modelName?: string
  /** In place of the members of one endpoint. */
  upstreams?: SliceUpstream[]
}

/** What a slice became: a model of the router config, or the setting for speech over WebSocket. Keys are still plaintext. */
export type BuiltSlice = { kind: SliceKind; keyEntryIds: string[] } & (
  | {
      target: 'llm-router'
      surface: 'llm' | 'tts'
      modelName: string
      model: { upstreams: BuiltUpstream[] } & JsonObject
    }
  | { target: 'streaming-tts'; setting: JsonObject & { keys: BuiltKey[] } }
)

interface BuiltKey extends JsonObject {
  id: string
  plaintextKey: string
}

export interface BuiltUpstream extends JsonObject {
  id: string
  keys: BuiltKey[]
}

interface KindRow {
  surface: 'llm' | 'tts' | 'streaming'
  keyId: string
  /** Members of an endpoint of this kind beside its keys; `!` marks those that must be given. */
  members: readonly string[]
  build(endpoint: SliceEndpoint): JsonObject
}

const text = (preset: string, baseURL: string): KindRow => ({
  surface: 'llm',
  keyId: `${preset}-prod-1`,
  members: ['overrideModel', 'baseURL', 'headerTemplate'],
  build: (given) => ({ preset, baseURL, ...taken(given, ['overrideModel', 'baseURL', 'headerTemplate']) }),
})

const dashscopeHosts: Readonly<Record<string, string>> = {
  intl: 'https://dashscope-intl.aliyuncs.com',
  cn: 'https://dashscope.aliyuncs.com',
}

const rows: Readonly<Record<SliceKind, KindRow>> = {
  openrouter: text('openrouter', 'https://openrouter.ai/api/v1'),
  openai: text('openai', 'https://api.openai.com/v1'),
  anthropic: text('anthropic', 'https://api.anthropic.com/v1'),
  gemini: text('gemini', 'https://generativelanguage.googleapis.com/v1beta/openai'),
  azure: {
    surface: 'tts',
    keyId: 'azure-tts-prod-1',
    members: ['region!', 'baseURL'],
    build: ({ region = '', baseURL }) => ({
      provider: 'azure',
      baseURL: baseURL ?? `https://${region}.tts.speech.microsoft.com/cognitiveservices/v1`,
      adapterParams: { region },
    }),
  },
  'dashscope-cosyvoice': {
    surface: 'tts',
    keyId: 'dashscope-tts-prod-1',
    members: ['region!', 'upstreamModel!', 'baseURL'],
    build: ({ region = '', upstreamModel, baseURL }) => ({
      provider: 'dashscope-cosyvoice',
      baseURL: baseURL ?? `${dashscopeHosts[region]}/api/v1/services/audio/tts/SpeechSynthesizer`,
      adapterParams: { model: upstreamModel },
    }),
  },
  'streaming-tts': {
    surface: 'streaming',
    keyId: 'volcengine-prod-1',
    members: ['upstreamURL!'],
    build: ({ upstreamURL }) => ({ baseURL: upstreamURL, adapterParams: {} }),
  },
}

/** Everything that any kind knows, so that a member of another kind is told from one that exists nowhere. */
const kindMembers = ['overrideModel', 'baseURL', 'headerTemplate', 'region', 'upstreamModel', 'upstreamURL'] as const

/**
 * Turns slices into what they stand for. What is wrong is reported with its path, as `slices[0].region`; a key is never
 * repeated. Limits on lengths and counts are the caller's schema's.
 */
export function buildSlices(slices: readonly Slice[]): { built: BuiltSlice[]; problems: ConfigProblem[] } {
  const problems: ConfigProblem[] = []
  const seen = new Map<string, number>()
  const built = slices.flatMap((slice, index): BuiltSlice[] => {
    const path = `slices[${index}]`
    const { surface } = rows[slice.kind]
    const place = surface === 'streaming' ? surface : `${surface} ${slice.modelName}`
    const first = seen.get(place)
    seen.set(place, first ?? index)
    if (first !== undefined)
      problems.push({ path, message: `is for the same as slices[${first}]: give one slice several upstreams` })
    const found = problems.length
    const one = surface === 'streaming' ? buildStreaming(slice, path, problems) : buildModel(slice, path, problems)
    return problems.length > found || one === undefined ? [] : [one]
  })
  return { built, problems }
}

function buildStreaming(slice: Slice, path: string, problems: ConfigProblem[]): BuiltSlice | undefined {
  for (const member of ['modelName', 'upstreams'] as const)
    if (slice[member] !== undefined)
      problems.push({ path: `${path}.${member}`, message: 'is not known for streaming-tts' })
  const { members, keys } = buildEndpoint(slice.kind, slice, path, problems)
  const keyEntryIds = keys.map(({ id }) => id)
  return { kind: slice.kind, keyEntryIds, target: 'streaming-tts', setting: { ...members, keys } }
}

function buildModel(slice: Slice, path: string, problems: ConfigProblem[]): BuiltSlice | undefined {
  const { kind, modelName } = slice
  const { surface } = rows[kind]
  if (surface === 'streaming') return undefined
  if (modelName === undefined) problems.push({ path: `${path}.modelName`, message: 'is required' })
  const upstreams = buildUpstreams(slice, path, problems)
  const keyEntryIds = [...new Set(upstreams.flatMap(({ keys }) => keys.map(({ id }) => id)))]
  const provider = surface === 'tts' && { provider: kind }
  const model = { ...provider, upstreams }
  return { kind, keyEntryIds, target: 'llm-router', surface, modelName: modelName ?? '', model }
}

function buildUpstreams(slice: Slice, path: string, problems: ConfigProblem[]): BuiltUpstream[] {
  const { kind, upstreams } = slice
  if (upstreams === undefined) {
    const { members, keys } = buildEndpoint(kind, slice, path, problems)
    return [{ id: kind, ...members, keys }]
  }
  for (const member of [...kindMembers, 'plaintextKey', 'keyEntryId', 'keys'] as const)
    if (slice[member] !== undefined)
      problems.push({ path: `${path}.${member}`, message: "stands beside 'upstreams': give it there" })
  const counts = new Map<string, number>()
  return upstreams.map((upstream, index) => {
    const at = `${path}.upstreams[${index}]`
    const own = upstream.kind ?? kind
    if (rows[own].surface !== rows[kind].surface)
      problems.push({ path: `${at}.kind`, message: `does not serve what ${kind} does` })
    const count = (counts.get(own) ?? 0) + 1
    counts.set(own, count)
    const { members, keys } = buildEndpoint(own, upstream, at, problems)
    return {
      id: upstream.id ?? (count === 1 ? own : `${own}-${count}`),
      ...members,
      ...taken(upstream, ['timeoutMs', 'weight', 'maxConcurrency']),
      keys,
    }
  })
}

function buildEndpoint(kind: SliceKind, given: SliceEndpoint, path: string, problems: ConfigProblem[]) {
  const row = rows[kind]
  const known = row.members.map((member) => member.replace('!', ''))
  for (const member of kindMembers)
    if (given[member] !== undefined && !known.includes(member))
      problems.push({ path: `${path}.${member}`, message: `is not known for ${kind}` })
  for (const member of row.members)
    if (member.endsWith('!') && Reflect.get(given, member.slice(0, -1)) === undefined)
      problems.push({ path: `${path}.${member.slice(0, -1)}`, message: 'is required' })
  const { region } = given
  // It becomes a part of a host name: nothing that means something there may stand in it.
  if (kind === 'azure' && region !== undefined && !/^[a-z0-9]{1,40}$/.test(region))
    problems.push({ path: `${path}.region`, message: "must be a region's name, as in eastasia" })
  if (kind === 'dashscope-cosyvoice' && region !== undefined && !Object.hasOwn(dashscopeHosts, region))
    problems.push({ path: `${path}.region`, message: 'must be intl or cn' })
  return { members: row.build(given), keys: buildKeys(row.keyId, given, path, problems) }
}

function buildKeys(defaultId: string, given: SliceEndpoint, path: string, problems: ConfigProblem[]): BuiltKey[] {
  const { plaintextKey, keyEntryId, keys } = given
  if ((plaintextKey === undefined) === (keys === undefined)) {
    const message = keys === undefined ? 'is required' : "stands beside 'keys': give one of them"
    problems.push({ path: `${path}.plaintextKey`, message })
    return []
  }
  if (keys !== undefined && keyEntryId !== undefined)
    problems.push({ path: `${path}.keyEntryId`, message: "stands beside 'keys': give ids there" })
  const all = keys ?? [{ ...(keyEntryId !== undefined && { id: keyEntryId }), plaintextKey: plaintextKey ?? '' }]
  return all.map((key, index) => {
    const wrong = providerKeyProblem(key.plaintextKey, SLICE_KEY_CHARS_MAX)
    const at = keys === undefined ? path : `${path}.keys[${index}]`
    if (wrong !== undefined) problems.push({ path: `${at}.plaintextKey`, message: wrong })
    // As the default id, and then counted on: openrouter-prod-1, openrouter-prod-2.
    return { ...key, id: key.id ?? defaultId.replace(/1$/, String(index + 1)) }
  })
}

/** The members that are given. */
function taken<T extends object>(from: T, names: readonly (keyof T)[]): JsonObject {
  return Object.fromEntries(names.flatMap((name) => (from[name] === undefined ? [] : [[name, from[name]]])))
}
