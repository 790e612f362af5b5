import { checkLog } from '#billing/check-log.ts'
import { parseReceipt } from '#billing/parse-receipt.ts'
import { checkConsistency } from '#billing/tlog/check-consistency.ts'
import { decodeHash, verifyCheckpoint } from '#billing/tlog/checkpoint.ts'
import { parseTlogPolicy } from '#billing/tlog/policy.ts'
import { verifyAll } from '#billing/verify-all.ts'
import { parseDocument, verifyDocumentText } from '#billing/verify-document.ts'
import { verifyBundle, verifyBundleText } from '#billing/verify-receipt.ts'
import { verifySet } from '#billing/verify-set.ts'
import { verifyStatements } from '#billing/verify-statements.ts'
import { canonicalJson } from '#lib/canonical-json.ts'
import { parseStrictJson } from '#lib/strict-json.ts'
import type { VectorIndex } from './build.ts'

/** `found` is the first step that failed, or ok. */
export interface Judged {
  name: string
  expect: string
  found: string
  why: string
  detail: string
}

interface Step {
  name: string
  ok: boolean
  reached?: boolean
  detail: string
}

/** What our verifier makes of every vector. */
export async function judge(index: VectorIndex, read: (file: string) => Promise<string>): Promise<Judged[]> {
  const keys: unknown = JSON.parse(await read(index.keys))
  const judged: Judged[] = []
  const add = (name: string, { expect, why }: { expect: string; why: string }, steps: readonly Step[]) => {
    const found = steps.find(({ ok, reached = true }) => reached && !ok)?.name ?? 'ok'
    judged.push({ name, expect, found, why, detail: JSON.stringify(steps, null, 1) })
  }
  for (const vector of index.vectors)
    add(vector.file, vector, (await verifyBundleText(await read(vector.file), keys)).steps)
  for (const vector of index.documents) {
    const verdict = await verifyDocumentText(await read(vector.file), keys, { rootKeyId: index.root_key_id })
    add(vector.file, vector, verdict.steps)
  }
  for (const vector of index.entries) {
    const bundle = parseStrictJson(await read(vector.file))
    const { documents } = await verifyAll([bundle], { keys, proofs: [], together: false, partial: false })
    add(vector.file, vector, documents[0]?.steps ?? [])
  }
  for (const vector of index.sets) {
    const set = parseStrictJson(await read(vector.file)) as Record<'receipts' | 'statements', Record<string, unknown>[]>
    const receipts = set.receipts.map(({ receipt }) => parseReceipt(receipt))
    const statements = set.statements.map(({ document }) => parseDocument(canonicalJson(document)) as never)
    const stated = await verifyStatements(receipts, statements)
    const open = (account: string) => stated.accounts.find((known) => known.account === account)?.openNumbers ?? []
    add(vector.file, vector, [...verifySet(set.receipts, open).steps, ...stated.steps])
  }
  for (const vector of index.proofs) add(vector.proof, vector, await stepsOfProof(vector, keys, read))
  for (const vector of index.consistency) add(vector.file, vector, await stepsOfPair(await read(vector.file), read))
  return judged
}

async function stepsOfProof(
  vector: { bundle: string; proof: string; policy: string },
  keys: unknown,
  read: (file: string) => Promise<string>,
): Promise<Step[]> {
  const policy = await parseTlogPolicy(await read(vector.policy)).catch((error: Error) => error.message)
  if (typeof policy === 'string') return [{ name: 'policy', ok: false, detail: policy }]
  const bundle: unknown = JSON.parse(await read(vector.bundle))
  const { step, witnessedAt } = await checkLog(bundle, [await read(vector.proof)], policy)
  return [...(await verifyBundle(bundle, keys, { witnessedAt })).steps, step]
}

async function stepsOfPair(text: string, read: (file: string) => Promise<string>): Promise<Step[]> {
  const pair = parseStrictJson(text) as { policy: string; old: string; new: string; path: string[] }
  const { logs, witnesses } = await parseTlogPolicy(await read(pair.policy))
  const [log] = logs
  if (log === undefined) throw new Error('the policy of the vectors has a log')
  const before = await verifyCheckpoint(pair.old, { log, witnesses, quorum: 0 })
  const after = await verifyCheckpoint(pair.new, { log, witnesses, quorum: 0 })
  const problem = before.problem ?? after.problem
  if (problem !== undefined) return [{ name: 'checkpoint', ok: false, detail: problem }]
  const ok = await checkConsistency({
    oldSize: before.checkpoint.size,
    oldRoot: decodeHash(before.checkpoint.root),
    size: after.checkpoint.size,
    root: decodeHash(after.checkpoint.root),
    path: pair.path.map(decodeHash),
  })
  return [{ name: 'consistency', ok, detail: `${before.checkpoint.size} to ${after.checkpoint.size}` }]
}
