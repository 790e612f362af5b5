import { type KeyManifest, MANIFEST_VERSION, manifestText } from '#billing/key-manifest.ts'
import { STATEMENT_VERSION, type Statement } from '#billing/statement.ts'
import { encodeVerifierKey, verifierKey } from '#billing/tlog/verifier-key.ts'
import type { DocumentStepName } from '#billing/verify-document.ts'
import { otherBundle } from './good.ts'
import {
  currentSigner,
  logSigner,
  retiredSigner,
  revokedSigner,
  rootSigner,
  strangerRootSigner,
  vectorKeys,
} from './keys.ts'
import { type LooseDocumentBundle, sealDocuments } from './seal.ts'

export interface DocumentVector {
  name: string
  expect: DocumentStepName | 'ok'
  why: string
  text: string
}

/** A busy day: three receipts of four numbers, money in all ways. */
export const statement: Statement = {
  v: STATEMENT_VERSION,
  log: 'receipts.example.com/1',
  document_id: 'stm_0193a5f0c1d27e4f8a6b0c9d8e7f6b01',
  issued_at: '2026-11-21T00:12:00.000Z',
  account: 'acc_7qm2vx4kd6jh',
  project_keys: ['prj_k3n5p7r2', 'prj_m4q6s8t3'],
  day: '2026-11-20',
  opening_nanousd: '1000000',
  granted_nanousd: '50000000',
  charged_nanousd: '18640800',
  refunded_nanousd: '213600',
  expired_nanousd: '72800',
  adjusted_nanousd: '-500000',
  closing_nanousd: '32000000',
  receipts: {
    count: 3,
    first: 5,
    last: 8,
    root: 'CsUYapGGPo4dkMgIAUqom/Xajj7h2fB2MPA3j2jxq2I=',
    numbers: [
      [5, 6],
      [8, 8],
    ],
  },
  receipts_total: 7,
  highest: 9,
  open: {
    count: 2,
    numbers: [
      [7, 7],
      [9, 9],
    ],
  },
}

const quiet: Statement = {
  ...statement,
  document_id: 'stm_0193a5f0c1d27e4f8a6b0c9d8e7f6b02',
  issued_at: '2026-11-22T00:00:00.000Z',
  day: '2026-11-21',
  opening_nanousd: '32000000',
  granted_nanousd: '0',
  charged_nanousd: '0',
  refunded_nanousd: '0',
  expired_nanousd: '32000000',
  adjusted_nanousd: '0',
  closing_nanousd: '0',
  receipts: { count: 0 },
}

const { numbers: _, ...unlisted } = statement.receipts

const manifest = signed({
  v: MANIFEST_VERSION,
  log: 'receipts.example.com/1',
  document_id: 'kms_0193a5f0c1d27e4f8a6b0c9d8e7f6c01',
  issued_at: '2026-11-26T08:00:00.000Z',
  sequence: 3,
  root_key_id: rootSigner.keyId,
  root_public_key: rootSigner.publicKey.toString('base64url'),
  ...vectorKeys,
  log_vkey: encodeVerifierKey(await verifierKey('receipts.example.com/1', 'note', logSigner.publicKey)),
  legacy_keys: [{ key_id: 'key_b43cdfe1bf180ef4', public_key: 'A6EHv_POEL4dcN0Y50vAmWfk1jCbpQ1fHdyGZBJVMbg' }],
})

const bundles = sealDocuments('0193a5f0-c1d2-7e4f-8a6b-000000000d01', [statement, quiet, manifest], currentSigner)
const single = (document: object, signer = currentSigner) =>
  at(sealDocuments('0193a5f0-0000-7000-8000-000000000d02', [document], signer), 0)

