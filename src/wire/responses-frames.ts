import type { JsonObject } from './json-values.ts'
import type { CutEnd, ErrorWords } from './protocol.ts'
import { encodeResponsesUsage } from './responses-usage.ts'

/** How an answer is named where its provider has not yet done so. */
export interface AnswerName {
  id: string
  model: string
  /** Unix seconds. */
  created: number
}

/** One event as clients get it: its type stands in the frame's head and in its data. */
export function responsesFrame(type: string, sequence: number, members: JsonObject): string {
  return `event: ${type}\ndata: ${JSON.stringify({ type, sequence_number: sequence, ...members })}\n\n`
}

/** A response that has just begun. `request`: the client's own body, whose settings are told again as OpenAI does. */
export function newResponse({ id, model, created }: AnswerName, request: JsonObject = {}): JsonObject {
  return {
    id,
    object: 'response',
    created_at: created,
    status: 'in_progress',
    background: false,
    error: null,
    incomplete_details: null,
    instructions: request.instructions ?? null,
    max_output_tokens: request.max_output_tokens ?? null,
    model,
    output: [],
    parallel_tool_calls: request.parallel_tool_calls ?? true,
    previous_response_id: null,
    reasoning: request.reasoning ?? { effort: null, summary: null },
    store: false,
    temperature: request.temperature ?? null,
    text: request.text ?? { format: { type: 'text' } },
    tool_choice: request.tool_choice ?? 'auto',
    tools: request.tools ?? [],
    top_p: request.top_p ?? null,
    truncation: request.truncation ?? 'disabled',
    usage: null,
    user: request.user ?? null,
    metadata: request.metadata ?? {},
  }
}

/** Clients that know only `response.failed`, as Codex, find the code and message inside of the response. */
export function failedResponse(
  response: JsonObject,
  { code, type, message }: ErrorWords,
  output: unknown[],
): JsonObject {
  return { ...response, status: 'failed', error: { code: code ?? type, message }, output }
}

/** A response that we end ourselves: as if a limit had been reached, with our own reason in its metadata. */
export function cutResponse(response: JsonObject, { reason, usage }: CutEnd, output: unknown[]): JsonObject {
  const metadata = typeof response.metadata === 'object' ? response.metadata : {}
  return {
    ...response,
    status: 'incomplete',
    incomplete_details: { reason: 'max_output_tokens' },
    output,
    usage: usage === undefined ? null : encodeResponsesUsage(usage),
    metadata: { ...metadata, fluxgate: reason },
  }
}

/** An id of this protocol for what another one calls its answer. */
export function responseId(id: string): string {
  return id.startsWith('resp_')
    ? id
    : `resp_${id.replace(/^(?:chatcmpl-|msg_|gen-)/, '').replaceAll(/[^A-Za-z0-9_-]/g, '')}`
}
