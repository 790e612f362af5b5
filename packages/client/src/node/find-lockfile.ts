import { existsSync } from 'node:fs'
import { join, resolve } from 'node:path'
import { LockfileError } from '../errors.ts'
import type { Environment } from '../resolve.ts'

const NAMES = ['llmring.lock', 'llmring.lock.json']

export interface FindOptions {
  /** Goes before everything else, and must exist. */
  path?: string | undefined
  /** `LLMRING_LOCKFILE_PATH` is read from it, and must exist. */
  env?: Environment | undefined
  /** Where relative paths begin. */
  cwd: string
}

/** The lockfile that counts: the given one, `LLMRING_LOCKFILE_PATH`, `./llmring.lock`, `./llmring.lock.json`. Throws `lockfile_missing`. */
export function findLockfile({ path, env, cwd }: FindOptions): string {
  const named = path || env?.LLMRING_LOCKFILE_PATH
  const candidates = (named ? [named] : NAMES).map((name) => resolve(cwd, name))
  const found = candidates.find((candidate) => existsSync(candidate))
  if (found !== undefined) return found
  throw new LockfileError('lockfile_missing', 'there is no lockfile here', {
    file: candidates[0] ?? join(cwd, 'llmring.lock'),
  })
}