const good: DocumentVector[] = [
  vector('statement', 'ok', 'a busy day, first of a batch of three', at(bundles, 0)),
  vector(
    'statement-quiet',
    'ok',
    'a day on which nothing but an expiry happened, issued in its first moment',
    at(bundles, 1),
  ),
  vector(
    'statement-unlisted',
    'ok',
    'too many ranges of numbers to list',
    single({ ...statement, receipts: unlisted, open: { count: 2 } }),
  ),
  vector('manifest', 'ok', 'a list of keys that the root key signed', at(bundles, 2)),
  vector(
    'statement-retired-key',
    'ok',
    'signed in the time of a key that is retired',
    single({ ...quiet, day: '2026-09-30', issued_at: '2026-10-01T12:00:00.000Z' }, retiredSigner),
  ),
]

const otherValues: Readonly<Record<keyof Statement, unknown>> = {
  v: 'fluxgate-statement/2',
  log: 'receipts.example.com/2',
  document_id: 'stm_0193a5f0c1d27e4f8a6b0c9d8e7f6b09',
  issued_at: '2026-11-21T00:12:00.001Z',
  account: 'acc_7qm2vx4kd6jj',
  project_keys: ['prj_k3n5p7r2'],
  day: '2026-11-19',
  opening_nanousd: '1000001',
  granted_nanousd: '50000001',
  charged_nanousd: '18640801',
  refunded_nanousd: '213601',
  expired_nanousd: '72801',
  adjusted_nanousd: '-500001',
  closing_nanousd: '32000001',
  receipts: { ...statement.receipts, root: flipBit(statement.receipts.root ?? '') },
  receipts_total: 8,
  highest: 10,
  open: { count: 3 },
}

const altered = Object.entries(otherValues).map(([field, value]) => {
  const bundle = fresh()
  bundle.document[field] = value
  const expect = field === 'v' ? 'format' : 'path'
  return vector(`altered-${field.replaceAll('_', '-')}`, expect, `${field} was altered after signing`, bundle)
})

