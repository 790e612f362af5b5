import type { IncomingHttpHeaders } from 'node:http'
import { AppError } from '#src/errors.ts'

const KEY_CHARS_MAX = 255
/** Of tokens, which say more than a key. */
const JWT_CHARS_MAX = 4_096

/**
 * The key that a client of llmring presents: as `X-API-Key`, as `X-Project-Key` like the clients of 2025, or as a bearer
 * token; in several of them when all say the same; undefined without any. Throws AppError: invalid_api_key, key_malformed.
 */
export function presentedLlmringKey(headers: IncomingHttpHeaders): string | undefined {
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
  const [key, ...others] = new Set(keys.values())
  if (others.length === 0) return key
  throw new AppError('key_malformed', { message: `${[...keys.keys()].join(' and ')} name different keys` })
}

function readKey(name: string, value: string): string {
  const key = value.trim()
  if (key === '') throw new AppError('invalid_api_key', { message: `${name} header cannot be empty` })
  if (key.length > (/^eyJ[\w-]+\./.test(key) ? JWT_CHARS_MAX : KEY_CHARS_MAX))
    throw new AppError('key_malformed', { message: `${name} too long` })
  if (/\s/.test(key)) throw new AppError('key_malformed', { message: `${name} must not contain whitespace` })
  return key
}

/** Another scheme is somebody else's business, such as a proxy's. */
function bearerToken(authorization: string | undefined): string | undefined {
  return authorization === undefined ? undefined : /^bearer(?: +(.*))?$/i.exec(authorization.trim())?.[1]
}
