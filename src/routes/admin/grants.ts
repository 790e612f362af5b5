import { Type } from 'typebox'
import type { Grants } from '#domain/grants.ts'
import { grantView } from '#domain/views.ts'
import { actorOf } from '#routes/credentials.ts'
import type { HttpInstance } from '#routes/http-instance.ts'
import { answers, GrantBody, IdempotencyHeaders, PathId, PositiveMoney, Reason, Time } from '#routes/schemas.ts'

export function grantRoutes(app: HttpInstance, deps: { grants: Grants }) {
  app.post(
    '/api/admin/projects/:id/grants',
    {
      schema: {
        summary: "Credit a project's wallet",
        description: '201 when the grant was made, 200 when this key had made it before.',
        params: PathId,
        headers: IdempotencyHeaders,
        body: Type.Object(
          { amount_nanousd: PositiveMoney, reason: Reason, expires_at: Type.Optional(Time) },
          { additionalProperties: false },
        ),
        response: answers({ 200: GrantBody, 201: GrantBody }, 400, 401, 404, 409, 413, 415, 503),
      },
    },
    async (request, reply) => {
      const { amount_nanousd, reason, expires_at } = request.body
      const grant = await deps.grants.grant({
        projectId: request.params.id,
        amountNanos: BigInt(amount_nanousd),
        reason,
        ...(expires_at !== undefined && { expiresAt: new Date(expires_at) }),
        idempotencyKey: request.headers['idempotency-key'],
        ...actorOf(request),
      })
      return reply.code(grant.replayed ? 200 : 201).send(grantView(grant))
    },
  )
}
