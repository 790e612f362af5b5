import { Type } from 'typebox'
import type { HttpInstance } from '#routes/http-instance.ts'
import type { Readiness } from '#routes/public/health.ts'
import { acceptsHtml, sendHome } from '#routes/public/home.ts'

const NAME = 'Fluxgate'

export interface MetaDeps {
  readiness: () => Promise<Readiness>
  version: string
}

/** What this is and whether it works, as llmring's command line asks. */
export function metaRoutes(app: HttpInstance, deps: MetaDeps) {
  const { version } = deps

  app.get(
    '/',
    {
      schema: {
        summary: 'What this is; a page for people whose browser asks for text/html',
        response: {
          200: Type.Object({
            name: Type.String(),
            version: Type.String(),
            docs: Type.Literal('/docs'),
            registry: Type.Literal('/registry'),
          }),
        },
      },
    },
    async (request, reply) => {
      reply.header('vary', 'Accept')
      if (acceptsHtml(request.headers.accept)) return sendHome(request, reply)
      return { name: NAME, version, docs: '/docs' as const, registry: '/registry' as const }
    },
  )

  const Health = Type.Object({
    status: Type.Union([Type.Literal('healthy'), Type.Literal('unhealthy')]),
    database: Type.Union([Type.Literal('connected'), Type.Literal('disconnected')]),
    name: Type.Literal(NAME),
    version: Type.String(),
  })
  app.get(
    '/health',
    {
      schema: {
        summary: 'Whether the database is there; /readyz says more',
        response: { 200: Health, 503: Health },
      },
    },
    async (_request, reply) => {
      const { ok, checks } = await deps.readiness()
      // What is not checked because something else is wrong is not called away.
      const isThere = checks.database === undefined || checks.database === 'ok'
      const status = ok ? ('healthy' as const) : ('unhealthy' as const)
      const database = isThere ? ('connected' as const) : ('disconnected' as const)
      return reply.code(ok ? 200 : 503).send({ status, database, name: NAME, version })
    },
  )
}
