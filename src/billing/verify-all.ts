import { type BundlePage, missingPage } from './bundle-page.ts'
import { CERTIFICATE_VERSION } from './certificate.ts'
import { checkLog } from './check-log.ts'
import { checkOpenings, type Openings } from './check-openings.ts'
import { parseReceipt } from './parse-receipt.ts'
import type { Receipt } from './receipt.ts'
import { STATEMENT_VERSION, type Statement } from './statement.ts'
import type { TlogPolicy } from './tlog/policy.ts'
import { type SentEntry, verifyCertifiedEntry } from './verify-certified-entry.ts'
import { verifyDocumentBundle } from './verify-document.ts'
import { verifyBundle } from './verify-receipt.ts'
import { type SetVerification, verifySet } from './verify-set.ts'
import { type StatementsVerification, verifyStatements } from './verify-statements.ts'
import type { VerifyStep } from './verify-steps.ts'

interface Verdict {
  ok: boolean
  steps: readonly VerifyStep[]
}

/** Everything that was found of bundles of receipts and documents. */
export interface Report {
  receipts: readonly (Verdict & { receipt_id?: string })[]
  documents: readonly (Verdict & { document_id?: string })[]
  /** What the receipts say together. */
  set?: Omit<SetVerification, 'steps'> & { steps: readonly SetStep[] }
  /** What receipts and statements say together. */
  statements?: Omit<StatementsVerification, 'steps'> & { steps: readonly SetStep[] }
}

interface SetStep {
  name: string
  ok: boolean
  detail: string
}

export interface VerifyAllOptions {
  /** A keys document, as parsed JSON. */
  keys: unknown
  rootKeyId?: string | undefined
  /** Proofs that the log has the batches, in any order. */
  proofs: readonly string[]
  policy?: TlogPolicy | undefined
  openings?: Openings | undefined
  /** The bundles are to be compared with each other, and not one by one only. */
  together: boolean
  /** They are a selection: numbers may be missing. */
  partial: boolean
  /** The pages that they came on. */
  pages?: readonly BundlePage[]
}

/** Takes every step that can be taken of these bundles, as parsed JSON. Never throws, whatever they are. */
export async function verifyAll(bundles: readonly unknown[], options: VerifyAllOptions): Promise<Report> {
  const receipts: Report['receipts'][number][] = []
  const documents: Report['documents'][number][] = []
  const receiptBundles: unknown[] = []
  const statements: Statement[] = []
  for (const bundle of bundles) {
    const { proofs, policy } = options
    const log = proofs.length === 0 || policy === undefined ? undefined : await checkLog(bundle, proofs, policy)
    const more: VerifyStep[] = log === undefined ? [] : [log.step]
    const trust = { witnessedAt: log?.witnessedAt, rootKeyId: options.rootKeyId }
    if (typeof bundle === 'object' && bundle !== null && 'document' in bundle) {
      const { certified, rest } = splitEntry(bundle)
      const { document, ...verdict } = await verifyDocumentBundle(rest, options.keys, trust)
      if (certified !== undefined) {
        const certificate = document?.v === CERTIFICATE_VERSION ? document : undefined
        more.unshift(await verifyCertifiedEntry(certificate, certified))
      }
      if (document?.v === STATEMENT_VERSION) statements.push(document)
      documents.push(withSteps(verdict, more))
      continue
    }
    receiptBundles.push(bundle)
    if (options.openings !== undefined) more.push(...(await checkOpenings(readReceipt(bundle), options.openings)))
    receipts.push(withSteps(await verifyBundle(bundle, options.keys, trust), more))
  }
  if (!options.together) return { receipts, documents }
  const { partial } = options
  const stated =
    statements.length === 0
      ? undefined
      : await verifyStatements(
          receiptBundles.flatMap((bundle) => readReceipt(bundle) ?? []),
          statements,
          { partial },
        )
  const pages = partial ? [] : (options.pages ?? [])
  const missing = pages.flatMap((page) => missingPage(page, bundles) ?? [])
  return {
    receipts,
    documents,
    ...(receipts.length > 0 && { set: withMore(compare(receiptBundles, partial, stated), missing) }),
    ...(stated && { statements: withMore(stated, receipts.length > 0 ? [] : missing) }),
  }
}

function withMore<T extends { ok: boolean; steps: readonly SetStep[] }>(
  found: T,
  more: readonly SetStep[],
): Omit<T, 'steps'> & { steps: readonly SetStep[] } {
  return { ...found, ok: found.ok && more.length === 0, steps: [...found.steps, ...more] }
}

/** What stands beside a certificate in the bundle of one of its entries; any other bundle is left as it is. */
function splitEntry(bundle: object): { certified?: SentEntry; rest: unknown } {
  const { entry, inclusion, metadata, ...rest } = bundle as Record<string, unknown>
  return entry === undefined ? { rest: bundle } : { certified: { entry, inclusion, metadata }, rest }
}

function withSteps<V extends Verdict>(verdict: V, more: readonly VerifyStep[]): V {
  const steps = [...verdict.steps, ...more]
  return { ...verdict, ok: steps.every(({ ok }) => ok), steps }
}

function compare(
  receipts: readonly unknown[],
  partial: boolean,
  stated: StatementsVerification | undefined,
): NonNullable<Report['set']> {
  const open = (account: string) => stated?.accounts.find((known) => known.account === account)?.openNumbers ?? []
  const { steps, accounts } = verifySet(receipts, open)
  const kept = partial ? steps.filter((step) => step.name !== 'no_gap') : steps
  return { ok: kept.every((step) => step.ok), steps: kept, accounts }
}

function readReceipt(bundle: unknown): Receipt | undefined {
  try {
    return parseReceipt(Reflect.get(Object(bundle), 'receipt'))
  } catch {
    return undefined
  }
}
