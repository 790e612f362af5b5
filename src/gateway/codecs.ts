import { decodeMessagesAnswer } from '#wire/anthropic-decode-answer.ts'
import { decodeMessagesRequest } from '#wire/anthropic-decode-request.ts'
import { createMessagesEventDecoder } from '#wire/anthropic-decode-stream.ts'
import { encodeMessagesAnswer } from '#wire/anthropic-encode-answer.ts'
import { encodeMessagesRequest } from '#wire/anthropic-encode-request.ts'
import { createMessagesEventEncoder } from '#wire/anthropic-encode-stream.ts'
import { createMessagesFormat, parseWholeMessage } from '#wire/anthropic-format.ts'
import { lowerThinking, parseMessagesRequest } from '#wire/anthropic-messages-request.ts'
import { decodeMessagesUsage } from '#wire/anthropic-usage.ts'
import { decodeChatAnswer } from '#wire/chat-decode-answer.ts'
import { decodeChatRequest } from '#wire/chat-decode-request.ts'
import { createChatEventDecoder } from '#wire/chat-decode-stream.ts'
import { encodeChatAnswer } from '#wire/chat-encode-answer.ts'
import { encodeChatRequest } from '#wire/chat-encode-request.ts'
import { createChatEventEncoder } from '#wire/chat-encode-stream.ts'
import { createCompletionsFormat, parseWholeCompletion } from '#wire/completions-format.ts'
import { parseCompletionsRequest } from '#wire/completions-request.ts'
import { decodeEmbeddingsUsage, parseWholeEmbeddings } from '#wire/embeddings-answer.ts'
import { parseEmbeddingsRequest } from '#wire/embeddings-request.ts'
import type { Loss, NeutralAnswer, NeutralRequest } from '#wire/neutral.ts'
import { parseWholeAnswer } from '#wire/openai-answer.ts'
import { parseChatRequest } from '#wire/openai-chat-request.ts'
import { createChatFormat } from '#wire/openai-format.ts'
import { type DecodedUsage, decodeOpenaiUsage } from '#wire/openai-usage.ts'
import type { EventDecoder, EventEncoder, Protocol, StreamFormat, WholeFacts } from '#wire/protocol.ts'
import { parseWholeResponse } from '#wire/responses-answer.ts'
import { decodeResponsesAnswer } from '#wire/responses-decode-answer.ts'
import { decodeResponsesRequest } from '#wire/responses-decode-request.ts'
import { encodeResponsesRequest } from '#wire/responses-encode-request.ts'
import { createResponsesEventDecoder } from '#wire/responses-event-decoder.ts'
import { createResponsesEventEncoder, encodeResponsesAnswer } from '#wire/responses-event-encoder.ts'
import { createResponsesFormat } from '#wire/responses-format.ts'
import type { AnswerName } from '#wire/responses-frames.ts'
import { parseResponsesRequest, statelessMembers } from '#wire/responses-request.ts'
import { decodeResponsesUsage } from '#wire/responses-usage.ts'
import type { RequestProblem, TextRequest } from '#wire/text-request.ts'

/** What the life of a call needs to know of one protocol. */
export interface Codec {
  /** Throws SyntaxError for text that is not JSON. */
  parse(text: string): TextRequest | RequestProblem
  format(options: { includeUsage: boolean; fallback: AnswerName }): StreamFormat
  parseWhole(body: string): WholeFacts
  decodeUsage(value: unknown): DecodedUsage
  /** The member that limits an answer, where the caller gave none; `target` where targets differ. */
  maxTokensMember: string | 'target'
  /** Members that are set for every upstream, as JSON text. */
  fixed: Readonly<Record<string, string>>
  /** Whether usage in a stream must be asked for by `stream_options`. */
  asksForUsage: boolean
  /** Request headers that pass to upstreams of the same protocol. */
  forwarded: readonly string[]
  /** Members that must change with a lowered limit, as JSON text. */
  lowered?(body: Record<string, unknown>, limit: number): Record<string, string>
}

