import { createLogSigner } from '#domain/log/log-signer.ts'
import { restartLog } from '#domain/log/restart-log.ts'
import { withDatabase } from './books.ts'
import { type CliDeps, logToolsOf, need, readArgs, UsageError } from './command.ts'
import { printJson } from './print.ts'

const ACCEPT = 'i-accept-that-the-old-log-ends'

export const summary = 'End the receipt log and begin another one under a new name. The way out of a halt.'
export const usage = `usage: fluxgate log restart --origin NAME --reason TEXT --${ACCEPT} [--json]

For when the log must not be continued: after a backup was restored that lacks records which were acknowledged, or when its key was
stolen. The old log stays as evidence, in the database and, once a gateway has started, in the folder ended/ of LOG_DIR. Every batch
that the database has is put into the new log, signed with the LOG_SIGNING_KEY that is configured.

Stop all gateways first. Then restart them with RECEIPT_LOG_ORIGIN=NAME, and tell everybody who watches the log why.
TEXT is kept in the books.`

export async function run(deps: CliDeps, args: string[]): Promise<number> {
  const { values } = readArgs(args, {
    origin: { type: 'string' },
    reason: { type: 'string' },
    [ACCEPT]: { type: 'boolean' },
  })
  const origin = need(values.origin, '--origin')
  const reason = need(values.reason, '--reason')
  if (!/^[!-*,-~]{1,255}$/.test(origin))
    throw new UsageError('--origin must be 1 to 255 visible ASCII characters without a plus')
  if (reason.length > 500) throw new UsageError('--reason must be at most 500 characters')
  if (values[ACCEPT] !== true)
    throw new UsageError(`--${ACCEPT} is missing: the log that is kept now is never continued`)
  const signer = await createLogSigner(origin, await logToolsOf(deps).signer())
  const { ended, queued } = await withDatabase(deps, (db) => restartLog(db, signer, reason))
  if (values.json) printJson(deps.out, { ended: ended ?? null, origin, vkey: signer.vkey, queued })
  else {
    if (ended !== undefined) deps.out.write(`ended the log ${ended.origin} with ${ended.size} leaves\n`)
    deps.out.write(`began the log ${origin}; ${queued} batches wait for it\nvkey ${signer.vkey}\n`)
    deps.out.write(`Set RECEIPT_LOG_ORIGIN=${origin} for every gateway and start them.\n`)
  }
  return 0
}
