import { Type } from 'typebox'
import { parseReceiptId, RECEIPTS_PAGE_MAX, type ReceiptLog } from '#domain/receipt-log.ts'
import { clientKey } from '#routes/credentials.ts'
import type { HttpInstance } from '#routes/http-instance.ts'
import { answers, BundleBody, listOf, PathId, pageQuery } from '#routes/schemas.ts'
import { AppError } from '#src/errors.ts'

const JSON_TYPE = 'application/json; charset=utf-8'

export function receiptRoutes(app: HttpInstance, deps: { receiptLog: ReceiptLog }) {
  const { receiptLog } = deps

  app.get(
    '/v1/receipts/:id',
    {
      schema: {
        summary: 'The receipt of one call of your project, as a bundle that verifies offline',
        params: PathId,
        response: answers({ 200: BundleBody }, 401, 403, 404, 503),
      },
    },
    async (request, reply) => {
      const requestId = parseReceiptId(request.params.id)
      const bundle =
        requestId === undefined ? undefined : await receiptLog.find(clientKey(request).projectId, requestId)
      if (bundle === undefined)
        throw new AppError('not_found', {
          message: 'Your project has no receipt with this id. A call gets one when it ends.',
        })
      // Stored text, passed on byte for byte: it is what was hashed.
      return reply.type(JSON_TYPE).send(bundle)
    },
  )

  app.get(
    '/v1/receipts',
    {
      schema: {
        summary: 'The receipts of your project by call number',
        description: 'A number that is missing belongs to a call that still runs.',
        querystring: pageQuery(
          Type.Integer({ minimum: 0, description: 'The `seq` of the last receipt you have.' }),
          RECEIPTS_PAGE_MAX,
        ),
        response: answers({ 200: listOf(BundleBody, Type.Integer()) }, 400, 401, 403, 503),
      },
    },
    async (request, reply) => {
      const { after = 0, limit = RECEIPTS_PAGE_MAX } = request.query
      const page = await receiptLog.list(clientKey(request).projectId, { after: BigInt(after), limit })
      const tail = `"has_more":${page.hasMore},"next_after":${page.last}`
      return reply.type(JSON_TYPE).send(`{"object":"list","data":[${page.bundles.join(',')}],${tail}}`)
    },
  )
}
