import { randomBytes } from 'node:crypto'
import { link, open, unlink } from 'node:fs/promises'
import { dirname } from 'node:path'

const KEY_BYTES = 32
const FILE_BYTES_MAX = 256

/** Reads 32 bytes as they stand in the environment or in a file, as Base64. Throws without repeating them. */
export function parseKey(text: string, what: string): Buffer {
  const key = Buffer.from(text.trim(), 'base64')
  if (key.byteLength !== KEY_BYTES || key.toString('base64') !== text.trim())
    throw new Error(`a ${what} must be the Base64 of ${KEY_BYTES} bytes`)
  return key
}

/**
 * The 32 random bytes stored at `path`, made at the first call; `what` names them in errors. The file is complete or absent at
 * every moment, durable before this returns, and the same for every process that asks. Throws when anybody but the owner may
 * read or write it.
 */
export async function loadOrCreateKey(path: string, what: string): Promise<Buffer> {
  return (await readKey(path, what)) ?? (await createKey(path, what))
}

async function readKey(path: string, what: string): Promise<Buffer | undefined> {
  const file = await open(path, 'r').catch(ignoring('ENOENT'))
  if (file === undefined) return undefined
  try {
    const info = await file.stat()
    if (!info.isFile()) throw new Error(`${path} is not a file`)
    if ((info.mode & 0o077) !== 0) {
      const mode = (info.mode & 0o777).toString(8)
      throw new Error(`${path} holds the ${what} but has mode ${mode}; run: chmod 600 ${path}`)
    }
    if (info.size > FILE_BYTES_MAX) throw new Error(`${path} is too long for a ${what}`)
    return parseKey(await file.readFile('ascii'), what)
  } finally {
    await file.close()
  }
}

async function createKey(path: string, what: string): Promise<Buffer> {
  const draft = `${path}.${randomBytes(6).toString('hex')}.tmp`
  const file = await open(draft, 'wx', 0o600)
  try {
    try {
      await file.writeFile(`${randomBytes(KEY_BYTES).toString('base64')}\n`)
      await file.sync()
    } finally {
      await file.close()
    }
    // A link never replaces: when two processes start at once, both go on with the key of the first.
    await link(draft, path).catch(ignoring('EEXIST'))
  } finally {
    await unlink(draft)
  }
  await syncFolder(dirname(path))
  const key = await readKey(path, what)
  if (key === undefined) throw new Error(`${path} disappeared while it was being made`)
  return key
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
