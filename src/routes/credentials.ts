import { hash, timingSafeEqual } from 'node:crypto'
import type { FastifyRequest } from 'fastify'
import type { Callers } from '#domain/callers.ts'
import type { AuthenticatedKey } from '#domain/keyring.ts'
import { requireScope, type Scope } from '#domain/scopes.ts'
import { presentedKey } from '#gateway/authenticate.ts'
import { assert } from '#lib/assert.ts'
import type { Secret } from '#lib/secret.ts'
import { AppError } from '#src/errors.ts'

/** Whether a secret is the admin key. Compares digests, so neither content nor length shows in the time taken. */
export function adminKeyCheck(adminKey: Secret): (secret: string) => boolean {
  const expected = hash('sha256', adminKey.reveal(), 'buffer')
  return (secret) => timingSafeEqual(hash('sha256', secret, 'buffer'), expected)
}

/** A hook that lets only the admin key pass. */
export function requireAdmin(adminKey: Secret) {
  const isAdminKey = adminKeyCheck(adminKey)
  return async (request: FastifyRequest): Promise<void> => {
    const secret = presentedKey(request.headers)
    if (secret === undefined || !isAdminKey(secret)) throw new AppError('invalid_api_key')
  }
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
    const key = await authenticateClient(keyring, request, scope)
    if (!key.personal || key.userId === null)
      throw new AppError('forbidden', { message: "This is a person's, and the key is of a shared project." })
    request.setDecorator(CLIENT_KEY, key)
  }
}

/** The person that requirePerson has let pass. */
export function person(request: FastifyRequest): AuthenticatedKey & { userId: string } {
  const key = clientKey(request)
  assert(key.userId !== null, 'requirePerson has let this request pass')
  return { ...key, userId: key.userId }
}

/** The key that a request presents, for routes that not everybody needs one for. Throws AppError. */
export async function authenticateClient(
  keyring: Callers,
  request: FastifyRequest,
  scope?: Scope,
): Promise<AuthenticatedKey> {
  const secret = presentedKey(request.headers)
  const key =
    secret === undefined
      ? await keyring.ofCookie?.(request.headers, request.method)
      : (keyring.peek(secret) ?? (await keyring.authenticate(secret)))
  if (key === undefined) throw new AppError('invalid_api_key')
  if (scope !== undefined) requireScope(key, scope)
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