const wrong: readonly [name: string, expect: 'format' | 'content', why: string, change: Record<string, unknown>][] = [
  ['closing-more', 'content', 'one nano-dollar appears from nowhere', { closing_nanousd: '32000001' }],
  ['closing-less', 'content', 'one nano-dollar is lost', { closing_nanousd: '31999999' }],
  ['charged-hidden', 'content', 'a charge that is not in the balance', { charged_nanousd: '18640801' }],
  ['adjusted-sign', 'content', 'an adjustment with the other sign', { adjusted_nanousd: '500000' }],
  ['issued-early', 'content', 'issued in the last millisecond of its day', { issued_at: '2026-11-20T23:59:59.999Z' }],
  ['number-lost', 'content', 'a number that is neither a receipt nor open', { highest: 10 }],
  ['total-low', 'content', 'more receipts on the day than in all', { receipts_total: 2, highest: 4 }],
  ['open-count', 'content', 'more open numbers than are counted', { open: { count: 2, numbers: [[7, 7]] } }],
  [
    'open-high',
    'content',
    'an open number above the highest',
    {
      open: {
        count: 2,
        numbers: [
          [7, 7],
          [10, 10],
        ],
      },
    },
  ],
  ['open-receipt', 'content', 'a number that is open and has a receipt', { open: { count: 2, numbers: [[8, 9]] } }],
  ['first', 'content', 'a first number that is not the first', { receipts: { ...statement.receipts, first: 4 } }],
  ['last', 'content', 'a last number that is not the last', { receipts: { ...statement.receipts, last: 9 } }],
  [
    'count',
    'content',
    'more receipts than numbers',
    { receipts: { ...statement.receipts, count: 4 }, receipts_total: 7 },
  ],
  ['span', 'content', 'more receipts than fit between two numbers', { receipts: { ...unlisted, count: 5 } }],
  ['no-root', 'content', 'receipts without a root', { receipts: { count: 3, first: 5, last: 8 } }],
  ['root-of-none', 'content', 'a root of no receipts', { receipts: { ...unlisted, count: 0 } }],
  ['charged-of-none', 'content', 'a charge without a receipt', { receipts: { count: 0 } }],
  ['last-high', 'content', 'a receipt above the highest number', { receipts: { ...unlisted, last: 10 } }],
  ['day-impossible', 'format', '30 February', { day: '2026-02-30' }],
  ['day-time', 'format', 'a day with a time', { day: '2026-11-20T00:00:00.000Z' }],
  ['amount-number', 'format', 'an amount as a number', { opening_nanousd: 1_000_000 }],
  ['amount-negative', 'format', 'a balance below zero', { opening_nanousd: '-1' }],
  ['amount-zero-negative', 'format', 'minus zero', { adjusted_nanousd: '-0' }],
  [
    'ranges-order',
    'format',
    'ranges that do not ascend',
    {
      open: {
        count: 2,
        numbers: [
          [9, 9],
          [7, 7],
        ],
      },
    },
  ],
  [
    'ranges-touch',
    'format',
    'two ranges that are one',
    {
      open: {
        count: 2,
        numbers: [
          [7, 7],
          [8, 8],
        ],
      },
    },
  ],
  ['ranges-empty', 'format', 'an empty list of ranges', { open: { count: 0, numbers: [] } }],
  ['ranges-backwards', 'format', 'a range that ends before it begins', { open: { count: 2, numbers: [[9, 7]] } }],
  ['ranges-zero', 'format', 'a number zero', { open: { count: 1, numbers: [[0, 0]] } }],
  ['ranges-triple', 'format', 'a range of three numbers', { open: { count: 2, numbers: [[7, 8, 9]] } }],
  [
    'ranges-many',
    'format',
    '1,001 ranges',
    { open: { count: 1_001, numbers: Array.from({ length: 1_001 }, (_, n) => [2 * n + 1, 2 * n + 1]) } },
  ],
  ['projects-order', 'format', 'projects that do not ascend', { project_keys: ['prj_m4q6s8t3', 'prj_k3n5p7r2'] }],
  ['projects-twice', 'format', 'a project twice', { project_keys: ['prj_k3n5p7r2', 'prj_k3n5p7r2'] }],
  ['extra', 'format', 'a field too many', { note: 'x' }],
  ['open-extra', 'format', 'a field too many inside', { open: { ...statement.open, note: 'x' } }],
  [
    'root-short',
    'format',
    'a root of 31 bytes',
    { receipts: { ...statement.receipts, root: Buffer.alloc(31).toString('base64') } },
  ],
  ['no-account', 'format', 'no account', { account: undefined }],
  ['id-of-receipt', 'format', 'the id of a receipt', { document_id: 'rcp_0193a5f0c1d27e4f8a6b0c9d8e7f6b01' }],
]

const { root_sig, ...unsignedManifest } = manifest
const manifests: DocumentVector[] = [
  vector(
    'manifest-forged',
    'root',
    'signed by somebody who is not the root key',
    single(signed(unsignedManifest, strangerRootSigner)),
  ),
  vector('manifest-altered', 'path', 'a revocation was taken out after signing', alteredManifest()),
  vector(
    'manifest-resigned',
    'root',
    'a revocation was taken out, and the batch signed again',
    single({ ...manifest, keys: withoutRevocation() }),
  ),
  vector(
    'manifest-root-name',
    'content',
    'the name of another root key',
    single(signed({ ...unsignedManifest, root_key_id: strangerRootSigner.keyId })),
  ),
  vector(
    'manifest-key-name',
    'content',
    'a key under the name of another',
    single(
      signed({
        ...unsignedManifest,
        keys: manifest.keys.map((key, n) => (n === 1 ? { ...key, key_id: 'rk_0000000000000000' } : key)),
      }),
    ),
  ),
  vector(
    'manifest-no-current',
    'content',
    'a current key that is retired',
    single(signed({ ...unsignedManifest, current_key_id: retiredSigner.keyId })),
  ),
  vector('manifest-no-keys', 'format', 'no keys', single(signed({ ...unsignedManifest, keys: [] }))),
  vector('manifest-sequence', 'format', 'a sequence of zero', single(signed({ ...unsignedManifest, sequence: 0 }))),
  vector('manifest-unsigned', 'format', 'without the signature of the root key', single(unsignedManifest)),
  vector(
    'manifest-sig-short',
    'format',
    'a signature of 63 bytes',
    single({ ...manifest, root_sig: Buffer.alloc(63).toString('base64') }),
  ),
  vector(
    'manifest-legacy',
    'format',
    'a key of another system with a member too many',
    single(
      signed({
        ...unsignedManifest,
        legacy_keys: [{ key_id: 'k', public_key: root_sig.slice(0, 43), note: 'x' } as never],
      }),
    ),
  ),
]

