import assert from 'node:assert/strict'
import { test } from 'node:test'
import { createNlsTokens, signedQuery } from './nls-token.ts'

const account = { accessKeyId: 'my_access_key_id', accessKeySecret: 'my_access_key_secret' }

test('signs as the vendor’s own example', () => {
  const query = signedQuery(account, {
    nonce: 'b924c8c3-6d03-4c5d-ad36-d984d3116788',
    nowMs: Date.parse('2019-04-18T08:32:31Z'),
    region: 'cn-shanghai',
  })
  assert.equal(new URLSearchParams(query).get('Signature'), 'hHq4yNsPitlfDJ2L0nQPdugdEzM=')
})

function vendor(answers: { status: number; body: string }[]) {
  let asked = 0
  return {
    asked: () => asked,
    http: {
      async send() {
        const { status, body } = answers[asked] ?? { status: 500, body: '' }
        asked += 1
        const pieces = [Buffer.from(body)]
        return {
          status,
          headers: {},
          chunks: { next: async () => pieces.shift(), idle: () => undefined, close: () => undefined },
        }
      },
    },
  }
}

const token = (id: string, expiresS: number) => ({
  status: 200,
  body: JSON.stringify({ Token: { Id: id, ExpireTime: expiresS } }),
})

test('a token is kept until a minute before its end, and asked for once', async () => {
  let nowMs = 1_000_000
  const { http, asked } = vendor([token('a', 2_000), token('b', 9_000)])
  const tokens = createNlsTokens({ http, now: () => nowMs })
  const ask = () => tokens.tokenOf('https://tokens.example', account)
  assert.deepEqual(await Promise.all([ask(), ask(), ask()]), ['a', 'a', 'a'])
  nowMs = 1_939_000
  assert.equal(await ask(), 'a')
  nowMs = 1_940_000
  assert.equal(await ask(), 'b')
  assert.equal(asked(), 2)
})

test('one that was refused, or never came, is asked for again', async () => {
  const { http, asked } = vendor([{ status: 400, body: '{}' }, token('a', 9e9), token('b', 9e9)])
  const tokens = createNlsTokens({ http })
  const ask = () => tokens.tokenOf('https://tokens.example', account)
  await assert.rejects(ask(), (error: Error & { fault?: string }) => {
    assert.equal(error.fault, 'credential')
    assert(!error.message.includes(account.accessKeySecret))
    return true
  })
  assert.equal(await ask(), 'a')
  tokens.forget('https://tokens.example', account)
  assert.equal(await ask(), 'b')
  assert.equal(asked(), 3)
})
