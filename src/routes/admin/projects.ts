import { Type } from 'typebox'
import { contentLevels } from '#domain/conversations/content-level.ts'
import { PROJECTS_PAGE_MAX, type Projects, RETENTION_DAYS_MAX } from '#domain/projects.ts'
import { projectView, walletView } from '#domain/views.ts'
import type { Wallets } from '#domain/wallets.ts'
import { actorOf } from '#routes/credentials.ts'
import type { HttpInstance } from '#routes/http-instance.ts'
import {
  answers,
  Cursor,
  Description,
  listOf,
  Name,
  PathId,
  ProjectBody,
  ProjectWithWalletBody,
  pageQuery,
} from '#routes/schemas.ts'

/** What the column holds at most. */
const LowBalance = Type.String({ pattern: '^[1-9][0-9]{0,17}$', description: 'Nano-dollars, as a decimal string.' })

export function projectRoutes(app: HttpInstance, deps: { projects: Projects; wallets: Wallets; fluxNanousd: bigint }) {
  const { projects, wallets } = deps

  app.get(
    '/api/admin/projects',
    {
      schema: {
        summary: 'List projects by name',
        querystring: Type.Object(
          {
            ...pageQuery(Cursor, PROJECTS_PAGE_MAX).properties,
            owner: Type.Optional(
              Type.Enum(['lost'], { description: 'Shared projects whose last owner has deleted the account.' }),
            ),
          },
          { additionalProperties: false },
        ),
        response: answers({ 200: listOf(ProjectBody, Type.String()) }, 400, 401, 503),
      },
    },
    async (request) => {
      const { after, limit = PROJECTS_PAGE_MAX, owner } = request.query
      const asked = { limit, ownerLost: owner === 'lost' }
      const page = await projects.list({ ...(after !== undefined && { after }), ...asked })
      return {
        object: 'list' as const,
        data: page.projects.map(projectView),
        has_more: page.hasMore,
        next_after: page.projects.at(-1)?.name ?? null,
      }
    },
  )

  app.post(
    '/api/admin/projects',
    {
      schema: {
        summary: 'Create a project with an empty wallet',
        description:
          'A project is a usage context: production, a client, a team, an application. It owns keys and charges one wallet; it holds no aliases, which live in the lockfiles of its code.',
        body: Type.Object({ name: Name, description: Type.Optional(Description) }, { additionalProperties: false }),
        response: answers({ 201: ProjectBody }, 400, 401, 409, 413, 415, 503),
      },
    },
    async (request, reply) => reply.code(201).send(projectView(await projects.create(request.body, actorOf(request)))),
  )

  app.get(
    '/api/admin/projects/:id',
    {
      schema: {
        summary: 'A project and its wallet',
        params: PathId,
        response: answers({ 200: ProjectWithWalletBody }, 401, 404, 503),
      },
    },
    async (request) => {
      const project = await projects.get(request.params.id)
      const wallet = await wallets.ofProject(project.id)
      return { ...projectView(project), wallet: walletView(wallet, deps.fluxNanousd) }
    },
  )

  app.patch(
    '/api/admin/projects/:id',
    {
      schema: {
        summary:
          'Change a project: its name, its description, what it keeps of conversations, its low balance; its id and its history stay',
        params: PathId,
        body: Type.Object(
          {
            name: Type.Optional(Name),
            description: Type.Optional(Type.Union([Description, Type.Null()])),
            content_logging: Type.Optional(Type.Enum(contentLevels)),
            content_retention_days: Type.Optional(Type.Integer({ minimum: 1, maximum: RETENTION_DAYS_MAX })),
            low_balance_nanousd: Type.Optional(Type.Union([LowBalance, Type.Null()])),
          },
          { additionalProperties: false, minProperties: 1 },
        ),
        response: answers({ 200: ProjectBody }, 400, 401, 404, 409, 413, 415, 503),
      },
    },
    async (request) => {
      const { content_logging, content_retention_days, low_balance_nanousd: low, ...named } = request.body
      const changes = {
        ...named,
        contentLogging: content_logging,
        contentRetentionDays: content_retention_days,
        lowBalanceNanos: typeof low === 'string' ? BigInt(low) : low,
      }
      return projectView(await projects.update(request.params.id, changes, actorOf(request)))
    },
  )
}
