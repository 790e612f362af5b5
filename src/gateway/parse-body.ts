import { AppError } from '#src/errors.ts'
import { isProblem, type RequestProblem } from '#wire/text-request.ts'

/** What a parser makes of a body. Throws AppError: body_malformed, body_invalid. */
export function parseBody<T extends object>(parse: (text: string) => T | RequestProblem, body: string): T {
  let request: T | RequestProblem
  try {
    request = parse(body)
  } catch (cause) {
    if (!(cause instanceof SyntaxError)) throw cause
    throw new AppError('body_malformed', { message: `The body is not valid JSON: ${cause.message.slice(0, 200)}` })
  }
  if (!isProblem(request)) return request
  const { path, message } = request
  throw new AppError('body_invalid', {
    message: path === '' ? `Invalid request: ${message}.` : `Invalid request: '${path}' ${message}.`,
    ...(path !== '' && { param: path }),
  })
}
