import type { FastifyReply, FastifyRequest } from 'fastify'
import { asAppError } from '#domain/unavailable.ts'
import { AppError, errorBody, errorHeaders } from '#src/errors.ts'

const PATH_CHARS_MAX = 200
const PROBLEMS_MAX = 100

/**
 * The one renderer of errors: OpenAI's shape, whoever threw. What is not meant for clients becomes `internal`, and its
 * cause stays in the log.
 */
export function renderError(error: unknown, request: FastifyRequest, reply: FastifyReply): FastifyReply {
  const shown = shownError(error, request)
  return reply
    .code(shown.status)
    .headers({
      'x-request-id': request.id,
      'cache-control': 'no-store',
      ...(shown.status === 401 && { 'www-authenticate': 'Bearer' }),
      ...errorHeaders(shown),
    })
    .send(errorBody(shown))
}

/** What a client may see of an error, whatever shape it is shown in; the log is told here. */
export function shownError(error: unknown, request: FastifyRequest): AppError {
  const shown = asAppError(error) ?? fromFastify(error, request) ?? new AppError('internal', { cause: error })
  if (shown.status >= 500) request.log.error({ err: shown }, 'request failed')
  codes.set(request, shown.code)
  return shown
}

const codes = new WeakMap<FastifyRequest, string>()

/** The code that a request was answered with, for its line in the log. */
export function errorCodeOf(request: FastifyRequest): string | undefined {
  return codes.get(request)
}

interface Problem {
  keyword: string
  instancePath: string
  params: Record<string, unknown>
  message?: string
}

/** What Fastify itself refuses: bodies, media types, schemas, addresses. Undefined for anything else. */
function fromFastify(error: unknown, request: FastifyRequest): AppError | undefined {
  if (!(error instanceof Error)) return undefined
  const { validation, validationContext, statusCode, code } = error as {
    validation?: Problem[]
    validationContext?: string
    statusCode?: number
    code?: string
  }
  if (validation !== undefined) return fromValidation(validation, validationContext ?? 'body')
  switch (statusCode) {
    case 413:
      return new AppError('body_too_large', { cause: error })
    case 415:
      return new AppError('media_type_unsupported', { cause: error })
    case 400:
      if (code === 'FST_ERR_BAD_URL') return new AppError('not_found', { cause: error })
      // What remains of Fastify's own 400s is about the bytes of the body: its syntax, its length, nothing at all.
      return new AppError('body_malformed', { cause: error, details: { route: request.routeOptions.url } })
  }
  return undefined
}

/** The first problem, with the JSON path of the member that has it, and beside it all of them. Values are not repeated. */
function fromValidation(problems: Problem[], context: string): AppError {
  if (context === 'headers') return new AppError('idempotency_key_invalid')
  if (context === 'params') return new AppError('not_found')
  // A member that is not allowed is reported twice; the second time says what it is.
  const problem = problems.find(({ keyword }) => keyword !== 'boolean') ?? problems[0]
  const path = pathOf(problem).join('.')
  const where =
    path === '' ? `The ${context === 'querystring' ? 'query' : context}` : `'${path.slice(0, PATH_CHARS_MAX)}'`
  return new AppError('body_invalid', {
    message: `${where} ${describe(problem)}.`,
    ...(path !== '' && { param: path.slice(0, PATH_CHARS_MAX) }),
    problems: problems
      .filter(({ keyword }) => keyword !== 'boolean')
      .slice(0, PROBLEMS_MAX)
      .map((one) => ({
        path: pathOf(one)
          .map((part) => (/^\d+$/.test(part) ? `[${part}]` : `.${part}`))
          .join('')
          .slice(1, PATH_CHARS_MAX),
        message: describe(one),
      })),
  })
}

function pathOf(problem: Problem | undefined): string[] {
  const missing = problem?.params.requiredProperties ?? problem?.params.additionalProperties
  const [member] = Array.isArray(missing) ? missing : []
  const at = (problem?.instancePath ?? '').split('/').slice(1)
  return [...at, ...(typeof member === 'string' ? [member] : [])].map(unescapePointer)
}

function describe(problem: Problem | undefined): string {
  if (problem?.keyword === 'required') return 'is required'
  if (problem?.keyword === 'additionalProperties') return 'is not a known field'
  return problem?.message ?? 'is not valid'
}

function unescapePointer(segment: string): string {
  return segment.replaceAll('~1', '/').replaceAll('~0', '~')
}
