import { Type } from 'typebox'
import type { HttpInstance } from '#routes/http-instance.ts'

export interface Readiness {
  ok: boolean
  /** What was looked at, by name. */
  checks: Record<string, unknown>
}

export function healthRoutes(
  app: HttpInstance,
  deps: {
    readiness: () => Promise<Readiness>
    metrics: { contentType: string; metrics(): Promise<string> }
  },
) {
  app.get(
    '/livez',
    {
      schema: {
        summary: 'Whether the process answers',
        security: [],
        response: { 200: Type.Object({ status: Type.Literal('ok') }) },
      },
    },
    async () => ({ status: 'ok' as const }),
  )

  const Ready = Type.Object({
    status: Type.Union([Type.Literal('ready'), Type.Literal('not_ready')]),
    checks: Type.Record(Type.String(), Type.Unknown()),
  })
  app.get(
    '/readyz',
    {
      schema: {
        summary: 'Whether calls can be served: the database, never a provider',
        security: [],
        response: { 200: Ready, 503: Ready },
      },
    },
    async (_request, reply) => {
      const { ok, checks } = await deps.readiness()
      return reply.code(ok ? 200 : 503).send({ status: ok ? ('ready' as const) : ('not_ready' as const), checks })
    },
  )

  app.get(
    '/metrics',
    {
      schema: {
        summary: 'Metrics for Prometheus',
        security: [],
        response: { 200: { description: 'Text', content: { 'text/plain': { schema: Type.String() } } } },
      },
    },
    async (_request, reply) => reply.type(deps.metrics.contentType).send(await deps.metrics.metrics()),
  )
}
