import { hash, randomFillSync } from 'node:crypto'

// Random bytes are drawn in blocks: one call into OpenSSL per 256 ids.
const pool = Buffer.alloc(10 * 256)
let drawn = pool.length

/** A UUIDv7 (RFC 9562): sorts by time, so indexes grow at one end. 32 hex digits, without dashes. */
export function uuidv7Hex(nowMs = Date.now()): string {
  if (drawn === pool.length) {
    randomFillSync(pool)
    drawn = 0
  }
  const random = pool.toString('hex', drawn, drawn + 10)
  drawn += 10
  const variant = '89ab'[Number.parseInt(random[3] ?? '0', 16) & 3]
  return `${nowMs.toString(16).padStart(12, '0')}7${random.slice(0, 3)}${variant}${random.slice(4, 19)}`
}

/** The UUID that a name has, so that a replay of the same name finds the same row. 32 hex digits. */
export function uuidFromName(...parts: string[]): string {
  const digest = hash('sha256', parts.map((part) => `${Buffer.byteLength(part)}:${part}`).join(','), 'hex')
  return `${digest.slice(0, 12)}8${digest.slice(13, 16)}8${digest.slice(17, 32)}`
}

/** 32 hex digits in the usual groups. */
export function dashedUuid(hex: string): string {
  return hex.replace(/^(.{8})(.{4})(.{4})(.{4})(.{12})$/, '$1-$2-$3-$4-$5')
}

/** Random lower-case base32, five bits a character: for keys and public ids. */
export function randomText(length: number): string {
  const alphabet = 'abcdefghijklmnopqrstuvwxyz234567'
  const bytes = Buffer.alloc(length)
  randomFillSync(bytes)
  let text = ''
  for (const byte of bytes) text += alphabet[byte & 31]
  return text
}
