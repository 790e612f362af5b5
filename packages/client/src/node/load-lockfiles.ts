import { existsSync, realpathSync } from 'node:fs'
import { dirname, join, resolve } from 'node:path'
import { checkLockfile } from '../check-lockfile.ts'
import { LockfileError } from '../errors.ts'
import { EXTENDS_MAX, type Lockfile } from '../lockfile.ts'
import { type LockfileSet, namespacesOf } from '../resolve.ts'
import { loadLockfile } from './lockfile-file.ts'

/** A lockfile and where it was found. */
export interface LoadedLockfiles extends LockfileSet {
  path: string
  /** Where the lockfile of each namespace lies, for those that were found. */
  paths: ReadonlyMap<string, string>
}

/**
 * Reads a lockfile and those that it extends: of packages from the nearest `node_modules` that has one, of files relative to it. What
 * cannot be had is kept as an error and thrown when an alias needs it. What those extend in turn is not read, so there are no circles.
 * Throws LockfileError for the lockfile itself.
 */
export async function loadLockfiles(path: string): Promise<LoadedLockfiles> {
  const lockfile = await loadLockfile(path)
  const refused = checkLockfile(lockfile).filter(({ severity, at }) => severity === 'error' && at.startsWith('extends'))
  const [first] = refused
  if (first !== undefined)
    throw new LockfileError('lockfile_invalid', `${first.at} ${first.message}`, { file: path, problems: refused })
  if (namespacesOf(lockfile).length > EXTENDS_MAX)
    throw new LockfileError('lockfile_invalid', `extends more than ${EXTENDS_MAX} lockfiles`, { file: path })
  const extended = new Map<string, Lockfile | LockfileError>()
  const paths = new Map<string, string>()
  for (const namespace of namespacesOf(lockfile)) {
    try {
      const found = locate(lockfile, path, namespace)
      paths.set(namespace, found)
      extended.set(namespace, await loadLockfile(found))
    } catch (error) {
      if (!(error instanceof LockfileError)) throw error
      extended.set(namespace, error)
    }
  }
  return { path, lockfile, extended, paths }
}

function locate({ extends: { files } }: Lockfile, path: string, namespace: string): string {
  // A relative path means the same wherever a link to the lockfile lies.
  const folder = dirname(realpathSync(path))
  const named = Object.hasOwn(files, namespace) ? files[namespace] : undefined
  const found = named === undefined ? findInPackages(folder, namespace) : resolve(folder, named)
  if (found === undefined || !existsSync(found)) {
    const message =
      named === undefined
        ? `package ${namespace} is not installed above ${folder}, or has no llmring.lock`
        : `the lockfile of ${namespace} is not there: ${found}`
    throw new LockfileError('extends_missing', message, { file: path })
  }
  if (realpathSync(found) === realpathSync(path))
    throw new LockfileError('extends_itself', `extends itself as ${namespace}`, { file: path })
  return found
}

function findInPackages(folder: string, name: string): string | undefined {
  for (let current = folder; ; current = dirname(current)) {
    const candidate = join(current, 'node_modules', name, 'llmring.lock')
    if (existsSync(candidate)) return candidate
    if (dirname(current) === current) return undefined
  }
}
