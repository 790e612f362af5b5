import { keyPlacesOfConfig, keyPlacesOfSettings, redactKeys, sealKeys } from './credentials-in-config.ts'
import type { ConfigProblem, JsonObject } from './router/router-document.ts'
import type { Candidate } from './router/router-store.ts'
import {
  type Authorship,
  conflict,
  type EditorDeps,
  readCurrent,
  refuse,
  refuseIfAny,
  untilWritten,
  written,
} from './router-editor.ts'
import { type BuiltSlice, type BuiltUpstream, buildSlices, type Slice } from './router-slices.ts'

export interface SlicesInput extends Authorship {
  /** `reset` begins with an empty config. */
  mode: 'merge' | 'reset'
  dryRun: boolean
  slices: readonly Slice[]
  defaults: { chatModel?: string; ttsModel?: string }
  /** Puts upstreams and keys into a model that is there, by their ids; otherwise a slice replaces its model. */
  upsert?: boolean
  /** An If-Match header. Without one, the change is made again when somebody else was faster. */
  ifMatch?: string
}

/** What a slice went into, without its keys. */
interface AppliedSlice {
  kind: BuiltSlice['kind']
  target: BuiltSlice['target']
  surface?: 'llm' | 'tts'
  modelName?: string
  keyEntryIds: string[]
}

export interface SlicesResult {
  applied: AppliedSlice[]
  /** Names of what was written; none in a dry run. */
  invalidatedKeys: string[]
  /** What was touched, as it is afterwards, by the same names. Redacted. */
  preview: JsonObject
  warnings: readonly ConfigProblem[]
  /** Of the config that holds afterwards; 0 when none was ever written. */
  version: number
}

type Document = Record<string, { models?: Record<string, JsonObject> } & Record<string, unknown>>

const CONFIG = 'LLM_ROUTER_CONFIG'
const STREAMING = 'STREAMING_TTS_UPSTREAM'
const defaultsOf = [
  { given: 'chatModel', member: 'chatModel', setting: 'DEFAULT_CHAT_MODEL', surface: 'llm' },
  { given: 'ttsModel', member: 'speechModel', setting: 'DEFAULT_TTS_MODEL', surface: 'tts' },
] as const

/** Writes single models of the router config from little more than their keys. Throws AppError as createRouterEditor does. */
export function createSliceEditor({ store, settings, credentials }: EditorDeps) {
  /** What was read is changed in place, the keys are sealed in it, and what becomes of it is said. */
  async function prepare(input: SlicesInput, built: readonly BuiltSlice[]) {
    const { document: stored, etag, version } = await readCurrent(store)
    const storedSettings = Object.fromEntries((await settings.all()).map(({ key, value }) => [key, value]))
    const document = (input.mode === 'reset' ? {} : structuredClone(stored)) as Document
    const values: Record<string, unknown> = {}
    for (const slice of structuredClone(built)) {
      if (slice.target === 'streaming-tts') values[STREAMING] = slice.setting
      else putModel(document, slice, input.upsert ?? false)
    }
    refuseIfAny(putDefaults(document, values, input.defaults))
    const places = [...keyPlacesOfConfig(document), ...keyPlacesOfSettings(values)]
    const kept = [...keyPlacesOfConfig(stored), ...keyPlacesOfSettings(storedSettings)]
    refuseIfAny(sealKeys(credentials, places, kept))
    const touched = input.mode === 'reset' || built.some(({ target }) => target === 'llm-router')
    return { document, values, etag, version: version?.version ?? 0, touched }
  }

  type Prepared = Awaited<ReturnType<typeof prepare>>

  async function write(input: SlicesInput, prepared: Prepared) {
    const { author, reason } = input
    const { document: config, version } = prepared
    // The store checks names and values; what it gets here comes from slices.
    const values = prepared.values as NonNullable<Candidate['settings']>
    if (input.dryRun) {
      const plan = await store.plan({ config, settings: values })
      return plan.status === 'invalid' ? refuse(plan.problems) : { version, warnings: plan.warnings }
    }
    if (!prepared.touched) {
      const outcome = await settings.set({ values, author, reason })
      return outcome.status === 'invalid' ? refuse(outcome.problems) : { version, warnings: outcome.warnings }
    }
    const ifMatch = input.ifMatch ?? prepared.etag
    const outcome = await store.apply({ config, settings: values, author, reason, ifMatch })
    if (outcome.status === 'conflict') return 'conflict'
    const change = await written(store, outcome)
    return { version: change.version.version, warnings: change.warnings }
  }

  return {
    async apply(input: SlicesInput): Promise<SlicesResult> {
      const { built, problems } = buildSlices(input.slices)
      refuseIfAny(problems)
      return untilWritten(store, async () => {
        const prepared = await prepare(input, built)
        const outcome = await write(input, prepared)
        if (outcome === 'conflict') {
          if (input.ifMatch !== undefined) throw await conflict(store)
          return 'conflict'
        }
        const names = [...(prepared.touched ? [CONFIG] : []), ...Object.keys(prepared.values)]
        return {
          applied: built.map(appliedSlice),
          invalidatedKeys: input.dryRun ? [] : names,
          preview: redactKeys({
            ...(prepared.touched && { [CONFIG]: prepared.document }),
            ...prepared.values,
          }) as JsonObject,
          ...outcome,
        }
      })
    },
  }
}

