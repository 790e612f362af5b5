import type { Usage } from '../../../../src/billing/usage.ts'
import { readStream, usageOf } from './reported-usage.ts'
import type { UsageEntry } from './usage-entry.ts'
import type { UsageLogger } from './usage-logger.ts'

/** What an answer does not say by itself. */
export interface CallLabels
  extends Pick<UsageEntry, 'provider' | 'aliasName' | 'profile' | 'origin' | 'cost' | 'metadata'> {
  /** The model that was asked for, where the answer does not name one. */
  model: string
}

/** An entry from an answer of OpenAI's or Anthropic's API. Its usage is empty where the answer reports none: the gateway keeps that apart from 0. */
export function usageEntryOf(
  labels: CallLabels,
  answer: unknown,
  at?: { startedAt: Date; latencyMs: number },
): UsageEntry {
  const { model, id } = isObject(answer) ? answer : {}
  return entryOf(labels, { usage: usageOf(answer), model, id }, at)
}

/**
 * Makes a call and logs what it used. The answer comes back as it is; an error of the call is thrown as it is and nothing is logged, since
 * nothing is known to have been used.
 */
export async function logCall<T>(logger: UsageLogger, labels: CallLabels, call: () => PromiseLike<T> | T): Promise<T> {
  const started = Date.now()
  const answer = await call()
  logSafely(logger, () =>
    usageEntryOf(labels, answer, { startedAt: new Date(started), latencyMs: Date.now() - started }),
  )
  return answer
}

/**
 * The same for a stream: passes its chunks on and logs once, when it ends, breaks, or is left early, what had been reported until then.
 * Chat completions report usage only when asked to: `stream_options: { include_usage: true }`.
 */
export async function* logStream<T>(
  logger: UsageLogger,
  labels: CallLabels,
  call: () => PromiseLike<AsyncIterable<T>> | AsyncIterable<T>,
): AsyncGenerator<T, void, undefined> {
  const started = Date.now()
  const stream = await call()
  const reader = readStream()
  try {
    for await (const chunk of stream) {
      reader.read(chunk)
      yield chunk
    }
  } finally {
    const answer = { usage: reader.usage(), model: reader.model(), id: reader.id() }
    logSafely(logger, () => entryOf(labels, answer, { startedAt: new Date(started), latencyMs: Date.now() - started }))
  }
}

function entryOf(
  { model: asked, ...labels }: CallLabels,
  { usage, model, id }: { usage: Usage | undefined; model: unknown; id: unknown },
  at: { startedAt: Date; latencyMs: number } | undefined,
): UsageEntry {
  return {
    ...labels,
    model: typeof model === 'string' && model !== '' ? model : asked,
    usage: usage ?? {},
    ...(typeof id === 'string' && { idAtOrigin: id }),
    ...(at !== undefined && { latencyMs: at.latencyMs, occurredAt: at.startedAt }),
  }
}

/** Whatever an answer looks like, whoever made the call gets it. */
function logSafely(logger: UsageLogger, entry: () => UsageEntry): void {
  try {
    logger.log(entry())
  } catch {
    // A getter of the answer threw; there is nothing to report.
  }
}

function isObject(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
}
