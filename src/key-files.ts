import { hash } from 'node:crypto'
import { mkdir } from 'node:fs/promises'
import { basename, dirname, resolve } from 'node:path'
import { lockDataDir } from '#adapters/data-lock.ts'
import { loadOrCreateKey } from '#adapters/key-file.ts'
import { createReceiptSigner, type ReceiptSigner } from '#adapters/receipt-signer.ts'

/** The Ed25519 key of a command that has one of its own, made with mode 0600 at the first call. */
export async function openKeyFile(path: string): Promise<ReceiptSigner> {
  await mkdir(dirname(resolve(path)), { recursive: true })
  return createReceiptSigner(await loadOrCreateKey(resolve(path), 'signing key'))
}

/** One process at a time for a file. */
export async function lockFile(path: string): Promise<{ release(): Promise<void> }> {
  const full = resolve(path)
  await mkdir(dirname(full), { recursive: true })
  const part = `file_${hash('sha256', basename(full), 'hex').slice(0, 12)}`
  return lockDataDir(dirname(full), part).catch((cause: unknown) => {
    throw new Error(`${path} is in use by another process`, { cause })
  })
}
