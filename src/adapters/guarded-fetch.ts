import { lookup as lookupDns } from 'node:dns'
import { BlockList, isIP, type LookupFunction } from 'node:net'
import { Agent } from 'undici'

/** A URL that somebody else chose is not fetched. `code` is short and constant; nothing of the URL is in the message. */
export class GuardError extends Error {
  override readonly name = 'GuardError'
  readonly code: 'url_refused' | 'host_refused' | 'address_refused'

  constructor(code: GuardError['code']) {
    super(code)
    this.code = code
  }
}

export interface GuardOptions {
  /**
   * Hosts that may be fetched from, each with all of its subdomains. `any`: every name, on every port, and then nothing is
   * made https that was not: an operator is to see what is sent where.
   */
  hostSuffixes: readonly string[] | 'any'
  /** `host:port` that may be plain http and anywhere, for tests. */
  insecureHosts: readonly string[]
  connectTimeoutMs: number
  connectionsMax: number
  /** Of the system, unless a test has its own. */
  lookup?: LookupFunction
}

/**
 * The way to URLs that an upstream chose. Only https to listed hosts; every address is checked as the socket connects to
 * it, so that no second look-up can point elsewhere; nobody's credentials are sent; redirects are the caller's to refuse.
 */
export function createGuardedFetch(options: GuardOptions) {
  const lookup = options.lookup ?? (lookupDns as LookupFunction)
  const common = {
    connections: options.connectionsMax,
    pipelining: 1,
    allowH2: false,
    headersTimeout: 0,
    bodyTimeout: 0,
    keepAliveTimeout: 10_000,
  }
  const guarded = new Agent({
    ...common,
    connect: { timeout: options.connectTimeoutMs, lookup: guardedLookup(lookup), autoSelectFamily: false },
  })
  const insecure = new Agent({ ...common, connect: { timeout: options.connectTimeoutMs } })

  return {
    /** Where and over which connections to send the request. Throws GuardError. */
    route(address: string): { url: string; dispatcher: Agent } {
      const url = URL.canParse(address) ? new URL(address) : undefined
      if (url === undefined || url.username !== '' || url.password !== '') throw new GuardError('url_refused')
      if (options.insecureHosts.includes(url.host) && (url.protocol === 'http:' || url.protocol === 'https:'))
        return { url: url.href, dispatcher: insecure }
      const { hostSuffixes } = options
      const isAny = hostSuffixes === 'any'
      // Vendors hand out links without encryption to hosts that have it.
      if (!isAny && url.protocol === 'http:' && url.port === '') url.protocol = 'https:'
      if (url.protocol !== 'https:' || (!isAny && url.port !== '')) throw new GuardError('url_refused')
      const host = url.hostname.replace(/\.$/, '').toLowerCase()
      // A name that is an address is never looked up, so the check at the socket would not see it.
      if (isIP(host.replace(/^\[|\]$/g, '')) !== 0) throw new GuardError('address_refused')
      const listed = isAny || hostSuffixes.some((suffix) => host === suffix || host.endsWith(`.${suffix}`))
      if (!listed) throw new GuardError('host_refused')
      return { url: url.href, dispatcher: guarded }
    },

    async close(): Promise<void> {
      await Promise.all([guarded.destroy(), insecure.destroy()])
    },
  }
}

export type GuardedFetch = ReturnType<typeof createGuardedFetch>

/** Connects to the first address only, and only when all addresses of the name are public. */
function guardedLookup(lookup: LookupFunction): LookupFunction {
  return (hostname, settings, callback) => {
    lookup(hostname, { ...settings, all: true }, (error, found) => {
      if (error !== null) {
        callback(error, '', 0)
        return
      }
      const addresses = Array.isArray(found) ? found : [{ address: found, family: isIP(found) }]
      const [first] = addresses
      if (first === undefined || !addresses.every(({ address }) => isPublicAddress(address))) {
        callback(new GuardError('address_refused'), '', 0)
        return
      }
      if (settings.all === true) callback(null, [first])
      else callback(null, first.address, first.family)
    })
  }
}

const reserved4 = new BlockList()
for (const [network, prefix] of [
  ['0.0.0.0', 8],
  ['10.0.0.0', 8],
  ['100.64.0.0', 10],
  ['127.0.0.0', 8],
  ['169.254.0.0', 16],
  ['172.16.0.0', 12],
  ['192.0.0.0', 24],
  ['192.0.2.0', 24],
  ['192.88.99.0', 24],
  ['192.168.0.0', 16],
  ['198.18.0.0', 15],
  ['198.51.100.0', 24],
  ['203.0.113.0', 24],
  ['224.0.0.0', 4],
  ['240.0.0.0', 4],
] as const)
  reserved4.addSubnet(network, prefix, 'ipv4')

/** The only part of IPv6 that is routed in public, and the parts of it that are not or that hold another address. */
const global6 = new BlockList()
global6.addSubnet('2000::', 3, 'ipv6')
const reserved6 = new BlockList()
for (const [network, prefix] of [
  ['2001::', 23],
  ['2001:db8::', 32],
  ['2002::', 16],
  ['3fff::', 20],
] as const)
  reserved6.addSubnet(network, prefix, 'ipv6')

/** False for loopback, private, link-local, carrier-grade, multicast, documentation, mapped and tunnelled addresses. */
export function isPublicAddress(address: string): boolean {
  const family = isIP(address)
  if (family === 4) return !reserved4.check(address, 'ipv4')
  if (family !== 6) return false
  const plain = address.split('%')[0] ?? ''
  return global6.check(plain, 'ipv6') && !reserved6.check(plain, 'ipv6')
}
