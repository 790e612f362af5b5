import type { AnswerIdentity, StreamVoice } from '#wire/protocol.ts'
import { type Attempt, type AttemptTimeouts, startAttempt } from './attempt.ts'
import { type Call, interpreterOf } from './call.ts'
import { createDeliveredText } from './delivered-text.ts'
import type { Gateway } from './gateway.ts'
import type { Lane, Runner } from './race.ts'
import { createStreamReader } from './stream-reader.ts'
import type { Target } from './target.ts'
import type { UpstreamFault } from './upstream-fault.ts'
import { upstreamRequest } from './upstream-request.ts'

export interface StreamAttemptOptions {
  patience: AttemptTimeouts
  lane: Lane<Target>
  /** Whether the target may be asked once more; not once the client has left. */
  mayAsk: () => boolean
  /** As of the stream reader. */
  onFrames: (bytes: Buffer) => void
  onComplete: (last: Buffer) => void
}

/** One target's stream on its way to the client. */
export interface StreamAttempt extends Runner, Pick<Attempt, 'pause' | 'resume' | 'over'> {
  /** Says what is ours as part of this answer. */
  voice(): StreamVoice
  identity(): AnswerIdentity
  usage(): unknown
  delivered(): ReturnType<typeof createDeliveredText>
}

/**
 * Asks one target for a stream and reads it. Where it refuses `stream_options`, which we add and not the caller, it is asked
 * once more without.
 */
export function startStreamAttempt(gateway: Gateway, call: Call, options: StreamAttemptOptions): StreamAttempt {
  const { request } = call
  const { lane } = options
  let current = begin(lane.target)

  function begin(target: Target) {
    const delivered = createDeliveredText()
    const interpreter = interpreterOf(call, target)
    const { format, voice, translator } = interpreter.stream()
    const reader = createStreamReader({
      frameBytesMax: gateway.limits.frameBytesMax,
      format,
      ...(translator && { translator }),
      faultOfWhole(body) {
        const facts = interpreter.parseWhole(body)
        return 'fault' in facts ? facts.fault : undefined
      },
      choices: request.choices,
      includeUsage: request.includeUsage,
      onText: (text) => delivered.add(text),
      onFrames(bytes) {
        if (target !== lane.target) rememberRefusal(lane.target)
        options.onFrames(bytes)
      },
      onComplete: options.onComplete,
      onFault(fault) {
        if (target.streamOptions && refusesStreamOptions(call, fault) && options.mayAsk()) {
          lane.again(fault.code)
          current = begin({ ...target, streamOptions: false })
        } else lane.fail(fault)
      },
    })
    const attempt = startAttempt(gateway.upstream, target, upstreamRequest(call, target), options.patience, reader)
    return { attempt, reader, voice, delivered }
  }

  return {
    abort: () => current.attempt.abort(),
    pause: () => current.attempt.pause(),
    resume: () => current.attempt.resume(),
    tick: (nowMs) => current.attempt.tick(nowMs),
    sent: () => current.attempt.sent(),
    over: () => current.attempt.over(),
    // Whatever is here of a stream and may be shown is served at once.
    begun: () => false,
    voice: () => current.voice,
    identity: () => current.reader.identity(),
    usage: () => current.reader.usage(),
    delivered: () => current.delivered,
  }
}

/**
 * We ask for usage on the caller's behalf; where that is refused, it is our fault and not his. Options of the caller's own
 * are his: what he can provoke must not change how others are metered.
 */
function refusesStreamOptions(call: Call, { class: kind, error }: UpstreamFault): boolean {
  if (kind !== 'caller' || error === undefined || call.request.members.has('stream_options')) return false
  if (error.param !== null) return error.param === 'stream_options' || error.param === 'stream_options.include_usage'
  return error.message.includes('stream_options')
}

const REFUSAL_REMEMBERED_MS = 3_600_000

/** Spares later calls the vain attempt, for a while. What is billed unseen is asked for every time. */
function rememberRefusal(target: Target): void {
  if (target.hiddenReasoning || !target.streamOptions) return
  target.streamOptions = false
  setTimeout(() => {
    target.streamOptions = true
  }, REFUSAL_REMEMBERED_MS).unref()
}
