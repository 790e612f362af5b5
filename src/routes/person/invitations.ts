import { type Static, Type } from 'typebox'
import type { Invitation, Invitations } from '#domain/members/invitations.ts'
import { clientActor, person } from '#routes/credentials.ts'
import type { HttpInstance } from '#routes/http-instance.ts'
import { answers, PathId, Time } from '#routes/schemas.ts'
import { Role } from './projects.ts'

const EMAIL_CHARS_MAX = 254

const InvitationBody = Type.Object({
  object: Type.Literal('project_invitation'),
  id: Type.String(),
  project_id: Type.String(),
  project_name: Type.String(),
  email: Type.String({ description: 'In lower case.' }),
  role: Role,
  created_at: Time,
  expires_at: Time,
})
const ListBody = Type.Object({ object: Type.Literal('list'), data: Type.Array(InvitationBody) })
const JoinedBody = Type.Object({ object: Type.Literal('membership'), project_id: Type.String(), role: Role })
const InvitationPath = Type.Object({
  id: Type.String({ pattern: '^[0-9A-Za-z_]{1,100}$' }),
  invitationId: Type.String({ pattern: '^[0-9A-Za-z_]{1,100}$' }),
})

/** How people come into projects: an owner asks an address, whoever has verified it accepts. */
export function invitationRoutes(app: HttpInstance, { invitations }: { invitations: Invitations }) {
  app.get(
    '/api/v1/projects/:id/invitations',
    {
      schema: {
        summary: 'Who was asked to join and has not answered, the newest first',
        params: PathId,
        response: answers({ 200: ListBody }, 401, 403, 404, 503),
      },
    },
    async (request) => list(await invitations.ofProject(request.params.id)),
  )

  app.post(
    '/api/v1/projects/:id/invitations',
    {
      schema: {
        summary: 'Ask an address to join, for two weeks; asking again begins anew',
        description: 'Answered alike whether anybody here has the address. Who has verified it sees the invitation.',
        params: PathId,
        body: Type.Object(
          { email: Type.String({ minLength: 3, maxLength: EMAIL_CHARS_MAX }), role: Role },
          { additionalProperties: false },
        ),
        response: answers({ 201: InvitationBody }, 400, 401, 403, 404, 409, 413, 415, 503),
      },
    },
    async (request, reply) => {
      const options = { by: clientActor(request), asOwner: person(request).userId }
      return reply.code(201).send(view(await invitations.invite(request.params.id, request.body, options)))
    },
  )

  app.delete(
    '/api/v1/projects/:id/invitations/:invitationId',
    {
      schema: {
        summary: 'Take an invitation back',
        params: InvitationPath,
        response: { ...answers({}, 401, 403, 404, 503), 204: Type.Null() },
      },
    },
    async (request, reply) => {
      const { id, invitationId } = request.params
      await invitations.withdraw(id, invitationId, { by: clientActor(request), asOwner: person(request).userId })
      return reply.code(204).send(null)
    },
  )
}

/** The same for whom they were sent to. */
export function ownInvitationRoutes(app: HttpInstance, { invitations }: { invitations: Invitations }) {
  app.get(
    '/api/v1/invitations',
    {
      schema: {
        summary: 'Projects that your verified address is asked to join, the newest first',
        response: answers({ 200: ListBody }, 401, 403, 503),
      },
    },
    async (request) => list(await invitations.ofPerson(person(request).userId)),
  )

  app.post(
    '/api/v1/invitations/:id/accept',
    {
      schema: {
        summary: 'Join the project',
        params: PathId,
        response: answers({ 200: JoinedBody }, 401, 403, 404, 409, 503),
      },
    },
    async (request) => {
      const { userId } = person(request)
      const { projectId, role } = await invitations.accept(request.params.id, userId, clientActor(request))
      return { object: 'membership' as const, project_id: projectId, role }
    },
  )

  app.delete(
    '/api/v1/invitations/:id',
    {
      schema: {
        summary: 'Decline',
        params: PathId,
        response: { ...answers({}, 401, 403, 404, 503), 204: Type.Null() },
      },
    },
    async (request, reply) => {
      await invitations.decline(request.params.id, person(request).userId, clientActor(request))
      return reply.code(204).send(null)
    },
  )
}

function list(all: readonly Invitation[]): Static<typeof ListBody> {
  return { object: 'list', data: all.map(view) }
}

function view({ id, projectId, projectName, email, role, ...times }: Invitation): Static<typeof InvitationBody> {
  return {
    object: 'project_invitation',
    ...{ id, project_id: projectId, project_name: projectName, email, role },
    created_at: times.createdAt.toISOString(),
    expires_at: times.expiresAt.toISOString(),
  }
}
