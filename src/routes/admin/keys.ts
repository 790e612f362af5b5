import { Type } from 'typebox'
import { KEYS_PAGE_MAX, type Keys } from '#domain/keys.ts'
import { keyView } from '#domain/views.ts'
import { actorOf } from '#routes/credentials.ts'
import type { HttpInstance } from '#routes/http-instance.ts'
import { createKey, listKeys, rotateKey } from '#routes/key-answers.ts'
import {
  answers,
  Cursor,
  KeyBody,
  listOf,
  NewKey,
  NewKeyBody,
  PathId,
  pageQuery,
  RotatedKeyBody,
  Rotation,
} from '#routes/schemas.ts'

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
    (request) => listKeys(keys, request.params.id, request.query),
  )

  app.post(
    '/api/admin/projects/:id/keys',
    {
      schema: {
        summary: 'Create a key; the secret is shown once',
        params: PathId,
        body: NewKey,
        response: answers({ 201: NewKeyBody }, 400, 401, 404, 409, 413, 415, 503),
      },
    },
    async (request, reply) =>
      reply.code(201).send(await createKey(keys, request.params.id, request.body, actorOf(request))),
  )

  app.post(
    '/api/admin/keys/:id/rotate',
    {
      schema: {
        summary: 'Replace a key; the old one goes on working for an overlap',
        params: PathId,
        body: Rotation,
        response: answers({ 201: RotatedKeyBody }, 400, 401, 404, 409, 413, 415, 503),
      },
    },
    async (request, reply) =>
      reply.code(201).send(await rotateKey(keys, request.params.id, request.body, actorOf(request))),
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
    async (request) => keyView(await keys.revoke(request.params.id, { by: actorOf(request) })),
  )
}
