import { anthropic, anthropicError } from './anthropic-vendor.ts'
import { renderMessage, renderMessageEvents } from './messages-render.ts'
import { parseCountRequest, parseMessagesRequest } from './messages-request.ts'
import { type Answer, eventStream, jsonBody, type Protocol } from './protocol.ts'
import { composeText, type TextAnswer, type TextRequest } from './text-request.ts'
import { claimedUsage, NO_USAGE } from './usage.ts'

const common = {
  vendor: anthropic,
  brokenFrame: {
    event: 'content_block_delta',
    data: '{"type":"content_block_delta","index":0,"delta":{"type":"text_de',
  },
} as const

/** Anthropic's messages. */
export const messages: Protocol<TextRequest, TextAnswer> = {
  ...common,
  name: 'messages',
  idPrefix: 'msg_',
  parse: parseMessagesRequest,
  compose: composeText,
  carriage: ({ stream }) => (stream ? eventStream : jsonBody),
  body: renderMessage,
  chunks: renderMessageEvents,
  failedBody: ({ refusal, identity }) => anthropic.errorBody(refusal, identity.requestId),
  errorFrame: ({ refusal }) => ({
    event: 'error',
    data: JSON.stringify({ type: 'error', error: anthropicError(refusal) }),
  }),
}

interface CountAnswer extends Answer {
  promptTokens: number
}

/** How many tokens a message's prompt has. It uses nothing up. */
export const countTokens: Protocol<TextRequest, CountAnswer> = {
  ...common,
  name: 'count_tokens',
  idPrefix: 'count_',
  parse: parseCountRequest,
  compose: ({ sim, promptTokens }) => ({
    kind: 'answer',
    stream: false,
    usage: NO_USAGE,
    sim,
    promptTokens: sim.prompt_tokens ?? promptTokens,
  }),
  carriage: () => jsonBody,
  body({ promptTokens, sim }, _identity, extra) {
    const { completion } = claimedUsage({ ...NO_USAGE, completion: promptTokens }, sim.usage)
    return `{"input_tokens":${completion}${extra}}`
  },
  chunks: () => [],
  failedBody: ({ refusal, identity }) => anthropic.errorBody(refusal, identity.requestId),
  errorFrame: () => undefined,
}