/** The two sides of translation: towards neutral types and back. */
export interface Dialect {
  decodeRequest(body: Record<string, unknown>): { request: NeutralRequest; losses: Loss[] }
  encodeRequest(request: NeutralRequest, target: EncodeTarget): { body: Record<string, unknown>; losses: Loss[] }
  createDecoder(): EventDecoder
  createEncoder(options: EncodeOptions & { includeUsage: boolean }): EventEncoder
  /** Throws WireError. */
  decodeAnswer(body: unknown): NeutralAnswer
  encodeAnswer(answer: NeutralAnswer, options: EncodeOptions): Record<string, unknown>
}

interface EncodeTarget {
  model: string
  maxOutputTokens: number
  maxTokensMember: 'max_completion_tokens' | 'max_tokens'
  streamOptions: boolean
}

interface EncodeOptions {
  /** 32 hex digits: names an answer whose provider gives it none. */
  id: string
  /** Unix seconds. */
  created: number
  request: TextRequest
}

export const codecs: Readonly<Record<Protocol, Codec>> = {
  chat: {
    parse: parseChatRequest,
    format: createChatFormat,
    parseWhole: parseWholeAnswer,
    decodeUsage: decodeOpenaiUsage,
    maxTokensMember: 'target',
    fixed: {},
    asksForUsage: true,
    forwarded: [],
  },
  responses: {
    parse: parseResponsesRequest,
    format: createResponsesFormat,
    parseWhole: parseWholeResponse,
    decodeUsage: decodeResponsesUsage,
    maxTokensMember: 'max_output_tokens',
    fixed: statelessMembers,
    asksForUsage: false,
    forwarded: [],
  },
  messages: {
    parse: parseMessagesRequest,
    format: createMessagesFormat,
    parseWhole: parseWholeMessage,
    decodeUsage: decodeMessagesUsage,
    maxTokensMember: 'max_tokens',
    fixed: {},
    asksForUsage: false,
    forwarded: ['anthropic-version', 'anthropic-beta'],
    lowered: lowerThinking,
  },
  completions: {
    parse: parseCompletionsRequest,
    format: createCompletionsFormat,
    parseWhole: parseWholeCompletion,
    decodeUsage: decodeOpenaiUsage,
    maxTokensMember: 'max_tokens',
    fixed: {},
    asksForUsage: true,
    forwarded: [],
  },
  embeddings: {
    parse: parseEmbeddingsRequest,
    // Never streamed: only an error can be told, in the form of chat.
    format: createChatFormat,
    parseWhole: parseWholeEmbeddings,
    decodeUsage: decodeEmbeddingsUsage,
    maxTokensMember: 'target',
    fixed: {},
    asksForUsage: false,
    forwarded: [],
  },
}

export const dialects: Partial<Record<Protocol, Dialect>> = {
  chat: {
    decodeRequest: decodeChatRequest,
    encodeRequest: encodeChatRequest,
    createDecoder: createChatEventDecoder,
    createEncoder: createChatEventEncoder,
    decodeAnswer: decodeChatAnswer,
    encodeAnswer: encodeChatAnswer,
  },
  messages: {
    decodeRequest: decodeMessagesRequest,
    encodeRequest: encodeMessagesRequest,
    createDecoder: createMessagesEventDecoder,
    createEncoder: createMessagesEventEncoder,
    decodeAnswer: decodeMessagesAnswer,
    encodeAnswer: encodeMessagesAnswer,
  },
  responses: {
    decodeRequest: decodeResponsesRequest,
    encodeRequest: encodeResponsesRequest,
    createDecoder: createResponsesEventDecoder,
    createEncoder: createResponsesEventEncoder,
    decodeAnswer: decodeResponsesAnswer,
    encodeAnswer: encodeResponsesAnswer,
  },
}
