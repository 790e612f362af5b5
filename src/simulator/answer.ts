import { sampleJson } from './sample-json.ts'
import { TOKENS_MAX } from './switches.ts'
import type { TextRequest } from './text-request.ts'
import { countTokens, cutTokens } from './tokens.ts'

interface ToolCall {
  name: string
  /** JSON text; cut short when the token limit fell inside it. */
  arguments: string
}

/** One choice of an answer. `reasoningTokens` are spent whether or not `reasoning` shows them. */
export interface Choice {
  reasoningTokens: number
  reasoning: string
  text: string
  calls: readonly ToolCall[]
  finish: 'stop' | 'length' | 'tool_calls' | 'content_filter'
  /** The stop sequence that ended the text. */
  stop: string | null
  /** Visible and hidden together. */
  tokens: number
}

/** Reasoning and text at their most; bounds what tool calls may add up to. */
const CHOICE_TOKENS_MAX = 2 * TOKENS_MAX
const LARGE_TOKENS_DEFAULT = 1000
const UNICODE_TOKENS_DEFAULT = 48
const REASONING_TOKENS_DEFAULT = 64
/** How much of the user's message an echo repeats, in UTF-16 units. */
const ECHO_LENGTH_MAX = 400

/** What the simulator answers as choice number `index`: a pure function of the request. */
export function composeChoice(request: TextRequest, index: number): Choice {
  const tokensMax = Math.min(request.tokensMax ?? CHOICE_TOKENS_MAX, CHOICE_TOKENS_MAX)
  const wanted = request.sim.reasoning_tokens ?? (request.reasons ? REASONING_TOKENS_DEFAULT : 0)
  const reasoningTokens = Math.min(wanted, tokensMax)
  const reasoning = request.showReasoning ? prose(reasoningTokens) : ''
  const left = tokensMax - reasoningTokens
  const calls = callCount(request)
  const visible = calls > 0 ? composeCalls(request, calls, left) : composeText(request, index, left)
  return { reasoningTokens, reasoning, ...visible, tokens: visible.tokens + reasoningTokens }
}

/** Text of exactly so many tokens, the same one each time. */
export function prose(tokens: number): string {
  return stretch('', tokens, PROSE)
}

/** As `prose`, of characters of two, three and four bytes. */
export function unicodeProse(tokens: number): string {
  return stretch('', tokens, UNICODE_PROSE)
}

type Visible = Pick<Choice, 'text' | 'calls' | 'finish' | 'stop' | 'tokens'>

function composeText(request: TextRequest, index: number, tokensMax: number): Visible {
  let text = index === 0 ? fullText(request) : `(${index + 1}) ${fullText(request)}`
  if (request.sim.tokens !== undefined && index > 0) text = cutTokens(text, request.sim.tokens)
  let stop: string | null = null
  for (const sequence of request.stops) {
    const at = text.indexOf(sequence)
    if (at < 0) continue
    text = text.slice(0, at)
    stop = sequence
  }
  let finish: Choice['finish'] = 'stop'
  let tokens = countTokens(text)
  if (request.sim.content_filter === 'answer') {
    tokens = Math.floor(tokens / 2)
    finish = 'content_filter'
  }
  if (tokens > tokensMax) {
    tokens = tokensMax
    finish = 'length'
  }
  return { text: cutTokens(text, tokens), calls: [], finish, stop: finish === 'stop' ? stop : null, tokens }
}

function fullText(request: TextRequest): string {
  const { sim, model, userText } = request
  if (request.jsonSchema !== undefined) {
    const json = jsonText(request)
    // Trailing spaces are legal JSON, so an answer of an exact size is still valid.
    return sim.tokens === undefined ? json : cutTokens(json.padEnd(json.length + sim.tokens * 4), sim.tokens)
  }
  if (sim.unicode === true || sim.split_utf8 === true) {
    return unicodeProse(sim.tokens ?? UNICODE_TOKENS_DEFAULT)
  }
  if (model === 'large') return prose(sim.tokens ?? tokensNamed(userText) ?? LARGE_TOKENS_DEFAULT)
  const echo = `${GREETING}${userText === '' ? 'nothing.' : shorten(userText)}`
  return sim.tokens === undefined ? echo : stretch(`${echo} `, sim.tokens, PROSE)
}

function jsonText(request: TextRequest): string {
  const schema = request.jsonSchema
  const anyObject = typeof schema === 'object' && schema !== null && Object.keys(schema).length === 0
  return JSON.stringify(anyObject ? { simulator: true, you_said: shorten(request.userText) } : sampleJson(schema))
}

/** A prompt such as "write 500 tokens" asks the large model for a length. */
function tokensNamed(userText: string): number | undefined {
  const digits = /\b(\d{1,7}) tokens\b/.exec(userText)?.[1]
  return digits === undefined ? undefined : Math.min(Number(digits), TOKENS_MAX)
}

function callCount(request: TextRequest): number {
  const { sim, tools, toolChoice, lastRole } = request
  if (tools.length === 0 || toolChoice === 'none') return 0
  // A tool's result is answered in words, or an agent's loop would never end.
  const wanted = sim.tool_calls ?? (toolChoice === 'auto' && lastRole === 'tool' ? 0 : 1)
  return request.parallelToolCalls ? wanted : Math.min(wanted, 1)
}

function composeCalls(request: TextRequest, count: number, tokensMax: number): Visible {
  const { tools, toolChoice } = request
  const named = typeof toolChoice === 'object' ? tools.filter((tool) => tool.name === toolChoice.name) : tools
  const calls: ToolCall[] = []
  let tokens = 0
  for (let at = 0; at < count; at += 1) {
    const tool = named[at % named.length]
    if (tool === undefined || tokens >= tokensMax) break
    // A call costs one token for its name and those of its arguments.
    tokens += 1
    const whole = JSON.stringify(sampleJson(tool.parameters))
    const cut = cutTokens(whole, tokensMax - tokens)
    tokens += countTokens(cut)
    calls.push({ name: tool.name, arguments: cut })
    if (cut.length < whole.length) return { text: '', calls, finish: 'length', stop: null, tokens }
  }
  return { text: '', calls, finish: calls.length < count ? 'length' : 'tool_calls', stop: null, tokens }
}

/** The start, continued with prose or cut to be exactly so many tokens. */
function stretch(start: string, tokens: number, prose: string): string {
  const whole = start + prose.repeat(Math.ceil((tokens + 1) / countTokens(prose)))
  return cutTokens(whole, tokens)
}

function shorten(text: string): string {
  if (text.length <= ECHO_LENGTH_MAX) return text
  return `${text.slice(0, ECHO_LENGTH_MAX).replace(/[\ud800-\udbff]$/, '')}...`
}

const GREETING = 'Hello! This is the simulator built into Fluxgate; no provider was called. You said: '

// Both are whole numbers of tokens long, so that repeating them keeps every piece at four bytes.
const PROSE =
  'A ledger is a patient book. Each line says what moved, from where and to where, and the two sides agree. ' +
  'Nothing is rubbed out: a mistake is mended by another line below it. Whoever reads from the first page to the last ' +
  'finds the same sum as whoever kept the book, and that is the whole of its worth. A gateway that keeps such a book ' +
  'can be asked, years later, what one short question cost, and why. '

const UNICODE_PROSE = ['日 ', '本,', '🚀', 'öö', 'é a', '語.', '😀', '金 ', '🧾', 'ßb '].join('')
