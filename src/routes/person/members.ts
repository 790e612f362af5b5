import { type Static, Type } from 'typebox'
import type { Member, Members } from '#domain/members/members.ts'
import { clientActor, person } from '#routes/credentials.ts'
import type { HttpInstance } from '#routes/http-instance.ts'
import { answers, PathId, Time } from '#routes/schemas.ts'
import { Role } from './projects.ts'

export const MemberBody = Type.Object({
  object: Type.Literal('project_member'),
  user_id: Type.String(),
  name: Type.String(),
  email: Type.String(),
  role: Role,
  created_at: Time,
})

export const MemberListBody = Type.Object({ object: Type.Literal('list'), data: Type.Array(MemberBody) })

export const MemberPath = Type.Object({
  id: Type.String({ pattern: '^[0-9A-Za-z_]{1,100}$' }),
  userId: Type.String({ pattern: '^[0-9A-Za-z_-]{1,64}$' }),
})

export const NewRole = Type.Object({ role: Role }, { additionalProperties: false })

/** The members of a project, for its members. Who may what: src/routes/member-routes.ts. */
export function memberRoutes(app: HttpInstance, { members }: { members: Members }) {
  app.get(
    '/api/v1/projects/:id/members',
    {
      schema: {
        summary: 'The members of a project, owners first',
        params: PathId,
        response: answers({ 200: MemberListBody }, 401, 403, 404, 409, 503),
      },
    },
    async (request) => memberList(await members.list(request.params.id)),
  )

  app.patch(
    '/api/v1/projects/:id/members/:userId',
    {
      schema: {
        summary: 'Give a member another role; the only owner stays one',
        params: MemberPath,
        body: NewRole,
        response: answers({ 200: MemberBody }, 400, 401, 403, 404, 409, 413, 415, 503),
      },
    },
    async (request) => {
      const { id, userId } = request.params
      const options = { by: clientActor(request), asOwner: person(request).userId }
      return memberView(await members.changeRole(id, userId, request.body.role, options))
    },
  )

  app.delete(
    '/api/v1/projects/:id/members/:userId',
    {
      schema: {
        summary: 'Remove a member: from the next request on. Keys that the member made are the project’s, and stay',
        params: MemberPath,
        response: { ...answers({}, 401, 403, 404, 409, 503), 204: Type.Null() },
      },
    },
    async (request, reply) => {
      const { id, userId } = request.params
      await members.remove(id, userId, { by: clientActor(request), asOwner: person(request).userId })
      return reply.code(204).send(null)
    },
  )

  app.post(
    '/api/v1/projects/:id/leave',
    {
      schema: {
        summary: 'Leave a project; its only owner cannot',
        params: PathId,
        response: { ...answers({}, 401, 403, 404, 409, 503), 204: Type.Null() },
      },
    },
    async (request, reply) => {
      await members.remove(request.params.id, person(request).userId, { by: clientActor(request) })
      return reply.code(204).send(null)
    },
  )
}

export function memberList(list: readonly Member[]): Static<typeof MemberListBody> {
  return { object: 'list', data: list.map(memberView) }
}

export function memberView({ userId, createdAt, ...member }: Member): Static<typeof MemberBody> {
  return { object: 'project_member', user_id: userId, ...member, created_at: createdAt.toISOString() }
}
