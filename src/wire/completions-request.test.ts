import assert from 'node:assert/strict'
import { test } from 'node:test'
import { parseCompletionsRequest } from './completions-request.ts'
import { loadTokenizer } from './count-tokens.ts'
import { isProblem } from './text-request.ts'

const plain = { model: 'm', prompt: 'Once upon' }

function parse(body: unknown) {
  return parseCompletionsRequest(JSON.stringify(body))
}

function accepted(body: unknown) {
  const request = parse(body)
  assert(!isProblem(request), JSON.stringify(request))
  return request
}

const refused: [name: string, body: object, path: string][] = [
  ['no prompt', { model: 'm' }, 'prompt'],
  ['a prompt that is an object', { ...plain, prompt: {} }, 'prompt'],
  ['no prompts', { ...plain, prompt: [] }, 'prompt'],
  ['a prompt among tokens', { ...plain, prompt: [1, 'x'] }, 'prompt[1]'],
  ['no choices', { ...plain, n: 0 }, 'n'],
  ['too many choices of all prompts', { ...plain, prompt: ['a', 'b'], n: 1_025 }, 'n'],
  ['the best of fewer', { ...plain, n: 3, best_of: 2 }, 'best_of'],
  ['the best of many in a stream', { ...plain, stream: true, best_of: 2 }, 'best_of'],
  ['an echo in a stream', { ...plain, stream: true, echo: true }, 'echo'],
  ['an echo that is text', { ...plain, echo: 'yes' }, 'echo'],
  ['a suffix that is a number', { ...plain, suffix: 7 }, 'suffix'],
  ['a limit below zero', { ...plain, max_tokens: -1 }, 'max_tokens'],
  ['a temperature that is text', { ...plain, temperature: 'hot' }, 'temperature'],
  ['stream options without a stream', { ...plain, stream_options: {} }, 'stream_options'],
  [
    'a wish for usage that is text',
    { ...plain, stream: true, stream_options: { include_usage: 'yes' } },
    'stream_options.include_usage',
  ],
  ['another tier', { ...plain, service_tier: 'priority' }, 'service_tier'],
  ['another model', { ...plain, models: ['x'] }, 'models'],
]

for (const [name, body, path] of refused)
  test(`refuses ${name}`, () => {
    const result = parse(body)
    assert(isProblem(result), 'it was accepted')
    assert.equal(result.path, path)
  })

test('a limit of the caller passes as it is', () => {
  const body = { ...plain, max_tokens: 5, logprobs: 3, new: 1 }
  const request = accepted(body)
  assert.equal(request.text, JSON.stringify(body))
  assert.equal(request.maxTokens, 5)
  assert.equal(accepted({ ...plain, max_tokens: 0, echo: true }).maxTokens, 0)
})

test('where the caller names none, the protocol does', () => {
  for (const body of [plain, { ...plain, max_tokens: null }]) {
    const request = accepted(body)
    assert.equal(request.maxTokens, 16)
    assert.equal(JSON.parse(request.text).max_tokens, 16)
    const at = request.members.get('max_tokens')
    assert.equal(request.text.slice(at?.valueStart, at?.valueEnd), '16')
  }
})

for (const [name, more, choices] of [
  ['one', {}, 1],
  ['several', { n: 3 }, 3],
  ['all that the best is taken from', { n: 2, best_of: 5 }, 5],
  ['several of each prompt', { prompt: ['a', 'b', 'c'], n: 2 }, 6],
  ['several of each list of tokens', { prompt: [[1], [2]], n: 2 }, 4],
  ['one of a list of tokens', { prompt: [1, 2, 3] }, 1],
] as const)
  test(`makes choices: ${name}`, () => assert.equal(accepted({ ...plain, ...more }).choices, choices))

test('the prompt is counted with its suffix', async () => {
  await loadTokenizer()
  assert.deepEqual(accepted({ ...plain, prompt: 'hello world' }).countPrompt(), { tokens: 2, exact: true })
  assert.equal(accepted({ ...plain, prompt: 'hello world', suffix: 'hello' }).countPrompt().tokens, 3)
  assert.equal(accepted({ ...plain, prompt: [[1, 2], [3]] }).countPrompt().tokens, 3)
})

test('a wish for usage', () => {
  assert.equal(accepted({ ...plain, stream: true }).includeUsage, false)
  assert.equal(accepted({ ...plain, stream: true, stream_options: { include_usage: true } }).includeUsage, true)
})
