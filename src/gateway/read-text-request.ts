import { topLevelMembers, withMembers } from '#lib/json-members.ts'
import { encodeChatRequest } from '#wire/chat-encode-request.ts'
import { decodeResponsesRequest, looksLikeResponses } from '#wire/responses-decode-request.ts'
import type { RequestProblem, TextRequest } from '#wire/text-request.ts'
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
  if (!('path' in request) || request.path !== 'messages') return request
  const body = JSON.parse(text) as Record<string, unknown>
  if (!looksLikeResponses(body)) return request
  const { request: neutral, losses } = decodeResponsesRequest(body)
  const encoded = encodeChatRequest(neutral, { maxTokensMember: 'max_completion_tokens', streamOptions: false })
  const loss = [...losses, ...encoded.losses].find(({ essential }) => essential)
  if (loss !== undefined) return { path: loss.path, message: loss.message }
  return codecs.chat.parse(JSON.stringify({ ...encoded.body, model: body.model }))
}

/** The body with `auto` as its model where it names none. Throws SyntaxError. */
function withModel(text: string): string {
  const body: unknown = JSON.parse(text)
  if (typeof body !== 'object' || body === null || Array.isArray(body)) return text
  const { model } = body as { model?: unknown }
  if (model !== undefined && model !== null && model !== '') return text
  const members = topLevelMembers(text)
  return members instanceof Map ? withMembers(text, members, { model: '"auto"' }) : text
}
