import { Type } from 'typebox'
import { parseReceipt } from '#billing/parse-receipt.ts'
import { ATTEMPTS_LISTED_MAX, type Receipt, type ReceiptAttempt } from '#billing/receipt.ts'
import { parseReceiptId, type ReceiptLog } from '#domain/receipt-log.ts'
import { clientKey } from '#routes/credentials.ts'
import type { HttpInstance } from '#routes/http-instance.ts'
import { AttemptBody, answers, PathId, ReceiptBody } from '#routes/schemas.ts'
import { AppError } from '#src/errors.ts'

const RequestBody = Type.Object({
  object: Type.Literal('request'),
  id: Type.String({ description: '`req_` and the digits of the receipt’s id.' }),
  ...Type.Omit(ReceiptBody, ['v', 'attempts', 'attempt_list']).properties,
  attempts_count: Type.Integer({ minimum: 0, description: 'How often an upstream was asked.' }),
  attempts: Type.Array(
    Type.Object({
      ...AttemptBody.properties,
      status: Type.Union([Type.Integer(), Type.Null()], {
        description: 'What the provider answered with; null where no answer came, or where it broke off.',
      }),
    }),
    {
      maxItems: ATTEMPTS_LISTED_MAX,
      description: 'Oldest first. Empty where there were more than the receipt lists.',
    },
  ),
})

/** What became of a call, for whoever made it: the receipt's facts without the proof that they are unchanged. */
export function requestRoutes(app: HttpInstance, deps: { receiptLog: ReceiptLog }) {
  app.get(
    '/v1/requests/:id',
    {
      schema: {
        summary: 'What became of one call of your project: who was asked, how that went, what it cost',
        description:
          'By `rcp_…`, as in the header `x-fluxgate-receipt`, or by `req_…`, as in `x-request-id`. A call with an ' +
          '`Idempotency-Key` has a name of its own, whichever request made it: it is found by `rcp_…` only.',
        params: PathId,
        response: answers({ 200: RequestBody }, 401, 403, 404, 503),
      },
    },
    async (request) => {
      const requestId = parseReceiptId(request.params.id)
      const { projectId } = clientKey(request)
      const bundle = requestId === undefined ? undefined : await deps.receiptLog.find(projectId, requestId)
      if (bundle === undefined)
        throw new AppError('not_found', {
          message: 'Your project has no call with this id that has ended.',
        })
      return render(parseReceipt((JSON.parse(bundle) as { receipt: unknown }).receipt))
    },
  )
}

function render({ v: _version, attempts, attempt_list = [], ...receipt }: Receipt) {
  return {
    object: 'request' as const,
    id: receipt.receipt_id.replace(/^rcp_/, 'req_'),
    ...receipt,
    attempts_count: attempts,
    attempts: attempt_list.map((attempt) => ({ ...attempt, status: statusOf(attempt) })),
  }
}

function statusOf({ result }: ReceiptAttempt): number | null {
  if (result === 'ok') return 200
  const status = /^status_(\d{3})$/.exec(result)?.[1]
  return status === undefined ? null : Number(status)
}
