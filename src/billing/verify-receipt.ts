import { parseStrictJson } from '#lib/strict-json.ts'
import { checkCharge } from './check-charge.ts'
import { parseReceipt } from './parse-receipt.ts'
import { readBundle } from './read-bundle.ts'
import type { Receipt } from './receipt.ts'
import {
  checkKey,
  checkPath,
  checkSignature,
  failed,
  findKey,
  messageOf,
  notReached,
  passed,
  type VerifyStep,
} from './verify-steps.ts'

export const BUNDLE_CHARS_MAX = 49_152

export type VerifyStepName = 'format' | 'path' | 'signature' | 'key' | 'charge'

/** `ok` only when every step is. `receipt_id` is there when the receipt could be read. */
export interface Verification {
  ok: boolean
  receipt_id?: string
  steps: readonly VerifyStep<VerifyStepName>[]
}

/**
 * Checks one receipt bundle against a keys document, both as parsed JSON. Never throws, whatever it is given. Parsed JSON
 * has already lost repeated keys and the spelling of numbers: with the text at hand, use verifyBundleText. `witnessedAt`:
 * checkKey.
 */
export async function verifyBundle(
  bundle: unknown,
  keys: unknown,
  { witnessedAt }: { witnessedAt?: string | undefined } = {},
): Promise<Verification> {
  const reading = { member: 'receipt', charsMax: BUNDLE_CHARS_MAX, parse: parseReceipt } as const
  const { text, signed: receipt, batch, problem } = readBundle(bundle, reading)
  const key = await findKey(keys, batch)
  const steps = [
    problem === undefined
      ? passed('format', `${receipt?.v} ${receipt?.receipt_id}, number ${receipt?.seq} of ${receipt?.account}`)
      : failed('format', problem),
    await checkPath(text, batch),
    await checkSignature(batch, key),
    checkKey(batch, key, { issuedAt: receipt?.issued_at, witnessedAt }),
    receipt === undefined ? notReached('charge', 'the receipt is not readable') : charge(receipt),
  ]
  const ok = steps.every((step) => step.ok)
  return receipt === undefined ? { ok, steps } : { ok, receipt_id: receipt.receipt_id, steps }
}

/** The same for the text of a bundle: also refuses repeated keys and numbers such as 1.0, which parsers read differently. */
export async function verifyBundleText(text: string, keys: unknown): Promise<Verification> {
  let bundle: unknown
  try {
    bundle = parseStrictJson(text, BUNDLE_CHARS_MAX)
  } catch (error) {
    return unreadable(messageOf(error))
  }
  return verifyBundle(bundle, keys)
}

/** The verdict on something that is no JSON of ours. */
export function unreadable(detail: string): Verification {
  const rest = ['path', 'signature', 'key', 'charge'] as const
  const steps = rest.map((name) => notReached(name, 'the bundle is not readable'))
  return { ok: false, steps: [failed('format', detail), ...steps] }
}

function charge(receipt: Receipt): VerifyStep<'charge'> {
  try {
    const { ok, detail } = checkCharge(receipt)
    return { name: 'charge', ok, reached: true, detail }
  } catch (error) {
    return failed('charge', messageOf(error))
  }
}
