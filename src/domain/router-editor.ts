import { AppError } from '#src/errors.ts'
import type { Credentials } from './credentials.ts'
import {
  closedKeys,
  keyPlacesOfConfig,
  keyPlacesOfSettings,
  type Resealing,
  redactKeys,
  resealKeys,
  sealKeys,
} from './credentials-in-config.ts'
import { readJson } from './router/parse-config.ts'
import { createProblems } from './router/read-json.ts'
import type { ConfigProblem, JsonObject, RouterDocument } from './router/router-document.ts'
import type {
  ApplyOutcome,
  RouterDiff,
  RouterPlan,
  RouterStore,
  RouterVersion,
  SettingsStore,
} from './router/router-store.ts'

/** How often a change is made again to what somebody else wrote meanwhile. */
const TRIES_MAX = 20
const NOTHING: RouterDocument = {}

/** Who writes, and why: kept with the version. */
export interface Authorship {
  author: string
  reason: string
}

/** A config as people may see it. */
export interface ShownConfig {
  etag: string
  /** Undefined: nothing was ever written. */
  version: RouterVersion | undefined
  /** Every ciphertext is a placeholder, which means the same key when it is sent back. */
  config: JsonObject
  /** Why this release cannot use it: no gateway of it serves with it. */
  problems: readonly ConfigProblem[]
  /** Keys that do not open. */
  warnings: readonly ConfigProblem[]
}

export interface RouterChange {
  status: 'applied' | 'unchanged'
  version: RouterVersion
  diff: RouterDiff
  warnings: readonly ConfigProblem[]
}

export interface EditorDeps {
  store: RouterStore
  settings: SettingsStore
  credentials: Credentials
}

/**
 * The operator's door to the router config: plaintext keys are sealed before anything is compared or stored, and nothing is
 * given out but redacted. Methods that write throw AppError: body_invalid with all problems, precondition_failed, not_found.
 */
export function createRouterEditor({ store, settings, credentials }: EditorDeps) {
  async function prepared(config: unknown): Promise<unknown> {
    const problems = createProblems()
    const read = readJson(config, problems)
    if (read === undefined) return refuse(problems.list)
    const { document } = await readCurrent(store)
    refuseIfAny(sealKeys(credentials, keyPlacesOfConfig(read.value), keyPlacesOfConfig(document)))
    return read.value
  }

  return {
    /** What holds now, or one of its versions. Throws AppError not_found. */
    async show(asked?: number): Promise<ShownConfig> {
      const version = asked === undefined ? await store.current() : await store.get(asked)
      const document = version?.document ?? NOTHING
      return {
        etag: version?.etag ?? (await store.etag()),
        version,
        config: redactKeys(document) as JsonObject,
        problems: version?.problems ?? [],
        warnings: closedKeys(credentials, keyPlacesOfConfig(document)),
      }
    },

    list: store.list,

    /** Checks a config, given as JSON or its text, and says what it would change. Throws AppError body_invalid. */
    async plan(config: unknown): Promise<RouterPlan> {
      const plan = await store.plan({ config: await prepared(config) })
      return plan.status === 'invalid' ? refuse(plan.problems) : plan
    },

    async apply(input: Authorship & { config: unknown; ifMatch?: string }): Promise<RouterChange> {
      return written(store, await store.apply({ ...input, config: await prepared(input.config) }))
    },

    /** Makes an old version hold again, as a new one. Its keys are those of then: the warnings name what does not open. */
    async rollback(input: Authorship & { to: number; ifMatch?: string }): Promise<RouterChange> {
      const { document } = await store.get(input.to)
      const change = await written(store, await store.rollback(input))
      return { ...change, warnings: [...change.warnings, ...closedKeys(credentials, keyPlacesOfConfig(document))] }
    },

    /** Seals everything that holds now with the current master key. Old versions stay as they were written. */
    async reseal(input: Authorship & { dryRun: boolean }): Promise<Resealing & { version: number }> {
      const { dryRun, ...by } = input
      return untilWritten(store, async () => {
        const { document, etag, version } = await readCurrent(store)
        const config = structuredClone(document)
        const values = Object.fromEntries((await settings.all()).map(({ key, value }) => [key, structuredClone(value)]))
        const inConfig = resealKeys(credentials, keyPlacesOfConfig(config))
        const inSettings = resealKeys(credentials, keyPlacesOfSettings(values))
        const found = {
          resealed: [...inConfig.resealed, ...inSettings.resealed],
          kept: [...inConfig.kept, ...inSettings.kept],
          closed: [...inConfig.closed, ...inSettings.closed],
          version: version?.version ?? 0,
        }
        if (dryRun) return found
        const touched = inSettings.resealed.map((path) => path.split(/[.[]/, 1)[0] ?? '')
        const changed = { settings: Object.fromEntries(touched.map((key) => [key, values[key]])) }
        if (inConfig.resealed.length > 0) {
          const outcome = await store.apply({ config, ...changed, ...by, ifMatch: etag })
          if (outcome.status === 'conflict') return 'conflict'
          return { ...found, version: (await written(store, outcome)).version.version }
        }
        if (touched.length > 0) {
          const outcome = await settings.set({ values: changed.settings, ...by })
          if (outcome.status === 'invalid') refuse(outcome.problems)
        }
        return found
      })
    },
  }
}

export type RouterEditor = ReturnType<typeof createRouterEditor>

/** What holds now, as it is stored. The tag is read first: if nothing is there a moment later, it is the tag of nothing. */
export async function readCurrent(
  store: RouterStore,
): Promise<{ document: RouterDocument; etag: string; version: RouterVersion | undefined }> {
  const etag = await store.etag()
  const version = await store.current()
  return { document: version?.document ?? NOTHING, etag: version?.etag ?? etag, version }
}

/** The outcome of a write, or the AppError that it means. */
export async function written(store: RouterStore, outcome: ApplyOutcome): Promise<RouterChange> {
  if (outcome.status === 'invalid') return refuse(outcome.problems)
  if (outcome.status === 'conflict') throw await conflict(store)
  return { diff: { models: [], defaults: [], settings: [] }, ...outcome }
}

/** Does a change again when somebody else wrote in between. */
export async function untilWritten<T>(store: RouterStore, attempt: () => Promise<T | 'conflict'>): Promise<T> {
  for (let tries = 0; tries < TRIES_MAX; tries += 1) {
    const result = await attempt()
    if (result !== 'conflict') return result
  }
  throw await conflict(store)
}

export async function conflict(store: RouterStore): Promise<AppError> {
  return new AppError('precondition_failed', { headers: { etag: await store.etag() } })
}

export function refuseIfAny(problems: readonly ConfigProblem[]): void {
  if (problems.length > 0) refuse(problems)
}

/** Throws AppError body_invalid with everything that is wrong. */
export function refuse(problems: readonly ConfigProblem[]): never {
  const [first] = problems
  const more = problems.length > 1 ? `, and ${problems.length - 1} more` : ''
  const message = `${first?.path || 'The config'} ${first?.message}${more}`
  throw new AppError('body_invalid', {
    message: message.endsWith('?') ? message : `${message}.`,
    ...(first !== undefined && first.path !== '' && { param: first.path }),
    problems,
  })
}
