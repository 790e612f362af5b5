import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import { decodeEmbeddingsUsage, parseWholeEmbeddings } from './embeddings-answer.ts'

const usage = { prompt_tokens: 8, total_tokens: 8 }
const vector = { object: 'embedding', index: 0, embedding: [0.0023064255, -0.009327292, 1e-5] }
const coded = { object: 'embedding', index: 0, embedding: 'AACAPwAAAEA=' }
const whole = { object: 'list', data: [vector], model: 'text-embedding-3-small', usage }
const facts = { identity: { model: 'text-embedding-3-small' }, usage, text: '' }

for (const [name, body] of [
  ['vectors', JSON.stringify(whole)],
  ['vectors in base64', JSON.stringify({ ...whole, data: [coded, coded] })],
  ['spaces and lines', `\ufeff \n${JSON.stringify(whole, null, 2)}\n`],
  ['another order', JSON.stringify({ usage, model: 'text-embedding-3-small', data: [vector] })],
  ['texts that look like structure', JSON.stringify({ ...whole, data: [{ ...coded, embedding: '"]},\\"usage":{' }] })],
] as const)
  test(`reads around ${name}`, () => assert.deepEqual(parseWholeEmbeddings(body), facts))

for (const [name, body, fault] of [
  ['HTML', '<html>', 'malformed'],
  ['a list', '[]', 'malformed'],
  ['a text', '"data"', 'malformed'],
  ['a body that breaks off in a vector', JSON.stringify(whole).slice(0, 60), 'malformed'],
  ['a body that breaks off behind the vectors', JSON.stringify(whole).slice(0, -1), 'malformed'],
  ['two bodies', `${JSON.stringify(whole)}{}`, 'malformed'],
  ['no data', JSON.stringify({ model: 'm', usage }), 'malformed'],
  ['data that are no list', JSON.stringify({ ...whole, data: { a: 1 } }), 'malformed'],
  ['an error', JSON.stringify({ error: { message: 'no' } }), 'error_in_200'],
  ['no vectors', '{"data":[ ],"usage":{}}', 'empty'],
  ['nothing', '', 'malformed'],
] as const)
  test(`${name} is ${fault}`, () => assert.deepEqual(parseWholeEmbeddings(body), { fault }))

test('what JSON.parse takes is read as it reads it; text is never a reason to hang', () => {
  const member = fc.oneof(
    fc.jsonValue({ maxDepth: 3 }),
    fc.array(fc.array(fc.double({ noNaN: true, noDefaultInfinity: true }))),
  )
  fc.assert(
    fc.property(fc.dictionary(fc.string(), member), member, fc.nat(), (rest, data, cut) => {
      const body = JSON.stringify({ ...rest, error: undefined, data, usage })
      const read = parseWholeEmbeddings(body)
      if (!Array.isArray(data)) assert.deepEqual(read, { fault: 'malformed' })
      else if (data.length === 0) assert.deepEqual(read, { fault: 'empty' })
      else assert.deepEqual(!('fault' in read) && read.usage, usage)
      if (cut < body.length) assert.deepEqual(parseWholeEmbeddings(body.slice(0, cut)), { fault: 'malformed' })
    }),
    { seed: 20261122, numRuns: 500 },
  )
})

test('the vectors are not parsed', (t) => {
  const data = Array.from({ length: 100 }, () => ({
    embedding: Array.from({ length: 1_000 }, (_, index) => index / 7),
  }))
  const body = JSON.stringify({ ...whole, data })
  const parse = t.mock.method(JSON, 'parse')
  assert.deepEqual(parseWholeEmbeddings(body), facts)
  assert.deepEqual(
    parse.mock.calls.map(({ arguments: [text] }) => text.length < 200),
    [true],
  )
})

for (const [value, want] of [
  [usage, { outcome: 'usage', usage: { input: 8 } }],
  [{ prompt_tokens: 8 }, { outcome: 'usage', usage: { input: 8 } }],
  [{ total_tokens: 8 }, { outcome: 'usage', usage: { input: 8 } }],
  [
    { prompt_tokens: 8, total_tokens: 12, completion_tokens: 4 },
    { outcome: 'usage', usage: { input: 8 } },
  ],
  [
    { prompt_tokens: 0, total_tokens: 0 },
    { outcome: 'usage', usage: { input: 0 } },
  ],
  [undefined, { outcome: 'absent' }],
  [null, { outcome: 'absent' }],
  [{}, { outcome: 'absent' }],
] as const)
  test(`usage ${JSON.stringify(value)}`, () => assert.deepEqual(decodeEmbeddingsUsage(value), want))

for (const value of [7, { prompt_tokens: -1 }, { prompt_tokens: 1.5 }, { total_tokens: 'x' }, { prompt_tokens: 1e12 }])
  test(`usage ${JSON.stringify(value)} is impossible`, () => {
    assert.equal(decodeEmbeddingsUsage(value).outcome, 'impossible')
  })
