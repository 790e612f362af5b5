import type { Callers } from '#domain/callers.ts'
import type { LogProofs } from '#domain/log/log-proofs.ts'
import { ProofText } from '#routes/client/receipt-proof.ts'
import { authenticateClient } from '#routes/credentials.ts'
import type { HttpInstance } from '#routes/http-instance.ts'
import { sendProof } from '#routes/log-pending.ts'
import { answers, PathId } from '#routes/schemas.ts'

export function documentProofRoutes(app: HttpInstance, deps: { logProofs: LogProofs; keyring: Callers }) {
  app.get(
    '/v1/documents/:id/proof',
    {
      schema: {
        summary: 'That a signed document is in the public log, as a file that verifies offline',
        description: 'Certificates, statements and lists of keys. What belongs to a project wants its key.',
        security: [{}, { clientKey: [] }],
        params: PathId,
        response: { ...answers({}, 401, 403, 404, 503), 200: ProofText },
      },
    },
    async (request, reply) => {
      const answer = await deps.logProofs.ofDocument(request.params.id, () =>
        authenticateClient(deps.keyring, request, 'read'),
      )
      return sendProof(reply, answer, 'There is no document with this id that this key may see.')
    },
  )
}
