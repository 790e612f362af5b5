import type { Static } from 'typebox'
import type { ConversationWords } from '#domain/conversations/conversations.ts'
import type { ConversationReport } from '#domain/conversations/log-conversation.ts'
import { readUsageReport, type UsageReportBody } from '#domain/usage/usage-report.ts'
import { AppError, type Problem } from '#src/errors.ts'
import { type CallBody, readMessage, type WordsBody } from './conversation-schemas.ts'

const TITLE_CHARS_MAX = 500
const LABEL_CHARS_MAX = 255
const PROMPT_BYTES_MAX = 1_048_576
const UUID = /^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$/i

/** Throws AppError body_invalid. */
export function readWords(body: Static<typeof WordsBody>): ConversationWords {
  const problems: Problem[] = []
  const check = (path: string, text: string | undefined, tooLong: (text: string) => boolean) => {
    if (text === undefined) return
    if (!text.isWellFormed() || text.includes('\0'))
      problems.push({ path, message: 'String should hold no NUL and no half of a surrogate pair' })
    else if (tooLong(text)) problems.push({ path, message: 'String should be shorter' })
  }
  check('title', body.title, (text) => [...text].length > TITLE_CHARS_MAX)
  check('model_alias', body.model_alias, (text) => [...text].length > LABEL_CHARS_MAX)
  check('system_prompt', body.system_prompt, (text) => Buffer.byteLength(text) > PROMPT_BYTES_MAX)
  if (problems.length > 0) throw new AppError('body_invalid', { problems })
  return {
    title: body.title,
    systemPrompt: body.system_prompt,
    // What llmring's clients say where there is no alias.
    aliasName: body.model_alias === 'default' || body.model_alias?.trim() === '' ? undefined : body.model_alias,
    temperature: body.temperature,
    maxTokens: body.max_tokens,
  }
}

/** A whole call. What the metadata do not say is looked for in the answer. Throws AppError body_invalid. */
export function readCall(body: Static<typeof CallBody>, nowMs: number): ConversationReport {
  const { metadata, response } = body
  const { usage = {} } = response
  const model = metadata.model ?? response.model ?? ''
  const { input_cost, output_cost } = metadata
  const cost =
    metadata.cost ?? (input_cost === undefined || output_cost === undefined ? undefined : input_cost + output_cost)
  const reasoning = metadata.reasoning_tokens ?? usage.reasoning_tokens
  const told: Partial<Record<keyof UsageReportBody, unknown>> = {
    model: model === '' ? 'unknown' : model,
    provider: metadata.provider ?? /^([^:]+):./.exec(model)?.[1] ?? 'unknown',
    input_tokens: metadata.input_tokens ?? usage.prompt_tokens ?? 0,
    output_tokens: metadata.output_tokens ?? usage.completion_tokens ?? 0,
    cached_input_tokens: metadata.cached_tokens ?? usage.cached_tokens,
    reasoning_tokens: reasoning,
    alias: metadata.alias,
    alias_name: metadata.alias_name,
    profile: metadata.profile,
    origin: metadata.origin,
    id_at_origin: metadata.id_at_origin,
    occurred_at: metadata.occurred_at,
    latency_ms: metadata.latency_ms,
    cost,
    metadata: response.finish_reason === undefined ? undefined : { finish_reason: response.finish_reason },
  }
  const known = Object.fromEntries(Object.entries(told).filter(([, value]) => value !== undefined))
  const report = readUsageReport(known as unknown as UsageReportBody, nowMs)
  const answer = {
    ...{ role: 'assistant', content: response.content, tool_calls: response.tool_calls },
    ...{ input_tokens: report.inputTokens, output_tokens: report.outputTokens },
  }
  return {
    report,
    title: `${report.aliasName ?? report.model} conversation`,
    messages: [...body.messages, answer].map(readMessage),
    logId: metadata.log_id !== undefined && UUID.test(metadata.log_id) ? metadata.log_id : undefined,
    level: body.logging_level ?? 'full',
  }
}
