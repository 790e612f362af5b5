import { Gauge, type Registry } from 'prom-client'
import type { Db } from '#db/pool.ts'
import { auditLedger } from '#domain/audit.ts'

/** Audits on demand, and tells metrics when it last did and what it found. */
export function createAuditor(db: Db, registry: Registry) {
  let lastAt = 0
  let bad = 0
  new Gauge({
    name: 'fluxgate_audit_age_seconds',
    help: 'Since the last audit of the ledger by this process; -1 before the first.',
    registers: [registry],
    collect() {
      this.set(lastAt === 0 ? -1 : (Date.now() - lastAt) / 1000)
    },
  })
  new Gauge({
    name: 'fluxgate_audit_bad_rows',
    help: 'Rows that break an invariant, as of the last audit. Anything but 0 is an emergency.',
    registers: [registry],
    collect() {
      this.set(bad)
    },
  })
  return async () => {
    const report = await auditLedger(db)
    lastAt = Date.now()
    bad = report.invariants.reduce((sum, invariant) => sum + invariant.bad, 0)
    return report
  }
}
