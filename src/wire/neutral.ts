/**
 * What the three text protocols have in common. A request or an answer of one is decoded into these types and encoded
 * into another; where client and upstream speak the same protocol nothing passes through here.
 */

/** Content that stands in a message. `cacheControl` is Anthropic's mark that a prompt is to be cached up to here. */
export type Part =
  | { type: 'text'; text: string; cacheControl?: unknown }
  /** `url` may be a data URL. */
  | { type: 'image'; url: string; detail?: string; cacheControl?: unknown }
  | { type: 'audio'; data: string; format: string }
  /** `data` is base64. */
  | { type: 'file'; data?: string; url?: string; mediaType?: string; name?: string; cacheControl?: unknown }
  | { type: 'refusal'; text: string }
  /** `signature` and `encrypted` are opaque and go back unchanged, to the protocol that made them and to no other. */
  | { type: 'reasoning'; text: string; id?: string; signature?: string; encrypted?: string; origin: TextProtocol }
  /** `arguments` is JSON text. Ids are written as in chat and responses, `call_…`: messages swaps them for its own. */
  | { type: 'tool_call'; id: string; name: string; arguments: string; cacheControl?: unknown }
  | { type: 'tool_result'; id: string; content: Part[]; isError: boolean; cacheControl?: unknown }

export interface Message {
  role: 'user' | 'assistant'
  /** In the order in which they were said: reasoning before the tool call it led to. */
  parts: Part[]
}

export interface Tool {
  name: string
  description?: string
  /** JSON schema of the arguments. */
  parameters: Record<string, unknown>
  strict?: boolean
  cacheControl?: unknown
}

export type ToolChoice = { type: 'auto' | 'none' | 'required' } | { type: 'tool'; name: string }

export const efforts = ['none', 'minimal', 'low', 'medium', 'high', 'xhigh', 'max'] as const
export type Effort = (typeof efforts)[number]

/** A request for text in any protocol. What is absent was not asked for. */
export interface NeutralRequest {
  stream: boolean
  /** System and developer text, in order, hoisted out of the messages. */
  system: Part[]
  messages: Message[]
  tools: Tool[]
  toolChoice?: ToolChoice
  parallelToolCalls?: boolean
  /** Tokens of the answer. */
  maxTokens?: number
  temperature?: number
  topP?: number
  topK?: number
  stop?: string[]
  reasoning?: { effort?: Effort; budgetTokens?: number; summary?: boolean }
  format?:
    | { type: 'json_object' }
    | { type: 'json_schema'; name: string; schema: Record<string, unknown>; strict?: boolean }
  user?: string
  metadata?: Record<string, unknown>
}

/** Why an answer ended. */
export type Finish = 'stop' | 'length' | 'tool_calls' | 'refusal' | 'content_filter' | 'pause'

/** Tokens as protocols count them: `input` includes cached ones, `output` includes reasoning. */
export interface NeutralUsage {
  input: number
  cacheRead: number
  cacheWrite5m: number
  cacheWrite1h: number
  output: number
  reasoning: number
}

/** A whole answer. */
export interface NeutralAnswer {
  id: string
  model: string
  parts: Part[]
  finish: Finish
  usage?: NeutralUsage
}

/** A streamed answer, in order: `start`, then blocks one after another, then `finish`. Blocks do not overlap. */
export type AnswerEvent =
  | { type: 'start'; id: string; model: string }
  | { type: 'block'; block: 'text' | 'refusal' }
  | { type: 'block'; block: 'reasoning'; origin: TextProtocol }
  | { type: 'block'; block: 'tool_call'; id: string; name: string }
  /** More of the open block: text, or JSON text of a tool call's arguments. */
  | { type: 'delta'; text: string }
  /** Belongs to the open reasoning block. */
  | { type: 'signature'; id?: string; signature?: string; encrypted?: string }
  | { type: 'finish'; finish: Finish; usage?: NeutralUsage }

/** A member that cannot be carried to the other protocol. */
export interface Loss {
  /** As in `messages[2].content[0]`. */
  path: string
  message: string
  /** Whether the answer would be another one without it: refused even where losses are tolerated. */
  essential: boolean
}

export type TextProtocol = 'chat' | 'responses' | 'messages'
