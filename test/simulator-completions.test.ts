import assert from 'node:assert/strict'
import { after, test } from 'node:test'
import OpenAI, { BadRequestError, NotFoundError } from 'openai'
import { startSimulatorHere, withSim } from '#test/support/simulator-run.ts'

const simulator = await startSimulatorHere()
after(() => simulator.close())
const { url, post, ended } = simulator

const client = new OpenAI({ baseURL: `${url}/v1`, apiKey: 'sk-anything', maxRetries: 0 })

test('a completion continues its prompt, 16 tokens far unless told otherwise', async () => {
  const answer = await client.completions.create({ model: 'echo', prompt: 'Say hi' })
  assert.match(answer.id, /^cmpl-sim-/)
  assert.deepEqual([answer.object, answer.choices[0]?.finish_reason], ['text_completion', 'length'])
  assert.deepEqual([answer.usage?.prompt_tokens, answer.usage?.completion_tokens], [2, 16])
  const long = await client.completions.create({ model: 'echo', prompt: 'Say hi', max_tokens: 100 })
  assert.match(long.choices[0]?.text ?? '', /You said: Say hi$/)
  const call = await ended()
  assert.deepEqual([call.protocol, call.completionTokens], ['completions', long.usage?.completion_tokens])
})

for (const { name, prompt, n, want } of [
  { name: 'several texts', prompt: ['one', 'three'], n: 2, want: [3, 4] },
  { name: 'tokens', prompt: [1, 2, 3], n: 1, want: [3, 1] },
  { name: 'several lists of tokens', prompt: [[1, 2], [3]], n: 1, want: [3, 2] },
]) {
  test(`a prompt may be ${name}`, async () => {
    const answer = await client.completions.create(withSim({ model: 'echo', prompt, n }, { tokens: 5 }))
    assert.deepEqual([answer.usage?.prompt_tokens, answer.choices.length], want)
    assert.equal(answer.usage?.completion_tokens, 5 * answer.choices.length)
    assert.deepEqual(
      answer.choices.map(({ index }) => index),
      answer.choices.map((_, index) => index),
    )
  })
}

test('a stream gives the same text in pieces, and its usage when asked', async () => {
  const body = withSim({ model: 'echo', prompt: 'Say hi', n: 2 }, { tokens: 7 })
  const whole = await client.completions.create(body)
  const stream = await client.completions.create({ ...body, stream: true, stream_options: { include_usage: true } })
  const texts = ['', '']
  let usage: unknown
  for await (const chunk of stream) {
    for (const choice of chunk.choices) texts[choice.index] += choice.text
    usage = chunk.usage ?? usage
  }
  assert.deepEqual(
    texts,
    whole.choices.map(({ text }) => text),
  )
  assert.deepEqual(usage, whole.usage)
  assert.equal((await ended()).completionTokens, 14)
})

test('without include_usage no chunk speaks of usage, and the mark is there', async () => {
  const text = await (await post('completions', { model: 'echo', prompt: 'x', stream: true })).text()
  assert.ok(!text.includes('"usage"') && text.endsWith('data: [DONE]\n\n'))
})

test('an embedding is a vector of length 1, the same one for the same text', async () => {
  const input = ['the same', 'the same', 'another']
  const { data, usage } = await client.embeddings.create({ model: 'sim/embed', input, dimensions: 8 })
  const [one, two, three] = data.map(({ embedding }) => embedding)
  assert.deepEqual(one, two)
  assert.notDeepEqual(one, three)
  for (const vector of [one ?? [], three ?? []]) {
    assert.equal(vector.length, 8)
    assert.ok(Math.abs(Math.hypot(...vector) - 1) < 1e-6)
  }
  assert.deepEqual(usage, { prompt_tokens: 6, total_tokens: 6 })
  const call = await ended()
  assert.deepEqual(
    [call.protocol, call.state, call.promptTokens, call.completionTokens],
    ['embeddings', 'finished', 6, 0],
  )
})

test('base64 holds the same numbers', async () => {
  const ask = async (encoding_format: 'float' | 'base64') => {
    const response = await post('embeddings', { model: 'embed', input: 'x', dimensions: 3, encoding_format })
    const { data } = (await response.json()) as { data: { embedding: never }[] }
    return data[0]?.embedding
  }
  const bytes = Buffer.from((await ask('base64')) ?? '', 'base64')
  assert.equal(bytes.length, 12)
  assert.deepEqual(
    [0, 4, 8].map((at) => bytes.readFloatLE(at)),
    await ask('float'),
  )
})

for (const { name, input, want } of [
  { name: 'a list of tokens', input: [5, 6, 7], want: [1, 3] },
  { name: 'lists of tokens', input: [[5], [6, 7]], want: [2, 3] },
]) {
  test(`an embedding of ${name}`, async () => {
    const { data, usage } = await client.embeddings.create({ model: 'embed', input })
    assert.deepEqual([data.length, usage.prompt_tokens], want)
    assert.equal(data[0]?.embedding.length, 256)
  })
}

test('lies about an embedding are about its prompt', async () => {
  const ask = (usage: string) => client.embeddings.create(withSim({ model: 'embed', input: 'x' }, { usage }))
  assert.equal((await ask('negative')).usage.prompt_tokens, -2)
  assert.equal((await ask('absurd')).usage.prompt_tokens, 1e12)
  assert.equal((await ask('none')).usage, undefined)
  assert.equal((await ended()).promptTokens, 1)
})

for (const [path, body, errorClass] of [
  ['embeddings', { model: 'embed', input: '' }, BadRequestError],
  ['embeddings', { model: 'embed', input: [] }, BadRequestError],
  ['embeddings', { model: 'embed', input: [1.5] }, BadRequestError],
  ['embeddings', { model: 'embed', input: 'x', dimensions: 4097 }, BadRequestError],
  ['embeddings', { model: 'embed', input: 'x', encoding_format: 'hex' }, BadRequestError],
  ['embeddings', { model: 'embed', input: Array(2049).fill('x') }, BadRequestError],
  ['embeddings', { model: 'echo', input: 'x' }, NotFoundError],
  ['completions', { model: 'embed', prompt: 'x' }, NotFoundError],
  ['completions', { model: 'echo', prompt: ['a', 'b'], n: 33 }, BadRequestError],
  ['completions', { model: 'constructor', prompt: 'x' }, NotFoundError],
] as const) {
  test(`${path}: ${JSON.stringify(body).slice(0, 60)} is refused`, async () => {
    await assert.rejects(client.post(`/${path}`, { body }), errorClass)
  })
}
