import { Type } from 'typebox'
import { ACTS_PAGE_MAX, type AuditTrail, type RecordedAct } from '#domain/audit-trail.ts'
import type { HttpInstance } from '#routes/http-instance.ts'
import { answers, listOf, Time } from '#routes/schemas.ts'

const OrNull = Type.Union([Type.String(), Type.Null()])
const ActBody = Type.Object({
  object: Type.Literal('audit_event'),
  id: Type.String(),
  at: Time,
  actor: Type.String({ description: '`admin`, `cli`, or the id of a user or of a key.' }),
  action: Type.String(),
  subject: OrNull,
  before: Type.Unknown(),
  after: Type.Unknown(),
  request_id: OrNull,
})
const Word = Type.Optional(Type.String({ minLength: 1, maxLength: 255 }))

export function auditEventRoutes(app: HttpInstance, deps: { auditTrail: AuditTrail }) {
  app.get(
    '/api/admin/audit-events',
    {
      schema: {
        summary: 'What operators and owners did, newest first',
        description: 'Nothing of it can be changed or deleted. People are named by their ids.',
        querystring: Type.Object(
          {
            actor: Word,
            action: Word,
            subject: Word,
            from: Type.Optional(Time),
            to: Type.Optional(Time),
            after: Type.Optional(Type.String({ pattern: '^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$' })),
            limit: Type.Optional(Type.Integer({ minimum: 1, maximum: ACTS_PAGE_MAX })),
          },
          { additionalProperties: false },
        ),
        response: answers({ 200: listOf(ActBody, Type.String()) }, 400, 401, 403, 503),
      },
    },
    async (request) => {
      const { after, limit = ACTS_PAGE_MAX, from, to, ...filter } = request.query
      const times = {
        from: from === undefined ? undefined : new Date(from),
        to: to === undefined ? undefined : new Date(to),
      }
      const page = await deps.auditTrail.list({ ...filter, ...times }, { ...(after !== undefined && { after }), limit })
      return {
        object: 'list' as const,
        data: page.acts.map(actView),
        has_more: page.hasMore,
        next_after: page.acts.at(-1)?.id ?? null,
      }
    },
  )
}

function actView({ id, at, actor, action, subject, before, after, requestId }: RecordedAct) {
  return {
    object: 'audit_event' as const,
    ...{ id, at: at.toISOString(), actor, action, subject },
    before: before === null ? null : JSON.parse(before),
    after: after === null ? null : JSON.parse(after),
    request_id: requestId,
  }
}
