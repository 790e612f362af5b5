import type { FastifyRequest } from 'fastify'
import { Type } from 'typebox'
import { KEYS_PAGE_MAX, type Keys } from '#domain/keys.ts'
import { requireScope } from '#domain/scopes.ts'
import { keyView } from '#domain/views.ts'
import { clientActor, clientKey } from '#routes/credentials.ts'
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

const CURRENT = 'current'

/** A project looks after its own keys, with one that has the scope `admin`. `current` stands for the key that asks. */
export function projectKeyRoutes(app: HttpInstance, deps: { keys: Keys }) {
  const { keys } = deps

  app.get(
    '/v1/keys',
    {
      onRequest: administers,
      schema: {
        summary: "Your project's keys, oldest first",
        querystring: pageQuery(Cursor, KEYS_PAGE_MAX),
        response: answers({ 200: listOf(KeyBody, Type.String()) }, 400, 401, 403, 503),
      },
    },
    (request) => listKeys(keys, clientKey(request).projectId, request.query),
  )

  app.get(
    '/v1/keys/:id',
    {
      schema: {
        summary: 'One of your keys; `current` is the one that asks, for which no scope is needed',
        params: PathId,
        response: answers({ 200: KeyBody }, 401, 403, 404, 503),
      },
    },
    async (request) => {
      const id = idOf(request, request.params.id)
      if (id !== clientKey(request).keyId) await administers(request)
      return keyView(await keys.get(id, clientKey(request).projectId))
    },
  )

  app.post(
    '/v1/keys',
    {
      onRequest: administers,
      schema: {
        summary: 'Create a key of your project; the secret is shown once',
        body: NewKey,
        response: answers({ 201: NewKeyBody }, 400, 401, 403, 409, 413, 415, 503),
      },
    },
    async (request, reply) =>
      reply.code(201).send(await createKey(keys, clientKey(request).projectId, request.body, clientActor(request))),
  )

  app.post(
    '/v1/keys/:id/rotate',
    {
      onRequest: administers,
      schema: {
        summary: 'Replace one of your keys; the old one goes on working for an overlap',
        params: PathId,
        body: Rotation,
        response: answers({ 201: RotatedKeyBody }, 400, 401, 403, 404, 409, 413, 415, 503),
      },
    },
    async (request, reply) => {
      const projectId = clientKey(request).projectId
      return reply
        .code(201)
        .send(await rotateKey(keys, idOf(request, request.params.id), request.body, clientActor(request), projectId))
    },
  )

  app.delete(
    '/v1/keys/:id',
    {
      onRequest: administers,
      schema: {
        summary: 'Revoke one of your keys for good, everywhere within a second',
        params: PathId,
        response: answers({ 200: KeyBody }, 401, 403, 404, 503),
      },
    },
    async (request) => {
      const projectId = clientKey(request).projectId
      return keyView(await keys.revoke(idOf(request, request.params.id), { projectId, by: clientActor(request) }))
    },
  )
}

async function administers(request: FastifyRequest): Promise<void> {
  requireScope(clientKey(request), 'admin')
}

function idOf(request: FastifyRequest, id: string): string {
  return id === CURRENT ? clientKey(request).keyId : id
}
