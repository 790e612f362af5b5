// Checks receipts by the gateway's own rules: the same code, with nothing of Node in it. Also an entry of its own,
// `@fluxgate/client/receipts`, which needs no other package.
import {
  parseReceiptKeys,
  RECEIPT_KEYS_MAX,
  type ReceiptKey,
  type ReceiptKeys,
} from '../../../src/billing/receipt-keys.ts'
import { type Verification, verifyBundle, verifyBundleText } from '../../../src/billing/verify-receipt.ts'
import { type SetVerification, verifySet } from '../../../src/billing/verify-set.ts'
import { parseStrictJson } from '../../../src/lib/strict-json.ts'
import { FluxgateError } from './errors.ts'
import { type ConnectionOptions, createConnection } from './http/connection.ts'

export type { BatchProof, ReceiptBundle } from '../../../src/billing/batch.ts'
export type { Receipt, ReceiptAttempt, ReceiptPrice } from '../../../src/billing/receipt.ts'
export type { VerifyStepName } from '../../../src/billing/verify-receipt.ts'
export type { ReceiptKey, ReceiptKeys, SetVerification, Verification }
export { FluxgateError }

const KEY_CHARS_MAX = 1_024
const KEYS_PATH = '/receipts/public-keys.json'

/**
 * Checks one receipt bundle, as its text or as parsed JSON, against a keys document: form, path to the root of its batch, signature, key
 * and charge. Prefer the text: parsed JSON has already lost repeated keys and the spelling of numbers. Never throws.
 */
export async function verifyReceipt(bundle: unknown, keys: unknown): Promise<Verification> {
  return typeof bundle === 'string' ? await verifyBundleText(bundle, keys) : await verifyBundle(bundle, keys)
}

export interface ReceiptSetVerification {
  /** Every receipt verifies, and together they are complete. */
  ok: boolean
  receipts: readonly Verification[]
  /** No receipt and no number twice, none missing from 1 to the highest. */
  set: SetVerification
}

/** Checks each of several bundles, and all of them together: no call counted twice, no number missing up to the last. Never throws. */
export async function verifyReceiptSet(bundles: readonly unknown[], keys: unknown): Promise<ReceiptSetVerification> {
  const receipts: Verification[] = []
  const parsed: unknown[] = []
  for (const bundle of bundles) {
    receipts.push(await verifyReceipt(bundle, keys))
    parsed.push(typeof bundle === 'string' ? parsedOrNothing(bundle) : bundle)
  }
  const set = verifySet(parsed)
  return { ok: set.ok && receipts.every((receipt) => receipt.ok), receipts, set }
}

/**
 * The public keys that a gateway publishes, checked to the letter. Keys that come from the one who issued the receipts prove only that
 * both come from the same place: keep a copy, or get one from somebody you trust. Throws FluxgateError.
 */
export async function fetchReceiptKeys(
  baseUrl: string,
  options: Omit<ConnectionOptions, 'baseUrl' | 'apiKey'> & { signal?: AbortSignal } = {},
): Promise<ReceiptKeys> {
  const { signal, ...connection } = options
  const text = await createConnection({ baseUrl, ...connection }).text(KEYS_PATH, {
    isPublic: true,
    signal,
    bytesMax: RECEIPT_KEYS_MAX * KEY_CHARS_MAX,
  })
  return await readReceiptKeys(text)
}

/** A keys document from its text. Throws FluxgateError `answer_invalid`. */
export async function readReceiptKeys(text: string): Promise<ReceiptKeys> {
  try {
    return await parseReceiptKeys(parseStrictJson(text))
  } catch (cause) {
    const message = cause instanceof Error ? cause.message : String(cause)
    throw new FluxgateError('answer_invalid', `the public keys are not usable: ${message}`, { cause })
  }
}

function parsedOrNothing(text: string): unknown {
  try {
    return parseStrictJson(text)
  } catch {
    return undefined // The verdict on the text itself says what is wrong with it.
  }
}
