import assert from 'node:assert/strict'
import type { LookupFunction } from 'node:net'
import { after, test } from 'node:test'
import { createGuardedFetch, GuardError, isPublicAddress } from './guarded-fetch.ts'

const addresses = new Map<string, string[]>()
let lookups = 0
const lookup: LookupFunction = (host, _options, callback) => {
  lookups += 1
  const found = addresses.get(host)
  if (found === undefined) callback(Object.assign(new Error('not found'), { code: 'ENOTFOUND' }), '', 0)
  else
    callback(
      null,
      found.map((address) => ({ address, family: address.includes(':') ? 6 : 4 })),
    )
}
const guarded = createGuardedFetch({
  hostSuffixes: ['aliyuncs.com'],
  insecureHosts: ['127.0.0.1:9999'],
  connectTimeoutMs: 1_000,
  connectionsMax: 2,
  lookup,
})
after(() => guarded.close())

for (const [url, code] of [
  ['not a url', 'url_refused'],
  ['ftp://a.aliyuncs.com/', 'url_refused'],
  ['file:///etc/passwd', 'url_refused'],
  ['https://user@a.aliyuncs.com/', 'url_refused'],
  ['https://a.aliyuncs.com:8443/', 'url_refused'],
  ['http://a.aliyuncs.com:8080/', 'url_refused'],
  ['https://127.0.0.1/', 'address_refused'],
  ['https://[::1]/', 'address_refused'],
  ['https://0x7f000001/', 'address_refused'],
  ['https://2130706433/', 'address_refused'],
  ['http://169.254.169.254/latest/meta-data', 'address_refused'],
  ['http://127.0.0.1:9998/', 'url_refused'],
  ['https://localhost/', 'host_refused'],
  ['https://aliyuncs.com.evil.example/', 'host_refused'],
  ['https://evilaliyuncs.com/', 'host_refused'],
  ['https://evil.example/?aliyuncs.com', 'host_refused'],
  ['https://evil.example#.aliyuncs.com', 'host_refused'],
] as const)
  test(`guard: ${url} is ${code}`, () => {
    assert.throws(
      () => guarded.route(url),
      (error) => error instanceof GuardError && error.code === code,
    )
  })

for (const [url, to] of [
  ['https://a.oss-cn-beijing.aliyuncs.com/x?y=1', 'https://a.oss-cn-beijing.aliyuncs.com/x?y=1'],
  // Vendors hand out links without encryption to hosts that have it.
  ['http://a.aliyuncs.com/x', 'https://a.aliyuncs.com/x'],
  ['https://A.ALIYUNCS.COM./', 'https://a.aliyuncs.com./'],
  ['http://127.0.0.1:9999/x', 'http://127.0.0.1:9999/x'],
] as const)
  test(`guard: ${url} is fetched as ${to}`, () => assert.equal(guarded.route(url).url, to))

test('guard: addresses that are public, and all the others', () => {
  for (const address of ['8.8.8.8', '47.95.1.2', '100.63.255.255', '100.128.0.1', '2400:3200::1', '2606:4700::1111'])
    assert.equal(isPublicAddress(address), true, address)
  for (const address of [
    '0.0.0.0',
    '10.1.2.3',
    '100.100.100.200',
    '127.0.0.53',
    '169.254.169.254',
    '172.16.0.1',
    '172.31.255.255',
    '192.168.1.1',
    '198.18.0.1',
    '224.0.0.1',
    '255.255.255.255',
    '::',
    '::1',
    '::ffff:127.0.0.1',
    '::ffff:8.8.8.8',
    '64:ff9b::7f00:1',
    'fc00::1',
    'fd12::1',
    'fe80::1',
    'fe80::1%eth0',
    'ff02::1',
    '2001::1',
    '2001:db8::1',
    '2002:7f00:1::',
    'localhost',
    '',
  ])
    assert.equal(isPublicAddress(address), false, address)
})

test('guard: a listed name that leads inside is refused as the socket connects, and looked up once', async () => {
  for (const found of [['127.0.0.1'], ['10.0.0.1'], ['47.95.1.2', '127.0.0.1'], ['::1'], []]) {
    addresses.set('oss.aliyuncs.com', found)
    lookups = 0
    const { url, dispatcher } = guarded.route('https://oss.aliyuncs.com/x')
    await assert.rejects(
      dispatcher.request({ origin: new URL(url).origin, path: '/x', method: 'GET' }),
      (error) => error instanceof GuardError && error.code === 'address_refused',
      found.join(),
    )
    assert.equal(lookups, 1)
  }
})

test('guard: a name that is unknown fails as such', async () => {
  const { dispatcher } = guarded.route('https://unknown.aliyuncs.com/x')
  await assert.rejects(dispatcher.request({ origin: 'https://unknown.aliyuncs.com', path: '/', method: 'GET' }), {
    code: 'ENOTFOUND',
  })
})

// For webhooks: whatever an operator names, as long as it is public.
const anywhere = createGuardedFetch({
  hostSuffixes: 'any',
  insecureHosts: ['127.0.0.1:9999'],
  connectTimeoutMs: 1_000,
  connectionsMax: 2,
  lookup,
})
after(() => anywhere.close())

for (const [url, code] of [
  ['http://hooks.example/', 'url_refused'],
  ['http://127.0.0.1:9998/', 'url_refused'],
  ['https://user:password@hooks.example/', 'url_refused'],
  ['https://user@127.0.0.1:9999/', 'url_refused'],
  ['wss://hooks.example/', 'url_refused'],
  ['https://8.8.8.8/', 'address_refused'],
  ['https://169.254.169.254/', 'address_refused'],
  ['https://[::ffff:7f00:1]/', 'address_refused'],
  ['https://[64:ff9b::a9fe:a9fe]/', 'address_refused'],
  ['https://0177.0.0.1/', 'address_refused'],
  ['https://127.1/', 'address_refused'],
] as const)
  test(`guard for all hosts: ${url} is ${code}`, () => {
    assert.throws(
      () => anywhere.route(url),
      (error) => error instanceof GuardError && error.code === code,
    )
  })

test('guard for all hosts: names on any port, each checked as the socket connects', async () => {
  assert.equal(anywhere.route('https://hooks.example:8443/x').url, 'https://hooks.example:8443/x')
  assert.equal(anywhere.route('http://127.0.0.1:9999/x').url, 'http://127.0.0.1:9999/x')
  for (const found of [
    ['127.0.0.1'],
    ['10.1.2.3'],
    ['192.168.0.1'],
    ['172.16.0.1'],
    ['169.254.169.254'],
    ['100.100.100.200'],
    ['0.0.0.0'],
    ['::1'],
    ['fd00:ec2::254'],
    ['fe80::1'],
    ['::ffff:10.0.0.1'],
    ['64:ff9b::a00:1'],
    ['93.184.215.14', '10.0.0.1'],
  ]) {
    addresses.set('rebinding.example', found)
    const { url, dispatcher } = anywhere.route('https://rebinding.example/x')
    await assert.rejects(
      dispatcher.request({ origin: new URL(url).origin, path: '/x', method: 'POST', body: '{}' }),
      (error) => error instanceof GuardError && error.code === 'address_refused',
      found.join(),
    )
  }
})