function envelopes(): DocumentVector[] {
  const { document, batch } = fresh()
  const text = JSON.stringify(fresh(), null, 2)
  return [
    vector('document-as-receipt', 'format', 'the document under the name of a receipt', { batch, receipt: document }),
    vector('document-extra-member', 'format', 'a member too many beside it', { batch, document, note: 'x' }),
    vector('document-no-batch', 'format', 'the batch is missing', { document }),
    vector('document-text', 'format', 'the document as a string', { batch, document: JSON.stringify(document) }),
    vector('document-receipt', 'format', 'a receipt under the name of a document', {
      batch: otherBundle().batch,
      document: otherBundle().receipt,
    }),
    vector('document-of-another-batch', 'path', 'the batch of a receipt', { batch: otherBundle().batch, document }),
    vector('document-path-bit', 'path', 'one bit of a path hash', {
      document,
      batch: { ...batch, path: batch.path.map((node, n) => (n === 0 ? flipBit(node) : node)) },
    }),
    vector('document-sig-bit', 'signature', 'one bit of the signature', {
      document,
      batch: { ...batch, sig: flipBit(batch.sig) },
    }),
    vector('document-revoked-key', 'key', 'signed by a key that was revoked', single(statement, revokedSigner)),
    vector('document-before-key', 'key', 'issued after the end of its key', single(statement, retiredSigner)),
    {
      name: 'document-duplicate-key',
      expect: 'format',
      why: 'a key twice; the last one is what was signed',
      text: `${text.replace('"closing_nanousd"', '"closing_nanousd": "1",\n    "closing_nanousd"')}\n`,
    },
    {
      name: 'document-number-fraction',
      expect: 'format',
      why: 'the integer 9 written as 9.0',
      text: `${text.replace('"highest": 9', '"highest": 9.0')}\n`,
    },
  ]
}

export const documentVectors: readonly DocumentVector[] = [
  ...good,
  ...altered,
  ...wrong.map(([name, expect, why, change]) =>
    // What is undefined is left out.
    vector(
      `wrong-${name}`,
      expect,
      `${why}, and signed`,
      single(JSON.parse(JSON.stringify({ ...statement, ...change }))),
    ),
  ),
  ...manifests,
  ...envelopes(),
]

function signed(rest: Omit<KeyManifest, 'root_sig'>, signer = rootSigner): KeyManifest {
  return { ...rest, root_sig: signer.sign(Buffer.from(manifestText(rest))).toString('base64') }
}

function withoutRevocation() {
  return manifest.keys.map(({ revoked_at: _, ...key }) => ({
    ...key,
    status: key.status === 'revoked' ? ('retired' as const) : key.status,
  }))
}

function alteredManifest(): LooseDocumentBundle {
  const bundle = structuredClone(at(bundles, 2))
  bundle.document.keys = withoutRevocation()
  return bundle
}

function fresh(): LooseDocumentBundle {
  return structuredClone(at(bundles, 0))
}

function at(list: readonly LooseDocumentBundle[], index: number): LooseDocumentBundle {
  const bundle = list[index]
  if (bundle === undefined) throw new Error(`there is no bundle ${index}`)
  return bundle
}

function flipBit(base64: string): string {
  const bytes = Buffer.from(base64, 'base64')
  bytes[5] = (bytes[5] ?? 0) ^ 4
  return bytes.toString('base64')
}

function vector(name: string, expect: DocumentVector['expect'], why: string, value: unknown): DocumentVector {
  return { name, expect, why, text: `${JSON.stringify(value, null, 2)}\n` }
}
