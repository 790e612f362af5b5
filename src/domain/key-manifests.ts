import {
  checkManifest,
  checkRootSignature,
  type KeyManifest,
  type LegacyKey,
  MANIFEST_VERSION,
  manifestText,
  rootKeyId,
} from '#billing/key-manifest.ts'
import { parseDocument } from '#billing/verify-document.ts'
import { type Db, type Tx, transaction } from '#db/pool.ts'
import { canonicalJson } from '#lib/canonical-json.ts'
import { uuidv7Hex } from '#lib/ids.ts'
import { AppError } from '#src/errors.ts'
import { recordAct } from './audit-trail.ts'
import { readLegacyReceiptKeys } from './legacy-receipt-keys.ts'
import { publicReceiptKeys } from './receipt-keys.ts'
import { type DocumentSigner, documentBundles, documentPrefixes, signDocuments } from './signed-documents.ts'

// The list of keys that the root key signs. Each one is a signed document and so a leaf of the log: nobody can be shown a list
// of his own without a trace.

export type ManifestDraft = Omit<KeyManifest, 'root_sig'>

interface PublishOptions {
  logVkey?: string | undefined
  /** The list may be of another root key than the one before: verifiers have been told. */
  newRoot?: boolean | undefined
}

/** What a list is about besides the receipt keys of the database. */
interface ManifestSubject {
  /** Origin of the log. */
  log: string
  /** 32 raw bytes. */
  rootPublicKey: Buffer
  /** The log's own key, where there is a log. */
  logVkey?: string | undefined
}

interface StoredManifest {
  batchId: string
  pos: number
  document: string
}

/** The newest list, as the text of a bundle. */
export async function currentManifest(db: Db): Promise<string | undefined> {
  const stored = await lastManifest(db)
  if (stored === undefined) return undefined
  const [bundle] = await documentBundles(db, [stored])
  return bundle
}

/** The list that the root key has to sign for the keys as they are now; undefined when the newest list says just that. */
export async function draftManifest(db: Db | Tx, subject: ManifestSubject): Promise<ManifestDraft | undefined> {
  const before = await readLast(db)
  const { keys, current_key_id } = await publicReceiptKeys(db)
  const legacy = await legacyReceiptKeys(db)
  const state = {
    v: MANIFEST_VERSION,
    log: subject.log,
    root_key_id: await rootKeyId(new Uint8Array(subject.rootPublicKey)),
    root_public_key: subject.rootPublicKey.toString('base64url'),
    current_key_id,
    keys,
    ...(subject.logVkey !== undefined && { log_vkey: subject.logVkey }),
    ...(legacy.length > 0 && { legacy_keys: legacy }),
  } as const
  if (before !== undefined) {
    const { document_id: _, issued_at: __, sequence: ___, root_sig: ____, ...stated } = before
    if (canonicalJson(stated) === canonicalJson(state)) return undefined
  }
  const { rows } = await db.query<{ at: Date }>('select clock_timestamp() as at')
  return {
    ...state,
    document_id: `${documentPrefixes.keys}${uuidv7Hex()}`,
    issued_at: new Date(rows[0]?.at ?? 0).toISOString(),
    sequence: (before?.sequence ?? 0) + 1,
  }
}

/**
 * Publishes a list that the root key signed. Throws AppError body_invalid when it is no such list, and key_manifest_stale when it is not
 * about the keys as they are now, or is not of the root key that signed the one before.
 */
export async function publishManifest(
  db: Db,
  signer: DocumentSigner,
  manifest: KeyManifest,
  options: PublishOptions = {},
): Promise<void> {
  await transaction(db, async (tx) => {
    await lockKeys(tx)
    await store(tx, signer, manifest, options)
    const after = { root: manifest.root_key_id, new_root: options.newRoot ?? false }
    await recordAct(tx, { actor: 'cli', action: 'key_manifest.publish', subject: String(manifest.sequence), after })
  })
}

