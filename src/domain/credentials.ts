import { timingSafeEqual } from 'node:crypto'
import { createBoundedCache } from '#lib/bounded-cache.ts'
import {
  type EnvelopeBinding,
  EnvelopeError,
  type EnvelopeKeys,
  keyIdFromPlaintext,
  openEnvelope,
  sealEnvelope,
} from '#lib/envelope.ts'
import { AppError } from '#src/errors.ts'

/** Longest provider key: room for the JSON of a service account. */
export const KEY_CHARS_MAX = 4_096
const KNOWN_MAX = 8_192

/** One API key that opens. Nothing of it is in memory but while it is used. */
export interface OpenCredential {
  /** First 8 hex digits of the key's SHA-256: what logs, metrics and receipts call it. */
  id8: string
  /**
   * Decrypts, hands the key to `read` and overwrites its bytes. The text that `read` gets cannot be overwritten: it must not
   * be kept. Throws AppError decrypt_failed.
   */
  use<T>(read: (key: string) => T): T
}

export interface UndecryptableKey {
  modelName: string
  keyEntryId: string
  /** Why; without anything of the key or its envelope. */
  reason: string
  /** Whether this envelope was met for the first time: what is worth a line in the log. */
  first: boolean
}

/**
 * Opens and seals the provider keys of the router config. `onUndecryptable` hears of every try to open one that does not open:
 * callers go on with the next key.
 */
export function createCredentials(deps: { keys: EnvelopeKeys; onUndecryptable: (key: UndecryptableKey) => void }) {
  const { keys } = deps
  // The telemetry id of envelopes that open, and the reason of those that do not. Neither ever changes in a process.
  const known = createBoundedCache<{ id8: string } | { reason: string }>({ entriesMax: KNOWN_MAX })

  function withKey<T>(binding: EnvelopeBinding, ciphertext: string, read: (key: Buffer) => T): T {
    const { plaintext } = openEnvelope(keys, binding, ciphertext)
    try {
      return read(plaintext)
    } finally {
      plaintext.fill(0)
    }
  }

  function look(binding: EnvelopeBinding, ciphertext: string): { id8: string } | { reason: string } {
    try {
      return { id8: withKey(binding, ciphertext, keyIdFromPlaintext) }
    } catch (error) {
      if (error instanceof EnvelopeError) return { reason: error.message }
      throw error
    }
  }

  return {
    /** The credential of a model, or undefined when it does not open. `id` is the key's id in the config. */
    open(modelName: string, sealed: { id: string; ciphertext: string }): OpenCredential | undefined {
      const binding = { modelName, keyEntryId: sealed.id }
      const place = `${modelName}|${sealed.id}|${sealed.ciphertext}`
      const found = known.get(place)
      const what = found ?? look(binding, sealed.ciphertext)
      if (found === undefined) known.set(place, what, Number.POSITIVE_INFINITY)
      if ('reason' in what) {
        deps.onUndecryptable({ ...binding, reason: what.reason, first: found === undefined })
        return undefined
      }
      return {
        id8: what.id8,
        use(read) {
          let key: string
          try {
            key = withKey(binding, sealed.ciphertext, (bytes) => bytes.toString('utf8'))
          } catch (error) {
            throw new AppError('decrypt_failed', { cause: error })
          }
          return read(key)
        },
      }
    },

    /** Seals a provider key for its place. Throws EnvelopeError for a key id that holds `|`. */
    seal(modelName: string, keyEntryId: string, plaintext: string): string {
      return sealEnvelope(keys.current, { modelName, keyEntryId }, Buffer.from(plaintext, 'utf8'))
    },

    /**
     * The same key sealed with the current master key; undefined when it is so already. Throws EnvelopeError when neither
     * master key opens it.
     */
    reseal(modelName: string, keyEntryId: string, ciphertext: string): string | undefined {
      const binding = { modelName, keyEntryId }
      const { plaintext, openedWith } = openEnvelope(keys, binding, ciphertext)
      if (openedWith === 'previous') return sealEnvelope(keys.current, binding, plaintext)
      plaintext.fill(0)
      return undefined
    },

    /** Why an envelope does not open in this place; undefined when it does. Raises no alarm. */
    whyClosed(modelName: string, keyEntryId: string, ciphertext: string): string | undefined {
      const what = look({ modelName, keyEntryId }, ciphertext)
      return 'reason' in what ? what.reason : undefined
    },

    /** Whether an envelope holds this very key, sealed with the current master key. */
    holds(modelName: string, keyEntryId: string, ciphertext: string, plaintext: string): boolean {
      const expected = Buffer.from(plaintext, 'utf8')
      try {
        const { plaintext: kept, openedWith } = openEnvelope(keys, { modelName, keyEntryId }, ciphertext)
        const same = kept.byteLength === expected.byteLength && timingSafeEqual(kept, expected)
        kept.fill(0)
        return same && openedWith === 'current'
      } catch (error) {
        if (error instanceof EnvelopeError) return false
        throw error
      } finally {
        expected.fill(0)
      }
    },
  }
}

export type Credentials = ReturnType<typeof createCredentials>

/**
 * What is wrong with a text as a provider key, for whoever typed it; undefined when nothing is. It completes "The key …". A key
 * ends up in a header, so what no header can carry is refused here, where somebody can mend it.
 */
export function providerKeyProblem(text: string, charsMax = KEY_CHARS_MAX): string | undefined {
  if (text === '') return 'is empty'
  if (text.length > charsMax) return `is longer than ${charsMax} characters`
  if (text.startsWith('{')) return isJsonObject(text) ? undefined : 'begins like JSON and is none'
  if (/^\s|\s$/.test(text)) return 'begins or ends with white space'
  if (/[^\x20-\x7e]/.test(text)) return 'has characters other than visible ASCII'
  return undefined
}

/** Such as a service account: it is exchanged for a token and never stands in a header itself. */
function isJsonObject(text: string): boolean {
  try {
    JSON.parse(text)
    return text.isWellFormed()
  } catch {
    return false
  }
}
