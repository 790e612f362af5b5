import type { FastifyRequest } from 'fastify'
import type { Callers } from '#domain/callers.ts'
import type { AuthenticatedKey } from '#domain/keyring.ts'
import { isAtLeast, type ProjectRole } from '#domain/members/roles.ts'
import { PROJECT_HEADER } from '#gateway/authenticate.ts'
import { AppError } from '#src/errors.ts'

/**
 * What members of a shared project may do while signed in, and as what at least: the routes that name a project in their
 * address, and those of keys, which take it from the header. What is not here needs a key.
 */
const leastRoles: Readonly<Record<string, ProjectRole>> = {
  'GET /api/v1/projects/:id': 'viewer',
  'GET /api/v1/projects/:id/members': 'viewer',
  'PATCH /api/v1/projects/:id/members/:userId': 'owner',
  'DELETE /api/v1/projects/:id/members/:userId': 'owner',
  'POST /api/v1/projects/:id/leave': 'viewer',
  'GET /api/v1/projects/:id/invitations': 'owner',
  'POST /api/v1/projects/:id/invitations': 'owner',
  'DELETE /api/v1/projects/:id/invitations/:invitationId': 'owner',

  'GET /v1/wallet': 'viewer',
  'GET /v1/budgets': 'viewer',
  'GET /v1/receipts': 'viewer',
  'GET /v1/receipts/:id': 'viewer',
  'GET /v1/receipts/:id/proof': 'viewer',
  'GET /v1/requests/:id': 'viewer',
  'GET /v1/statements': 'viewer',
  'GET /v1/statements/:day': 'viewer',
  'GET /v1/documents/:id/proof': 'viewer',
  'GET /api/v1/stats': 'viewer',
  'GET /api/v1/logs': 'viewer',
  'GET /api/v1/logs/export': 'viewer',
  'GET /api/v1/receipts': 'viewer',
  'GET /api/v1/receipts/uncertified': 'viewer',
  'POST /api/v1/receipts/preview': 'viewer',
  'GET /api/v1/receipts/:receipt_id': 'viewer',
  'GET /api/v1/receipts/:receipt_id/logs': 'viewer',
  'GET /api/v1/receipts/:receipt_id/entries/:log_id': 'viewer',
  'GET /api/v1/conversations': 'viewer',
  'GET /api/v1/conversations/:id': 'viewer',
  'GET /api/v1/conversations/:id/messages': 'viewer',

  'GET /v1/keys': 'editor',
  'POST /v1/keys': 'editor',
  'GET /v1/keys/:id': 'editor',
  'POST /v1/keys/:id/rotate': 'editor',
  'DELETE /v1/keys/:id': 'editor',
}

/** Throws AppError forbidden. */
export function requireRole(request: FastifyRequest, role: ProjectRole): void {
  const least = leastRole(request)
  if (least === undefined) throw new AppError('forbidden', { message: 'This needs a key of the project.' })
  if (!isAtLeast(role, least))
    throw new AppError('forbidden', { message: `This needs the role '${least}', and yours is '${role}'.` })
}

/**
 * Who calls for the project that the request names, by default in the header: a key for its own alone, a person who is
 * signed in for each project that has this person as a member. Throws AppError forbidden.
 */
export async function inProject(
  callers: Callers,
  request: FastifyRequest,
  caller: AuthenticatedKey,
  named: unknown = request.headers[PROJECT_HEADER],
): Promise<AuthenticatedKey> {
  if (named === undefined || named === caller.projectId) return caller
  const { signedIn, userId } = caller
  if (signedIn !== true || userId === null)
    throw new AppError('forbidden', { message: 'A key speaks for its own project alone.' })
  const member = typeof named === 'string' ? await callers.memberOf?.({ ...caller, userId }, named) : undefined
  if (member === undefined) throw new AppError('forbidden', { message: 'You are no member of this project.' })
  requireRole(request, member.role)
  return member
}

function leastRole(request: FastifyRequest): ProjectRole | undefined {
  const { url = '' } = request.routeOptions
  const method = request.method === 'HEAD' ? 'GET' : request.method
  // llmring's addresses answer with a slash at the end, too.
  return leastRoles[`${method} ${url.replace(/\/$/, '')}`]
}
