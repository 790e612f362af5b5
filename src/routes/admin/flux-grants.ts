import { Type } from 'typebox'
import {
  BATCHES_PAGE_MAX,
  type FluxGrantBatch,
  type FluxGrants,
  GRANT_FLUX_MAX,
  RECIPIENTS_MAX,
} from '#domain/flux/flux-grants.ts'
import type { GrantReversals } from '#domain/flux/reverse-grants.ts'
import type { HttpInstance } from '#routes/http-instance.ts'
import { answers, Cursor, listOf, PathId, pageQuery, Reason, Time } from '#routes/schemas.ts'

const EMAIL_CHARS_MAX = 254

const Emails = Type.Array(Type.String())
const PreviewBody = Type.Object({
  totalEmails: Type.Integer(),
  willGrant: Type.Integer(),
  willSkip: Type.Object({
    notFound: Type.Integer(),
    userDeleted: Type.Integer(),
    userBanned: Type.Integer(),
    duplicateInInput: Type.Integer(),
  }),
  totalFluxToIssue: Type.Integer(),
  samples: Type.Object({ willGrant: Emails, notFound: Emails, userDeleted: Emails }),
})
const OutcomeBody = Type.Object({
  batchId: Type.String(),
  idempotencyKey: Type.String({ description: 'Made here when none was sent.' }),
  replayed: Type.Boolean({ description: 'This very request had been done before.' }),
  summary: PreviewBody,
  result: Type.Object({
    granted: Type.Array(
      Type.Object({
        email: Type.String(),
        userId: Type.String(),
        fluxTransactionId: Type.String(),
        balanceAfter: Type.Integer({ description: 'Whole Flux.' }),
        replayed: Type.Boolean(),
      }),
    ),
    skipped: Type.Array(
      Type.Object({ email: Type.String(), reason: Type.Enum(['duplicate_in_input', 'not_found', 'user_banned']) }),
    ),
    failed: Type.Array(Type.Object({ email: Type.String(), userId: Type.String(), error: Type.String() })),
  }),
})
const Nanos = Type.String({ description: 'Nano-dollars, as a decimal string.' })
const BatchBody = Type.Object({
  object: Type.Literal('flux_grant'),
  id: Type.String(),
  idempotency_key: Type.String(),
  description: Type.String(),
  campaign: Type.Union([Type.String(), Type.Null()]),
  amount_nanousd: Nanos,
  expires_at: Type.Union([Time, Type.Null()]),
  actor: Type.String(),
  recipients: Type.Integer({ description: 'Addresses that were asked for, each once.' }),
  granted: Type.Integer({ description: 'People who got it.' }),
  taken_back_nanousd: Nanos,
  created_at: Time,
  completed_at: Type.Union([Time, Type.Null()]),
})

