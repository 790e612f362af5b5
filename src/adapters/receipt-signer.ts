import { createPrivateKey, createPublicKey, hash, sign } from 'node:crypto'
import { loadOrCreateKey, parseKey } from './key-file.ts'

export type ReceiptSigner = ReturnType<typeof createReceiptSigner>

const SEED_BYTES = 32
const SEED = 'receipt signing key'

// The fixed start of a PKCS #8 Ed25519 private key (RFC 8410 section 7); the seed follows.
const pkcs8Prefix = Buffer.from('302e020100300506032b657004220420', 'hex')

/** Signs batches with Ed25519. Synchronous: one signature per settling commit is cheaper than a trip to the thread pool. */
export function createReceiptSigner(seed: Buffer) {
  return createSigner(seed, 'rk_')
}

/** Signs lists of receipt keys: what a verifier takes on trust. The same in every other way. */
export function createRootSigner(seed: Buffer) {
  return createSigner(seed, 'root_')
}

function createSigner(seed: Buffer, prefix: string) {
  if (seed.byteLength !== SEED_BYTES) throw new RangeError(`a signing seed is ${SEED_BYTES} bytes`)
  const key = createPrivateKey({ key: Buffer.concat([pkcs8Prefix, seed]), format: 'der', type: 'pkcs8' })
  const publicKey = Buffer.from(createPublicKey(key).export({ format: 'jwk' }).x ?? '', 'base64url')
  return {
    /** The prefix and the first 16 hex digits of the SHA-256 of the public key. */
    keyId: `${prefix}${hash('sha256', publicKey, 'hex').slice(0, 16)}`,
    /** The 32 raw bytes. */
    publicKey,
    sign(message: Uint8Array): Buffer {
      return sign(null, message, key)
    },
  }
}

/** What a seed is called where it cannot be used. */
export type SeedName = 'receipt signing key' | 'receipt root key'

/** Reads a seed as it stands in the environment or in a file: the Base64 of 32 bytes. Throws without repeating it. */
export function parseSeed(text: string, name: SeedName = SEED): Buffer {
  return parseKey(text, name)
}

/** The seed stored at `path`, made at the first call, as loadOrCreateKey does. */
export async function loadOrCreateSeed(path: string, name: SeedName = SEED): Promise<Buffer> {
  return loadOrCreateKey(path, name)
}
