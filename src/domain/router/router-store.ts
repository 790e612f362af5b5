import { type Db, type Tx, transaction } from '#db/pool.ts'
import { recordAct } from '#domain/audit-trail.ts'
import { keyPlacesOfConfig } from '#domain/credentials-in-config.ts'
import { NAME_CHARS_MAX, REASON_CHARS_MAX, requirePlainText } from '#domain/plain-text.ts'
import type { SettingName, SettingValues } from '#domain/setting-values.ts'
import { assert } from '#lib/assert.ts'
import { AppError } from '#src/errors.ts'
import { type CompileRules, compileRouter } from './compile.ts'
import { diffConfigs } from './diff-configs.ts'
import { judgeSettings } from './judge-settings.ts'
import { parseRouterConfig, readJson } from './parse-config.ts'
import { createProblems, isObject } from './read-json.ts'
import { restoreCiphertexts } from './restore-ciphertexts.ts'
import type { ConfigProblem, RouterDocument } from './router-document.ts'
import {
  type ConfigRow,
  configColumns,
  configOf,
  etagOf,
  insertConfig,
  insertSettings,
  lockState,
  matchesEtag,
  notifyState,
  readState,
  type StoredState,
  usableConfig,
  type WrittenState,
} from './stored-state.ts'

/** One written version of the router config, without its content. */
export interface RouterVersion {
  /** Counted from 1 without a gap; 0 stands for "nothing was ever written". */
  version: number
  /** `sha256:` and 64 hex digits of the canonical content. */
  digest: string
  /** Strong entity tag with its quotes, for `ETag` and `If-Match`. */
  etag: string
  author: string
  reason: string
  createdAt: Date
  /** The version that this one followed. */
  parent: number
  /** The older version whose content this one has again. */
  rollbackOf: number | undefined
}

/** With its content. Ciphertexts are as stored: show it to people through redactKeys only. */
interface StoredRouterConfig extends RouterVersion {
  /** As it was written; empty where that is no JSON object. */
  document: RouterDocument
  /** Why this release cannot use it; empty where it can. */
  problems: readonly ConfigProblem[]
}

type DiffKind = 'added' | 'removed' | 'changed'

export interface RouterDiff {
  /** Sorted by surface and name. `fields` are paths inside of a changed model; values are not repeated. */
  models: { surface: string; name: string; kind: DiffKind; fields: string[] }[]
  /** Members of `defaults` that differ. */
  defaults: string[]
  /** Settings that are given with the candidate and differ. */
  settings: string[]
}

/** A candidate that would be refused, with everything that is wrong about it. */
interface InvalidCandidate {
  status: 'invalid'
  problems: readonly ConfigProblem[]
}

export interface RouterPlan {
  status: 'valid'
  /** What it was compared with: hand `base.etag` to apply. */
  base: { version: number; etag: string }
  digest: string
  changed: boolean
  diff: RouterDiff
  /** What is allowed and probably not meant, such as a model without a price. */
  warnings: ConfigProblem[]
}

/** Someone else has written since: nothing was. `current` is what holds now. */
interface Conflict {
  status: 'conflict'
  current: { version: number; etag: string }
}

export type ApplyOutcome =
  /** `version` is what holds now: the old one where only settings were written. */
  | { status: 'applied'; version: RouterVersion; diff: RouterDiff; warnings: ConfigProblem[] }
  /** It says what holds already; no version was written. */
  | { status: 'unchanged'; version: RouterVersion; warnings: ConfigProblem[] }
  | Conflict
  | InvalidCandidate

export interface Candidate {
  /** A JSON value or its text. A placeholder `<ciphertext: N chars>` keeps the ciphertext that the same key has now. */
  config: unknown
  /** Written in the same transaction; `null` removes one. */
  settings?: Partial<{ [Name in SettingName]: SettingValues[Name] | null }>
}

interface ApplyInput extends Candidate {
  author: string
  reason: string
  /** An If-Match header; without one the write is unconditional. */
  ifMatch?: string
}

export const VERSIONS_PAGE_MAX = 100