/** Signs and publishes a list where the root key is at hand and the keys have changed since the newest one. */
export async function refreshManifest(
  db: Db,
  signer: DocumentSigner,
  { root, log, ...options }: PublishOptions & { root: DocumentSigner & { publicKey: Buffer }; log: string },
): Promise<KeyManifest | undefined> {
  return transaction(db, async (tx) => {
    await lockKeys(tx)
    const draft = await draftManifest(tx, { log, rootPublicKey: root.publicKey, logVkey: options.logVkey })
    if (draft === undefined) return undefined
    const manifest = { ...draft, root_sig: root.sign(Buffer.from(manifestText(draft))).toString('base64') }
    await store(tx, signer, manifest, options)
    return manifest
  })
}

/** Reads the JSON of a list that was signed elsewhere. Throws AppError body_invalid. */
export function readManifest(value: unknown): KeyManifest {
  try {
    const document = parseDocument(canonicalJson(value))
    if (document.v === MANIFEST_VERSION) return document
  } catch (error) {
    const why = error instanceof Error ? error.message : 'it is not readable'
    throw new AppError('body_invalid', { message: `This is no signed list of keys: ${why}.`, cause: error })
  }
  throw new AppError('body_invalid', { message: 'This is another kind of document, not a list of keys.' })
}

async function store(
  tx: Tx,
  signer: DocumentSigner,
  manifest: KeyManifest,
  { logVkey, newRoot = false }: PublishOptions,
): Promise<void> {
  for (const { ok, detail } of [await checkManifest(manifest), await checkRootSignature(manifest)]) {
    if (!ok) throw new AppError('body_invalid', { message: `This list of keys cannot be published: ${detail}.` })
  }
  const before = await readLast(tx)
  if (before !== undefined && before.root_key_id !== manifest.root_key_id && !newRoot)
    throw new AppError('key_manifest_stale', {
      message: `The list before was signed by ${before.root_key_id}. Verifiers trust that key: tell them the other one first, then use --new-root.`,
    })
  const now = await draftManifest(tx, {
    log: manifest.log,
    rootPublicKey: Buffer.from(manifest.root_public_key, 'base64url'),
    logVkey,
  })
  if (now === undefined) throw new AppError('key_manifest_stale', { message: 'The newest list says just this.' })
  // When it was drafted is its own; what it is about is not.
  const { root_sig: _, ...stated } = manifest
  const { document_id, issued_at } = manifest
  if (canonicalJson(stated) !== canonicalJson({ ...now, document_id, issued_at }))
    throw new AppError('key_manifest_stale', {
      message: 'The keys have changed since this list was drafted. Draft another one.',
    })
  await signDocuments(tx, signer, [
    {
      id: document_id,
      kind: 'keys',
      walletId: null,
      projectId: null,
      period: manifest.sequence.toString().padStart(10, '0'),
      issuedAt: new Date(issued_at),
      document: canonicalJson(manifest),
    },
  ])
}

async function readLast(db: Db | Tx): Promise<KeyManifest | undefined> {
  const stored = await lastManifest(db)
  return stored === undefined ? undefined : (JSON.parse(stored.document) as KeyManifest)
}

async function lastManifest(db: Db | Tx): Promise<StoredManifest | undefined> {
  const { rows } = await db.query<StoredManifest>(
    `select batch_id as "batchId", pos, document from signed_document where kind = 'keys' order by period desc limit 1`,
  )
  return rows[0]
}

/** Keys of llmring-server whose receipts were taken over, by their names. */
export async function legacyReceiptKeys(db: Db | Tx): Promise<LegacyKey[]> {
  const keys = await readLegacyReceiptKeys(db)
  return keys
    .map(({ keyId, publicKey }) => ({ key_id: keyId, public_key: publicKey.toString('base64url') }))
    .sort((one, other) => (one.key_id < other.key_id ? -1 : 1))
}

/** The same lock as for registering a key: the keys stay as they are while a list of them is made. */
async function lockKeys(tx: Tx): Promise<void> {
  await tx.query(`select pg_advisory_xact_lock(hashtext('fluxgate receipt_key'))`)
}
