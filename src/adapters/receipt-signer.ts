import { createPrivateKey, createPublicKey, hash, randomBytes, sign } from 'node:crypto'
import { link, open, unlink } from 'node:fs/promises'
import { dirname } from 'node:path'

export type ReceiptSigner = ReturnType<typeof createReceiptSigner>

const SEED_BYTES = 32
const SEED_FILE_BYTES_MAX = 256

// The fixed start of a PKCS #8 Ed25519 private key (RFC 8410 section 7); the seed follows.
const pkcs8Prefix = Buffer.from('302e020100300506032b657004220420', 'hex')

/** Signs batches with Ed25519. Synchronous: one signature per settling commit is cheaper than a trip to the thread pool. */
export function createReceiptSigner(seed: Buffer) {
  if (seed.byteLength !== SEED_BYTES) throw new RangeError(`a signing seed is ${SEED_BYTES} bytes`)
  const key = createPrivateKey({ key: Buffer.concat([pkcs8Prefix, seed]), format: 'der', type: 'pkcs8' })
  const publicKey = Buffer.from(createPublicKey(key).export({ format: 'jwk' }).x ?? '', 'base64url')
  return {
    /** `rk_` and the first 16 hex digits of the SHA-256 of the public key. */
    keyId: `rk_${hash('sha256', publicKey, 'hex').slice(0, 16)}`,
    /** The 32 raw bytes. */
    publicKey,
    sign(message: Uint8Array): Buffer {
      return sign(null, message, key)
    },
  }
}

/** Reads a seed as it stands in the environment or in a file: the Base64 of 32 bytes. Throws without repeating it. */
export function parseSeed(text: string): Buffer {
  const seed = Buffer.from(text.trim(), 'base64')
  if (seed.byteLength !== SEED_BYTES || seed.toString('base64') !== text.trim()) {
    throw new Error(`a receipt signing key must be the Base64 of ${SEED_BYTES} bytes`)
  }
  return seed
}

/**
 * The seed stored at `path`, made at the first call. The file is complete or absent at every moment, durable before this
 * returns, and the same for every process that asks. Throws when anybody but the owner may read or write it.
 */
export async function loadOrCreateSeed(path: string): Promise<Buffer> {
  return (await readSeed(path)) ?? (await createSeed(path))
}

async function readSeed(path: string): Promise<Buffer | undefined> {
  const file = await open(path, 'r').catch(ignoring('ENOENT'))
  if (file === undefined) return undefined
  try {
    const info = await file.stat()
    if (!info.isFile()) throw new Error(`${path} is not a file`)
    if ((info.mode & 0o077) !== 0) {
      const mode = (info.mode & 0o777).toString(8)
      throw new Error(`${path} holds the receipt signing key but has mode ${mode}; run: chmod 600 ${path}`)
    }
    if (info.size > SEED_FILE_BYTES_MAX) throw new Error(`${path} is too long for a receipt signing key`)
    return parseSeed(await file.readFile('ascii'))
  } finally {
    await file.close()
  }
}

async function createSeed(path: string): Promise<Buffer> {
  const draft = `${path}.${randomBytes(6).toString('hex')}.tmp`
  const file = await open(draft, 'wx', 0o600)
  try {
    try {
      await file.writeFile(`${randomBytes(SEED_BYTES).toString('base64')}\n`)
      await file.sync()
    } finally {
      await file.close()
    }
    // A link never replaces: when two processes start at once, both go on with the seed of the first.
    await link(draft, path).catch(ignoring('EEXIST'))
  } finally {
    await unlink(draft)
  }
  await syncFolder(dirname(path))
  const seed = await readSeed(path)
  if (seed === undefined) throw new Error(`${path} disappeared while it was being made`)
  return seed
}

/** Makes the new name itself durable. */
async function syncFolder(path: string): Promise<void> {
  const folder = await open(path, 'r')
  try {
    await folder.sync()
  } finally {
    await folder.close()
  }
}

function ignoring(code: string): (error: NodeJS.ErrnoException) => undefined {
  return (error) => {
    if (error.code !== code) throw error
  }
}
