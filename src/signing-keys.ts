import { existsSync } from 'node:fs'
import { readFile } from 'node:fs/promises'
import { join, resolve } from 'node:path'
import {
  createReceiptSigner,
  createRootSigner,
  loadOrCreateSeed,
  parseSeed,
  type ReceiptSigner,
} from '#adapters/receipt-signer.ts'
import type { ReceiptKeyFiles } from '#cli/command.ts'
import { createLogSigner } from '#domain/log/log-signer.ts'
import type { Config } from './config.ts'

/** The key that signs receipts: of the environment, else a file in DATA_DIR that is made when it is missing. */
export async function openReceiptSigner(config: Config): Promise<ReceiptSigner> {
  const seed =
    config.RECEIPT_SIGNING_KEY === undefined
      ? await loadOrCreateSeed(join(config.DATA_DIR, 'receipt-signing-key'))
      : parseSeed(config.RECEIPT_SIGNING_KEY.reveal())
  return createReceiptSigner(seed)
}

/**
 * The key that signs lists of receipt keys, where it is at hand: of the environment, else a file in DATA_DIR. Made there only
 * beside the embedded database: in production it is kept offline, and lists are signed where it is.
 */
export async function openRootSigner(config: Config): Promise<ReceiptSigner | undefined> {
  if (config.RECEIPT_ROOT_KEY !== undefined)
    return createRootSigner(parseSeed(config.RECEIPT_ROOT_KEY.reveal(), 'receipt root key'))
  const path = join(config.DATA_DIR, 'receipt-root-key')
  if (!config.embedded && !existsSync(path)) return undefined
  return createRootSigner(await loadOrCreateSeed(path, 'receipt root key'))
}

/** The key that signs checkpoints of the receipt log: of the environment, else a file in DATA_DIR that is made when it is missing. */
export async function openLogSigner(config: Config): Promise<ReceiptSigner> {
  if (config.LOG_SIGNING_KEY === undefined && !config.embedded)
    throw new Error('With DATABASE_URL set, LOG_SIGNING_KEY must be set too.')
  const seed =
    config.LOG_SIGNING_KEY === undefined
      ? await loadOrCreateSeed(join(config.DATA_DIR, 'log-signing-key'), 'log signing key')
      : parseSeed(config.LOG_SIGNING_KEY.reveal(), 'log signing key')
  return createReceiptSigner(seed)
}

/** The private keys as the command line reaches them. */
export function receiptKeyFiles(config: Config): ReceiptKeyFiles {
  return {
    log: config.RECEIPT_LOG_ORIGIN,
    logVkey: async () => (await createLogSigner(config.RECEIPT_LOG_ORIGIN, await openLogSigner(config))).vkey,
    receiptSigner: () => openReceiptSigner(config),
    async rootSigner(path) {
      if (path === undefined) return openRootSigner(config)
      return createRootSigner(parseSeed(await readFile(path, 'ascii'), 'receipt root key'))
    },
    async createSigningKey(path) {
      const place = resolve(path)
      if (existsSync(place)) throw new Error(`${place} exists: a key is never written over another file`)
      return createReceiptSigner(await loadOrCreateSeed(place))
    },
  }
}