export type SliceEditor = ReturnType<typeof createSliceEditor>

function appliedSlice(slice: BuiltSlice): AppliedSlice {
  const { kind, target, keyEntryIds } = slice
  if (slice.target === 'streaming-tts') return { kind, target, keyEntryIds }
  return { kind, target, surface: slice.surface, modelName: slice.modelName, keyEntryIds }
}

function putModel(document: Document, slice: Extract<BuiltSlice, { target: 'llm-router' }>, upsert: boolean): void {
  const { surface, modelName, model } = slice
  const section = document[surface] ?? {}
  document[surface] = section
  const models = section.models ?? {}
  section.models = models
  const there = upsert && Object.hasOwn(models, modelName) ? models[modelName] : undefined
  const upstreams = there === undefined ? model.upstreams : mergeById(there.upstreams, model.upstreams, mergeUpstream)
  // Defined, not assigned: a model may be called __proto__.
  Object.defineProperty(models, modelName, {
    value: { ...there, ...model, upstreams },
    enumerable: true,
    configurable: true,
    writable: true,
  })
}

function mergeUpstream(there: JsonObject, fresh: BuiltUpstream): JsonObject {
  const mergeKey = ({ ciphertext, ...key }: JsonObject, sent: JsonObject) => ({ ...key, ...sent })
  return { ...there, ...fresh, keys: mergeById(there.keys, fresh.keys, mergeKey) }
}

/** Fresh entries take the place of those with the same id; the others come after all that is there. */
function mergeById<T extends JsonObject>(
  there: unknown,
  fresh: readonly T[],
  merge: (there: JsonObject, fresh: T) => JsonObject,
): JsonObject[] {
  const old = Array.isArray(there) ? (there as JsonObject[]) : []
  const rest = fresh.filter(({ id }) => !old.some((entry) => entry.id === id))
  return [
    ...old.map((entry) => {
      const same = fresh.find(({ id }) => id === entry.id)
      return same === undefined ? entry : merge(entry, same)
    }),
    ...rest,
  ]
}

/** A default is a setting; where the config names one itself, which stands before the setting, it follows. */
function putDefaults(
  document: Document,
  values: Record<string, unknown>,
  given: SlicesInput['defaults'],
): ConfigProblem[] {
  return defaultsOf.flatMap(({ given: name, member, setting, surface }) => {
    const model = given[name]
    if (model === undefined) return []
    values[setting] = model
    if (document.defaults?.[member] !== undefined) document.defaults[member] = model
    // Only `provider/model` may be served by a provider of the environment, of which a config knows nothing.
    if (Object.hasOwn(document[surface]?.models ?? {}, model) || model.includes('/')) return []
    return [{ path: `defaults.${name}`, message: `is not a model under ${surface}` }]
  })
}
