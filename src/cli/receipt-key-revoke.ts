import { refreshManifest } from '#domain/key-manifests.ts'
import { revokeReceiptKey } from '#domain/receipt-keys.ts'
import { withDatabase } from './books.ts'
import { type CliDeps, need, readArgs } from './command.ts'
import { printJson } from './print.ts'

export const summary = 'Revoke a receipt key for good: for one that somebody else may have.'
export const usage = `usage: fluxgate receipt-key revoke KEY_ID --reason TEXT [--json]

KEY_ID is rk_…, as receipt-key list shows it. Published at once. What the key signed is not good any more, but for what
witnesses of the log had seen before. The key that gateways sign with now cannot be revoked: rotate first.`

export async function run(deps: CliDeps, args: string[]): Promise<number> {
  const { values, words } = readArgs(args, { reason: { type: 'string' } }, ['KEY_ID'])
  const [id = ''] = words
  const reason = need(values.reason, '--reason')
  const { receiptKeys } = deps
  const { key, sequence } = await withDatabase(deps, async (db) => {
    const key = await revokeReceiptKey(db, id, reason)
    const root = await receiptKeys.rootSigner()
    if (root === undefined) return { key, sequence: undefined }
    const { log } = receiptKeys
    const logVkey = await receiptKeys.logVkey()
    const manifest = await refreshManifest(db, await receiptKeys.receiptSigner(), { root, log, logVkey })
    return { key, sequence: manifest?.sequence }
  })
  if (values.json) printJson(deps.out, { object: 'receipt_key', ...key, ...(sequence && { manifest: sequence }) })
  else {
    deps.out.write(`revoked ${key.key_id} at ${key.revoked_at}: ${key.revoked_reason}\n`)
    deps.out.write(
      sequence === undefined
        ? 'The signed list of keys does not say so yet: fluxgate receipt-key manifest --help.\n'
        : `Signed list ${sequence} says so.\n`,
    )
  }
  return 0
}
