import { renderChunks, renderCompletion } from './chat-render.ts'
import { parseChatRequest } from './chat-request.ts'
import { openai } from './openai-vendor.ts'
import { eventStream, jsonBody, type Protocol } from './protocol.ts'
import { composeText, type TextAnswer, type TextRequest } from './text-request.ts'

/** OpenAI's chat completions. */
export const chat: Protocol<TextRequest, TextAnswer> = {
  name: 'chat',
  idPrefix: 'chatcmpl-',
  vendor: openai,
  parse: parseChatRequest,
  compose: composeText,
  carriage: ({ stream }) => (stream ? eventStream : jsonBody),
  body: renderCompletion,
  chunks: renderChunks,
  failedBody: ({ refusal, identity }) => openai.errorBody(refusal, identity.requestId),
  errorFrame: ({ refusal, identity }) => ({ data: openai.errorBody(refusal, identity.requestId) }),
  brokenFrame: { data: '{"id":"chatcmpl-sim","object":"chat.completion.ch' },
}
