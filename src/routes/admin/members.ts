import { Type } from 'typebox'
import type { Members } from '#domain/members/members.ts'
import { actorOf } from '#routes/credentials.ts'
import type { HttpInstance } from '#routes/http-instance.ts'
import { MemberBody, MemberListBody, MemberPath, memberList, memberView, NewRole } from '#routes/person/members.ts'
import { answers, PathId } from '#routes/schemas.ts'

/** Operators put people into shared projects, and give those that have lost their owner a new one. */
export function projectMemberRoutes(app: HttpInstance, { members }: { members: Members }) {
  app.get(
    '/api/admin/projects/:id/members',
    {
      schema: {
        summary: "A project's members, owners first",
        params: PathId,
        response: answers({ 200: MemberListBody }, 401, 404, 409, 503),
      },
    },
    async (request) => memberList(await members.list(request.params.id)),
  )

  app.put(
    '/api/admin/projects/:id/members/:userId',
    {
      schema: {
        summary: 'Make a person a member, or give a member another role; the only owner stays one',
        params: MemberPath,
        body: NewRole,
        response: answers({ 200: MemberBody }, 400, 401, 404, 409, 413, 415, 503),
      },
    },
    async (request) => {
      const { id, userId } = request.params
      return memberView(await members.put(id, userId, request.body.role, actorOf(request)))
    },
  )

  app.delete(
    '/api/admin/projects/:id/members/:userId',
    {
      schema: {
        summary: 'Remove a member; the only owner stays one',
        params: MemberPath,
        response: { ...answers({}, 401, 404, 409, 503), 204: Type.Null() },
      },
    },
    async (request, reply) => {
      const { id, userId } = request.params
      await members.remove(id, userId, { by: actorOf(request) })
      return reply.code(204).send(null)
    },
  )
}
