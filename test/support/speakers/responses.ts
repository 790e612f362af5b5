import assert from 'node:assert/strict'
import type { Json } from '#test/support/gateway.ts'
import { type Ask, type Asked, framesOf, type Said, type Speaker } from './speaker.ts'

/** OpenAI's responses, with nothing stored. */
export const responses: Speaker = {
  protocol: 'responses',
  path: '/v1/responses',

  build: (model: string, ask: Ask) => ({
    model,
    store: false,
    ...(ask.system !== undefined && { instructions: ask.system }),
    input: ask.turns.flatMap((turn) => {
      if (turn.role === 'model') return turn.replay
      if (turn.role === 'results')
        return turn.results.map(({ id, text }) => ({ type: 'function_call_output', call_id: id, output: text }))
      const text = { type: 'input_text', text: turn.text }
      if (turn.image === undefined) return [{ role: 'user', content: [text] }]
      return [{ role: 'user', content: [text, { type: 'input_image', image_url: turn.image, detail: 'auto' }] }]
    }),
    ...(ask.tools && {
      tools: ask.tools.map(({ name, schema }) => ({ type: 'function', name, parameters: schema, strict: false })),
    }),
    ...(ask.maxTokens !== undefined && { max_output_tokens: ask.maxTokens }),
    ...(ask.schema && { text: { format: { type: 'json_schema', name: 'answer', schema: ask.schema, strict: true } } }),
    ...(ask.thinks && { reasoning: { effort: 'low', summary: 'auto' }, include: ['reasoning.encrypted_content'] }),
    ...(ask.stream && { stream: true }),
  }),

  readWhole: said,

  readStream(text) {
    const frames = framesOf(text).map(({ event, data }) => {
      const parsed = JSON.parse(data)
      assert.equal(event, parsed.type, 'an event is named by its type')
      return parsed
    })
    const [first] = frames
    assert.equal(first?.type, 'response.created')
    assert.deepEqual(
      frames.map(({ sequence_number }) => sequence_number),
      frames.map((_, index) => index),
    )
    const last = frames.pop()
    assert(frames.every(({ type }) => !/^response\.(completed|failed|incomplete)$/.test(type)))
    for (const { response } of frames) if (response) assert.equal(response.id, last.response.id)
    const deltas = collect(frames)
    if (last.type === 'response.failed') {
      assert.equal(last.response.status, 'failed')
      assert.equal(typeof last.response.error.code, 'string')
      return { message: last.response.error.message, text: deltas.text }
    }
    assert.equal(last.type, `response.${last.response.status}`)
    assert.deepEqual(deltas.items, last.response.output, 'the items that were told are those of the response')
    const whole = said(last.response)
    assert.equal(deltas.text, whole.text, 'the deltas add up to the text')
    assert.equal(deltas.reasoning, whole.reasoning)
    return whole
  },

  readRequest(body) {
    assert.equal(body.store, false)
    const asked: Asked = {
      system: body.instructions ?? '',
      texts: [],
      images: [],
      tools: (body.tools ?? []).map(({ name, parameters }: Json) => ({ name, schema: parameters })),
      calls: [],
      results: [],
      maxTokens: body.max_output_tokens,
      schema: body.text?.format?.schema,
      reasoning: [],
    }
    const ids: string[] = []
    for (const item of body.input)
      switch (item.type ?? 'message') {
        case 'message':
          for (const part of item.content) {
            if (part.text !== undefined) asked.texts.push(part.text)
            else asked.images.push(part.image_url)
          }
          break
        case 'function_call':
          ids.push(item.call_id)
          asked.calls.push({ name: item.name, arguments: JSON.parse(item.arguments) })
          break
        case 'function_call_output':
          asked.results.push({ call: ids.indexOf(item.call_id), text: item.output })
          break
        case 'reasoning':
          asked.reasoning.push({ text: summaryOf(item), proof: item.encrypted_content })
      }
    return asked
  },

  readError(body) {
    assert.deepEqual(Object.keys(body), ['error'])
    return body.error.message
  },
}

/** What the events of a stream add up to, each item announced and ended once. */
function collect(frames: Json[]): { text: string; reasoning: string; items: Json[] } {
  const items: Json[] = []
  const open = new Map<number, Json>()
  let text = ''
  let reasoning = ''
  for (const event of frames) {
    if (event.type === 'response.output_item.added') {
      assert(!open.has(event.output_index) && items[event.output_index] === undefined)
      open.set(event.output_index, event.item)
    } else if (event.type === 'response.output_item.done') {
      assert.equal(open.get(event.output_index)?.id, event.item.id)
      open.delete(event.output_index)
      items[event.output_index] = event.item
    } else if (event.item_id !== undefined) assert.equal(open.get(event.output_index)?.id, event.item_id)
    if (event.type === 'response.output_text.delta') text += event.delta
    if (event.type === 'response.reasoning_summary_text.delta') reasoning += event.delta
  }
  return { text, reasoning, items }
}

function summaryOf(item: Json): string {
  return item.summary.map((part: Json) => part.text).join('\n\n')
}

function said(response: Json): Said {
  assert.equal(response.object, 'response')
  assert.equal(response.store, false)
  const { output, status, incomplete_details, usage } = response
  const parts = output.flatMap((item: Json) => (item.type === 'message' ? item.content : []))
  const calls = output.filter((item: Json) => item.type === 'function_call')
  const reasons: Record<string, Said['finish']> = { max_output_tokens: 'length', content_filter: 'content_filter' }
  assert.equal(status, incomplete_details === null ? 'completed' : 'incomplete')
  assert.equal(usage.total_tokens, usage.input_tokens + usage.output_tokens)
  const finish =
    incomplete_details === null ? (calls.length > 0 ? 'tool_calls' : 'stop') : reasons[incomplete_details.reason]
  assert(finish !== undefined, `no reason to be incomplete: ${incomplete_details?.reason}`)
  return {
    text: parts.map((part: Json) => (part.type === 'output_text' ? part.text : '')).join(''),
    reasoning: output.map((item: Json) => (item.type === 'reasoning' ? summaryOf(item) : '')).join(''),
    refusal: parts.map((part: Json) => (part.type === 'refusal' ? part.refusal : '')).join(''),
    calls: calls.map((item: Json) => {
      assert.notEqual(item.id, item.call_id)
      return { id: item.call_id, name: item.name, arguments: JSON.parse(item.arguments) }
    }),
    finish,
    usage: {
      input: usage.input_tokens,
      cached: usage.input_tokens_details.cached_tokens,
      output: usage.output_tokens,
    },
    replay: output,
  }
}
