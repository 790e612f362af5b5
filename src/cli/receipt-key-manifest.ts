import { manifestText } from '#billing/key-manifest.ts'
import {
  draftManifest,
  type ManifestDraft,
  publishManifest,
  readManifest,
  refreshManifest,
} from '#domain/key-manifests.ts'
import { parseStrictJson } from '#lib/strict-json.ts'
import { withDatabase } from './books.ts'
import { type CliDeps, need, readArgs, UsageError } from './command.ts'
import { printJson } from './print.ts'
import { readInput } from './read-input.ts'

const MANIFEST_BYTES_MAX = 262_144

export const summary = 'Sign and publish the list of receipt keys, also with a root key that is kept offline.'
export const usage = `usage: fluxgate receipt-key manifest [--root-key FILE] [--new-root] [--json]
       fluxgate receipt-key manifest --draft --root-public-key=KEY
       fluxgate receipt-key manifest --sign DRAFT --root-key FILE
       fluxgate receipt-key manifest --publish FILE|- [--signature BASE64] [--new-root] [--json]

Without an option: signs with the root key of RECEIPT_ROOT_KEY, DATA_DIR or FILE, and publishes.

With a root key that is offline, in three steps:
  --draft     prints exactly the bytes to sign. KEY is the Base64url of the root key's 32 public bytes.
  --sign      signs a draft, without a database, and prints the signed list. Any other tool may do it as well:
              Ed25519 over the bytes of the draft.
  --publish   publishes a signed list; with --signature, a draft and the Base64 of its signature.

--new-root: the list may be of another root key than the one before, because customers have been told.`

export async function run(deps: CliDeps, args: string[]): Promise<number> {
  const { values } = readArgs(args, {
    draft: { type: 'boolean' },
    'new-root': { type: 'boolean' },
    publish: { type: 'string' },
    'root-key': { type: 'string' },
    'root-public-key': { type: 'string' },
    sign: { type: 'string' },
    signature: { type: 'string' },
  })
  const modes = [values.draft === true, values.sign !== undefined, values.publish !== undefined]
  if (modes.filter(Boolean).length > 1) throw new UsageError('choose one of --draft, --sign and --publish')
  if (values.draft) return draft(deps, need(values['root-public-key'], '--root-public-key'))
  if (values.sign !== undefined) return sign(deps, values.sign, need(values['root-key'], '--root-key'))
  const published =
    values.publish === undefined
      ? await signHere(deps, values['root-key'], values['new-root'])
      : await publish(deps, values.publish, values)
  if (values.json) printJson(deps.out, { object: 'key_manifest', sequence: published ?? null })
  else
    deps.out.write(
      published === undefined ? 'the newest list is about these keys already\n' : `published list ${published}\n`,
    )
  return 0
}

async function draft(deps: CliDeps, key: string): Promise<number> {
  const rootPublicKey = Buffer.from(key, 'base64url')
  if (rootPublicKey.byteLength !== 32 || rootPublicKey.toString('base64url') !== key)
    throw new UsageError('--root-public-key takes the Base64url of 32 bytes')
  const { log } = deps.receiptKeys
  const logVkey = await deps.receiptKeys.logVkey()
  const manifest = await withDatabase(deps, (db) => draftManifest(db, { log, logVkey, rootPublicKey }))
  if (manifest === undefined) {
    deps.err.write('the newest list is about these keys already\n')
    return 1
  }
  // Without a line feed: what is printed is what is signed.
  deps.out.write(manifestText(manifest))
  return 0
}

async function sign(deps: CliDeps, path: string, rootKey: string): Promise<number> {
  const manifest = await readDraft(deps, path)
  const root = await deps.receiptKeys.rootSigner(rootKey)
  if (root?.keyId !== manifest.root_key_id)
    throw new Error(`this draft is for ${manifest.root_key_id}, the key in ${rootKey} is ${root?.keyId}`)
  const root_sig = root.sign(Buffer.from(manifestText(manifest))).toString('base64')
  printJson(deps.out, { ...manifest, root_sig })
  return 0
}

async function publish(
  deps: CliDeps,
  path: string,
  { signature, 'new-root': newRoot }: { signature?: string | undefined; 'new-root'?: boolean | undefined },
): Promise<number> {
  const { receiptKeys } = deps
  const value =
    signature === undefined
      ? parseStrictJson(await readInput(deps, path, MANIFEST_BYTES_MAX))
      : { ...(await readDraft(deps, path)), root_sig: signature }
  const manifest = readManifest(value)
  const signer = await receiptKeys.receiptSigner()
  const logVkey = await receiptKeys.logVkey()
  await withDatabase(deps, (db) => publishManifest(db, signer, manifest, { logVkey, newRoot }))
  return manifest.sequence
}

async function signHere(
  deps: CliDeps,
  path: string | undefined,
  newRoot: boolean | undefined,
): Promise<number | undefined> {
  const { receiptKeys } = deps
  const root = await receiptKeys.rootSigner(path)
  if (root === undefined)
    throw new UsageError('the root key is not at hand: give --root-key, or sign a --draft where it is kept')
  const signer = await receiptKeys.receiptSigner()
  const logVkey = await receiptKeys.logVkey()
  const manifest = await withDatabase(deps, (db) =>
    refreshManifest(db, signer, { root, log: receiptKeys.log, logVkey, newRoot }),
  )
  return manifest?.sequence
}

/** A draft as --draft printed it: the canonical text to the byte, so that what is read is what was signed. */
async function readDraft(deps: CliDeps, path: string): Promise<ManifestDraft> {
  const text = await readInput(deps, path, MANIFEST_BYTES_MAX)
  const value = parseStrictJson(text)
  if (typeof value !== 'object' || value === null) throw new Error(`${path} is no draft of a list of keys`)
  const unsigned = 'A'.repeat(86)
  readManifest({ ...value, root_sig: `${unsigned}==` })
  return value as ManifestDraft
}
