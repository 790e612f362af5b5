import { hash, timingSafeEqual } from 'node:crypto'
import type { FastifyRequest } from 'fastify'
import type { Actor } from '#domain/audit-trail.ts'
import type { Callers } from '#domain/callers.ts'
import type { AuthenticatedKey } from '#domain/keyring.ts'
import type { MemberProjects } from '#domain/members/member-projects.ts'
import { requireScope, type Scope } from '#domain/scopes.ts'
import { presentedKey, requireOwnProject } from '#gateway/authenticate.ts'
import { assert } from '#lib/assert.ts'
import type { Secret } from '#lib/secret.ts'
import { AppError } from '#src/errors.ts'
import { inProject, requireRole } from './member-routes.ts'

/** Whether a secret is the admin key. Compares digests, so neither content nor length shows in the time taken. */
export function adminKeyCheck(adminKey: Secret): (secret: string) => boolean {
  const expected = hash('sha256', adminKey.reveal(), 'buffer')
  return (secret) => timingSafeEqual(hash('sha256', secret, 'buffer'), expected)
}

const ACTOR = 'actor'

/** The decorator that requireAdmin sets, to be declared where that hook is used. */
export const actorDecorator = ACTOR

/**
 * A hook that lets operators pass: whoever has the admin key, and people who are administrators, signed in or by a key of
 * theirs with the scope `admin`. Handlers then find who it is with actorOf().
 */
export function requireAdmin(deps: {
  adminKey: Secret
  keyring: Callers
  isAdministrator: (userId: string) => Promise<boolean>
}) {
  const isAdminKey = adminKeyCheck(deps.adminKey)
  return async (request: FastifyRequest): Promise<void> => {
    const secret = presentedKey(request.headers)
    if (secret !== undefined && isAdminKey(secret)) {
      request.setDecorator(ACTOR, 'admin')
      return
    }
    const key = await callerOf(deps.keyring, request)
    // The key of a project is no operator's, as if nobody knew it.
    if (!key.personal || key.userId === null) throw new AppError('invalid_api_key')
    requireScope(key, 'admin')
    if (!(await deps.isAdministrator(key.userId)))
      throw new AppError('forbidden', { message: 'This needs an administrator.' })
    request.setDecorator(ACTOR, key.userId)
  }
}

/** Who acts, as requireAdmin has found, and in which request. */
export function actorOf(request: FastifyRequest): Required<Actor> {
  return { actor: request.getDecorator<string>(ACTOR), requestId: request.id }
}

/** Who acts by a project's key: the person whose it is, or else the key. */
export function clientActor(request: FastifyRequest): Required<Actor> {
  const { userId, keyId } = clientKey(request)
  return { actor: userId ?? keyId, requestId: request.id }
}

const CLIENT_KEY = 'clientKey'

/** A hook that lets only a project's key pass, and with a scope only one that has it; handlers then find it with clientKey(). */
export function requireClient(keyring: Callers, scope?: Scope) {
  return async (request: FastifyRequest): Promise<void> => {
    request.setDecorator(CLIENT_KEY, await authenticateClient(keyring, request, scope))
  }
}

/** A hook that lets only a person pass: signed in, or by a key of the personal project that has the scope. */
export function requirePerson(keyring: Callers, scope: Scope) {
  return async (request: FastifyRequest): Promise<void> => {
    const key = await callerOf(keyring, request)
    requireOwnProject(key, request.headers)
    requireScope(key, scope)
    if (!key.personal || key.userId === null)
      throw new AppError('forbidden', { message: "This is a person's, and the key is of a shared project." })
    request.setDecorator(CLIENT_KEY, key)
  }
}

/** A hook that lets only a person who is signed in pass; no key, whosever it is. */
export function requireSignedIn(keyring: Callers) {
  return async (request: FastifyRequest): Promise<void> => {
    const key = await callerOf(keyring, request)
    if (key.signedIn !== true || key.userId === null)
      throw new AppError('forbidden', { message: 'This needs a person who is signed in, not a key.' })
    request.setDecorator(CLIENT_KEY, key)
  }
}

/** A hook after requireSignedIn: where the address names a project, only its members pass, and only with the role that it takes. */
export function requireMember(memberProjects: MemberProjects) {
  return async (request: FastifyRequest): Promise<void> => {
    if (request.routeOptions.url?.startsWith('/api/v1/projects/:id') !== true) return
    const { id = '' } = request.params as { id?: string }
    const project = await memberProjects.find(person(request).userId, id)
    // There may be one or not.
    if (project === undefined) throw new AppError('not_found', { message: 'You are in no project with this id.' })
    requireRole(request, project.role)
  }
}

/** The person that requirePerson or requireSignedIn has let pass. */
export function person(request: FastifyRequest): AuthenticatedKey & { userId: string } {
  const key = clientKey(request)
  assert(key.userId !== null, 'a hook has let this request pass')
  return { ...key, userId: key.userId }
}

/** The key that a request presents, or the member of the project that it names; for routes that not everybody needs one for. Throws AppError. */
export async function authenticateClient(
  keyring: Callers,
  request: FastifyRequest,
  scope?: Scope,
): Promise<AuthenticatedKey> {
  const key = await inProject(keyring, request, await callerOf(keyring, request))
  if (scope !== undefined) requireScope(key, scope)
  return key
}

async function callerOf(keyring: Callers, request: FastifyRequest): Promise<AuthenticatedKey> {
  const secret = presentedKey(request.headers)
  const key =
    secret === undefined
      ? await keyring.ofCookie?.(request.headers, request.method)
      : (keyring.peek(secret) ?? (await keyring.authenticate(secret)))
  if (key === undefined) throw new AppError('invalid_api_key')
  return key
}

/** The decorator that requireClient sets, to be declared where that hook is used. */
export const clientKeyDecorator = CLIENT_KEY

export function clientKey(request: FastifyRequest): AuthenticatedKey {
  return request.getDecorator<AuthenticatedKey>(CLIENT_KEY)
}

/** The decorator of requests that carry the admin key where a project's key would do. */
export const operatorDecorator = 'isOperator'

/** Whose usage a caller may see: that of the key's project, or with the admin key, undefined, that of all. */
export function usageProject(request: FastifyRequest): string | undefined {
  return request.getDecorator<boolean>(operatorDecorator) ? undefined : clientKey(request).projectId
}
