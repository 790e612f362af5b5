import type { IncomingHttpHeaders } from 'node:http'
import { isIP } from 'node:net'

/** Who may say where a client is: so many proxies that append to x-forwarded-for, or one that sets x-real-ip. */
export type ProxyTrust = { hops: number } | { header: 'x-real-ip' }

const HOPS_MAX = 10

/** Throws Error whose message completes "must be …". */
export function parseProxyTrust(text: string): ProxyTrust {
  // AIRI's name for a platform whose proxy sets x-real-ip.
  if (text === 'x-real-ip' || text === 'railway') return { header: 'x-real-ip' }
  const hops = /^\d{1,2}$/.test(text) ? Number(text) : 0
  if (hops < 1 || hops > HOPS_MAX) throw new Error(`a number of proxies from 1 to ${HOPS_MAX}, or x-real-ip`)
  return { hops }
}

/**
 * The address of a client, for counting. What a client writes into a header changes nothing: of x-forwarded-for only what the
 * trusted proxies have appended is read, from the right. Whoever has an IPv6 network counts as one client.
 */
export function clientAddress(
  request: { headers: IncomingHttpHeaders; socket: { remoteAddress?: string | undefined } },
  trust: ProxyTrust | undefined,
): string {
  const own = request.socket.remoteAddress ?? 'unknown'
  const told = trust === undefined ? undefined : toldAddress(request.headers, trust)
  return network(told !== undefined && isIP(told) > 0 ? told : own)
}

function toldAddress(headers: IncomingHttpHeaders, trust: ProxyTrust): string | undefined {
  if ('header' in trust) return String(headers[trust.header] ?? '').trim()
  const chain = String(headers['x-forwarded-for'] ?? '')
    .split(',')
    .map((address) => address.trim())
  return chain.at(-trust.hops)
}

/** The first 64 bits of an IPv6 address; an IPv4 address, also one in IPv6's clothes, as it is. */
function network(address: string): string {
  const mapped = /^::ffff:(\d+\.\d+\.\d+\.\d+)$/i.exec(address)?.[1]
  if (mapped !== undefined) return mapped
  if (isIP(address) !== 6) return address
  const [head = '', tail] = (address.split('%')[0] ?? '').toLowerCase().split('::')
  const left = head === '' ? [] : head.split(':')
  const right = tail === undefined || tail === '' ? [] : tail.split(':')
  const groups = tail === undefined ? left : [...left, ...Array(8 - left.length - right.length).fill('0'), ...right]
  return `${groups
    .slice(0, 4)
    .map((group) => group.replace(/^0+(?=.)/, ''))
    .join(':')}::/64`
}
