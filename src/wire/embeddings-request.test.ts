import assert from 'node:assert/strict'
import { test } from 'node:test'
import { loadTokenizer } from './count-tokens.ts'
import { parseEmbeddingsRequest } from './embeddings-request.ts'
import { isProblem } from './text-request.ts'

function parse(body: unknown) {
  return parseEmbeddingsRequest(JSON.stringify(body))
}

const refused: [name: string, body: object, path: string][] = [
  ['no model', { input: 'x' }, 'model'],
  ['no input', {}, 'input'],
  ['an object', { input: { text: 'x' } }, 'input'],
  ['no texts', { input: [] }, 'input'],
  ['too many texts', { input: Array(2_049).fill('x') }, 'input'],
  ['a picture among the texts', { input: ['x', { image: 'https://a/b.png' }] }, 'input[1]'],
  ['half a token', { input: [1, 2.5] }, 'input[1]'],
  ['tokens below zero', { input: [[1], [-1]] }, 'input[1]'],
  ['an empty list of tokens', { input: [[1], []] }, 'input[1]'],
  ['tokens and text in one list', { input: [1, 'x'] }, 'input[1]'],
  ['another encoding', { input: 'x', encoding_format: 'hex' }, 'encoding_format'],
  ['dimensions that are text', { input: 'x', dimensions: '256' }, 'dimensions'],
  ['a stream', { input: 'x', stream: true }, 'stream'],
  ['another tier', { input: 'x', service_tier: 'flex' }, 'service_tier'],
]

for (const [name, body, path] of refused)
  test(`refuses ${name}`, () => {
    const result = parse(name === 'no model' ? body : { model: 'm', ...body })
    assert(isProblem(result), 'it was accepted')
    assert.equal(result.path, path)
  })

for (const [name, input, tokens] of [
  ['a text', 'hello world', 2],
  ['texts', ['hello world', 'hello'], 3],
  ['tokens', [15339, 1917], 2],
  ['lists of tokens', [[15339, 1917], [15339]], 3],
  ['as many as are allowed', Array(2_048).fill([1]), 2_048],
] as const)
  test(`counts ${name}`, async () => {
    await loadTokenizer()
    const request = parse({ model: 'm', input, encoding_format: 'base64', dimensions: 256, user: 'u', new: 1 })
    assert(!isProblem(request), JSON.stringify(request))
    assert.deepEqual(request.countPrompt(), { tokens, exact: true })
    assert.equal(request.protocol, 'embeddings')
    assert.deepEqual([request.maxTokens, request.choices, request.stream], [0, 1, false])
  })
