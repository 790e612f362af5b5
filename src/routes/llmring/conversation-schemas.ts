import { type Static, Type } from 'typebox'
import { TOKENS_PER_REQUEST_MAX } from '#billing/usage.ts'
import type { Conversation } from '#domain/conversations/conversations.ts'
import type { Message, NewMessage } from '#domain/conversations/messages.ts'
import { MESSAGES_MAX } from '#domain/conversations/messages.ts'

// Its maximum is that of one call, so that their sum over a conversation stays a number that can be kept.
const MessageTokens = Type.Optional(Type.Integer({ minimum: 0, maximum: TOKENS_PER_REQUEST_MAX }))
const Tokens = Type.Optional(Type.Integer({ minimum: 0, maximum: Number.MAX_SAFE_INTEGER }))
const orNull = <Schema extends Parameters<typeof Type.Union>[0][0]>(schema: Schema) => Type.Union([schema, Type.Null()])
const Time = Type.String({ format: 'date-time' })
const ROLE_CHARS_MAX = 32

export const ConversationBody = Type.Object({
  id: Type.String(),
  project_id: Type.String(),
  api_key_id: Type.String(),
  title: orNull(Type.String()),
  system_prompt: orNull(Type.String()),
  model_alias: Type.String({ description: 'The label that it was opened with; `default` where there was none.' }),
  temperature: Type.Number(),
  max_tokens: orNull(Type.Integer()),
  message_count: Type.Integer({ description: 'Of those that were kept, also when they are gone by now.' }),
  total_input_tokens: Type.Integer(),
  total_output_tokens: Type.Integer(),
  total_cost: Type.Number({ description: 'Dollars, of all reported calls that name it.' }),
  total_cost_nanousd: Type.String(),
  created_at: Time,
  updated_at: Time,
  last_message_at: orNull(Time),
})

export const MessageBody = Type.Object({
  id: Type.String(),
  conversation_id: Type.String(),
  role: Type.String(),
  content: Type.Unknown({ description: 'Null where content is not kept.' }),
  tool_calls: Type.Unknown(),
  tool_results: Type.Unknown(),
  metadata: Type.Unknown(),
  receipt_id: Type.Null(),
  content_hash: orNull(Type.String({ description: 'SHA-256 of a content that is text, where it is kept.' })),
  input_tokens: orNull(Type.Integer()),
  output_tokens: orNull(Type.Integer()),
  timestamp: Time,
})

export const ConversationWithMessagesBody = Type.Object({
  ...ConversationBody.properties,
  messages: Type.Array(MessageBody),
})

/** What opens or changes a conversation. */
export const WordsBody = Type.Object({
  title: Type.Optional(Type.String({ description: 'At most 500 characters.' })),
  system_prompt: Type.Optional(Type.String({ description: 'At most 1 MiB.' })),
  model_alias: Type.Optional(Type.String({ description: 'A label. At most 255 characters.' })),
  temperature: Type.Optional(Type.Number({ minimum: 0, maximum: 2 })),
  max_tokens: Type.Optional(Type.Integer({ minimum: 1, maximum: Number.MAX_SAFE_INTEGER })),
})

const said = {
  content: Type.Optional(Type.Unknown({ description: 'Text, a list of parts, or null.' })),
  tool_calls: Type.Optional(Type.Unknown()),
  tool_results: Type.Optional(Type.Unknown()),
  metadata: Type.Optional(Type.Object({}, { additionalProperties: true })),
  input_tokens: MessageTokens,
  output_tokens: MessageTokens,
}
const level = Type.Optional(
  Type.Enum(['none', 'metadata', 'full'], { description: 'Less than the project keeps, if you want less.' }),
)

export const MessagesBody = Type.Object({
  messages: Type.Array(Type.Object({ role: Type.Enum(['system', 'user', 'assistant', 'tool']), ...said }), {
    maxItems: MESSAGES_MAX,
  }),
  logging_level: level,
})

/** A whole call, as a client reports it that logs conversations. */
export const CallBody = Type.Object({
  messages: Type.Array(
    Type.Object({
      role: Type.Optional(Type.String({ minLength: 1, maxLength: ROLE_CHARS_MAX, pattern: '^[^\\u0000]*$' })),
      ...said,
    }),
    { maxItems: MESSAGES_MAX - 1 },
  ),
  response: Type.Object({
    content: Type.Optional(Type.Unknown()),
    model: Type.Optional(Type.String()),
    finish_reason: Type.Optional(Type.String()),
    tool_calls: Type.Optional(Type.Unknown()),
    usage: Type.Optional(
      Type.Object({
        prompt_tokens: Tokens,
        completion_tokens: Tokens,
        cached_tokens: Tokens,
        reasoning_tokens: Tokens,
      }),
    ),
  }),
  metadata: Type.Object({
    provider: Type.Optional(Type.String()),
    model: Type.Optional(Type.String()),
    alias: Type.Optional(Type.String()),
    alias_name: Type.Optional(Type.String()),
    profile: Type.Optional(Type.String()),
    origin: Type.Optional(Type.String()),
    id_at_origin: Type.Optional(Type.String()),
    occurred_at: Type.Optional(Type.String()),
    latency_ms: Tokens,
    cost: Type.Optional(Type.Number({ minimum: 0 })),
    input_cost: Type.Optional(Type.Number({ minimum: 0 })),
    output_cost: Type.Optional(Type.Number({ minimum: 0 })),
    input_tokens: Tokens,
    output_tokens: Tokens,
    cached_tokens: Tokens,
    reasoning_tokens: Tokens,
    log_id: Type.Optional(
      Type.String({ description: 'The usage of this call was reported before, and was answered with this id.' }),
    ),
  }),
  logging_level: level,
})

export function readMessage(
  body: Static<typeof MessagesBody>['messages'][number] | Static<typeof CallBody>['messages'][number],
): NewMessage {
  return {
    role: body.role ?? 'user',
    content: body.content,
    toolCalls: body.tool_calls,
    toolResults: body.tool_results,
    metadata: body.metadata,
    inputTokens: body.input_tokens,
    outputTokens: body.output_tokens,
  }
}

export function conversationView(conversation: Conversation) {
  const { costNanos } = conversation
  return {
    id: conversation.id,
    project_id: conversation.projectId,
    api_key_id: conversation.keyId,
    title: conversation.title,
    system_prompt: conversation.systemPrompt,
    model_alias: conversation.aliasName ?? 'default',
    temperature: conversation.temperature,
    max_tokens: conversation.maxTokens === null ? null : Number(conversation.maxTokens),
    message_count: Number(conversation.messageCount),
    total_input_tokens: Number(conversation.inputTokens),
    total_output_tokens: Number(conversation.outputTokens),
    total_cost: Number(costNanos) / 1e9,
    total_cost_nanousd: costNanos.toString(),
    created_at: conversation.createdAt.toISOString(),
    updated_at: conversation.updatedAt.toISOString(),
    last_message_at: conversation.lastMessageAt?.toISOString() ?? null,
  }
}

export function messageView(message: Message) {
  const json = (text: string | null): unknown => (text === null ? null : JSON.parse(text))
  return {
    id: message.id,
    conversation_id: message.conversationId,
    role: message.role,
    content: json(message.content),
    tool_calls: json(message.toolCalls),
    tool_results: json(message.toolResults),
    metadata: json(message.metadata),
    receipt_id: null,
    content_hash: message.contentHash?.toString('hex') ?? null,
    input_tokens: message.inputTokens === null ? null : Number(message.inputTokens),
    output_tokens: message.outputTokens === null ? null : Number(message.outputTokens),
    timestamp: message.at.toISOString(),
  }
}
