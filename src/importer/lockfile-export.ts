import { hash } from 'node:crypto'
import { mkdir, readFile, rename, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { isDeepStrictEqual } from 'node:util'
import { checkLockfile } from '#client/check-lockfile.ts'
import {
  BINDINGS_MAX,
  type Binding,
  createLockfile,
  createProfile,
  LOCKFILE_CHARS_MAX,
  type Lockfile,
  POOL_MAX,
  PROFILES_MAX,
} from '#client/lockfile.ts'
import { readLockfile, writeLockfile } from '#client/lockfile-text.ts'
import type { Tx } from '#db/pool.ts'
import { fingerprintOf } from './llmring-owners.ts'
import { type LlmringShape, tableName } from './llmring-shape.ts'
import { textOf } from './llmring-sql.ts'
import { ImportRefused } from './report.ts'

/** What an alias stood for in the source. */
export interface AliasBinding {
  /** Stands for the project's header or id. */
  fingerprint: string
  profile: string
  alias: string
  model: string
  /** JSON. */
  metadata: string | null
}

export interface LockfileExport {
  files: { name: string; bindings: number }[]
  /** Of all bindings: what `contract` compares before it drops them. */
  digest: string
  bindings: number
  /** What llmring's own tools will find wrong with the files, by file. */
  problems: string[]
}

// Room for the text around the bindings of one file, and for the longest escape of a character.
const FILE_CHARS_MAX = LOCKFILE_CHARS_MAX / 8

/** Every binding of the source, in an order that does not change. */
export async function readBindings(tx: Tx, shape: LlmringShape): Promise<AliasBinding[]> {
  const { aliases } = shape
  if (aliases === undefined) return []
  const { rows } = await tx.query<Omit<AliasBinding, 'fingerprint'> & { owner: string }>(
    `select ${textOf('a', aliases.owner)} as owner, coalesce(${textOf('a', aliases.profile)}, 'default') as profile,
            ${textOf('a', aliases.alias)} as alias, ${textOf('a', aliases.model)} as model, ${textOf('a', aliases.metadata)} as metadata
     from ${tableName(shape, 'aliases')} a`,
  )
  const key = (one: AliasBinding) => [one.fingerprint, one.profile, one.alias, one.model, one.metadata ?? '']
  return rows
    .map(({ owner, ...binding }) => ({ fingerprint: fingerprintOf(owner), ...binding }))
    .map((binding) => ({ binding, sort: JSON.stringify(key(binding)) }))
    .sort((a, b) => (a.sort < b.sort ? -1 : a.sort > b.sort ? 1 : 0))
    .map(({ binding }) => binding)
}

export function digestOfBindings(bindings: readonly AliasBinding[]): string {
  return hash(
    'sha256',
    JSON.stringify(bindings.map((one) => [one.fingerprint, one.profile, one.alias, one.model, one.metadata])),
  )
}

/**
 * Writes one llmring.lock for each project of the source, with a profile for each of its profiles, and one file with every binding as it
 * was. Each is read back and compared. Running it again writes the same files. Throws ImportRefused when a file cannot be written.
 */
export async function exportLockfiles(
  folder: string,
  bindings: readonly AliasBinding[],
  name: string,
): Promise<LockfileExport> {
  const files: LockfileExport['files'] = []
  const problems: string[] = []
  await mkdir(folder, { recursive: true })
  for (const [fingerprint, own] of Map.groupBy(bindings, (one) => one.fingerprint)) {
    for (const [index, part] of split(own).entries()) {
      const file = `${name}-${fingerprint}${index === 0 ? '' : `-${index + 1}`}.lock`
      const lockfile = lockfileOf(part)
      await replaceFile(join(folder, file), writeLockfile(lockfile, 'toml'))
      const again = readLockfile(await readFile(join(folder, file), 'utf8'), 'toml')
      if (!isDeepStrictEqual(bindingsIn(again), bindingsIn(lockfile)))
        throw new ImportRefused(`${join(folder, file)} does not read back as what was written: nothing was changed`)
      files.push({ name: file, bindings: part.length })
      for (const problem of checkLockfile(again)) problems.push(`${file}: ${problem.at} ${problem.message}`)
    }
  }
  // What no lockfile can say is here: the metadata of a binding, and texts as they were before a list of models was taken apart.
  const lines = bindings.map((one) => `${JSON.stringify(one)}\n`).join('')
  await replaceFile(join(folder, `${name}-bindings.ndjson`), lines)
  return { files, digest: digestOfBindings(bindings), bindings: bindings.length, problems }
}

/** As many files as the limits of a lockfile ask for: nearly always one. */
function split(bindings: readonly AliasBinding[]): AliasBinding[][] {
  const parts: AliasBinding[][] = [[]]
  let perProfile = new Map<string, number>()
  let chars = 0
  for (const binding of bindings) {
    const count = perProfile.get(binding.profile) ?? 0
    const size = binding.alias.length + binding.model.length + binding.profile.length + 64
    const isNewProfile = count === 0 && perProfile.size >= PROFILES_MAX
    if (count >= BINDINGS_MAX || isNewProfile || chars + size > FILE_CHARS_MAX) {
      parts.push([])
      perProfile = new Map()
      chars = 0
    }
    parts.at(-1)?.push(binding)
    perProfile.set(binding.profile, (perProfile.get(binding.profile) ?? 0) + 1)
    chars += size
  }
  return parts.filter((part) => part.length > 0)
}

/** A fixed time, so that a second export is the same file, byte for byte. */
const WRITTEN_AT = new Date('2025-01-01T00:00:00Z')

function lockfileOf(bindings: readonly AliasBinding[]): Lockfile {
  const profiles = [...Map.groupBy(bindings, (one) => one.profile)].map(
    ([name, own]) => [name, { ...createProfile(name), bindings: own.map(toBinding) }] as const,
  )
  const [first] = profiles.map(([name]) => name)
  const defaultProfile = profiles.some(([name]) => name === 'default') ? 'default' : (first ?? 'default')
  return { ...createLockfile(WRITTEN_AT), defaultProfile, profiles: Object.fromEntries(profiles) }
}

function toBinding({ alias, model }: AliasBinding): Binding {
  const pool = model.split(',').map((one) => one.trim())
  const isPool = pool.length <= POOL_MAX && pool.every((one) => one !== '')
  return { alias, models: isPool ? pool : [model], constraints: null, rest: {} }
}

function bindingsIn({ profiles }: Lockfile): unknown {
  return Object.entries(profiles).map(([key, { name, bindings }]) => [
    key,
    name,
    bindings.map(({ alias, models }) => [alias, models]),
  ])
}

async function replaceFile(path: string, text: string): Promise<void> {
  try {
    await writeFile(`${path}.tmp`, text)
    await rename(`${path}.tmp`, path)
  } catch (cause) {
    throw new ImportRefused(`cannot write ${path}: ${cause instanceof Error ? cause.message : String(cause)}`, {
      cause,
    })
  }
}
