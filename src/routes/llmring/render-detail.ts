import type { FastifyReply, FastifyRequest } from 'fastify'
import { shownError } from '#routes/render-error.ts'
import { type AppError, errorHeaders } from '#src/errors.ts'
import { type Issue, problemIssue } from './issues.ts'

/** The renderer of errors for llmring's clients: `{"detail": …, "code": …}`, and 422 with a list where a body is refused. */
export function renderDetail(error: unknown, request: FastifyRequest, reply: FastifyReply): FastifyReply {
  const shown = shownError(error, request)
  const { status, detail } = detailOf(shown)
  return reply
    .code(status)
    .headers({
      'x-request-id': request.id,
      'cache-control': 'no-store',
      ...(status === 401 && { 'www-authenticate': 'Bearer' }),
      ...(status === 503 && errorHeaders(shown)['x-should-retry'] === 'true' && { 'retry-after': '1' }),
      ...errorHeaders(shown),
    })
    .send({ detail, code: shown.code })
}

/** Status and `detail` of an error, as one item of a batch shows them too. */
export function detailOf(error: AppError): { status: number; detail: string | Issue[] } {
  const own = error.publicDetails?.detail
  if (Array.isArray(own)) return { status: error.status, detail: own as Issue[] }
  switch (error.code) {
    case 'body_invalid':
      if (error.problems.length > 0)
        return { status: 422, detail: error.problems.map((problem) => problemIssue(problem)) }
      return { status: 422, detail: [problemIssue({ path: error.param ?? '', message: error.message })] }
    case 'body_malformed':
      return { status: 422, detail: [{ type: 'json_invalid', loc: ['body'], msg: error.message, input: null }] }
    default:
      return { status: error.status, detail: error.message }
  }
}
