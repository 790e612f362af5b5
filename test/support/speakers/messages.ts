import assert from 'node:assert/strict'
import type { Json } from '#test/support/gateway.ts'
import { type Ask, type Asked, framesOf, type Said, type Speaker } from './speaker.ts'

/** Anthropic's messages. */
export const messages: Speaker = {
  protocol: 'messages',
  path: '/v1/messages',

  build: (model: string, ask: Ask) => ({
    model,
    max_tokens: ask.maxTokens ?? 4_000,
    ...(ask.system !== undefined && { system: ask.system }),
    messages: ask.turns.map((turn) => {
      if (turn.role === 'model') return { role: 'assistant', content: turn.replay }
      if (turn.role === 'results')
        return {
          role: 'user',
          content: turn.results.map(({ id, text }) => ({ type: 'tool_result', tool_use_id: id, content: text })),
        }
      const content = [{ type: 'text', text: turn.text }]
      return { role: 'user', content: turn.image === undefined ? content : [...content, imageBlock(turn.image)] }
    }),
    ...(ask.tools && { tools: ask.tools.map(({ name, schema }) => ({ name, input_schema: schema })) }),
    ...(ask.schema && { output_config: { format: { type: 'json_schema', schema: ask.schema } } }),
    ...(ask.thinks && { thinking: { type: 'enabled', budget_tokens: 1_024 } }),
    ...(ask.stream && { stream: true }),
  }),

  readWhole: said,

  readStream(text) {
    const events = framesOf(text).map(({ event, data }) => {
      const parsed = JSON.parse(data)
      assert.equal(event, parsed.type, 'an event is named by its type')
      return parsed
    })
    const spoken = events.filter(({ type }) => type !== 'ping')
    const [first] = spoken
    const last = spoken.at(-1)
    assert.equal(first?.type, 'message_start')
    const message: Json = { ...first.message, content: [] }
    let block: Json
    let json = ''
    for (const event of spoken.slice(1, -1))
      switch (event.type) {
        case 'content_block_start':
          assert.equal(block, undefined, 'blocks do not overlap')
          assert.equal(event.index, message.content.length)
          block = { ...event.content_block }
          json = ''
          break
        case 'content_block_delta':
          assert.equal(event.index, message.content.length)
          json += event.delta.partial_json ?? ''
          for (const name of ['text', 'thinking', 'signature'])
            if (event.delta[name] !== undefined) block[name] = (block[name] ?? '') + event.delta[name]
          break
        case 'content_block_stop':
          assert.equal(event.index, message.content.length)
          if (block.type === 'tool_use') block.input = JSON.parse(json === '' ? '{}' : json)
          message.content.push(block)
          block = undefined
          break
        case 'message_delta':
          assert.equal(block, undefined, 'every block is ended')
          Object.assign(message, event.delta)
          message.usage = { ...message.usage, ...event.usage }
          break
        default:
          assert.fail(`${event.type} has no place in a message`)
      }
    if (last.type === 'error') {
      assert.equal(message.stop_reason, null, 'a message that broke has not ended')
      return {
        message: this.readError(last),
        text: said({ ...message, stop_reason: 'end_turn' }).text + (block?.text ?? ''),
      }
    }
    assert.equal(last.type, 'message_stop')
    return said(message)
  },

  readRequest(body) {
    const asked: Asked = {
      system: textsOf(body.system ?? '').join(),
      texts: [],
      images: [],
      tools: (body.tools ?? []).map(({ name, input_schema }: Json) => ({ name, schema: input_schema })),
      calls: [],
      results: [],
      maxTokens: body.max_tokens,
      schema: body.output_config?.format?.schema,
      reasoning: [],
    }
    const ids: string[] = []
    for (const [index, { role, content }] of body.messages.entries()) {
      assert.equal(role, index % 2 === 0 ? 'user' : 'assistant', 'turns alternate')
      for (const block of typeof content === 'string' ? [{ type: 'text', text: content }] : content)
        switch (block.type) {
          case 'text':
            asked.texts.push(block.text)
            break
          case 'image':
            asked.images.push(urlOf(block.source))
            break
          case 'tool_use':
            assert.match(block.id, /^[A-Za-z0-9_-]+$/)
            ids.push(block.id)
            asked.calls.push({ name: block.name, arguments: block.input })
            break
          case 'tool_result':
            asked.results.push({ call: ids.indexOf(block.tool_use_id), text: textsOf(block.content).join('') })
            break
          case 'thinking':
            asked.reasoning.push({ text: block.thinking, proof: block.signature })
        }
    }
    return asked
  },

  readError(body) {
    assert.equal(body.type, 'error')
    assert.equal(typeof body.error.type, 'string')
    return body.error.message
  },
}

function imageBlock(url: string): Json {
  const data = /^data:([^;]+);base64,(.*)$/.exec(url)
  const source = data === null ? { type: 'url', url } : { type: 'base64', media_type: data[1], data: data[2] }
  return { type: 'image', source }
}

function urlOf(source: Json): string {
  return source.type === 'url' ? source.url : `data:${source.media_type};base64,${source.data}`
}

function textsOf(content: Json): string[] {
  return typeof content === 'string' ? [content] : content.map((block: Json) => block.text)
}

const finishes: Record<string, Said['finish']> = {
  end_turn: 'stop',
  max_tokens: 'length',
  tool_use: 'tool_calls',
  refusal: 'content_filter',
}

function said(message: Json): Said {
  assert.equal(message.type, 'message')
  assert.equal(message.role, 'assistant')
  const { content, stop_reason, usage } = message
  const finish = finishes[stop_reason]
  assert(finish !== undefined, `no stop reason: ${stop_reason}`)
  const cached = usage.cache_read_input_tokens ?? 0
  return {
    text: content.map((block: Json) => block.text ?? '').join(''),
    reasoning: content.map((block: Json) => block.thinking ?? '').join(''),
    refusal: '',
    calls: content.flatMap(({ type, id, name, input }: Json) =>
      type === 'tool_use' ? [{ id, name, arguments: input }] : [],
    ),
    finish,
    usage: {
      input: usage.input_tokens + cached + (usage.cache_creation_input_tokens ?? 0),
      cached,
      output: usage.output_tokens,
    },
    replay: content,
  }
}
