import type { IncomingHttpHeaders } from 'node:http'
import { AppError } from '#src/errors.ts'

const KEY_CHARS_MAX = 255

/**
 * The key that a client of llmring presents: as `X-API-Key`, as `X-Project-Key` like the clients of 2025, or as a bearer
 * token; in several of them when all say the same. Throws AppError: invalid_api_key, key_malformed.
 */
export function presentedLlmringKey(headers: IncomingHttpHeaders): string {
  const sent = [
    ['X-API-Key', headers['x-api-key']],
    ['X-Project-Key', headers['x-project-key']],
    ['Authorization', bearerToken(headers.authorization)],
  ] as const
  const keys = new Map<string, string>()
  for (const [name, value] of sent) {
    if (value === undefined || value === '') continue
    keys.set(name, readKey(name, String(value)))
  }
  if (keys.size === 0) throw new AppError('invalid_api_key', { message: 'X-API-Key header required' })
  const [key = '', ...others] = new Set(keys.values())
  if (others.length === 0) return key
  throw new AppError('key_malformed', { message: `${[...keys.keys()].join(' and ')} name different keys` })
}

function readKey(name: string, value: string): string {
  const key = value.trim()
  if (key === '') throw new AppError('invalid_api_key', { message: `${name} header cannot be empty` })
  if (key.length > KEY_CHARS_MAX) throw new AppError('key_malformed', { message: `${name} too long` })
  if (/\s/.test(key)) throw new AppError('key_malformed', { message: `${name} must not contain whitespace` })
  return key
}

/** Another scheme is somebody else's business, such as a proxy's. */
function bearerToken(authorization: string | undefined): string | undefined {
  return authorization === undefined ? undefined : /^bearer(?: +(.*))?$/i.exec(authorization.trim())?.[1]
}
