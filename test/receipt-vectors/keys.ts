import { hash } from 'node:crypto'
import { createReceiptSigner, createRootSigner, type ReceiptSigner } from '#adapters/receipt-signer.ts'
import type { ReceiptKey, ReceiptKeys } from '#billing/receipt-keys.ts'

// TEST KEYS. Their seeds are published on purpose, so that anybody can make more vectors. They must never sign a real receipt.
export const currentSigner = testSigner('current')
export const retiredSigner = testSigner('retired')
export const revokedSigner = testSigner('revoked')
export const unknownSigner = testSigner('unknown')
export const rootSigner = createRootSigner(testSeed('root'))
export const strangerRootSigner = createRootSigner(testSeed('stranger-root'))
/** Keys of the log and of its witnesses. */
export const logSigner = testSigner('log')
export const witnessSigners = ['witness-1', 'witness-2', 'witness-3'].map(testSigner)

export const vectorKeys: ReceiptKeys = {
  current_key_id: currentSigner.keyId,
  keys: [
    publicKey(currentSigner, { not_before: '2026-10-01T00:00:00.000Z', status: 'active' }),
    publicKey(retiredSigner, {
      not_before: '2026-07-01T00:00:00.000Z',
      not_after: '2026-10-02T00:00:00.000Z',
      status: 'retired',
    }),
    publicKey(revokedSigner, {
      not_before: '2026-07-01T00:00:00.000Z',
      not_after: '2026-12-01T00:00:00.000Z',
      status: 'revoked',
      revoked_at: '2026-11-25T12:00:00.000Z',
    }),
  ],
}

function testSigner(name: string): ReceiptSigner {
  return createReceiptSigner(testSeed(name))
}

function testSeed(name: string): Buffer {
  return hash('sha256', `fluxgate test key, never sign a real receipt with it: ${name}`, 'buffer')
}

function publicKey(
  signer: ReceiptSigner,
  rest: Pick<ReceiptKey, 'not_before' | 'not_after' | 'status' | 'revoked_at'>,
): ReceiptKey {
  const { keyId, publicKey } = signer
  return {
    key_id: keyId,
    public_key: publicKey.toString('base64url'),
    algorithm: 'Ed25519',
    format: 'base64url',
    ...rest,
  }
}
