import { createHash } from 'node:crypto'

/**
 * Who asks, as every provider takes it. They allow different lengths and characters, and some refuse what looks like an
 * address or a telephone number; anything else becomes its hash, which still tells users apart.
 */
export function opaqueUser(user: string): string {
  if (/^(?=.*[A-Za-z])[A-Za-z0-9_-]{6,64}$/.test(user)) return user
  return createHash('sha256').update(user).digest('hex')
}