export interface RouterStore {
  /** The newest version, also one that this release cannot use; undefined when none was ever written. */
  current(): Promise<StoredRouterConfig | undefined>
  /** Throws AppError not_found. */
  get(version: number): Promise<StoredRouterConfig>
  /** Newest first, at most VERSIONS_PAGE_MAX. */
  list(page: { limit: number; before?: number }): Promise<{ versions: RouterVersion[]; hasMore: boolean }>
  /** The tag of what holds now, also when nothing was ever written. */
  etag(): Promise<string>
  /** Checks a candidate and compares it with what holds; writes nothing. */
  plan(candidate: Candidate): Promise<RouterPlan | InvalidCandidate>
  apply(input: ApplyInput): Promise<ApplyOutcome>
  /** Writes a new version with the content of an old one. Throws AppError not_found. */
  rollback(input: { to: number; author: string; reason: string; ifMatch?: string }): Promise<ApplyOutcome>
}

/** One write of one setting, newest first in a history. */
export interface SettingChange {
  /** Counted over all settings. */
  version: number
  key: string
  /** Undefined: the setting was removed. */
  value: unknown
  author: string
  reason: string
  createdAt: Date
}

export interface SettingsStore {
  /** What is stored now, by key; also keys and values that this release cannot use. */
  all(): Promise<SettingChange[]>
  history(page: {
    key?: string
    limit: number
    before?: number
  }): Promise<{ changes: SettingChange[]; hasMore: boolean }>
  /** Writes all or nothing; `null` removes. Values that hold already are not written again. */
  set(input: {
    values: NonNullable<Candidate['settings']>
    author: string
    reason: string
  }): Promise<{ status: 'applied'; keys: string[]; warnings: ConfigProblem[] } | InvalidCandidate>
}

export interface RouterStoreOptions extends CompileRules {
  db: Db
  /** Called after a write is committed, to tell others by more ways than NOTIFY. */
  announce?: (written: WrittenState) => void
}

