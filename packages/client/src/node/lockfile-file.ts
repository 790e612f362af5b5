import { randomUUID } from 'node:crypto'
import { constants } from 'node:fs'
import { open, realpath, rename, rm, stat } from 'node:fs/promises'
import { LockfileError } from '../errors.ts'
import { LOCKFILE_CHARS_MAX, type Lockfile } from '../lockfile.ts'
import { lockfileFormat, readLockfile, writeLockfile } from '../lockfile-text.ts'

/** UTF-8 takes up to three bytes for what JavaScript counts as one character. */
const BYTES_MAX = LOCKFILE_CHARS_MAX * 3
const MODE = 0o644

/** Reads TOML, or JSON by the suffix `.json`. Every LockfileError names the file. */
export async function loadLockfile(path: string): Promise<Lockfile> {
  const text = await readFileText(path)
  try {
    return readLockfile(text, lockfileFormat(path))
  } catch (error) {
    if (!(error instanceof LockfileError)) throw error
    throw new LockfileError(error.code, error.message, { file: path, problems: error.problems, cause: error.cause })
  }
}

/** Replaces the file in one step, so that nobody reads half of it. `isNew`: throws `lockfile_exists` instead of replacing. */
export async function saveLockfile(path: string, lockfile: Lockfile, { isNew = false } = {}): Promise<void> {
  const text = writeLockfile(lockfile, lockfileFormat(path))
  if (isNew) return await createFile(path, text)
  // A link stays a link: what it points to is replaced, with the same permissions.
  const target = (await ifThere(realpath(path))) ?? path
  const mode = (await ifThere(stat(target)))?.mode
  const draft = `${target}.${randomUUID()}.tmp`
  try {
    await createFile(draft, text, mode)
    await rename(draft, target)
  } finally {
    await rm(draft, { force: true })
  }
}

async function createFile(path: string, text: string, mode = MODE): Promise<void> {
  try {
    const file = await open(path, 'wx', mode & 0o777)
    try {
      await file.writeFile(text)
    } finally {
      await file.close()
    }
  } catch (cause) {
    if (!hasCode(cause, 'EEXIST')) throw cause
    throw new LockfileError('lockfile_exists', 'exists already', { file: path, cause })
  }
}

async function readFileText(path: string): Promise<string> {
  // Without O_NONBLOCK, opening a named pipe would wait for somebody to write to it.
  const file = await open(path, constants.O_RDONLY | constants.O_NONBLOCK).catch((cause: unknown) => {
    const code = hasCode(cause, 'ENOENT') ? 'lockfile_missing' : 'lockfile_unreadable'
    throw new LockfileError(code, cause instanceof Error ? cause.message : String(cause), { file: path, cause })
  })
  try {
    const found = await file.stat()
    if (!found.isFile()) throw new LockfileError('lockfile_unreadable', 'is not a file', { file: path })
    if (found.size > BYTES_MAX)
      throw new LockfileError('lockfile_too_large', `is larger than ${BYTES_MAX} bytes`, { file: path })
    return new TextDecoder('utf-8', { fatal: true }).decode(await file.readFile())
  } catch (cause) {
    if (!(cause instanceof TypeError)) throw cause
    throw new LockfileError('lockfile_syntax', 'is not UTF-8', { file: path, cause })
  } finally {
    await file.close()
  }
}

async function ifThere<T>(found: Promise<T>): Promise<T | undefined> {
  try {
    return await found
  } catch (error) {
    if (hasCode(error, 'ENOENT')) return undefined
    throw error
  }
}

function hasCode(error: unknown, code: string): boolean {
  return error instanceof Error && Reflect.get(error, 'code') === code
}
