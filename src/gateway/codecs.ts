import { createMessagesFormat, parseWholeMessage } from '#wire/anthropic-format.ts'
import { parseMessagesRequest } from '#wire/anthropic-messages-request.ts'
import { decodeMessagesUsage } from '#wire/anthropic-usage.ts'
import type { Loss, NeutralAnswer, NeutralRequest } from '#wire/neutral.ts'
import { parseWholeAnswer } from '#wire/openai-answer.ts'
import { parseChatRequest } from '#wire/openai-chat-request.ts'
import { createChatFormat } from '#wire/openai-format.ts'
import { type DecodedUsage, decodeOpenaiUsage } from '#wire/openai-usage.ts'
import type { EventDecoder, EventEncoder, Protocol, StreamFormat, WholeFacts } from '#wire/protocol.ts'
import { parseWholeResponse } from '#wire/responses-answer.ts'
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
  maxOutputTokens: number
  maxTokensMember: 'max_completion_tokens' | 'max_tokens'
  streamOptions: boolean
}

export interface EncodeOptions {
  /** 32 hex digits: names an answer whose provider gives it none. */
  id: string
  /** Unix seconds. */
  created: number
  request: TextRequest
}

export const codecs: Partial<Record<Protocol, Codec>> = {
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
  },
}

export const dialects: Partial<Record<Protocol, Dialect>> = {}
