import type { IncomingMessage } from 'node:http'
import type { AuthenticatedKey } from '#domain/keyring.ts'
import { requireScope } from '#domain/scopes.ts'
import { AppError } from '#src/errors.ts'
import type { Gateway } from './gateway.ts'

/** Who calls a model. Throws AppError: invalid_api_key, forbidden without the scope `inference`, ledger_unavailable. */
export async function authenticate(gateway: Gateway, req: IncomingMessage): Promise<AuthenticatedKey> {
  const secret = presentedKey(req.headers)
  const caller =
    secret === undefined
      ? await gateway.keyring.ofCookie?.(req.headers, req.method ?? 'POST')
      : await authenticateSecret(gateway, secret)
  if (caller === undefined) throw new AppError('invalid_api_key')
  requireOwnProject(caller, req.headers)
  return caller
}

/** Names the project that a person who is signed in reads or manages: src/routes/member-routes.ts. */
export const PROJECT_HEADER = 'x-fluxgate-project'

/** Where only the caller's own project can be meant, another must not be charged or shown in its place. Throws AppError forbidden. */
export function requireOwnProject(caller: AuthenticatedKey, headers: IncomingMessage['headers']): void {
  const named = headers[PROJECT_HEADER]
  if (named !== undefined && named !== caller.projectId)
    throw new AppError('forbidden', {
      message: 'This is for the project of the key, or your own: use a key of the project.',
    })
}

/** The same for a secret that did not come in a header. */
export async function authenticateSecret(gateway: Gateway, secret: string): Promise<AuthenticatedKey> {
  const key = gateway.keyring.peek(secret) ?? (await gateway.keyring.authenticate(secret))
  requireScope(key, 'inference')
  return key
}

/**
 * The key that a client presents as `Authorization: Bearer`, `X-API-Key` or `X-Project-Key`: the first of them that is there.
 * Clients that are told a gateway's bearer token may send a provider's key along, so what is in the others is not looked at.
 */
export function presentedKey(headers: IncomingMessage['headers']): string | undefined {
  const { authorization } = headers
  // Another scheme is somebody else's business, such as a proxy's.
  if (authorization !== undefined && /^\s*bearer\b/i.test(authorization))
    return /^\s*bearer +(\S+)\s*$/i.exec(authorization)?.[1]
  for (const name of ['x-api-key', 'x-project-key']) {
    const key = String(headers[name] ?? '').trim()
    if (key !== '') return key
  }
  return undefined
}
