import { createHash } from 'node:crypto'
import type { IncomingMessage } from 'node:http'
import { REQUEST_NANOS_MAX, upperBoundOf } from '#billing/price.ts'
import { holdCall } from '#gateway/admit.ts'
import { authenticate } from '#gateway/authenticate.ts'
import type { Exchange } from '#gateway/call.ts'
import { voidCall } from '#gateway/finish-call.ts'
import { replayOutcome } from '#gateway/keep-outcome.ts'
import { tooLarge } from '#gateway/read-body.ts'
import { readIdempotency, readLabels } from '#gateway/read-call-headers.ts'
import { AppError } from '#src/errors.ts'
import { isProblem } from '#wire/text-request.ts'
import { parseTranscriptionFields, type TranscriptionRequest } from '#wire/transcription-request.ts'
import type { AudioRoute } from './audio-routes.ts'
import { type HeardAudio, hearingBound } from './hearing-meter.ts'
import { type OpenForm, readForm } from './read-form.ts'
import { relayTranscription, type TranscriptionCall } from './relay-transcription.ts'
import type { SpeechGateway } from './speech.ts'
import type { TranscriptionProtocol, TranscriptionTarget } from './transcription-target.ts'

/** A file up to this is waited for before its hold: then its length is known, and it can be sent again. */
const AWAITED_BYTES = 1024 * 1024
/** What a form may hold beside its file. */
const FORM_BYTES_MAX = 5 * 1024 * 1024
/** What is kept of one file while it is passed on. */
const KEPT_BYTES_MAX = 26 * 1024 * 1024

/**
 * The life of one call for a transcription: the same as for text. The file is passed on as it comes, unless `model` stands
 * behind it in the form or the call has a name: then all of it is waited for. Throws AppError while nothing has been sent.
 */
export async function handleTranscription(
  gateway: SpeechGateway,
  req: IncomingMessage,
  exchange: Exchange,
  protocol: TranscriptionProtocol,
): Promise<void> {
  const key = await authenticate(gateway, req)
  const labels = readLabels(req)
  const idempotency = readIdempotency(req)
  const { uploadBytesMax } = gateway.speech
  const declared = Number(req.headers['content-length'] ?? Number.NaN)
  if (declared > uploadBytesMax + FORM_BYTES_MAX) throw tooLarge(req, uploadBytesMax)
  const form = await readForm(req, {
    keptBytesMax: KEPT_BYTES_MAX,
    fileBytesMax: uploadBytesMax,
    hold: gateway.openCalls.holdBody,
    release: gateway.openCalls.releaseBody,
  })
  const watched = stopped(form)
  gateway.openCalls.watch(watched)
  try {
    const request = await readRequest(form, idempotency !== undefined)
    const route = gateway.speech[protocol].resolve(request.model)
    const { upload } = form
    await upload.arrived(AWAITED_BYTES)
    const audio = (): HeardAudio => ({
      seconds: upload.ended() ? upload.probe.seconds() : undefined,
      secondsMax: upload.probe.secondsMax(
        upload.ended() ? upload.total() : Math.min(uploadBytesMax, Number.isNaN(declared) ? uploadBytesMax : declared),
      ),
      bytes: upload.total(),
      promptBytes: request.promptBytes,
    })
    const leaveModel = gateway.dispatcher.enterModel(route)
    try {
      const amount = holdFor(route, audio())
      const held = await holdCall(gateway, {
        ...{ exchange, key, labels, route, idempotency },
        plan: { amount, floor: amount },
        stream: request.stream,
        fingerprint: idempotency === undefined ? '' : fingerprint(protocol, form),
      })
      if ('body' in held) {
        replayOutcome(gateway, exchange, held)
        return
      }
      const call: TranscriptionCall = { ...held, exchange, form, audio, request }
      try {
        await relay(gateway, call)
      } finally {
        call.dispatch.close()
      }
    } finally {
      leaveModel()
    }
  } finally {
    gateway.openCalls.unwatch(watched)
    form.giveUp()
    form.upload.close()
  }
}

/** A stop of the process ends the wait for a file that comes slowly. */
function stopped(form: OpenForm) {
  return {
    tick: () => undefined,
    cut: () => form.upload.fail(new AppError('shutting_down', { headers: { connection: 'close' } })),
  }
}

/** What the fields say; all of the form is waited for where they do not say enough. */
async function readRequest(form: OpenForm, whole: boolean): Promise<TranscriptionRequest> {
  const early = parsed(form)
  if (!whole && early.model !== undefined) return early
  if (!whole && form.fields.some(({ name }) => name === 'model')) return early
  await form.upload.arrived(Number.POSITIVE_INFINITY)
  if (!form.upload.ended())
    throw new AppError('body_too_large', {
      message: whole
        ? `With an Idempotency-Key the file has at most ${KEPT_BYTES_MAX} bytes.`
        : `A file of more than ${KEPT_BYTES_MAX} bytes must stand behind the field model in the form.`,
    })
  await form.ended
  return parsed(form)
}

function parsed(form: OpenForm): TranscriptionRequest {
  const request = parseTranscriptionFields(form.fields)
  if (!isProblem(request)) return request
  throw new AppError('body_invalid', {
    message: `Invalid request: '${request.path}' ${request.message}.`,
    param: request.path,
  })
}

function holdFor(route: AudioRoute<TranscriptionTarget>, audio: HeardAudio): bigint {
  let hold = 0n
  for (const { priced } of route.targets) {
    const nanos = upperBoundOf(hearingBound(priced.price.lines, audio), priced.price)
    if (nanos > hold) hold = nanos
  }
  if (hold > REQUEST_NANOS_MAX)
    throw new AppError('body_invalid', { message: 'One request may not cost more than 1,000 dollars.', param: 'file' })
  return hold
}

function fingerprint(protocol: TranscriptionProtocol, { fields, file, upload }: OpenForm): string {
  const hash = createHash('sha256')
  for (const piece of upload.pieces()) hash.update(piece)
  return JSON.stringify([protocol, fields, file, hash.digest('hex')])
}

/** A bug while relaying must not leave a hold open until its lease runs out. */
async function relay(gateway: SpeechGateway, call: TranscriptionCall): Promise<void> {
  if (call.exchange.res.destroyed) {
    await voidCall(gateway, call, undefined, 'client_abort')
    return
  }
  try {
    await relayTranscription(gateway, call)
  } catch (error) {
    if (!call.settled) await voidCall(gateway, call, new AppError('internal', { cause: error }))
    throw error
  }
}
