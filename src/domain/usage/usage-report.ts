import { type Usage, usageKinds, validateUsage } from '#billing/usage.ts'
import { sortedJson } from '#lib/sorted-json.ts'
import { AppError, type Problem } from '#src/errors.ts'
import { readClientTime } from './client-time.ts'
import { metadataProblem } from './metadata.ts'

const LABEL_CHARS_MAX = 255
/** Nobody pays more for one call, and above it sums would lose digits. */
const REPORTED_DOLLARS_MAX = 1_000_000

/** What a client says of one call, with the names that it sends. Types and signs are checked; nothing else is. */
export interface UsageReportBody {
  model: string
  provider: string
  input_tokens: number
  output_tokens: number
  cached_input_tokens?: number
  cache_write_5m_tokens?: number
  cache_write_1h_tokens?: number
  audio_input_tokens?: number
  reasoning_tokens?: number
  audio_output_tokens?: number
  characters?: number
  seconds?: number
  calls?: number
  alias?: string
  alias_name?: string
  profile?: string
  cost?: number
  latency_ms?: number
  origin?: string
  id_at_origin?: string
  conversation_id?: string
  metadata?: object
  timestamp?: string
  occurred_at?: string
}

/** A report that can be recorded. */
export interface UsageReport {
  provider: string
  model: string
  aliasName: string | null
  profile: string
  origin: string | null
  idAtOrigin: string | null
  conversationId: string | null
  /** Cache reads and writes and audio included. */
  inputTokens: number
  /** Reasoning and audio included. */
  outputTokens: number
  cachedInputTokens: number
  /** The same apart: no unit under two kinds. */
  usage: Usage
  latencyMs: number | null
  /** Dollars, as the client reckoned. */
  reportedCost: string | null
  /** JSON. */
  metadata: string
  /** ISO 8601, UTC, by the client's clock. */
  occurredAt: string | null
}

/** Throws AppError body_invalid with everything that is wrong. */
export function readUsageReport(body: UsageReportBody, nowMs: number): UsageReport {
  const problems: Problem[] = []
  const label = (path: string, value: string | undefined): string | null => {
    const problem = value === undefined ? undefined : textProblem(value)
    if (problem !== undefined) problems.push({ path, message: problem })
    return value === undefined || problem !== undefined || value.trim() === '' ? null : value
  }
  const named = (path: string, value: string): string => {
    const text = label(path, value)
    if (text === null && value.trim() === '') problems.push({ path, message: 'Input should not be blank' })
    return text ?? ''
  }
  const metadata = body.metadata ?? {}
  const refused = metadataProblem(metadata)
  if (refused !== undefined) problems.push({ path: 'metadata', message: refused })
  const report = {
    provider: named('provider', body.provider),
    model: named('model', body.model),
    aliasName: eitherOf(
      'alias',
      body.alias,
      label('alias', body.alias),
      label('alias_name', body.alias_name),
      problems,
    ),
    profile: label('profile', body.profile) ?? 'default',
    origin: label('origin', body.origin),
    idAtOrigin: label('id_at_origin', body.id_at_origin),
    conversationId: conversationOf(body, problems),
    inputTokens: body.input_tokens,
    outputTokens: body.output_tokens,
    cachedInputTokens: body.cached_input_tokens ?? 0,
    usage: usageVector(body, problems),
    latencyMs: body.latency_ms ?? null,
    reportedCost: reportedCost(body.cost, problems),
    metadata: refused === undefined ? JSON.stringify(metadata) : '{}',
    occurredAt: occurredAt(body, nowMs, problems),
  }
  if (problems.length > 0) throw new AppError('body_invalid', { problems })
  return report
}

/** One text for reports that say the same, whatever the order of their members. */
export function reportText(report: UsageReport): string {
  return sortedJson({ ...report, metadata: JSON.parse(report.metadata) as unknown })
}

/** Why a text cannot be a label; it may be blank. */
function textProblem(text: string): string | undefined {
  if (text.length > 2 * LABEL_CHARS_MAX || [...text].length > LABEL_CHARS_MAX)
    return `String should have at most ${LABEL_CHARS_MAX} characters`
  if (!text.isWellFormed()) return 'String should not hold half of a surrogate pair'
  return text.includes('\0') ? 'String should not hold NUL' : undefined
}

function eitherOf(
  path: string,
  sent: string | undefined,
  first: string | null,
  second: string | null,
  problems: Problem[],
): string | null {
  if (sent !== undefined && first !== null && second !== null && first !== second)
    problems.push({ path, message: 'alias and alias_name should not differ' })
  return first ?? second
}

const uuid = /^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$/i

/** llmring's client names the conversation within the metadata; what is no id there is none of ours. */
function conversationOf(body: UsageReportBody, problems: Problem[]): string | null {
  const { conversation_id: own } = body
  if (own !== undefined && own !== '') {
    if (!uuid.test(own)) problems.push({ path: 'conversation_id', message: 'Input should be a valid UUID' })
    return own.toLowerCase()
  }
  const named: unknown = Reflect.get(body.metadata ?? {}, 'conversation_id')
  return typeof named === 'string' && uuid.test(named) ? named.toLowerCase() : null
}

function usageVector(body: UsageReportBody, problems: Problem[]): Usage {
  const promptParts = {
    cache_read: body.cached_input_tokens ?? 0,
    cache_write_5m: body.cache_write_5m_tokens ?? 0,
    cache_write_1h: body.cache_write_1h_tokens ?? 0,
    audio_input: body.audio_input_tokens ?? 0,
  }
  const answerParts = { reasoning: body.reasoning_tokens ?? 0, audio_output: body.audio_output_tokens ?? 0 }
  const input = body.input_tokens - sum(promptParts)
  const output = body.output_tokens - sum(answerParts)
  if (input < 0) {
    const message = 'Input should not be less than its cached, cache-writing and audio tokens together'
    problems.push({ path: body.cached_input_tokens === undefined ? 'input_tokens' : 'cached_input_tokens', message })
  }
  if (output < 0) {
    const message = 'Input should not be less than its reasoning and audio tokens together'
    problems.push({ path: 'output_tokens', message })
  }
  const { characters = 0, seconds = 0, calls = 0 } = body
  const all = { input, ...promptParts, output, ...answerParts, characters, seconds, calls }
  const usage = Object.fromEntries(usageKinds.flatMap((kind) => (all[kind] > 0 ? [[kind, all[kind]]] : [])))
  const check = validateUsage(usage)
  if (!check.ok) problems.push({ path: 'input_tokens', message: `The usage is not possible: ${check.reason}` })
  return usage
}

function sum(parts: Record<string, number>): number {
  return Object.values(parts).reduce((total, part) => total + part, 0)
}

function reportedCost(cost: number | undefined, problems: Problem[]): string | null {
  if (cost === undefined) return null
  if (cost > REPORTED_DOLLARS_MAX)
    problems.push({ path: 'cost', message: `Input should be less than or equal to ${REPORTED_DOLLARS_MAX}` })
  return cost === 0 ? '0' : String(cost)
}

function occurredAt(body: UsageReportBody, nowMs: number, problems: Problem[]): string | null {
  const times = (['occurred_at', 'timestamp'] as const).flatMap((path) => {
    const text = body[path]
    if (text === undefined || text.trim() === '') return []
    const read = readClientTime(text.trim(), nowMs)
    if ('time' in read) return [read.time]
    problems.push({ path, message: read.problem })
    return []
  })
  if (times.length === 2 && times[0] !== times[1])
    problems.push({ path: 'timestamp', message: 'timestamp and occurred_at should not differ' })
  return times[0] ?? null
}
