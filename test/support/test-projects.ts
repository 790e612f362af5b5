import assert from 'node:assert/strict'
import { parseReceipt } from '#billing/parse-receipt.ts'
import type { Receipt } from '#billing/receipt.ts'
import { verifyBundleText } from '#billing/verify-receipt.ts'
import { verifySet } from '#billing/verify-set.ts'
import type { Db } from '#db/pool.ts'
import { auditLedger } from '#domain/audit.ts'
import type { Grants } from '#domain/grants.ts'
import type { Keys } from '#domain/keys.ts'
import type { Projects } from '#domain/projects.ts'
import { publicReceiptKeys } from '#domain/receipt-keys.ts'
import { createReceiptLog } from '#domain/receipt-log.ts'
import { createWallets } from '#domain/wallets.ts'
import { until } from '#test/support/until.ts'

/** Projects for tests, and everything that can be checked of their books. */
export function createTestProjects(deps: { db: Db; projects: Projects; keys: Keys; grants: Grants }) {
  const { db } = deps
  const receiptLog = createReceiptLog({ db })
  const wallets = createWallets({ db })
  let projects = 0

  /** A project with its own wallet of so many nano-dollars, and a key. */
  async function openProject(nanos: bigint) {
    projects += 1
    const project = await deps.projects.create({ name: `project ${projects}` })
    const { key, secret } = await deps.keys.create({ projectId: project.id, name: 'first' })
    if (nanos > 0n)
      await deps.grants.grant({
        projectId: project.id,
        amountNanos: nanos,
        reason: 'a test',
        actor: 'test',
        idempotencyKey: 'first',
      })
    const { id } = project

    async function bundles(): Promise<string[]> {
      const all: string[] = []
      for (let after = 0n; ; ) {
        const page = await receiptLog.list(id, { after, limit: 100 })
        all.push(...page.bundles)
        if (!page.hasMore || page.last === null) return all
        after = page.last
      }
    }

    async function receipts(): Promise<Receipt[]> {
      return (await bundles()).map((bundle) => parseReceipt((JSON.parse(bundle) as { receipt: unknown }).receipt))
    }

    return {
      id,
      key,
      secret,
      granted: nanos,
      walletId: project.walletId,
      wallet: () => wallets.ofProject(id),
      bundles,
      receipts,

      /** Waits until nothing is held and `calls` receipts are there; checks all of the books and returns the receipts. */
      async settled(calls: number): Promise<Receipt[]> {
        await until('the calls are settled', async () => {
          const { heldNanos, seq } = await wallets.ofProject(id)
          return heldNanos === 0n && seq >= BigInt(calls) && (await bundles()).length >= calls
        })
        const found = await receipts()
        assert.equal(found.length, calls, 'one receipt for each call')
        const keys = await publicReceiptKeys(db)
        const texts = await bundles()
        for (const text of texts) {
          const { ok, steps } = await verifyBundleText(text, keys)
          assert(ok, JSON.stringify(steps.filter((step) => !step.ok)))
        }
        const set = verifySet(texts.map((text) => JSON.parse(text)))
        assert(set.ok || calls === 0, JSON.stringify(set.steps))
        const { postedNanos } = await wallets.ofProject(id)
        const charged = found.reduce((sum, receipt) => sum + BigInt(receipt.charged_nanousd), 0n)
        assert.equal(postedNanos, nanos - charged, 'the wallet lost what the receipts say')
        assert(postedNanos >= 0n)
        await expectAudit()
        return found
      },
    }
  }

  async function expectAudit(): Promise<void> {
    const report = await auditLedger(db)
    assert.deepEqual(
      report.invariants.filter(({ bad }) => bad > 0),
      [],
    )
    assert(report.ok)
  }

  return { openProject, expectAudit }
}

export type TestProject = Awaited<ReturnType<ReturnType<typeof createTestProjects>['openProject']>>
