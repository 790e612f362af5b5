import { readFileSync } from 'node:fs'
import type { OidcClient } from '#adapters/oidc-provider.ts'
import { isLoopback } from '#lib/loopback.ts'
import { optional } from '#lib/settings.ts'

const CLIENTS_MAX = 100
const ADDRESSES_MAX = 50
const NAME_CHARS_MAX = 100
const ADDRESS_CHARS_MAX = 2_000
const FILE_BYTES_MAX = 1_000_000
const MEMBERS = new Set(['client_id', 'name', 'redirect_uris', 'any_loopback_port', 'post_logout_redirect_uris'])
/** Schemes that a browser runs or reads instead of handing them to an app. */
const NO_APPS = new Set([
  'javascript:',
  'data:',
  'file:',
  'blob:',
  'about:',
  'vbscript:',
  'view-source:',
  'ws:',
  'wss:',
])

/** Apps that people sign in to with their account here: docs/oidc.md. */
export const oidcSettings = {
  OIDC_CLIENTS: optional({
    description:
      'Apps that people sign in to with their account here: a JSON list, or the path of a file with one. docs/oidc.md. None when unset.',
    parse: (value) => parseOidcClients(/^\s*\[/.test(value) ? value : readList(value)),
  }),
}

/** What is wrong with them beside other settings. */
export function oidcProblems(values: { OIDC_CLIENTS?: unknown; API_SERVER_URL?: string | undefined }): string[] {
  if (values.OIDC_CLIENTS === undefined) return []
  const url = values.API_SERVER_URL === undefined ? undefined : new URL(values.API_SERVER_URL)
  if (url !== undefined && (url.protocol === 'https:' || isLoopback(url.hostname))) return []
  return ['API_SERVER_URL must be set, with https or on this machine, where OIDC_CLIENTS is: tokens name it']
}

function readList(path: string): string {
  let content: Buffer
  try {
    content = readFileSync(path)
  } catch {
    throw new Error('a JSON list, or the path of a file that can be read')
  }
  if (content.byteLength > FILE_BYTES_MAX) throw new Error(`in a file of at most ${FILE_BYTES_MAX} bytes`)
  return content.toString('utf8')
}

/** Throws an Error whose message completes "OIDC_CLIENTS must be …". */
function parseOidcClients(text: string): readonly OidcClient[] {
  let list: unknown
  try {
    list = JSON.parse(text)
  } catch {
    throw new Error('a JSON list')
  }
  if (!Array.isArray(list) || list.length === 0 || list.length > CLIENTS_MAX)
    throw new Error(`a JSON list of 1 to ${CLIENTS_MAX} clients`)
  const clients = list.map(parseClient)
  if (new Set(clients.map(({ id }) => id)).size < clients.length)
    throw new Error('a list in which every client_id stands once')
  return clients
}

function parseClient(entry: unknown, index: number): OidcClient {
  const fail = (what: string): never => {
    throw new Error(`a list whose entry ${index + 1} has ${what}`)
  }
  if (typeof entry !== 'object' || entry === null || Array.isArray(entry)) return fail('members')
  const { client_id: id, name, any_loopback_port: anyLoopbackPort = false, ...rest } = entry as Record<string, unknown>
  const unknown = Object.keys(entry).find((member) => !MEMBERS.has(member))
  if (unknown !== undefined) return fail(`no members but ${[...MEMBERS].join(', ')}`)
  if (typeof id !== 'string' || !/^[\w.-]{1,100}$/.test(id)) return fail('a client_id of letters, digits, and ._-')
  if (typeof name !== 'string' || name.trim() === '' || name.length > NAME_CHARS_MAX) return fail('a name')
  if (typeof anyLoopbackPort !== 'boolean') return fail('true or false as any_loopback_port')
  const addresses = (list: unknown, member: string, min: number): readonly string[] =>
    Array.isArray(list) && list.length >= min && list.length <= ADDRESSES_MAX && list.every(isAppAddress)
      ? list
      : fail(`as ${member} a list of addresses with https, with http on this machine, or with the scheme of an app`)
  return {
    ...{ id, name, anyLoopbackPort },
    redirectUris: addresses(rest.redirect_uris, 'redirect_uris', 1),
    postLogoutRedirectUris: addresses(rest.post_logout_redirect_uris ?? [], 'post_logout_redirect_uris', 0),
  }
}

/** Where a browser may be sent back to: to nobody who reads along, and to no script. */
function isAppAddress(value: unknown): value is string {
  if (typeof value !== 'string' || value.length > ADDRESS_CHARS_MAX || /[\s#\\*]/.test(value)) return false
  if (!URL.canParse(value)) return false
  const { protocol, hostname, username, password } = new URL(value)
  if (username !== '' || password !== '' || NO_APPS.has(protocol)) return false
  if (protocol === 'https:') return true
  if (protocol === 'http:') return isLoopback(hostname)
  return /^[a-z][a-z0-9.+-]+:\/?\/?[^/]/.test(value)
}
