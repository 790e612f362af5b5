import type { FastifyReply } from 'fastify'
import { Type } from 'typebox'
import { CONFIG_BYTES_MAX } from '#domain/router/parse-config.ts'
import { VERSIONS_PAGE_MAX } from '#domain/router/router-store.ts'
import type { RouterEditor } from '#domain/router-editor.ts'
import { routerChangeView, routerConfigView, routerPlanView, routerVersionView } from '#domain/router-views.ts'
import { actorOf } from '#routes/credentials.ts'
import type { HttpInstance } from '#routes/http-instance.ts'
import { answers, listOf, Reason } from '#routes/schemas.ts'
import { AppError } from '#src/errors.ts'
import { ChangeBody, Config, ConfigBody, IfMatch, PlanBody, VersionBody } from './router-schemas.ts'

/** A config and what is around it. */
const BODY_BYTES_MAX = CONFIG_BYTES_MAX + 64 * 1024

const VersionNumber = Type.Integer({ minimum: 1, maximum: 999_999_999 })
const VersionPath = Type.Object({ version: Type.String({ pattern: '^[1-9][0-9]{0,8}$' }) })

export function routerRoutes(app: HttpInstance, deps: { router: RouterEditor }) {
  const { router } = deps

  app.get(
    '/api/admin/router',
    {
      schema: {
        summary: 'The router config that holds, redacted',
        description: 'Its ETag is what a write sends as If-Match. Version 0: nothing was ever written.',
        response: answers({ 200: ConfigBody }, 401, 503),
      },
    },
    async (_request, reply) => {
      const shown = await router.show()
      return tagged(reply, shown.etag).send(routerConfigView(shown))
    },
  )

  app.put(
    '/api/admin/router',
    {
      bodyLimit: BODY_BYTES_MAX,
      schema: {
        summary: 'Write a new version of the router config',
        description:
          'Needs If-Match. A ciphertext `<ciphertext: N chars>`, as it was shown, keeps the key that is stored. Every process serves the new version within a second.',
        headers: IfMatch,
        body: Type.Object({ config: Config, reason: Reason }, { additionalProperties: false }),
        response: answers({ 200: ChangeBody }, 400, 401, 412, 413, 415, 428, 503),
      },
    },
    async (request, reply) => {
      const { config, reason } = request.body
      const ifMatch = needIfMatch(request.headers)
      const change = await router.apply({ config, reason, author: actorOf(request).actor, ifMatch })
      return tagged(reply, change.version.etag).send(routerChangeView(change))
    },
  )

  // Two colons are one: a single one would begin a parameter.
  app.post(
    '/api/admin/router::plan',
    {
      bodyLimit: BODY_BYTES_MAX,
      schema: {
        summary: 'Say what a router config would change, and write nothing',
        body: Type.Object({ config: Config }, { additionalProperties: false }),
        response: answers({ 200: PlanBody }, 400, 401, 413, 415, 503),
      },
    },
    async (request) => routerPlanView(await router.plan(request.body.config)),
  )

  app.post(
    '/api/admin/router::rollback',
    {
      schema: {
        summary: 'Make an old version hold again, as a new one',
        description: 'The warnings name keys of then that do not open any more.',
        headers: IfMatch,
        body: Type.Object({ version: VersionNumber, reason: Reason }, { additionalProperties: false }),
        response: answers({ 200: ChangeBody }, 400, 401, 404, 412, 413, 415, 428, 503),
      },
    },
    async (request, reply) => {
      const { version, reason } = request.body
      const ifMatch = needIfMatch(request.headers)
      const change = await router.rollback({ to: version, reason, author: actorOf(request).actor, ifMatch })
      return tagged(reply, change.version.etag).send(routerChangeView(change))
    },
  )

  app.get(
    '/api/admin/router/versions',
    {
      schema: {
        summary: 'List the versions of the router config, newest first',
        querystring: Type.Object(
          {
            before: Type.Optional(VersionNumber),
            limit: Type.Optional(
              Type.Integer({ minimum: 1, maximum: VERSIONS_PAGE_MAX, description: `Default ${VERSIONS_PAGE_MAX}.` }),
            ),
          },
          { additionalProperties: false },
        ),
        response: answers({ 200: listOf(VersionBody, Type.Integer()) }, 400, 401, 503),
      },
    },
    async (request) => {
      const { before, limit = VERSIONS_PAGE_MAX } = request.query
      const page = await router.list({ ...(before !== undefined && { before }), limit })
      return {
        object: 'list' as const,
        data: page.versions.map(routerVersionView),
        has_more: page.hasMore,
        next_after: page.versions.at(-1)?.version ?? null,
      }
    },
  )

  app.get(
    '/api/admin/router/versions/:version',
    {
      schema: {
        summary: 'One version of the router config, redacted',
        params: VersionPath,
        response: answers({ 200: ConfigBody }, 401, 404, 503),
      },
    },
    async (request, reply) => {
      const shown = await router.show(Number(request.params.version))
      return tagged(reply, shown.etag).send(routerConfigView(shown))
    },
  )
}

/** Throws AppError precondition_required. */
function needIfMatch(headers: { 'if-match'?: string }): string {
  const ifMatch = headers['if-match']
  if (ifMatch === undefined || ifMatch.trim() === '') throw new AppError('precondition_required', { param: 'if-match' })
  return ifMatch
}

function tagged(reply: FastifyReply, etag: string): FastifyReply {
  return reply.header('etag', etag)
}
