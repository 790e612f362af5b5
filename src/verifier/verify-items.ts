import type { KeyManifest } from '#billing/key-manifest.ts'
import { parseTlogPolicy, policyOf, type TlogPolicy } from '#billing/tlog/policy.ts'
import { parseVerifierKey } from '#billing/tlog/verifier-key.ts'
import { type Report, verifyAll } from '#billing/verify-all.ts'
import { verifyDocumentBundle } from '#billing/verify-document.ts'
import type { Item } from './classify.ts'

const BUNDLES_MAX = 10_000

/** What is wrong with what was given, beside what is wrong with receipts. */
export interface ItemsReport extends Report {
  ok: boolean
  /** Why nothing, or not everything, could be checked. */
  problems: readonly string[]
}

/** Verifies whatever was pasted or dropped, together. `rootKeyId` is the root key that one knows, if one does. */
export async function verifyItems(
  items: readonly Item[],
  { rootKeyId, partial }: { rootKeyId?: string | undefined; partial: boolean },
): Promise<ItemsReport> {
  const problems = items.flatMap((item) => (item.kind === 'unreadable' ? [`${item.label}: ${item.problem}`] : []))
  const bundles = items.flatMap((item) => (item.kind === 'bundles' ? item.bundles : []))
  const proofs = items.flatMap((item) => (item.kind === 'proof' ? [item.text] : []))
  const pages = items.flatMap((item) => (item.kind === 'bundles' ? (item.page ?? []) : []))
  const manifest = items.find((item) => item.kind === 'manifest')
  const keys = manifest === undefined ? items.find((item) => item.kind === 'keys')?.keys : keysOf(manifest.bundle)
  const nothing = { ok: false, receipts: [], documents: [] }
  if (bundles.length > BUNDLES_MAX)
    return { ...nothing, problems: [...problems, `give at most ${BUNDLES_MAX} receipts`] }
  // Of two lists one would be passed over without a word.
  if (items.filter(({ kind }) => kind === 'keys' || kind === 'manifest').length > 1)
    problems.push('give one list of keys')
  if (manifest === undefined && rootKeyId !== undefined) problems.push('the keys are not a list that a root key signed')
  if (keys === undefined)
    return { ...nothing, problems: [...problems, 'give the public keys as well: public-keys.json'] }

  const signed = manifest === undefined ? undefined : await verifyDocumentBundle(manifest.bundle, keys, { rootKeyId })
  const vkey = signed?.document?.v === 'fluxgate-keys/1' ? signed.document.log_vkey : undefined
  const policy = await readPolicy(items, proofs.length === 0 ? undefined : vkey).catch((error: Error) => {
    problems.push(error.message)
    return undefined
  })
  if (proofs.length > 0 && policy === undefined) problems.push('a proof is of a log: give its key, or a policy')
  const together = bundles.length > 1 || pages.length > 0
  const report = await verifyAll(bundles, { keys, rootKeyId, proofs, policy, together, partial, pages })
  const { document: _, ...listed } = signed ?? { ok: true, steps: [] }
  const documents = signed === undefined ? report.documents : [listed, ...report.documents]
  const all = [...report.receipts, ...documents]
  const agree = report.set?.ok !== false && report.statements?.ok !== false
  const ok = all.length > 0 && all.every((one) => one.ok) && agree && problems.length === 0
  return { ...report, documents, ok, problems }
}

function keysOf(bundle: unknown): unknown {
  const { current_key_id, keys } = Object(Reflect.get(Object(bundle), 'document')) as Partial<KeyManifest>
  return { current_key_id, keys }
}

async function readPolicy(items: readonly Item[], vkey: string | undefined): Promise<TlogPolicy | undefined> {
  const given = items.filter((item) => item.kind === 'policy')
  if (given.length > 1) throw new Error('give one policy, or one key of a log')
  const [policy] = given
  if (policy !== undefined) return parseTlogPolicy(policy.text)
  return vkey === undefined ? undefined : policyOf(await parseVerifierKey(vkey))
}
