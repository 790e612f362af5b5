import { topLevelMembers, withMembers } from '#lib/json-members.ts'
import { AppError } from '#src/errors.ts'
import { isProblem, type RequestProblem, type TextRequest } from '#wire/text-request.ts'
import type { TextRoute } from './handle-text.ts'
import { codecOf } from './interpreter.ts'

/** What a body asks for in the protocol of its route. Throws AppError: body_malformed, body_invalid. */
export function readTextRequest(route: TextRoute, body: string): TextRequest {
  let request: TextRequest | RequestProblem
  try {
    request = codecOf(route.protocol).parse(route.autoModel ? withModel(body) : body)
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

/** The body with `auto` as its model where it names none. Throws SyntaxError. */
function withModel(text: string): string {
  const body: unknown = JSON.parse(text)
  if (typeof body !== 'object' || body === null || Array.isArray(body)) return text
  const { model } = body as { model?: unknown }
  if (model !== undefined && model !== null && model !== '') return text
  const members = topLevelMembers(text)
  return members instanceof Map ? withMembers(text, members, { model: '"auto"' }) : text
}
