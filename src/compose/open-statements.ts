import { Counter } from 'prom-client'
import type { Db } from '#db/pool.ts'
import { createStatements } from '#domain/statements.ts'
import type { Parts } from './parts.ts'

const EVERY_MS = 60_000

/** Daily statements, made in the background by one of the gateways. */
export function openStatements({ config, installation, log, registry, opened }: Parts, db: Db): void {
  const made = new Counter({
    name: 'fluxgate_statements_total',
    help: 'Daily statements that this process has signed.',
    registers: [registry],
  })
  const broken = new Counter({
    name: 'fluxgate_statements_broken_total',
    help: 'Statements that could not be made because the books do not agree with themselves. Anything but 0 is an emergency.',
    registers: [registry],
  })
  const statements = createStatements({
    db,
    signer: installation.signer,
    log: config.RECEIPT_LOG_ORIGIN,
    everyMs: EVERY_MS,
    onMade(count) {
      made.inc(count)
      log.info({ statements: count }, 'signed daily statements')
    },
    onBroken({ walletId, day, error }) {
      broken.inc()
      log.error({ wallet: walletId.toString(), day, err: error }, 'the books of a day do not agree with themselves')
    },
    onError: (error) => log.warn({ err: error }, 'daily statements could not be made; tried again'),
  })
  opened.defer(() => statements.close())
}
