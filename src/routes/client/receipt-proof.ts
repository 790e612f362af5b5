import { Type } from 'typebox'
import type { LogProofs } from '#domain/log/log-proofs.ts'
import { parseReceiptId } from '#domain/receipt-log.ts'
import { clientKey } from '#routes/credentials.ts'
import type { HttpInstance } from '#routes/http-instance.ts'
import { sendProof } from '#routes/log-pending.ts'
import { answers, PathId } from '#routes/schemas.ts'

const MISSING = 'Your project has no receipt with this id. A call gets one when it ends.'

export const ProofText = {
  description: 'A proof of c2sp.org/tlog-proof',
  content: { 'text/plain': { schema: Type.String() } },
}

export function receiptProofRoutes(app: HttpInstance, deps: { logProofs: LogProofs }) {
  app.get(
    '/v1/receipts/:id/proof',
    {
      schema: {
        summary: 'That the receipt of a call is in the public log, as a file that verifies offline',
        params: PathId,
        response: { ...answers({}, 401, 404, 503), 200: ProofText },
      },
    },
    async (request, reply) => {
      const requestId = parseReceiptId(request.params.id)
      const { projectId } = clientKey(request)
      const answer =
        requestId === undefined
          ? ({ status: 'not_found' } as const)
          : await deps.logProofs.ofReceipt(projectId, requestId)
      return sendProof(reply, answer, MISSING)
    },
  )
}
