import type { AuditReport } from '#domain/audit.ts'
import { auditView } from '#domain/views.ts'
import type { HttpInstance } from '#routes/http-instance.ts'
import { AuditBody, answers } from '#routes/schemas.ts'

export function auditRoutes(app: HttpInstance, deps: { audit: () => Promise<AuditReport> }) {
  // An audit reads the whole ledger: who asks while one runs gets the result of that one.
  let running: Promise<AuditReport> | undefined

  app.get(
    '/api/admin/audit',
    {
      schema: {
        summary: 'Recompute the books and report every invariant',
        description: '200 whatever it finds: look at `ok`.',
        response: answers({ 200: AuditBody }, 401, 503),
      },
    },
    async () => {
      running ??= deps.audit().finally(() => {
        running = undefined
      })
      return auditView(await running)
    },
  )
}
