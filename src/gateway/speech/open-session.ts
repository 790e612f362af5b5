import type { SpeechLine, SpeechLineHandler } from '#adapters/tts/speech-dial.ts'
import { beginAttempt } from '#gateway/call.ts'
import { withCredential } from '#gateway/target.ts'
import { firstByteMs, tryTargets } from '#gateway/try-targets.ts'
import { faultOfCredential, faultOfStatus, SHUTTING_DOWN, type UpstreamFault } from '#gateway/upstream-fault.ts'
import { readVendorFrame } from '#wire/speech-socket-frames.ts'
import type { SessionCall } from './relay-session.ts'
import type { SpeechGateway } from './speech.ts'
import type { createStop } from './stop.ts'
import { faultOfStop } from './stop.ts'
import type { StreamTarget } from './stream-target.ts'

/** A session that an upstream has begun. */
export interface OpenedSession {
  index: number
  target: StreamTarget
  line: SpeechLine
  /** Frames up to `session.started`, for the client. */
  first: { data: Buffer; isBinary: boolean }[]
  /** From now on this hears what comes, instead of the opening. */
  listen(handler: Pick<SpeechLineHandler, 'onMessage' | 'onClose'>): void
}

/** Frames before a session has begun: some vendors greet. */
const FIRST_FRAMES_MAX = 16

/**
 * Dials the upstreams with one key after another until one says that the session has begun; nothing of the client's text is
 * sent before. Undefined: nobody did.
 */
export async function openSession(
  gateway: SpeechGateway,
  call: SessionCall,
  stopping: ReturnType<typeof createStop>,
): Promise<OpenedSession | undefined> {
  let opened: OpenedSession | undefined
  await tryTargets(gateway, call, async (index, target) => {
    if (gateway.openCalls.cutting) return SHUTTING_DOWN
    beginAttempt(call, target)
    const result = await dial(gateway, call, index, target, stopping)
    if ('class' in result) {
      const why = stopping.why()
      return why === undefined ? result : faultOfStop(why)
    }
    call.dispatch.answered(target)
    opened = result
    return 'ended'
  })
  return opened
}

async function dial(
  gateway: SpeechGateway,
  call: SessionCall,
  index: number,
  target: StreamTarget,
  { signal }: ReturnType<typeof createStop>,
): Promise<OpenedSession | UpstreamFault> {
  let headers: Record<string, string>
  try {
    headers = await target.open()
  } catch (cause) {
    return faultOfCredential(cause)
  }
  if (signal.aborted) return { class: 'provider', code: 'client_abort' }
  return await new Promise((resolve) => {
    const first: OpenedSession['first'] = []
    let later: Pick<SpeechLineHandler, 'onMessage' | 'onClose'> | undefined
    let over = false
    const timer = setTimeout(
      () => fail({ class: 'provider', code: 'timeout_first_byte', timedOut: true }),
      firstByteMs(call, target, call.route.timeouts.firstByteMs),
    )
    const given = () => fail({ class: 'provider', code: 'client_abort' })
    signal.addEventListener('abort', given)

    function end(result: OpenedSession | UpstreamFault): void {
      over = true
      clearTimeout(timer)
      signal.removeEventListener('abort', given)
      resolve(result)
    }

    function fail(fault: UpstreamFault): void {
      if (over) return
      line.drop()
      end(fault)
    }

    const line = gateway.speech.dial(
      { url: target.url, headers },
      {
        onOpen: () => line.send(JSON.stringify(call.start)),
        onMessage(data, isBinary) {
          if (later !== undefined) {
            later.onMessage(data, isBinary)
            return
          }
          first.push({ data, isBinary })
          if (isBinary || first.length > FIRST_FRAMES_MAX) {
            fail({ class: 'provider', code: 'malformed_frame' })
            return
          }
          const { event } = readVendorFrame(data.toString('utf8'))
          if (event === 'error') fail({ class: 'provider', code: 'error_in_stream' })
          if (event !== 'session.started' || over) return
          end({
            index,
            target,
            line,
            first,
            listen(handler) {
              later = handler
            },
          })
        },
        onClose({ fault, status }) {
          if (later !== undefined) later.onClose({ fault })
          else if (status !== undefined) fail(withCredential(target, (key) => faultOfStatus(status, {}, '', key)))
          else fail({ class: 'provider', code: fault })
        },
      },
    )
  })
}
