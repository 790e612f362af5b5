import { createPublicKey, hash, type KeyObject, verify } from 'node:crypto'
import { ImportRefused } from './report.ts'

/** A public key that llmring-server signed receipts with. */
export interface LegacyKey {
  keyId: string
  /** 32 bytes. */
  publicKey: Buffer
  object: KeyObject
}

/** The thirteen members that llmring-server signed, but for the time, whose text has to be found. */
export interface SignedMembers {
  receipt_id: string
  alias: string
  profile: string
  lock_digest: string
  provider: string
  model: string
  prompt_tokens: number
  completion_tokens: number
  total_tokens: number
  input_cost: number
  output_cost: number
  total_cost: number
}

const SPKI_PREFIX = Buffer.from('302a300506032b6570032100', 'hex')
const ZONE_MINUTES_MIN = -14 * 60
const ZONE_MINUTES_MAX = 14 * 60

/** Reads `[KEYID=]BASE64URL` of the 32 bytes. Without an id it gets the one that llmring-server gave it. Throws ImportRefused. */
export function readLegacyKey(text: string): LegacyKey {
  const [, named, encoded = ''] = /^(?:([^=]{1,255})=(?=.))?([A-Za-z0-9+/_-]{43}=?)$/.exec(text) ?? []
  const publicKey = Buffer.from(encoded, 'base64url')
  if (publicKey.length !== 32)
    throw new ImportRefused('--receipt-public-key must be [KEYID=]KEY, with KEY the base64url of 32 bytes')
  const plain = publicKey.toString('base64url')
  return legacyKey(named ?? `key_${hash('sha256', plain, 'hex').slice(0, 16)}`, publicKey)
}

export function legacyKey(keyId: string, publicKey: Buffer): LegacyKey {
  const spki = Buffer.concat([SPKI_PREFIX, publicKey])
  return { keyId, publicKey, object: createPublicKey({ key: spki, format: 'der', type: 'spki' }) }
}

/**
 * The exact text that was signed, and with which key. The server stored the time without its zone, and not always that of the
 * signature: every quarter-hour offset is tried until a signature fits. Without one the text says what the source says.
 * `at` is the stored time as UTC, `YYYY-MM-DDTHH:MM:SS.ffffff`.
 */
export function findPayload(
  members: SignedMembers,
  at: string,
  signature: string,
  keys: readonly LegacyKey[],
): { payload: string; keyId: string | null } {
  const bytes = /^ed25519:([A-Za-z0-9_-]{86})$/.exec(signature)?.[1]
  if (bytes !== undefined && keys.length > 0) {
    const signed = Buffer.from(bytes, 'base64url')
    for (const timestamp of timestampsOf(at)) {
      const payload = payloadOf(members, timestamp)
      const key = keys.find(({ object }) => verify(null, Buffer.from(payload), object, signed))
      if (key !== undefined) return { payload, keyId: key.keyId }
    }
  }
  return { payload: payloadOf(members, isoformat(at, 0)), keyId: null }
}

/** RFC 8785: sorted members, numbers as ECMAScript prints them. -0 is 0. */
function payloadOf(members: SignedMembers, timestamp: string): string {
  const all: Record<string, string | number> = { ...members, timestamp }
  const sorted = Object.keys(all)
    .sort()
    .map((name) => `${JSON.stringify(name)}:${JSON.stringify(all[name])}`)
  return `{${sorted.join(',')}}`
}

/** What Python may have printed for a stored time, the likely ones first. */
function* timestampsOf(at: string): Generator<string> {
  yield isoformat(at, 0)
  yield isoformat(at, 0).replace(/\+00:00$/, '')
  for (let minutes = 15; minutes <= ZONE_MINUTES_MAX; minutes += 15) {
    yield isoformat(at, minutes)
    yield isoformat(at, -minutes)
  }
  for (let minutes = ZONE_MINUTES_MIN; minutes <= ZONE_MINUTES_MAX; minutes += 15) {
    const text = `${minutes < 0 ? '-' : '+'}${two(Math.abs(minutes) / 60)}:${two(Math.abs(minutes) % 60)}`
    yield isoformat(at, 0).replace(/\+00:00$/, text)
  }
}

/** As Python's isoformat of a time in UTC: microseconds only where there are any. */
function isoformat(at: string, shiftMinutes: number): string {
  const [, second = '', micros = ''] = /^(.{19})\.(\d{6})$/.exec(at) ?? []
  const shifted = new Date(Date.parse(`${second}Z`) + shiftMinutes * 60_000).toISOString().slice(0, 19)
  return `${shifted}${micros === '000000' ? '' : `.${micros}`}+00:00`
}

function two(value: number): string {
  return String(Math.floor(value)).padStart(2, '0')
}