/** Keeps the versions of the router config. What it returns for expected refusals are values; it throws for faults. */
export function createRouterStore(options: RouterStoreOptions): RouterStore {
  const { db, announce = () => undefined } = options

  /** Both reads and writes judge a candidate against the same state. */
  function judge(state: StoredState, candidate: Candidate): Judged | InvalidCandidate {
    const before = state.config === undefined ? {} : documentOf(state.config.text)
    const given = createProblems()
    const read = readJson(candidate.config, given)
    if (read === undefined) return invalid(given.list)
    const missing = restoreCiphertexts(keyPlacesOfConfig(read.value), keyPlacesOfConfig(before))
    if (missing.length > 0) return invalid(missing)
    const parsed = parseRouterConfig(read.value)
    const changes = judgeSettings(state.settings, candidate.settings ?? {})
    if (!parsed.ok) return invalid([...parsed.problems, ...changes.problems])
    if (changes.problems.length > 0) return invalid(changes.problems)
    const compiled = compileRouter({
      ...options,
      document: parsed.document,
      version: 0,
      digest: parsed.digest,
      settings: changes.settings,
    })
    if (compiled.problems.length > 0) return invalid(compiled.problems)
    return {
      text: parsed.text,
      digest: parsed.digest,
      isNew: parsed.digest !== state.config?.digest,
      settings: changes.values,
      diff: { ...diffConfigs(before, parsed.document), settings: [...changes.values.keys()].sort() },
      warnings: [...parsed.warnings, ...compiled.warnings].slice(0, WARNINGS_MAX),
    }
  }

  async function write(
    by: { author: string; reason: string; ifMatch?: string },
    choose: (tx: Tx, state: StoredState) => Promise<Candidate & { rollbackOf?: number }>,
  ): Promise<ApplyOutcome> {
    requirePlainText(by.author, 'author', NAME_CHARS_MAX)
    requirePlainText(by.reason, 'reason', REASON_CHARS_MAX)
    const { outcome, written } = await transaction(db, async (tx) => {
      await lockState(tx)
      const state = await readState(tx)
      const etag = etagOf(state.config)
      if (!matchesEtag(by.ifMatch, etag)) {
        const current = { version: state.config?.version ?? 0, etag }
        return { outcome: { status: 'conflict', current } satisfies Conflict }
      }
      const { rollbackOf, ...candidate } = await choose(tx, state)
      const judged = judge(state, candidate)
      if ('status' in judged) return { outcome: judged }
      const { diff, warnings } = judged
      const parent = state.config?.version ?? 0
      const row =
        judged.isNew || state.config === undefined
          ? await insertConfig(tx, { ...by, parent, rollbackOf, text: judged.text, digest: judged.digest })
          : state.config
      const version = versionOf(row)
      if (row === state.config && judged.settings.size === 0)
        return { outcome: { status: 'unchanged', version, warnings } as const }
      const settings = await insertSettings(tx, state.settingsVersion, judged.settings, by)
      const written = { config: version.version, settings }
      await recordAct(tx, {
        ...{ actor: by.author, action: rollbackOf === undefined ? 'router.apply' : 'router.rollback' },
        subject: `router_config/${version.version}`,
        before: { version: parent },
        after: { version: version.version, digest: judged.digest, reason: by.reason, changed: diff },
      })
      await notifyState(tx, written)
      return { outcome: { status: 'applied', version, diff, warnings } as const, written }
    })
    if (written !== undefined) announce(written)
    return outcome
  }

  async function stored(version: number): Promise<ConfigRow & { text: string }> {
    const { rows } = await db.query<ConfigRow & { rollbackOf: number | null; text: string }>(
      `select ${configColumns}, config as text from router_config where version = $1`,
      [version],
    )
    const [row] = rows
    if (row === undefined) throw new AppError('not_found', { message: 'No router config has this version.' })
    return { ...configOf(row), text: row.text }
  }

  return {
    async current() {
      const { config } = await readState(db)
      return config === undefined ? undefined : withContent(config)
    },

    get: async (version) => withContent(await stored(version)),

    async list({ limit, before }) {
      assert(limit >= 1 && limit <= VERSIONS_PAGE_MAX, 'a page has 1 to VERSIONS_PAGE_MAX versions')
      const { rows } = await db.query<ConfigRow & { rollbackOf: number | null }>(
        `select ${configColumns} from router_config where $1::int8 is null or version < $1 order by version desc limit $2`,
        [before ?? null, limit + 1],
      )
      const versions = rows.slice(0, limit).map((row) => versionOf(configOf(row)))
      return { versions, hasMore: rows.length > limit }
    },

    etag: async () => etagOf((await readState(db)).config),

    async plan(candidate) {
      const state = await readState(db)
      const judged = judge(state, candidate)
      if ('status' in judged) return judged
      const { digest, diff, warnings } = judged
      const base = { version: state.config?.version ?? 0, etag: etagOf(state.config) }
      return { status: 'valid', base, digest, changed: judged.isNew || judged.settings.size > 0, diff, warnings }
    },

    apply: (input) => write(input, async () => ({ config: input.config, settings: input.settings ?? {} })),

    async rollback(input) {
      const { text } = await stored(input.to)
      return write(input, async () => ({ config: text, rollbackOf: input.to }))
    },
  }
}

/** More are not worth reading. */
const WARNINGS_MAX = 100

interface Judged {
  text: string
  digest: string
  isNew: boolean
  settings: ReadonlyMap<string, string | undefined>
  diff: RouterDiff
  warnings: ConfigProblem[]
}

function invalid(problems: readonly ConfigProblem[]): InvalidCandidate {
  return { status: 'invalid', problems: problems.slice(0, WARNINGS_MAX) }
}

function versionOf(row: ConfigRow): RouterVersion {
  const { version, digest, author, reason, createdAt, parent, rollbackOf } = row
  return { version, digest, etag: etagOf(row), author, reason, createdAt, parent, rollbackOf }
}

function withContent(row: ConfigRow & { text: string }): StoredRouterConfig {
  const usable = usableConfig(row)
  return {
    ...versionOf(row),
    document: documentOf(row.text),
    problems: 'problems' in usable ? usable.problems : [],
  }
}

/** The stored document in whatever state it is. */
function documentOf(text: string): RouterDocument {
  const read = readJson(text, createProblems())
  return isObject(read?.value) ? read.value : {}
}
