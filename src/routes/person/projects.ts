import { type Static, Type } from 'typebox'
import { MEMBER_PROJECTS_PAGE_MAX, type MemberProject, type MemberProjects } from '#domain/members/member-projects.ts'
import { projectRoles } from '#domain/members/roles.ts'
import { clientActor, person } from '#routes/credentials.ts'
import type { HttpInstance } from '#routes/http-instance.ts'
import { answers, Cursor, Description, listOf, Name, PathId, pageQuery, Time } from '#routes/schemas.ts'
import { AppError } from '#src/errors.ts'

export const Role = Type.Enum(projectRoles, {
  description: '`viewer` reads, `editor` manages keys as well, `owner` members as well.',
})

const MemberProjectBody = Type.Object({
  object: Type.Literal('member_project'),
  id: Type.String(),
  name: Type.String(),
  description: Type.Union([Type.String(), Type.Null()]),
  personal: Type.Boolean({ description: 'Your own, which nobody else can join.' }),
  role: Role,
  created_at: Time,
})

export interface MemberProjectDeps {
  memberProjects: MemberProjects
  /** Whether people may make projects, as of now. Throws AppError where that cannot be told. */
  peopleMayCreateProjects: () => boolean
}

/** The projects of who asks. */
export function memberProjectRoutes(app: HttpInstance, deps: MemberProjectDeps) {
  const { memberProjects } = deps

  app.get(
    '/api/v1/projects',
    {
      schema: {
        summary: 'Your projects and your role in each: your own, and those that are shared with you',
        querystring: pageQuery(Cursor, MEMBER_PROJECTS_PAGE_MAX),
        response: answers({ 200: listOf(MemberProjectBody, Type.String()) }, 400, 401, 403, 503),
      },
    },
    async (request) => {
      const { after, limit = MEMBER_PROJECTS_PAGE_MAX } = request.query
      const page = await memberProjects.list(person(request).userId, { ...(after !== undefined && { after }), limit })
      return {
        object: 'list' as const,
        data: page.projects.map(view),
        has_more: page.hasMore,
        next_after: page.projects.at(-1)?.id ?? null,
      }
    },
  )

  app.post(
    '/api/v1/projects',
    {
      schema: {
        summary: 'Create a shared project with an empty wallet, and own it',
        description: 'Where the setting `PEOPLE_CREATE_PROJECTS` allows it; elsewhere operators create projects.',
        body: Type.Object({ name: Name, description: Type.Optional(Description) }, { additionalProperties: false }),
        response: answers({ 201: MemberProjectBody }, 400, 401, 403, 409, 413, 415, 503),
      },
    },
    async (request, reply) => {
      if (!deps.peopleMayCreateProjects())
        throw new AppError('forbidden', { message: 'Here operators create the projects.' })
      const project = await memberProjects.create(person(request).userId, request.body, clientActor(request))
      return reply.code(201).send(view(project))
    },
  )

  app.get(
    '/api/v1/projects/:id',
    {
      schema: {
        summary: 'One of your projects',
        params: PathId,
        response: answers({ 200: MemberProjectBody }, 401, 403, 404, 503),
      },
    },
    async (request) => {
      const project = await memberProjects.find(person(request).userId, request.params.id)
      if (project === undefined) throw new AppError('not_found')
      return view(project)
    },
  )
}

function view({ createdAt, ...project }: MemberProject): Static<typeof MemberProjectBody> {
  return { object: 'member_project', ...project, created_at: createdAt.toISOString() }
}
