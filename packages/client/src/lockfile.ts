import { type LockTable, own } from './lock-value.ts'
import { pythonTimeOf } from './python-time.ts'

export const LOCKFILE_VERSION = '1.0'
export const LOCKFILE_CHARS_MAX = 1_048_576
export const PROFILES_MAX = 100
export const BINDINGS_MAX = 1_000
export const POOL_MAX = 32
export const EXTENDS_MAX = 64
/** Characters of an alias, counted as code points: what the gateway takes as a label. */
export const ALIAS_CHARS_MAX = 255

/** A lockfile as code reads it. `rest` keeps members that nobody here knows; llmring leaves them out of the digest, so do we. */
export interface Lockfile {
  version: string
  /** Times as Python's `isoformat` prints them. Absent only from files that were written by hand. */
  createdAt?: string
  updatedAt?: string
  defaultProfile: string
  extends: Extends
  metadata: LockTable | null
  profiles: Record<string, Profile>
  rest: LockTable
}

export interface Extends {
  /** Names of packages that bring an `llmring.lock` along. Each is a namespace: `package:alias`. */
  packages: string[]
  /** Namespace to path of a lockfile, relative to the one that names it. llmring does not know these. */
  files: Record<string, string>
  rest: LockTable
}

export interface Profile {
  name: string
  bindings: Binding[]
  /** Provider to the version of its price registry that this profile is pinned to. */
  registryVersions: Record<string, number>
  rest: LockTable
}

export interface Binding {
  alias: string
  /** `provider:model`, in the order of preference. */
  models: string[]
  constraints: LockTable | null
  rest: LockTable
}

/** A new lockfile as llmring makes one: four empty profiles. */
export function createLockfile(now: Date): Lockfile {
  const time = pythonTimeOf(now)
  return {
    version: LOCKFILE_VERSION,
    createdAt: time,
    updatedAt: time,
    defaultProfile: 'default',
    extends: { packages: [], files: {}, rest: {} },
    metadata: {},
    profiles: Object.fromEntries(['default', 'prod', 'staging', 'dev'].map((name) => [name, createProfile(name)])),
    rest: {},
  }
}

export function createProfile(name: string): Profile {
  return { name, bindings: [], registryVersions: {}, rest: {} }
}

/** The first binding of an alias in a profile, as llmring takes it. A profile that is not there has none. */
export function findBinding(lockfile: Lockfile, profile: string, alias: string): Binding | undefined {
  return own(lockfile.profiles, profile)?.bindings.find((binding) => binding.alias === alias)
}

/** The aliases of a profile, in the order of the file. */
export function listAliases(lockfile: Lockfile, profile: string = lockfile.defaultProfile): string[] {
  return own(lockfile.profiles, profile)?.bindings.map(({ alias }) => alias) ?? []
}
