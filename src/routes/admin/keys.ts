import { Type } from 'typebox'
import { KEYS_PAGE_MAX, type Keys } from '#domain/keys.ts'
import { keyView } from '#domain/views.ts'
import type { HttpInstance } from '#routes/http-instance.ts'
import { answers, Cursor, KeyBody, listOf, Name, NewKeyBody, PathId, pageQuery, Time } from '#routes/schemas.ts'

export function keyRoutes(app: HttpInstance, deps: { keys: Keys }) {
  const { keys } = deps

  app.get(
    '/api/admin/projects/:id/keys',
    {
      schema: {
        summary: "List a project's keys, oldest first",
        params: PathId,
        querystring: pageQuery(Cursor, KEYS_PAGE_MAX),
        response: answers({ 200: listOf(KeyBody, Type.String()) }, 400, 401, 404, 503),
      },
    },
    async (request) => {
      const { after, limit = KEYS_PAGE_MAX } = request.query
      const page = await keys.list(request.params.id, { ...(after !== undefined && { after }), limit })
      return {
        object: 'list' as const,
        data: page.keys.map(keyView),
        has_more: page.hasMore,
        next_after: page.keys.at(-1)?.id ?? null,
      }
    },
  )

  app.post(
    '/api/admin/projects/:id/keys',
    {
      schema: {
        summary: 'Create a key; the secret is shown once',
        params: PathId,
        body: Type.Object({ name: Name, expires_at: Type.Optional(Time) }, { additionalProperties: false }),
        response: answers({ 201: NewKeyBody }, 400, 401, 404, 413, 415, 503),
      },
    },
    async (request, reply) => {
      const { name, expires_at } = request.body
      const { key, secret } = await keys.create({
        projectId: request.params.id,
        name,
        ...(expires_at !== undefined && { expiresAt: new Date(expires_at) }),
      })
      return reply.code(201).send({ ...keyView(key), secret })
    },
  )

  app.delete(
    '/api/admin/keys/:id',
    {
      schema: {
        summary: 'Revoke a key for good, everywhere within a second',
        params: PathId,
        response: answers({ 200: KeyBody }, 401, 404, 503),
      },
    },
    async (request) => keyView(await keys.revoke(request.params.id)),
  )
}
