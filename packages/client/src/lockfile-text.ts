import { LockfileError } from './errors.ts'
import { LOCKFILE_CHARS_MAX, type Lockfile } from './lockfile.ts'
import { lockfileDocument } from './lockfile-document.ts'
import { parseJson } from './parse-json.ts'
import { parseLockfile } from './parse-lockfile.ts'
import { parseToml } from './parse-toml.ts'
import { pythonJson } from './python-json.ts'
import { writeToml } from './write-toml.ts'

export type LockfileFormat = 'toml' | 'json'

/** As llmring decides it: `.json` is JSON, anything else TOML. */
export function lockfileFormat(path: string): LockfileFormat {
  return path.endsWith('.json') ? 'json' : 'toml'
}

/** Throws LockfileError: `lockfile_too_large`, `lockfile_syntax`, or `lockfile_invalid` with every problem. */
export function readLockfile(text: string, format: LockfileFormat): Lockfile {
  if (text.length > LOCKFILE_CHARS_MAX)
    throw new LockfileError('lockfile_too_large', `longer than ${LOCKFILE_CHARS_MAX} characters`)
  const clean = text.startsWith('\ufeff') ? text.slice(1) : text
  return parseLockfile(format === 'json' ? parseJson(clean) : parseToml(clean))
}

/** The text that llmring writes for the same content. Comments of the file that was read are not in it. */
export function writeLockfile(lockfile: Lockfile, format: LockfileFormat): string {
  const document = lockfileDocument(lockfile, format)
  return format === 'json' ? pythonJson(document, 'indented') : writeToml(document)
}
