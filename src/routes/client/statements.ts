import { Type } from 'typebox'
import { STATEMENTS_PAGE_MAX, type StatementLog } from '#domain/statement-log.ts'
import { clientKey } from '#routes/credentials.ts'
import type { HttpInstance } from '#routes/http-instance.ts'
import { answers, DocumentBundleBody, listOf, pageQuery } from '#routes/schemas.ts'
import { AppError } from '#src/errors.ts'

const JSON_TYPE = 'application/json; charset=utf-8'
const Day = Type.String({ pattern: '^\\d{4}-\\d{2}-\\d{2}$', description: 'A UTC day.', examples: ['2026-12-01'] })

export function statementRoutes(app: HttpInstance, deps: { statementLog: StatementLog }) {
  const { statementLog } = deps

  app.get(
    '/v1/statements/:day',
    {
      schema: {
        summary: 'What the books say of your wallet and one UTC day, as a bundle that verifies offline',
        params: Type.Object({ day: Type.String({ maxLength: 100 }) }),
        response: answers({ 200: DocumentBundleBody }, 401, 403, 404, 503),
      },
    },
    async (request, reply) => {
      const { day } = request.params
      const bundle = /^\d{4}-\d{2}-\d{2}$/.test(day)
        ? await statementLog.find(clientKey(request).projectId, day)
        : undefined
      if (bundle === undefined)
        throw new AppError('not_found', {
          message:
            'There is no statement of this day. A day gets one some minutes after its end, if anything was settled or money moved.',
        })
      // Stored text, passed on byte for byte: it is what was hashed.
      return reply.type(JSON_TYPE).send(bundle)
    },
  )

  app.get(
    '/v1/statements',
    {
      schema: {
        summary: 'The daily statements of your wallet by day',
        description: 'A day on which nothing was settled and no money moved has none.',
        querystring: pageQuery(Day, STATEMENTS_PAGE_MAX),
        response: answers({ 200: listOf(DocumentBundleBody, Type.String()) }, 400, 401, 403, 503),
      },
    },
    async (request, reply) => {
      const { after = '', limit = STATEMENTS_PAGE_MAX } = request.query
      const page = await statementLog.list(clientKey(request).projectId, { after, limit })
      const tail = `"has_more":${page.hasMore},"next_after":${JSON.stringify(page.last)}`
      return reply.type(JSON_TYPE).send(`{"object":"list","data":[${page.bundles.join(',')}],${tail}}`)
    },
  )
}
