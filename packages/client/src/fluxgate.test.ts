import assert from 'node:assert/strict'
import { once } from 'node:events'
import { createServer, type IncomingMessage, type Server } from 'node:http'
import type { AddressInfo } from 'node:net'
import { after, before, describe, test } from 'node:test'
import { createAnthropic } from '@ai-sdk/anthropic'
import { createOpenAI } from '@ai-sdk/openai'
import { createOpenAICompatible } from '@ai-sdk/openai-compatible'
import Anthropic from '@anthropic-ai/sdk'
import { generateText } from 'ai'
import OpenAI from 'openai'
import { bindAlias } from './bind.ts'
import { failover } from './failover.ts'
import { createFluxgate, type FluxgateOptions } from './fluxgate.ts'
import { labelHeaders } from './labels.ts'
import { lockDigest } from './lock-digest.ts'
import { createLockfile } from './lockfile.ts'

const now = new Date('2026-01-01T00:00:00Z')
const ALIAS = 'résumé 客服'
const lockfile = bindAlias(
  bindAlias(createLockfile(now), 'fast', 'openai:gpt-4o-mini,google:gemini-2.5-flash', { now }),
  ALIAS,
  'anthropic:claude-haiku-4-5',
  { now, profile: 'prod' },
)
const options: FluxgateOptions = {
  baseUrl: 'https://gateway.example/',
  apiKey: 'fg_key_test',
  lockfiles: { lockfile, extended: new Map() },
}

describe('target', () => {
  test('an alias has its pool, as the gateway names models, and its labels', async () => {
    const { target } = await createFluxgate({ ...options, origin: 'tests' })
    assert.deepEqual(target('fast'), {
      model: 'openai/gpt-4o-mini',
      models: ['openai/gpt-4o-mini', 'gemini/gemini-2.5-flash'],
      headers: {
        'x-fluxgate-alias': 'fast',
        'x-fluxgate-profile': 'default',
        'x-fluxgate-origin': 'tests',
        'x-fluxgate-lock-digest': await lockDigest(lockfile),
      },
    })
  })

  test('the profile of the environment is labelled too', async () => {
    const { target } = await createFluxgate({ ...options, env: { LLMRING_PROFILE: 'prod' } })
    assert.equal(target(ALIAS).headers['x-fluxgate-profile'], 'prod')
    assert.throws(() => target('fast'), { code: 'alias_unknown' })
  })

  test('a model that is asked for directly has no alias, with a lockfile or without', async () => {
    const want = { model: 'openai/gpt-4o', models: ['openai/gpt-4o'], headers: { 'x-fluxgate-profile': 'default' } }
    assert.deepEqual((await createFluxgate(options)).target('openai:gpt-4o'), want)
    assert.deepEqual((await createFluxgate({ ...options, lockfiles: undefined })).target('openai:gpt-4o'), want)
  })

  test('providers may be called otherwise on the gateway', async () => {
    const { target } = await createFluxgate({ ...options, gatewayProviders: { openai: 'azure' } })
    assert.deepEqual(target('fast').models, ['azure/gpt-4o-mini', 'google/gemini-2.5-flash'])
  })

  for (const baseUrl of ['ftp://gateway.example', 'gateway', '']) {
    test(`a base URL is refused: ${baseUrl || '(empty)'}`, async () => {
      await assert.rejects(createFluxgate({ ...options, baseUrl }), TypeError)
    })
  }
})

describe('labelHeaders', () => {
  test('labels are sent as the bytes of UTF-8, absent ones not at all', () => {
    const headers = labelHeaders({ aliasName: ALIAS, profile: '', origin: undefined })
    assert.deepEqual(Object.keys(headers), ['x-fluxgate-alias'])
    assert.equal(Buffer.from(headers['x-fluxgate-alias'] ?? '', 'latin1').toString('utf8'), ALIAS)
  })

  test('255 characters of any script are the most', () => {
    assert.equal(labelHeaders({ profile: '🎧'.repeat(255) })['x-fluxgate-profile']?.length, 1020)
  })

  for (const [name, text] of [
    ['256 characters', 'a'.repeat(256)],
    ['a line break', 'a\r\nx-other: b'],
    ['what turns text', 'a\u202eb'],
    ['half a surrogate pair', '\ud800'],
  ] as const) {
    test(`refused: ${name}`, () => {
      assert.throws(() => labelHeaders({ aliasName: text }), { name: 'ResolutionError', code: 'label_invalid' })
    })
  }
})

