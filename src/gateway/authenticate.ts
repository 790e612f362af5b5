import type { IncomingMessage } from 'node:http'
import type { AuthenticatedKey } from '#domain/keyring.ts'
import { AppError } from '#src/errors.ts'
import type { Gateway } from './gateway.ts'

/** Who calls, by `Authorization: Bearer` or `X-API-Key`. Throws AppError: invalid_api_key, ledger_unavailable. */
export async function authenticate(gateway: Gateway, req: IncomingMessage): Promise<AuthenticatedKey> {
  const secret = presentedKey(req.headers)
  if (secret === undefined) throw new AppError('invalid_api_key')
  return gateway.keyring.peek(secret) ?? (await gateway.keyring.authenticate(secret))
}

/** The key that a client presents, however it does. */
export function presentedKey(headers: IncomingMessage['headers']): string | undefined {
  const { authorization } = headers
  if (authorization !== undefined) return /^bearer +(\S+)\s*$/i.exec(authorization)?.[1]
  const key = headers['x-api-key']
  return typeof key === 'string' && key !== '' ? key : undefined
}
