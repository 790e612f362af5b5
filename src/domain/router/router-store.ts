import type { SettingName, SettingValues } from '#domain/setting-values.ts'
import type { ConfigProblem, RouterDocument } from './router-document.ts'

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

/** With its content. Ciphertexts are as stored: show it to people through redactDocument only. */
export interface StoredRouterConfig extends RouterVersion {
  document: RouterDocument
}

export type DiffKind = 'added' | 'removed' | 'changed'

export interface RouterDiff {
  /** Sorted by surface and name. `fields` are paths inside of a changed model; values are not repeated. */
  models: { surface: string; name: string; kind: DiffKind; fields: string[] }[]
  /** Members of `defaults` that differ. */
  defaults: string[]
  /** Settings that are given with the candidate and differ. */
  settings: string[]
}

/** A candidate that would be refused, with everything that is wrong about it. */
export interface InvalidCandidate {
  status: 'invalid'
  problems: ConfigProblem[]
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
export interface Conflict {
  status: 'conflict'
  current: { version: number; etag: string }
}

export type ApplyOutcome =
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

export interface ApplyInput extends Candidate {
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
