import type { FastifyReply } from 'fastify'
import { Type } from 'typebox'
import { parseTilePath } from '#billing/tlog/tile-path.ts'
import type { LogProofs } from '#domain/log/log-proofs.ts'
import type { HttpInstance } from '#routes/http-instance.ts'
import { pendingInLog } from '#routes/log-pending.ts'
import { answers } from '#routes/schemas.ts'
import { AppError } from '#src/errors.ts'

const TEXT = 'text/plain; charset=utf-8'
const FOREVER = 'public, max-age=31536000, immutable'
const SIZE_MAX = Number.MAX_SAFE_INTEGER

const Text = (description: string) => ({ description, content: { 'text/plain': { schema: Type.String() } } })
const Hash = Type.String({ description: 'Base64 of 32 bytes.' })
const Size = Type.Integer({ minimum: 0, maximum: SIZE_MAX })

/** The public log in the formats of c2sp.org, out of files: docs/transparency-log.md. */
export function logRoutes(app: HttpInstance, deps: { logProofs: LogProofs }) {
  const { logProofs } = deps

  app.get(
    '/log/checkpoint',
    {
      schema: {
        summary: 'The signed head of the public log of receipts',
        description:
          'A checkpoint of c2sp.org/tlog-checkpoint. The tiles below it are at /log/tile/LEVEL/INDEX and /log/tile/entries/INDEX.',
        security: [],
        response: { ...answers({}, 503), 200: Text('The checkpoint') },
      },
    },
    async (_request, reply) => checkpoint(reply, logProofs.published()?.checkpoint),
  )

  app.get(
    '/log/witnessed-checkpoint',
    {
      schema: {
        summary: 'The newest head of the log that witnesses cosigned',
        security: [],
        response: { ...answers({}, 404), 200: Text('The checkpoint') },
      },
    },
    async (_request, reply) => {
      const witnessed = logProofs.published()?.witnessed
      if (witnessed === undefined) throw new AppError('not_found', { message: 'No witness has cosigned this log.' })
      return checkpoint(reply, witnessed.checkpoint)
    },
  )

  app.get(
    '/log/vkey',
    {
      schema: {
        summary: 'The key that the log is signed with, as a verifier key of c2sp.org/signed-note',
        security: [],
        response: { 200: Text('The vkey') },
      },
    },
    async (_request, reply) =>
      open(reply).header('cache-control', 'public, max-age=300').type(TEXT).send(`${logProofs.vkey}\n`),
  )

  app.get<{ Params: { '*': string } }>('/log/tile/*', { schema: { hide: true } }, async (request, reply) => {
    const tile = parseTilePath(`tile/${request.params['*']}`)
    const bytes = tile === undefined ? undefined : await logProofs.tile(tile)
    if (bytes === undefined) throw new AppError('not_found', { message: 'The log has no such tile.' })
    return open(reply).header('cache-control', FOREVER).type('application/octet-stream').send(bytes)
  })

  app.get(
    '/log/proof/inclusion',
    {
      schema: {
        summary: 'How a leaf of the log leads to the root of a size',
        security: [],
        querystring: Type.Object({ index: Size, size: Size }, { additionalProperties: false }),
        response: answers(
          { 200: Type.Object({ index: Size, size: Size, leaf_hash: Hash, path: Type.Array(Hash) }) },
          400,
          404,
        ),
      },
    },
    async (request, reply) => {
      const { index, size } = request.query
      const proof = await logProofs.inclusion(index, size)
      if (proof === undefined) throw notPublished()
      const path = proof.path.map((hash) => hash.toString('base64'))
      return open(reply)
        .header('cache-control', FOREVER)
        .send({ index, size, leaf_hash: proof.leafHash.toString('base64'), path })
    },
  )

  app.get(
    '/log/proof/consistency',
    {
      schema: {
        summary: 'That the log of one size continues the log of an earlier one',
        security: [],
        querystring: Type.Object({ from: Size, to: Size }, { additionalProperties: false }),
        response: answers({ 200: Type.Object({ from: Size, to: Size, path: Type.Array(Hash) }) }, 400, 404),
      },
    },
    async (request, reply) => {
      const { from, to } = request.query
      const path = await logProofs.consistency(from, to)
      if (path === undefined) throw notPublished()
      return open(reply)
        .header('cache-control', FOREVER)
        .send({ from, to, path: path.map((hash) => hash.toString('base64')) })
    },
  )
}

function checkpoint(reply: FastifyReply, text: string | undefined) {
  if (text === undefined) throw pendingInLog()
  return open(reply).header('cache-control', 'public, max-age=1').type(TEXT).send(text)
}

/** Anyone may verify, from a page of any origin. */
function open(reply: FastifyReply): FastifyReply {
  return reply.header('access-control-allow-origin', '*')
}

function notPublished(): AppError {
  return new AppError('not_found', { message: 'The log that is published here does not have these sizes.' })
}
