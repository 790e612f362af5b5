import assert from 'node:assert/strict'
import type { Json } from '#test/support/gateway.ts'
import { type Ask, type Asked, type Broken, framesOf, type Said, type Speaker } from './speaker.ts'

const finishes = ['stop', 'length', 'tool_calls', 'content_filter'] as const

/** OpenAI's chat completions. */
export const chat: Speaker = {
  protocol: 'chat',
  path: '/v1/chat/completions',

  build: (model: string, ask: Ask) => ({
    model,
    messages: [
      ...(ask.system === undefined ? [] : [{ role: 'system', content: ask.system }]),
      ...ask.turns.flatMap((turn) => {
        if (turn.role === 'model') return turn.replay
        if (turn.role === 'results')
          return turn.results.map(({ id, text }) => ({ role: 'tool', tool_call_id: id, content: text }))
        const text = { type: 'text', text: turn.text }
        if (turn.image === undefined) return [{ role: 'user', content: turn.text }]
        return [{ role: 'user', content: [text, { type: 'image_url', image_url: { url: turn.image } }] }]
      }),
    ],
    ...(ask.tools && {
      tools: ask.tools.map(({ name, schema }) => ({ type: 'function', function: { name, parameters: schema } })),
    }),
    ...(ask.maxTokens !== undefined && { max_completion_tokens: ask.maxTokens }),
    ...(ask.schema && {
      response_format: { type: 'json_schema', json_schema: { name: 'answer', schema: ask.schema, strict: true } },
    }),
    ...(ask.thinks && { reasoning_effort: 'low' }),
    ...(ask.stream && { stream: true, stream_options: { include_usage: true } }),
  }),

  readWhole(body) {
    assert.equal(body.object, 'chat.completion')
    assert.equal(body.choices.length, 1)
    const [{ message, finish_reason }] = body.choices
    return said(message, finish_reason, body.usage)
  },

  readStream(text) {
    const frames = framesOf(text)
    const message: Json = { role: undefined, content: '', reasoning_content: '', refusal: '', tool_calls: [] }
    let finish: unknown
    let usage: Json
    let id: unknown
    let done = false
    for (const [index, { event, data }] of frames.entries()) {
      assert.equal(event, undefined, 'chat names no events')
      assert(!done, 'nothing comes behind [DONE]')
      if (data === '[DONE]') {
        done = true
        continue
      }
      const chunk = JSON.parse(data)
      if (chunk.error !== undefined) {
        assert.equal(index, frames.length - 1, 'an error is the last frame')
        assert.equal(finish, undefined)
        return { message: chunk.error.message, text: message.content } satisfies Broken
      }
      assert.equal(chunk.object, 'chat.completion.chunk')
      id ??= chunk.id
      assert.equal(chunk.id, id)
      if (chunk.choices.length === 0) {
        assert.notEqual(finish, undefined, 'usage comes last')
        usage = chunk.usage
        continue
      }
      assert(chunk.usage === undefined || chunk.usage === null, 'usage has a chunk of its own')
      assert.equal(finish, undefined, 'nothing is said behind the finish reason')
      const [{ delta, finish_reason }] = chunk.choices
      collect(message, delta)
      if (finish_reason !== null) finish = finish_reason
    }
    assert(done, 'a chat ends with [DONE]')
    assert.equal(message.role, 'assistant')
    return said(message, finish, usage)
  },

  readRequest(body) {
    const asked: Asked = {
      system: body.messages
        .filter((message: Json) => message.role === 'system')
        .map((message: Json) => message.content)
        .join(),
      texts: [],
      images: [],
      tools: (body.tools ?? []).map((tool: Json) => ({ name: tool.function.name, schema: tool.function.parameters })),
      calls: [],
      results: [],
      maxTokens: body.max_completion_tokens ?? body.max_tokens,
      schema: body.response_format?.json_schema.schema,
      reasoning: [],
    }
    const ids: string[] = []
    for (const message of body.messages) {
      if (message.role === 'user')
        for (const part of typeof message.content === 'string' ? [{ text: message.content }] : message.content) {
          if (part.text !== undefined) asked.texts.push(part.text)
          else asked.images.push(part.image_url.url)
        }
      if (message.role === 'assistant') {
        if (message.content) asked.texts.push(message.content)
        if (message.reasoning_content) asked.reasoning.push({ text: message.reasoning_content, proof: undefined })
        for (const call of message.tool_calls ?? []) {
          ids.push(call.id)
          asked.calls.push({ name: call.function.name, arguments: JSON.parse(call.function.arguments) })
        }
      }
      if (message.role === 'tool')
        asked.results.push({ call: ids.indexOf(message.tool_call_id), text: message.content })
    }
    return asked
  },

  readError(body) {
    assert.deepEqual(Object.keys(body), ['error'])
    const { message, type, param, code } = body.error
    assert.equal(typeof type, 'string')
    assert(param === null || typeof param === 'string')
    assert(code === null || typeof code === 'string')
    return message
  },
}

function collect(message: Json, delta: Json): void {
  if (delta.role !== undefined) message.role = delta.role
  for (const name of ['content', 'reasoning_content', 'refusal']) message[name] += delta[name] ?? ''
  if (delta.reasoning_details)
    message.reasoning_details = [...(message.reasoning_details ?? []), ...delta.reasoning_details]
  for (const { index, id, function: called } of delta.tool_calls ?? []) {
    message.tool_calls[index] ??= { id, type: 'function', function: { name: called.name, arguments: '' } }
    assert(id === undefined || message.tool_calls[index].id === id)
    message.tool_calls[index].function.arguments += called.arguments ?? ''
  }
}

function said(message: Json, finish: unknown, usage: Json): Said {
  assert.equal(message.role, 'assistant')
  assert(finishes.includes(finish as Said['finish']), `no finish reason: ${finish}`)
  assert.equal(usage.total_tokens, usage.prompt_tokens + usage.completion_tokens)
  const { content, reasoning_content, reasoning_details, refusal, tool_calls } = message
  return {
    text: content ?? '',
    reasoning: reasoning_content ?? '',
    refusal: refusal ?? '',
    calls: (tool_calls ?? []).map(({ id, function: called }: Json) => ({
      id,
      name: called.name,
      arguments: JSON.parse(called.arguments),
    })),
    finish: finish as Said['finish'],
    usage: {
      input: usage.prompt_tokens,
      cached: usage.prompt_tokens_details?.cached_tokens ?? 0,
      output: usage.completion_tokens,
    },
    replay: [
      {
        role: 'assistant',
        content: content || null,
        ...(reasoning_content && { reasoning_content }),
        ...(reasoning_details && { reasoning_details }),
        ...(tool_calls?.length > 0 && { tool_calls }),
      },
    ],
  }
}