describe('clients of SDKs', () => {
  let server: Server
  let url = ''
  const calls: { path: string; headers: IncomingMessage['headers']; body: { model?: string } }[] = []

  before(async () => {
    server = createServer(async (req, res) => {
      let text = ''
      for await (const chunk of req) text += chunk
      const body = JSON.parse(text)
      calls.push({ path: req.url ?? '', headers: req.headers, body })
      const isDown = body.model === 'openai/gpt-4o-mini'
      res.writeHead(isDown ? 503 : 200, { 'content-type': 'application/json' })
      res.end(JSON.stringify(isDown ? { error: { message: 'down' } } : answerOf(req.url ?? '', body.model)))
    })
    server.listen(0, '127.0.0.1')
    await once(server, 'listening')
    url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`
  })
  after(() => {
    server.closeAllConnections()
    server.close()
  })

  function answerOf(path: string, model: string) {
    const usage = { prompt_tokens: 1, completion_tokens: 1, total_tokens: 2, input_tokens: 1, output_tokens: 1 }
    if (path === '/v1/messages')
      return {
        id: 'm',
        type: 'message',
        role: 'assistant',
        model,
        content: [{ type: 'text', text: 'hi' }],
        stop_reason: 'end_turn',
        usage,
      }
    const message = { role: 'assistant', content: 'hi' }
    return {
      id: 'c',
      object: 'chat.completion',
      created: 1,
      model,
      choices: [{ index: 0, message, finish_reason: 'stop' }],
      usage,
    }
  }

  const open = (profile: string) => createFluxgate({ ...options, baseUrl: `${url}/v1/`, profile })

  function lastCall(path: string, model: string, alias: string) {
    const call = calls.at(-1)
    assert.equal(call?.path, path)
    assert.equal(call?.body.model, model)
    assert.equal(Buffer.from(String(call?.headers['x-fluxgate-alias']), 'latin1').toString('utf8'), alias)
    assert.match(String(call?.headers['x-fluxgate-lock-digest']), /^[0-9a-f]{64}$/)
    return call?.headers ?? {}
  }

  test('OpenAI, over the pool, with options of its own', async () => {
    const { client, models } = (await open('default')).openai(OpenAI, 'fast', {
      maxRetries: 0,
      defaultHeaders: { 'x-team': 'a' },
    })
    const messages = [{ role: 'user' as const, content: 'hi' }]
    const { value, model } = await failover(models, (name) => client.chat.completions.create({ model: name, messages }))
    assert.deepEqual([value.choices[0]?.message.content, model], ['hi', 'gemini/gemini-2.5-flash'])
    const headers = lastCall('/v1/chat/completions', 'gemini/gemini-2.5-flash', 'fast')
    assert.deepEqual([headers.authorization, headers['x-team']], ['Bearer fg_key_test', 'a'])
  })

  test('Anthropic', async () => {
    const { client, model } = (await open('prod')).anthropic(Anthropic, ALIAS)
    await client.messages.create({ model, max_tokens: 8, messages: [{ role: 'user', content: 'hi' }] })
    const { authorization } = lastCall('/v1/messages', 'anthropic/claude-haiku-4-5', ALIAS)
    assert.equal(authorization, 'Bearer fg_key_test')
  })

  test('AI SDK: compatible, OpenAI and Anthropic', async () => {
    const fluxgate = await open('prod')
    const compatible = fluxgate.aiSdk(createOpenAICompatible, ALIAS).model
    assert.equal((await generateText({ model: compatible, prompt: 'hi' })).text, 'hi')
    lastCall('/v1/chat/completions', 'anthropic/claude-haiku-4-5', ALIAS)
    const chat = fluxgate.aiSdk((settings) => createOpenAI(settings).chat, ALIAS).model
    assert.equal((await generateText({ model: chat, prompt: 'hi' })).text, 'hi')
    lastCall('/v1/chat/completions', 'anthropic/claude-haiku-4-5', ALIAS)
    const { model, models } = fluxgate.aiSdk(createAnthropic, ALIAS)
    assert.deepEqual(models, [model])
    assert.equal((await generateText({ model, prompt: 'hi' })).text, 'hi')
    const headers = lastCall('/v1/messages', 'anthropic/claude-haiku-4-5', ALIAS)
    assert.equal(headers['x-api-key'], 'fg_key_test')
  })
})
