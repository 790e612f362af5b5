import { LockfileError, type Problem } from './errors.ts'
import { DEPTH_MAX, isTable, type LockTable, type LockValue } from './lock-value.ts'
import {
  BINDINGS_MAX,
  type Binding,
  createProfile,
  EXTENDS_MAX,
  type Extends,
  LOCKFILE_VERSION,
  type Lockfile,
  POOL_MAX,
  PROFILES_MAX,
  type Profile,
} from './lockfile.ts'
import { pythonTime } from './python-time.ts'

/**
 * Gives a parsed document the shape of a lockfile; members that are absent get llmring's defaults. Throws LockfileError
 * `lockfile_invalid` with everything that has a wrong type. Whether the content makes sense is `checkLockfile`'s question.
 */
export function parseLockfile(document: unknown): Lockfile {
  const problems: Problem[] = []
  const reader = createReader(problems)
  const root = reader.members(document, 'the file') ?? {}
  const { version, created_at, updated_at, default_profile, extends: extended, metadata, profiles, ...rest } = root
  const createdAt = reader.time(created_at, 'created_at')
  const updatedAt = reader.time(updated_at, 'updated_at')
  const lockfile: Lockfile = {
    version: reader.text(version, 'version', LOCKFILE_VERSION),
    ...(createdAt === undefined ? {} : { createdAt }),
    ...(updatedAt === undefined ? {} : { updatedAt }),
    defaultProfile: reader.text(default_profile, 'default_profile', 'default'),
    extends: readExtends(reader, extended),
    metadata: metadata === null ? null : reader.table(metadata, 'metadata', {}),
    profiles: reader.record(profiles, 'profiles', PROFILES_MAX, (value, at) => readProfile(reader, value, at)),
    rest: reader.table(rest, ''),
  }
  if (problems.length > 0) {
    const [first] = problems
    const more = problems.length > 1 ? ` (and ${problems.length - 1} more)` : ''
    throw new LockfileError('lockfile_invalid', `${first?.at} ${first?.message}${more}`, { problems })
  }
  return lockfile
}

function readExtends(reader: Reader, value: unknown): Extends {
  const { packages, files, ...rest } = value === undefined ? {} : (reader.members(value, 'extends') ?? {})
  return {
    packages: reader.list(packages, 'extends.packages', EXTENDS_MAX, reader.text),
    files: reader.record(files, 'extends.files', EXTENDS_MAX, reader.text),
    rest: reader.table(rest, 'extends'),
  }
}

function readProfile(reader: Reader, value: unknown, at: string): Profile {
  const members = reader.members(value, at)
  if (members === undefined) return createProfile('')
  const { name, bindings, registry_versions, ...rest } = members
  return {
    name: reader.text(name, `${at}.name`),
    bindings: reader.list(bindings, `${at}.bindings`, BINDINGS_MAX, (item, place) => readBinding(reader, item, place)),
    registryVersions: reader.record(registry_versions, `${at}.registry_versions`, EXTENDS_MAX, reader.integer),
    rest: reader.table(rest, at),
  }
}

function readBinding(reader: Reader, value: unknown, at: string): Binding {
  const members = reader.members(value, at)
  if (members === undefined) return { alias: '', models: [], constraints: null, rest: {} }
  const { alias, models, constraints, ...rest } = members
  return {
    alias: reader.text(alias, `${at}.alias`),
    models: reader.required(models, `${at}.models`) ? reader.list(models, `${at}.models`, POOL_MAX, reader.text) : [],
    constraints:
      constraints === undefined || constraints === null ? null : reader.table(constraints, `${at}.constraints`),
    rest: reader.table(rest, at),
  }
}

type Reader = ReturnType<typeof createReader>

