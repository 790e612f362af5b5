import { ImportRefused } from './report.ts'

/** A public key that llmring-server signed receipts with, as an operator gives it. */
export interface ReceiptKey {
  /** 32 bytes. */
  publicKey: Buffer
  /** Undefined: the one that llmring-server gave it. */
  keyId: string | undefined
}

/** Reads `[KEYID=]KEY`, KEY being the base64url of 32 bytes. Throws ImportRefused. */
export function readReceiptKey(text: string): ReceiptKey {
  const [, keyId, encoded = ''] = /^(?:([^=]{1,255})=(?=.))?([A-Za-z0-9+/_-]{43}=?)$/.exec(text) ?? []
  const publicKey = Buffer.from(encoded, 'base64url')
  if (publicKey.length !== 32)
    throw new ImportRefused('--receipt-public-key must be [KEYID=]KEY, with KEY the base64url of 32 bytes')
  return { publicKey, keyId }
}
