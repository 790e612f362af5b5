import type { FastifyReply, FastifyRequest } from 'fastify'
import { type TSchema, Type } from 'typebox'
import { airiError } from '#routes/airi-errors.ts'
import { shownError } from '#routes/render-error.ts'
import { errorHeaders } from '#src/errors.ts'

/** The renderer of errors for AIRI's clients on routes of their own: `{error: 'CODE', message, details?}`. */
export function renderAiri(error: unknown, request: FastifyRequest, reply: FastifyReply): FastifyReply {
  const shown = shownError(error, request)
  const { status, body } = airiError(shown)
  return reply
    .code(status)
    .headers({
      'x-request-id': request.id,
      'cache-control': 'no-store',
      ...(status === 401 && { 'www-authenticate': 'Bearer' }),
      ...errorHeaders(shown),
    })
    .send(body)
}

const AiriErrorBody = Type.Object(
  { error: Type.String(), message: Type.String(), details: Type.Optional(Type.Unknown()) },
  { description: 'As AIRI answers: docs/errors.md.' },
)

/** The answers of a route: its own and the errors it can give. */
export function airiAnswers(own: Record<number, TSchema>, ...errors: number[]) {
  return { ...own, ...Object.fromEntries(errors.map((status) => [status, AiriErrorBody])) }
}
