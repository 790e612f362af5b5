import { Type } from 'typebox'
import { parseReceiptId } from '#domain/receipt-log.ts'
import type { Refunds } from '#domain/refunds.ts'
import { refundView } from '#domain/views.ts'
import { actorOf } from '#routes/credentials.ts'
import type { HttpInstance } from '#routes/http-instance.ts'
import { answers, IdempotencyHeaders, PositiveMoney, Reason, RefundBody } from '#routes/schemas.ts'
import { AppError } from '#src/errors.ts'

export function refundRoutes(app: HttpInstance, deps: { refunds: Refunds }) {
  app.post(
    '/api/admin/refunds',
    {
      schema: {
        summary: 'Return a charge, or a part of it, to the lots it came from',
        description:
          'Without an amount, what is left of the charge. 201 when the refund was made, 200 when this key had made it before.',
        headers: IdempotencyHeaders,
        body: Type.Object(
          {
            receipt_id: Type.String({ maxLength: 100, description: '`rcp_…` or `req_…`' }),
            amount_nanousd: Type.Optional(PositiveMoney),
            reason: Reason,
          },
          { additionalProperties: false },
        ),
        response: answers({ 200: RefundBody, 201: RefundBody }, 400, 401, 404, 409, 413, 415, 503),
      },
    },
    async (request, reply) => {
      const { receipt_id, amount_nanousd, reason } = request.body
      const requestId = parseReceiptId(receipt_id)
      if (requestId === undefined)
        throw new AppError('body_invalid', {
          message: "'receipt_id' must be rcp_ or req_ and 32 hex digits.",
          param: 'receipt_id',
        })
      const refund = await deps.refunds.refund({
        requestId,
        ...(amount_nanousd !== undefined && { amountNanos: BigInt(amount_nanousd) }),
        reason,
        idempotencyKey: request.headers['idempotency-key'],
        actor: actorOf(request).actor,
        httpRequestId: request.id,
      })
      return reply.code(refund.replayed ? 200 : 201).send(refundView(refund))
    },
  )
}
