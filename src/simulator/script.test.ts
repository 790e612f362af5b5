import assert from 'node:assert/strict'
import { test } from 'node:test'
import { chat } from './chat.ts'
import { parseChatRequest } from './chat-request.ts'
import { planCall } from './plan.ts'
import { scriptCall } from './script.ts'

const identity = { id: 'chatcmpl-sim-1', serial: 'sim-1', requestId: 'req-sim-1', created: 1 }

/** The script of a stream as short words: content pieces, finish reasons, waits and ends. */
function outline(sim: Record<string, unknown>, more: Record<string, unknown> = { stream: true }): string {
  const request = parseChatRequest({ model: 'echo', messages: [{ role: 'user', content: 'x' }], ...more, sim })
  assert.ok(!('status' in request), JSON.stringify(request))
  const words: string[] = []
  for (const step of scriptCall(planCall(request, 'steady', chat), chat, identity)) {
    if (step.do === 'wait') words.push(`${step.ms}ms`)
    else if (step.do === 'head') words.push(String(step.status))
    else if (step.do === 'reset') words.push('reset')
    else if (step.do === 'end') words.push(step.state)
    else words.push(outlineText(step.text) + (step.tokens > 0 ? `+${step.tokens}` : ''))
  }
  return words.join(' ')
}

function outlineText(text: string): string {
  const data = /^data: (.*)\n\n$/s.exec(text)?.[1]
  if (data === undefined) return text.startsWith('{') ? (isJson(text) ? 'body' : 'half') : JSON.stringify(text)
  if (data === '[DONE]') return 'done'
  if (!isJson(data)) return 'broken'
  const chunk = JSON.parse(data)
  if (chunk.error) return 'error'
  const mark = chunk.usage ? `=${chunk.usage.completion_tokens}` : ''
  const [choice] = chunk.choices
  if (choice === undefined) return `empty${mark}`
  if (choice.finish_reason) return `${choice.finish_reason}${mark}`
  if (choice.delta.role) return `role${mark}`
  return `${choice.delta.content ?? JSON.stringify(choice.delta)}${mark}`
}

function isJson(text: string): boolean {
  try {
    JSON.parse(text)
    return true
  } catch {
    return false
  }
}

const asked = { stream: true, stream_options: { include_usage: true } }

for (const { sim, more, want } of [
  { sim: {}, want: '200 role Hell+1 o! T+1 stop done finished' },
  { sim: { chunk_ms: 5 }, want: '200 role Hell+1 5ms o! T+1 5ms stop done finished' },
  { sim: { chunk_tokens: 2 }, want: '200 role Hello! T+2 stop done finished' },
  { sim: { chunk_tokens: 5 }, want: '200 role Hello! T+2 stop done finished' },
  { sim: { first_byte_ms: 9 }, want: '9ms 200 role Hell+1 o! T+1 stop done finished' },
  { sim: { no_done: true }, want: '200 role Hell+1 o! T+1 stop finished' },
  { sim: { empty_first: true }, want: '200 empty role Hell+1 o! T+1 stop done finished' },
  { sim: { cut_after: 0 }, want: '200 role reset' },
  { sim: { cut_after: 1 }, want: '200 role Hell+1 reset' },
  { sim: { cut_after: 2 }, want: '200 role Hell+1 o! T+1 reset' },
  { sim: { cut_after: 3 }, want: '200 role Hell+1 o! T+1 stop done finished' },
  { sim: { end_after: 1 }, want: '200 role Hell+1 cut' },
  { sim: { error_after: 1 }, want: '200 role Hell+1 error cut' },
  { sim: { error_after: 1, status: 503 }, want: '200 role Hell+1 error cut' },
  { sim: { malformed_after: 1 }, want: '200 role Hell+1 broken o! T+1 stop done finished' },
  { sim: { stall_after: 1 }, want: '200 role Hell+1 Infinityms o! T+1 stop done finished' },
  { sim: { stall_after: 2, stall_ms: 7 }, want: '200 role Hell+1 o! T+1 7ms stop done finished' },
  { sim: { error_in_200: true }, want: '200 error failed' },
  { sim: { no_response: true }, want: 'Infinityms' },
  { sim: { reset: true, first_byte_ms: 3 }, want: '3ms reset' },
  { sim: { status: 429 }, want: '429 body failed' },
  { sim: { reasoning_tokens: 5 }, want: '200 role Hell+6 o! T+1 stop done finished' },
  { sim: { tokens: 0, reasoning_tokens: 5 }, want: '200 role stop+5 done finished' },
  {
    sim: { reasoning_tokens: 1, show_reasoning: true },
    want: '200 role {"reasoning_content":"A le"}+1 Hell+1 o! T+1 stop done finished',
  },
  { sim: {}, more: asked, want: '200 role Hell+1 o! T+1 stop empty=2 done finished' },
  { sim: { usage: 'none' }, more: asked, want: '200 role Hell+1 o! T+1 stop done finished' },
  { sim: { usage: 'zero' }, more: asked, want: '200 role Hell+1 o! T+1 stop empty=0 done finished' },
  { sim: { usage: 'negative' }, more: asked, want: '200 role Hell+1 o! T+1 stop empty=-3 done finished' },
  { sim: { usage: 'fractional' }, more: asked, want: '200 role Hell+1 o! T+1 stop empty=2.5 done finished' },
  { sim: { usage: 'absurd' }, more: asked, want: '200 role Hell+1 o! T+1 stop empty=1000000000000 done finished' },
  { sim: { usage: 'placeholder' }, more: asked, want: '200 role=1 Hell+1 o! T+1 stop empty=2 done finished' },
  { sim: { usage: 'every_chunk' }, want: '200 role=0 Hell=1+1 o! T=2+1 stop=2 done finished' },
  { sim: { usage: 'with_choices' }, want: '200 role Hell+1 o! T+1 stop=2 done finished' },
  { sim: {}, more: {}, want: '200 body+2 finished' },
  { sim: { error_in_200: true }, more: {}, want: '200 body failed' },
  { sim: { error_after: 1 }, more: {}, want: '200 body failed' },
  { sim: { malformed_after: 1 }, more: {}, want: '200 half cut' },
  { sim: { end_after: 1 }, more: {}, want: '200 half cut' },
  { sim: { cut_after: 1 }, more: {}, want: '200 half reset' },
]) {
  test(`script: ${JSON.stringify(sim)}${more === undefined ? '' : ` with ${JSON.stringify(more)}`}`, () => {
    assert.equal(outline({ tokens: 2, ...sim }, more), want)
  })
}

test('merged chunks wait together', () => {
  assert.equal(outline({ tokens: 17, chunk_ms: 2, merge: true }).match(/16ms/g)?.length, 2)
})

test('choices are written in turns', () => {
  const chunks = outline({ tokens: 2 }, { stream: true, n: 2 })
  assert.equal(chunks, '200 role role Hell+1 (2) +1 o! T+1 Hell+1 stop stop done finished')
})

test('a tool call opens with its name and continues with its arguments', () => {
  const tool = { type: 'function', function: { name: 'f', parameters: { properties: { a: { const: 1 } } } } }
  const id = 'call_sim-1_0_0'
  const opening = `{"tool_calls":[{"index":0,"id":"${id}","type":"function","function":{"name":"f","arguments":""}}]}`
  const piece = (text: string) => `{"tool_calls":[{"index":0,"function":{"arguments":${JSON.stringify(text)}}}]}`
  assert.equal(
    outline({}, { stream: true, tools: [tool] }),
    `200 role ${opening}+1 ${piece('{"a"')}+1 ${piece(':1}')}+1 tool_calls done finished`,
  )
})
