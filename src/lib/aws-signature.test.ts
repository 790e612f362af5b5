import assert from 'node:assert/strict'
import { test } from 'node:test'
import { parseAwsCredentials, signAwsRequest } from './aws-signature.ts'

// Cases of the Signature Version 4 test suite that AWS publishes: its keys, its date, its signatures.
const credentials = {
  accessKeyId: 'AKIDEXAMPLE',
  secret: 'wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY',
  session: undefined,
}
const scope = { region: 'us-east-1', service: 'service', at: new Date('2015-08-30T12:36:00Z') }
const form = { 'content-type': 'application/x-www-form-urlencoded' }

const suite: [
  name: string,
  method: string,
  path: string,
  headers: Record<string, string>,
  body: string,
  signature: string,
][] = [
  ['get-vanilla', 'GET', '/', {}, '', '5fa00fa31553b73ebf1942676e86291e8372ff2a2260956d9b8aae1d763fbf31'],
  ['post-vanilla', 'POST', '/', {}, '', '5da7c1a2acd57cee7505fc6676e4e544621c30862966e37dddb68e92efbe5d6b'],
  [
    'get-vanilla-query-order-key-case',
    'GET',
    '/?Param2=value2&Param1=value1',
    {},
    '',
    'b97d918cfa904a5beff61c982a1b6f458b799221646efd99d3219ec94cdf2500',
  ],
  [
    'get-unreserved',
    'GET',
    '/-._~0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz',
    {},
    '',
    '07ef7494c76fa4850883e2b006601f940f8a34d404d0cfa977f52a65bbf5f24f',
  ],
  ['get-utf8', 'GET', '/ሴ', {}, '', '8318018e0b0f223aa2bbf98705b62bb787dc9c0e678f255a891fd03141be5d85'],
  [
    'post-x-www-form-urlencoded',
    'POST',
    '/',
    form,
    'Param1=value1',
    'ff11897932ad3f4e8b18135d722051e5ac45fc38421b1da7b9d196a0fe09473a',
  ],
]

for (const [name, method, path, headers, body, signature] of suite)
  test(`AWS test suite: ${name}`, () => {
    const request = { method, path, headers, body, origin: 'https://example.amazonaws.com' }
    const signed = signAwsRequest(request, credentials, scope)
    const names = ['host', 'x-amz-date', ...Object.keys(headers)].sort().join(';')
    assert.deepEqual(signed, {
      'x-amz-date': '20150830T123600Z',
      authorization: `AWS4-HMAC-SHA256 Credential=AKIDEXAMPLE/20150830/us-east-1/service/aws4_request, SignedHeaders=${names}, Signature=${signature}`,
    })
  })

test('a session is sent and signed', () => {
  const request = { method: 'POST', path: '/a:b', headers: {}, body: 'x', origin: 'http://127.0.0.1:8080' }
  const { authorization, ...signed } = signAwsRequest(request, { ...credentials, session: 'token' }, scope)
  assert.deepEqual(signed, { 'x-amz-date': '20150830T123600Z', 'x-amz-security-token': 'token' })
  assert.match(authorization ?? '', /SignedHeaders=host;x-amz-date;x-amz-security-token,/)
  const without = signAwsRequest(request, credentials, scope).authorization
  assert.notEqual(authorization?.slice(-64), without?.slice(-64))
})

test('what is changed on the way no longer fits its signature', () => {
  const request = { method: 'POST', path: '/p', headers: form, body: 'x', origin: 'https://a.example' }
  const changes: Partial<typeof request>[] = [
    {},
    { method: 'PUT' },
    { path: '/q' },
    { path: '/p?a=b' },
    { body: 'y' },
    { origin: 'https://b.example' },
    { headers: { 'content-type': 'text/plain' } },
  ]
  const signatures = changes.map(
    (change) => signAwsRequest({ ...request, ...change }, credentials, scope).authorization,
  )
  assert.equal(new Set(signatures).size, changes.length)
})

test('credentials as one text', () => {
  const [id, secret] = ['AKIAIOSFODNN7EXAMPLE', 'wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY']
  assert.deepEqual(parseAwsCredentials(`${id}:${secret}`), { accessKeyId: id, secret, session: undefined })
  assert.deepEqual(parseAwsCredentials(`${id}:${secret}:a+b/c==`), { accessKeyId: id, secret, session: 'a+b/c==' })
  for (const text of [
    '',
    id,
    `${id}:`,
    `${id}:${secret}:`,
    `${id}:${secret}\n`,
    'ABSKQmVkcm9ja0FQSUtleQ==',
    `akia:${secret}`,
  ])
    assert.equal(parseAwsCredentials(text), undefined, text)
})