/** Readers that note what is wrong and go on, so that one run shows every mistake. */
function createReader(problems: Problem[]) {
  const wrong = (at: string, message: string) => {
    problems.push({ severity: 'error', at, message })
  }

  function required(value: unknown, at: string): boolean {
    if (value === undefined) wrong(at, 'is missing')
    return value !== undefined
  }

  function text(value: unknown, at: string, whenAbsent?: string): string {
    if (value === undefined && whenAbsent !== undefined) return whenAbsent
    if (!required(value, at)) return ''
    if (typeof value !== 'string') wrong(at, `must be a text, not ${kindOf(value)}`)
    else if (!value.isWellFormed()) wrong(at, 'holds half a surrogate pair')
    else return value
    return ''
  }

  function time(value: unknown, at: string): string | undefined {
    if (value === undefined) return undefined
    const found = pythonTime(text(value, at))
    if (found === undefined && typeof value === 'string') wrong(at, 'is not a time like 2026-01-31T12:00:00+00:00')
    return found
  }

  function integer(value: unknown, at: string): number {
    const number = typeof value === 'bigint' ? Number(value) : Number.NaN
    if (!Number.isSafeInteger(number))
      wrong(at, typeof value === 'bigint' ? 'is too large' : `must be an integer, not ${kindOf(value)}`)
    return number
  }

  function list<T>(value: unknown, at: string, countMax: number, item: (value: unknown, at: string) => T): T[] {
    if (value === undefined) return []
    if (!Array.isArray(value)) wrong(at, `must be a list, not ${kindOf(value)}`)
    else if (value.length > countMax) wrong(at, `has more than ${countMax} entries`)
    else return value.map((entry, index) => item(entry, `${at}[${index}]`))
    return []
  }

  function record<T>(
    value: unknown,
    at: string,
    countMax: number,
    item: (value: unknown, at: string) => T,
  ): Record<string, T> {
    if (value === undefined) return {}
    if (!isTable(value)) wrong(at, `must be a table, not ${kindOf(value)}`)
    else if (Object.keys(value).length > countMax) wrong(at, `has more than ${countMax} entries`)
    else {
      return Object.fromEntries(
        Object.entries(value).map(([key, member]) => [text(key, `a name in ${at}`), item(member, `${at}.${key}`)]),
      )
    }
    return {}
  }

  /** The members of what must be a table, not yet looked at. */
  function members(value: unknown, at: string): Record<string, unknown> | undefined {
    if (!required(value, at)) return undefined
    if (isTable(value)) return value
    wrong(at, `must be a table, not ${kindOf(value)}`)
    return undefined
  }

  /** A table that may hold anything. */
  function table(value: unknown, at: string, whenAbsent?: LockTable): LockTable {
    if (value === undefined && whenAbsent !== undefined) return whenAbsent
    return members(value, at) === undefined ? {} : (anything(value, at, 0) as LockTable)
  }

  function anything(value: unknown, at: string, depth: number): LockValue {
    if (depth > DEPTH_MAX) {
      wrong(at, `is nested deeper than ${DEPTH_MAX}`)
      return null
    }
    if (typeof value === 'string') return text(value, at)
    if (typeof value === 'bigint' || typeof value === 'boolean' || value === null) return value
    if (typeof value === 'number') {
      if (!Number.isFinite(value)) wrong(at, 'is not a finite number')
      return value
    }
    if (Array.isArray(value)) return value.map((item, index) => anything(item, `${at}[${index}]`, depth + 1))
    if (isTable(value)) {
      return Object.fromEntries(
        Object.entries(value).map(([key, member]) => [
          text(key, `a name in ${at}`),
          anything(member, at === '' ? key : `${at}.${key}`, depth + 1),
        ]),
      )
    }
    wrong(at, `must not be ${kindOf(value)}`)
    return null
  }

  return { required, text, time, integer, list, record, members, table }
}

function kindOf(value: unknown): string {
  if (value === null) return 'null'
  if (Array.isArray(value)) return 'a list'
  if (typeof value === 'object') return 'a table'
  if (typeof value === 'bigint') return 'an integer'
  return typeof value === 'string' ? 'a text' : `a ${typeof value}`
}
