import { topLevelMembers, withMembers } from '#lib/json-members.ts'
import { encodeChatRequest } from '#wire/chat-encode-request.ts'
import type { Loss } from '#wire/neutral.ts'
import { decodeResponsesRequest, looksLikeResponses } from '#wire/responses-decode-request.ts'
import { isProblem, type RequestProblem, type TextRequest } from '#wire/text-request.ts'
import { codecs } from './codecs.ts'
import type { TextRoute } from './handle-text.ts'
import { parseBody } from './parse-body.ts'

/** What a body asks for in the protocol of its route. Throws AppError: body_malformed, body_invalid. */
export function readTextRequest(route: TextRoute, body: string): TextRequest {
  const { parse } = codecs[route.protocol]
  if (route.autoModel) return parseBody((text) => parse(withModel(text)), body)
  return parseBody(route.protocol === 'chat' ? parseChatOrResponses : parse, body)
}

/** Some editors send bodies of the responses protocol to the address of chat, and want chat's answer. */
function parseChatOrResponses(text: string): TextRequest | RequestProblem {
  const request = codecs.chat.parse(text)
  if (!isProblem(request) || request.path !== 'messages') return request
  const body = JSON.parse(text) as Record<string, unknown>
  if (!looksLikeResponses(body)) return request
  // Nothing is stored for either protocol: that it should be is a loss like others.
  const { store, ...stateless } = body
  const asked = codecs.responses.parse(JSON.stringify(stateless))
  if (isProblem(asked)) return asked
  const decoded = decodeResponsesRequest(stateless)
  const encoded = encodeChatRequest(decoded.request, { maxTokensMember: 'max_completion_tokens', streamOptions: false })
  const losses = [...decoded.losses, ...encoded.losses, ...(store === true ? [NOT_STORED] : [])]
  const loss = losses.find(({ essential }) => essential)
  if (loss !== undefined) return { path: loss.path, message: loss.message }
  const options = asked.stream ? { stream_options: body.stream_options } : {}
  const chat = codecs.chat.parse(JSON.stringify({ ...encoded.body, ...options, model: body.model }))
  return isProblem(chat) ? chat : { ...chat, losses }
}

const NOT_STORED: Loss = { path: 'store', message: 'is not carried: nothing is stored here', essential: false }

/** The body with `auto` as its model where it names none. Throws SyntaxError. */
function withModel(text: string): string {
  const body: unknown = JSON.parse(text)
  if (typeof body !== 'object' || body === null || Array.isArray(body)) return text
  const { model } = body as { model?: unknown }
  if (model !== undefined && model !== null && model !== '') return text
  const members = topLevelMembers(text)
  return members instanceof Map ? withMembers(text, members, { model: '"auto"' }) : text
}
