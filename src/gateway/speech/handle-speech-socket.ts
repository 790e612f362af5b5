import type { WebSocket } from 'ws'
import type { AuthenticatedKey } from '#domain/keyring.ts'
import { holdCall } from '#gateway/admit.ts'
import { authenticateSecret } from '#gateway/authenticate.ts'
import type { CallOrigin } from '#gateway/call.ts'
import { voidCall } from '#gateway/finish-call.ts'
import { AppError } from '#src/errors.ts'
import type { ClientFrame } from '#wire/speech-socket-frames.ts'
import { relaySession, type SessionCall } from './relay-session.ts'
import { nanosOfCharacters } from './session-hold.ts'
import { createInbox, type Inbox } from './session-inbox.ts'
import { SessionRefusal } from './session-refusal.ts'
import type { SpeechGateway } from './speech.ts'
import type { StreamRoute } from './stream-target.ts'

/** What is held when a session begins; a wallet with less begins with what it has. */
const CHARACTERS_FIRST = 200
/** A key, or the frame that begins the session, must come within this. */
const PATIENCE_MS = 10_000

/**
 * The life of one session of streaming speech: the same as of a call, with a hold that grows with the text. Throws what the
 * client is to be told. However it ends, a session that was admitted is settled exactly once.
 */
export async function handleSpeechSocket(
  gateway: SpeechGateway,
  socket: WebSocket,
  from: { exchange: CallOrigin; token: string | undefined; onAuthenticated: () => void },
): Promise<void> {
  const inbox = createInbox(socket)
  const { exchange } = from
  const key = await authenticated(gateway, inbox, from.token)
  if (key === undefined) return
  from.onAuthenticated()
  const configured = gateway.speech.stream.resolve()
  const frame = await within(gateway, inbox, 'invalid_start_frame')
  if (frame === undefined) return
  const { route, start } = begun(frame, configured)
  const leaveModel = gateway.dispatcher.enterModel(route)
  try {
    const targets = route.targets.map(({ priced }) => priced)
    const held = await holdCall(gateway, {
      ...{ exchange, key, route, labels: {}, idempotency: undefined },
      plan: { amount: nanosOfCharacters(targets, CHARACTERS_FIRST), floor: nanosOfCharacters(targets, 1) },
      stream: true,
      fingerprint: '',
    })
    if ('body' in held) throw new AppError('internal')
    await relayed(gateway, socket, inbox, { ...held, start })
  } finally {
    leaveModel()
  }
}

/** A bug while relaying must not leave a hold open until its lease runs out. */
async function relayed(gateway: SpeechGateway, socket: WebSocket, inbox: Inbox, call: SessionCall): Promise<void> {
  try {
    await relaySession(gateway, socket, inbox, call)
  } catch (error) {
    if (!call.settled) await voidCall(gateway, call, new AppError('internal', { cause: error }))
    throw error
  } finally {
    call.dispatch.close()
  }
}

async function authenticated(
  gateway: SpeechGateway,
  inbox: Inbox,
  token: string | undefined,
): Promise<AuthenticatedKey | undefined> {
  let secret = token
  if (secret === undefined) {
    const frame = await within(gateway, inbox, 'unauthorized')
    if (frame === undefined) return undefined
    if (frame.event !== 'authenticate') throw new AppError('invalid_api_key')
    secret = frame.token
  }
  return authenticateSecret(gateway, secret)
}

/** The next frame; a client that says nothing is told why it is sent away. */
async function within(gateway: SpeechGateway, inbox: Inbox, why: 'unauthorized' | 'invalid_start_frame') {
  const untilMs = performance.now() + PATIENCE_MS
  let late = false
  let cut = false
  const watched = {
    tick(nowMs: number) {
      if (nowMs < untilMs) return
      late = true
      inbox.stop()
    },
    cut() {
      cut = true
      inbox.stop()
    },
  }
  gateway.openCalls.watch(watched)
  if (gateway.openCalls.cutting) watched.cut()
  try {
    const frame = await inbox.next()
    if (cut) throw new AppError('shutting_down')
    if (!late) return frame
    throw why === 'unauthorized'
      ? new AppError('invalid_api_key')
      : new SessionRefusal(why, 'The session was not begun in time.')
  } finally {
    gateway.openCalls.unwatch(watched)
  }
}

/** The route of a session, and the frame that begins it. Throws SessionRefusal. */
function begun(frame: ClientFrame, configured: StreamRoute): { route: StreamRoute; start: SessionCall['start'] } {
  if (frame.event !== 'start') {
    const code = frame.event === 'invalid' ? frame.code : 'invalid_start_frame'
    throw new SessionRefusal(code, 'A session begins with a start frame.')
  }
  const { models, defaultModel } = configured
  const model = frame.model ?? defaultModel
  if (model !== undefined && models.length > 0 && !models.some(({ id }) => id === model))
    throw new SessionRefusal('streaming_tts_model_not_enabled', 'This model is not enabled for streaming speech.')
  return {
    route: { ...configured, model: model ?? configured.model },
    start: { ...frame.frame, ...(model !== undefined && { model }) },
  }
}