export function fluxGrantRoutes(app: HttpInstance, deps: { fluxGrants: FluxGrants; grantReversals: GrantReversals }) {
  const { fluxGrants, grantReversals } = deps

  app.post(
    '/api/admin/flux-grants',
    {
      schema: {
        summary: 'Grant promo Flux to people by their addresses',
        description:
          'Safe to repeat with an `idempotencyKey`: the same request finishes what a first try left, another one under the key is 409. `dryRun=true` shows what would happen.',
        querystring: Type.Object(
          { dryRun: Type.Optional(Type.Enum(['true', 'false'])) },
          { additionalProperties: false },
        ),
        body: Type.Object(
          {
            description: Type.String({ minLength: 1, maxLength: 500 }),
            amount: Type.Integer({ minimum: 1, maximum: GRANT_FLUX_MAX, description: 'Whole Flux, for each person.' }),
            emails: Type.Array(
              Type.String({
                maxLength: EMAIL_CHARS_MAX,
                pattern: '^[^@\\s\\u0000-\\u001f]{1,64}@[^@\\s\\u0000-\\u001f]{1,189}$',
              }),
              { minItems: 1, maxItems: RECIPIENTS_MAX },
            ),
            idempotencyKey: Type.Optional(Type.String({ pattern: '^[!-~]{1,100}$' })),
            campaign: Type.Optional(Type.String({ minLength: 1, maxLength: 100 })),
            expiresAt: Type.Optional(Time),
          },
          { additionalProperties: false },
        ),
        response: answers(
          { 200: Type.Union([Type.Object({ preview: PreviewBody }), OutcomeBody]) },
          ...[400, 401, 409, 413, 415, 503],
        ),
      },
    },
    async (request) => {
      const { expiresAt, ...body } = request.body
      const input = { ...body, actor: 'admin', ...(expiresAt !== undefined && { expiresAt: new Date(expiresAt) }) }
      if (request.query.dryRun === 'true') return { preview: await fluxGrants.preview(input) }
      const { granted, skipped, failed, ...outcome } = await fluxGrants.grant(input)
      return { ...outcome, result: { granted, skipped, failed } }
    },
  )

  app.get(
    '/api/admin/flux-grants',
    {
      schema: {
        summary: 'Grants to many, newest first',
        querystring: pageQuery(Cursor, BATCHES_PAGE_MAX),
        response: answers({ 200: listOf(BatchBody, Type.String()) }, 400, 401, 503),
      },
    },
    async (request) => {
      const { after, limit = BATCHES_PAGE_MAX } = request.query
      const page = await fluxGrants.list({ ...(after !== undefined && { after }), limit })
      return {
        object: 'list' as const,
        data: page.batches.map(batchView),
        has_more: page.hasMore,
        next_after: page.batches.at(-1)?.id ?? null,
      }
    },
  )

  app.get(
    '/api/admin/flux-grants/:id',
    {
      schema: {
        summary: 'A grant to many',
        params: PathId,
        response: answers({ 200: BatchBody }, 401, 404, 503),
      },
    },
    async (request) => batchView(await fluxGrants.get(request.params.id)),
  )

  app.post(
    '/api/admin/flux-grants/:id/reverse',
    {
      schema: {
        summary: 'Take back what is left of a grant to many',
        description:
          'From each person what has neither been spent nor is held by a running call. Each grant is taken back once; asking again tells what was taken.',
        params: PathId,
        body: Type.Object({ reason: Reason }, { additionalProperties: false }),
        response: answers(
          {
            200: Type.Object({
              object: Type.Literal('flux_grant_reversal'),
              taken_back_nanousd: Nanos,
              data: Type.Array(
                Type.Object({ project_id: Type.String(), grant_id: Type.String(), taken_back_nanousd: Nanos }),
              ),
            }),
          },
          ...[400, 401, 404, 413, 415, 503],
        ),
      },
    },
    async (request) => {
      const reversals = await grantReversals.reverse(request.params.id, { reason: request.body.reason, actor: 'admin' })
      return {
        object: 'flux_grant_reversal' as const,
        taken_back_nanousd: reversals.reduce((sum, { takenBackNanos }) => sum + takenBackNanos, 0n).toString(),
        data: reversals.map(({ projectId, grantId, takenBackNanos }) => ({
          project_id: projectId,
          grant_id: grantId,
          taken_back_nanousd: takenBackNanos.toString(),
        })),
      }
    },
  )
}

function batchView(batch: FluxGrantBatch) {
  return {
    object: 'flux_grant' as const,
    id: batch.id,
    idempotency_key: batch.idempotencyKey,
    description: batch.description,
    campaign: batch.campaign,
    amount_nanousd: batch.amountNanos.toString(),
    expires_at: batch.expiresAt?.toISOString() ?? null,
    actor: batch.actor,
    recipients: batch.recipients,
    granted: Number(batch.granted),
    taken_back_nanousd: batch.takenBack.toString(),
    created_at: batch.createdAt.toISOString(),
    completed_at: batch.completedAt?.toISOString() ?? null,
  }
}
