import { leafHash } from '#billing/merkle.ts'
import type { VerifyStepName } from '#billing/verify-receipt.ts'
import { canonicalJson } from '#lib/canonical-json.ts'
import { otherBundle } from './good.ts'
import { revokedSigner, unknownSigner } from './keys.ts'
import { type LooseBundle, sealOne } from './seal.ts'

/** The batch is altered, or belongs to something else. */
export const forgedBatches: readonly {
  name: string
  expect: VerifyStepName
  why: string
  forge: (bundle: LooseBundle) => void
}[] = [
  {
    name: 'batch-id',
    expect: 'signature',
    why: 'the id of another batch',
    forge: ({ batch }) => {
      batch.id = otherBundle().batch.id
    },
  },
  {
    name: 'batch-n-larger',
    expect: 'signature',
    why: 'n that still fits the path',
    forge: ({ batch }) => {
      batch.n = 6
    },
  },
  {
    name: 'batch-n-smaller',
    expect: 'path',
    why: 'n that does not fit the path',
    forge: ({ batch }) => {
      batch.n = 4
    },
  },
  {
    name: 'batch-n-zero',
    expect: 'format',
    why: 'an empty batch',
    forge: ({ batch }) => {
      batch.n = 0
    },
  },
  {
    name: 'batch-pos',
    expect: 'path',
    why: 'the place of a neighbour',
    forge: ({ batch }) => {
      batch.pos = 2
    },
  },
  {
    name: 'batch-pos-beyond',
    expect: 'format',
    why: 'a place behind the last',
    forge: ({ batch }) => {
      batch.pos = 5
    },
  },
  {
    name: 'batch-path-bit',
    expect: 'path',
    why: 'one bit of a path hash',
    forge: ({ batch }) => {
      batch.path[1] = flipBit(batch.path[1])
    },
  },
  {
    name: 'batch-path-truncated',
    expect: 'path',
    why: 'the last path hash is missing',
    forge: ({ batch }) => {
      batch.path.pop()
    },
  },
  {
    name: 'batch-path-reversed',
    expect: 'path',
    why: 'the path from the root down',
    forge: ({ batch }) => {
      batch.path.reverse()
    },
  },
  {
    name: 'batch-path-longer',
    expect: 'path',
    why: 'one path hash too many',
    forge: ({ batch }) => {
      batch.path.push(batch.root)
    },
  },
  {
    name: 'batch-path-endless',
    expect: 'format',
    why: '17 path hashes',
    forge: ({ batch }) => {
      batch.path = Array(17).fill(batch.root)
    },
  },
  {
    name: 'batch-path-short-hash',
    expect: 'format',
    why: 'a path hash of 31 bytes',
    forge: ({ batch }) => {
      batch.path[0] = Buffer.alloc(31).toString('base64')
    },
  },
  {
    name: 'batch-root-bit',
    expect: 'path',
    why: 'one bit of the root',
    forge: ({ batch }) => {
      batch.root = flipBit(batch.root)
    },
  },
  {
    name: 'batch-root-other',
    expect: 'path',
    why: 'root and signature of another batch',
    forge: ({ batch }) => {
      Object.assign(batch, { root: otherBundle().batch.root, sig: otherBundle().batch.sig })
    },
  },
  {
    name: 'batch-root-stray-bits',
    expect: 'format',
    why: 'a second spelling of the same Base64',
    forge: ({ batch }) => {
      batch.root = strayBits(batch.root)
    },
  },
  {
    name: 'batch-root-leaf',
    expect: 'path',
    why: 'the leaf hash in place of the root',
    forge: ({ receipt, batch }) => {
      batch.root = leafHash(canonicalJson(receipt)).toString('base64')
    },
  },
  {
    name: 'batch-sig-other',
    expect: 'signature',
    why: 'the signature of another batch',
    forge: ({ batch }) => {
      batch.sig = otherBundle().batch.sig
    },
  },
  {
    name: 'batch-sig-bit',
    expect: 'signature',
    why: 'one bit of the signature',
    forge: ({ batch }) => {
      batch.sig = flipBit(batch.sig)
    },
  },
  {
    name: 'batch-sig-malleable',
    expect: 'signature',
    why: 'the scalar S plus the order of the group',
    forge: ({ batch }) => {
      batch.sig = addGroupOrder(batch.sig)
    },
  },
  {
    name: 'batch-sig-base64url',
    expect: 'format',
    why: 'a signature in Base64url',
    forge: ({ batch }) => {
      batch.sig = Buffer.from(batch.sig, 'base64').toString('base64url')
    },
  },
  {
    name: 'batch-extra-field',
    expect: 'format',
    why: 'a field too many in batch',
    forge: ({ batch }) => {
      Object.assign(batch, { alg: 'none' })
    },
  },
  {
    name: 'batch-other-receipt',
    expect: 'path',
    why: 'the proof of another receipt of this key',
    forge: (bundle) => {
      bundle.receipt = otherBundle().receipt
    },
  },
  {
    name: 'batch-rebuilt',
    expect: 'signature',
    why: 'an altered receipt with a root of its own',
    forge: (bundle) => {
      Object.assign(bundle, unsignedRoot(bundle))
    },
  },
  {
    name: 'key-not-the-signer',
    expect: 'signature',
    why: 'the name of another listed key',
    forge: ({ batch }) => {
      batch.key_id = revokedSigner.keyId
    },
  },
]

function flipBit(base64 = ''): string {
  const bytes = Buffer.from(base64, 'base64')
  bytes[5] = (bytes[5] ?? 0) ^ 4
  return bytes.toString('base64')
}

/** 32 bytes leave two bits of their last Base64 digit unused. */
function strayBits(base64: string): string {
  const alphabet = 'ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/'
  const last = alphabet.indexOf(base64.charAt(42))
  return `${base64.slice(0, 42)}${alphabet.charAt(last ^ 1)}=`
}

function addGroupOrder(base64: string): string {
  const bytes = Buffer.from(base64, 'base64')
  const order = (1n << 252n) + 27742317777372353535851937790883648493n
  const scalar = BigInt(`0x${Buffer.from(bytes.subarray(32)).reverse().toString('hex')}`) + order
  const forged = Buffer.from(scalar.toString(16).padStart(64, '0'), 'hex').reverse()
  return Buffer.concat([bytes.subarray(0, 32), forged]).toString('base64')
}

/** What somebody without the key can do: alter a receipt and build the tree again. */
function unsignedRoot(bundle: LooseBundle): LooseBundle {
  const rebuilt = sealOne({ ...bundle.receipt, charged_nanousd: '0', absorbed_nanousd: '6213600' }, unknownSigner)
  return {
    ...rebuilt,
    batch: { ...rebuilt.batch, id: bundle.batch.id, key_id: bundle.batch.key_id, sig: bundle.batch.sig },
  }
}
