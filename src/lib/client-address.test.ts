import assert from 'node:assert/strict'
import { test } from 'node:test'
import { clientAddress, parseProxyTrust } from './client-address.ts'

for (const [what, trust, headers, socket, expected] of [
  [
    'the connection by default',
    undefined,
    { 'x-forwarded-for': '9.9.9.9', 'x-real-ip': '8.8.8.8' },
    '1.2.3.4',
    '1.2.3.4',
  ],
  ['what the only proxy appended', '1', { 'x-forwarded-for': '6.6.6.6, 5.5.5.5' }, '10.0.0.1', '5.5.5.5'],
  [
    'what the outer of two proxies appended',
    '2',
    { 'x-forwarded-for': '6.6.6.6, 5.5.5.5, 10.0.0.2' },
    '10.0.0.1',
    '5.5.5.5',
  ],
  ['the connection when the chain is too short', '2', { 'x-forwarded-for': '6.6.6.6' }, '10.0.0.1', '10.0.0.1'],
  ['the connection when the header is missing', '1', {}, '10.0.0.1', '10.0.0.1'],
  ['the connection when the header is no address', '1', { 'x-forwarded-for': 'unknown' }, '10.0.0.1', '10.0.0.1'],
  [
    'the header that a proxy sets',
    'x-real-ip',
    { 'x-real-ip': '7.7.7.7', 'x-forwarded-for': '6.6.6.6' },
    '10.0.0.1',
    '7.7.7.7',
  ],
  ['IPv4 in the clothes of IPv6', undefined, {}, '::ffff:1.2.3.4', '1.2.3.4'],
  ['a network of IPv6', undefined, {}, '2001:db8:0:1:aaaa:bbbb:cccc:dddd', '2001:db8:0:1::/64'],
  ['the same network, written short', undefined, {}, '2001:db8::1:0:0:0:5', '2001:db8:0:1::/64'],
  ['loopback of IPv6', undefined, {}, '::1', '0:0:0:0::/64'],
] as const)
  test(`clientAddress: ${what}`, () => {
    const parsed = trust === undefined ? undefined : parseProxyTrust(trust)
    assert.equal(clientAddress({ headers, socket: { remoteAddress: socket } }, parsed), expected)
  })

for (const bad of ['0', '11', '-1', 'x-forwarded-for', ''])
  test(`parseProxyTrust refuses '${bad}'`, () => assert.throws(() => parseProxyTrust(bad)))
