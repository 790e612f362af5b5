import { hash, timingSafeEqual } from 'node:crypto'
import type { FastifyRequest } from 'fastify'
import type { AuthenticatedKey, Keyring } from '#domain/keyring.ts'
import { requireScope, type Scope } from '#domain/scopes.ts'
import { presentedKey } from '#gateway/authenticate.ts'
import type { Secret } from '#lib/secret.ts'
import { AppError } from '#src/errors.ts'

/** A hook that lets only the admin key pass. Compares digests, so neither content nor length shows in the time taken. */
export function requireAdmin(adminKey: Secret) {
  const expected = hash('sha256', adminKey.reveal(), 'buffer')
  return async (request: FastifyRequest): Promise<void> => {
    const secret = presentedKey(request.headers)
    if (secret === undefined || !timingSafeEqual(hash('sha256', secret, 'buffer'), expected))
      throw new AppError('invalid_api_key')
  }
}

const CLIENT_KEY = 'clientKey'

/** A hook that lets only a project's key pass, and with a scope only one that has it; handlers then find it with clientKey(). */
export function requireClient(keyring: Keyring, scope?: Scope) {
  return async (request: FastifyRequest): Promise<void> => {
    const key = await authenticateClient(keyring, request)
    if (scope !== undefined) requireScope(key, scope)
    request.setDecorator(CLIENT_KEY, key)
  }
}

/** The key that a request presents, for routes that not everybody needs one for. Throws AppError. */
export async function authenticateClient(keyring: Keyring, request: FastifyRequest): Promise<AuthenticatedKey> {
  const secret = presentedKey(request.headers)
  if (secret === undefined) throw new AppError('invalid_api_key')
  return keyring.peek(secret) ?? (await keyring.authenticate(secret))
}

/** The decorator that requireClient sets, to be declared where that hook is used. */
export const clientKeyDecorator = CLIENT_KEY

export function clientKey(request: FastifyRequest): AuthenticatedKey {
  return request.getDecorator<AuthenticatedKey>(CLIENT_KEY)
}
