import type { Lockfile } from './lockfile.ts'
import { lockfileDocument } from './lockfile-document.ts'
import { pythonJson } from './python-json.ts'

/**
 * The digest that llmring gives a lockfile: SHA-256 in hex over everything it knows, times included. The same for TOML and JSON.
 * Undefined for a file without times, for which llmring's own digest is another one at each reading.
 */
export async function lockDigest(lockfile: Lockfile): Promise<string | undefined> {
  if (lockfile.createdAt === undefined || lockfile.updatedAt === undefined) return undefined
  const bytes = new TextEncoder().encode(pythonJson(lockfileDocument(lockfile, 'digest'), 'sorted'))
  const hash = new Uint8Array(await crypto.subtle.digest('SHA-256', bytes))
  return [...hash].map((byte) => byte.toString(16).padStart(2, '0')).join('')
}
