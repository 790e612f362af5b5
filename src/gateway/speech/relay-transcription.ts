import { randomUUID } from 'node:crypto'
import { Readable } from 'node:stream'
import type { SpeechHttpResponse } from '#adapters/tts/speech-http.ts'
import type { Usage } from '#billing/usage.ts'
import { beginAttempt, callHeaders, type Exchange, endAttempt, type MeteredCall } from '#gateway/call.ts'
import { type Ending, settleInTime, voidCall, withCallHeaders } from '#gateway/finish-call.ts'
import { createRecorder, keepOutcome } from '#gateway/keep-outcome.ts'
import { withCredential } from '#gateway/target.ts'
import { firstByteMs, noteFault, tryTargets } from '#gateway/try-targets.ts'
import {
  errorOfFaults,
  faultOfCredential,
  faultOfStatus,
  SHUTTING_DOWN,
  type UpstreamFault,
} from '#gateway/upstream-fault.ts'
import { AppError, errorBody } from '#src/errors.ts'
import { createFrameSplitter, frameData } from '#wire/sse-frames.ts'
import { fieldPart, filePartHead, formEnd } from '#wire/transcription-form.ts'
import type { TranscriptionRequest } from '#wire/transcription-request.ts'
import { readTranscriptEvent, readTranscription } from '#wire/transcription-usage.ts'
import { createAudioSink } from './audio-sink.ts'
import { type HeardAudio, hearingUsage } from './hearing-meter.ts'
import type { OpenForm } from './read-form.ts'
import type { SpeechGateway } from './speech.ts'
import { createStop, faultOfStop } from './stop.ts'
import { thrownFault } from './thrown-fault.ts'
import type { TranscriptionTarget } from './transcription-target.ts'

/** One admitted call for a transcription. */
export interface TranscriptionCall extends MeteredCall<TranscriptionTarget> {
  exchange: Exchange
  form: OpenForm
  /** What is known of the audio now. */
  audio: () => HeardAudio
  request: TranscriptionRequest
}

const ERROR_BYTES_MAX = 64 * 1024
const CRLF = Buffer.from('\r\n')

/**
 * Sends the form to the targets until one has heard it. A whole answer goes to the client when it is settled, a stream's last
 * byte likewise. A file that is too long to be kept is sent once. Throws AppError while nothing has been sent.
 */
export async function relayTranscription(gateway: SpeechGateway, call: TranscriptionCall): Promise<void> {
  const relay = createRelay(gateway, call)
  gateway.openCalls.watch(relay)
  try {
    const served = await tryTargets(gateway, call, relay.attempt)
    if (served && !relay.unserved()) return
    const last = call.faults.at(-1)?.fault.code
    const error = await voidCall(
      gateway,
      call,
      relay.refusal() ?? (last === 'shutting_down' ? new AppError(last) : undefined),
    )
    relay.release()
    if (!call.exchange.res.destroyed) throw error
  } finally {
    gateway.openCalls.unwatch(relay)
  }
}

function createRelay(gateway: SpeechGateway, call: TranscriptionCall) {
  const { exchange, form, route } = call
  const { upload } = form
  const recorder = createRecorder(call)
  const stopping = createStop()
  let draining = false
  let gone = false
  let unserved = false
  let refusal: AppError | undefined
  let head: Record<string, string> = {}
  let current: TranscriptionTarget | undefined
  const sink = createAudioSink({
    res: exchange.res,
    headers: () => head,
    stallMs: gateway.timeouts.clientStallMs,
    onGone: clientGone,
  })

  /** What only the end of the answer tells is waited for: leaving before it must not make it free. */
  function clientGone(): void {
    gone = true
    const hidden = current?.priced.price.lines.seconds === undefined
    if (upload.ended() && (gateway.policy.clientAbort === 'drain' || hidden)) draining = true
    else stopping.stop('client_abort')
  }

  function used(target: TranscriptionTarget, reported: Usage | undefined, text: string | undefined) {
    return hearingUsage(target.priced.price.lines, call.audio(), reported, text)
  }

  function faultOf(error: unknown): UpstreamFault {
    const why = stopping.why()
    if (why !== undefined) return faultOfStop(why)
    const fault = thrownFault(error)
    if (fault === undefined) throw error
    return fault
  }

  async function settle(ending: Ending) {
    call.answeredAt = performance.now()
    return await settleInTime(gateway, call, ending)
  }

  async function send(target: TranscriptionTarget): Promise<SpeechHttpResponse | UpstreamFault> {
    let proof: Record<string, string>
    try {
      proof = await target.open()
    } catch (cause) {
      return faultOfCredential(cause)
    }
    const boundary = `fluxgate-${randomUUID()}`
    const length = upload.ended() ? formLength(boundary, target) : undefined
    try {
      return await gateway.speech.http.send(
        {
          method: 'POST',
          url: target.url,
          headers: {
            'user-agent': 'fluxgate',
            'x-client-request-id': call.requestId,
            ...proof,
            'content-type': `multipart/form-data; boundary=${boundary}`,
            ...(length !== undefined && { 'content-length': String(length) }),
          },
          body: Readable.from(parts(boundary, target), { objectMode: false }),
        },
        { signal: stopping.signal, firstByteMs: firstByteMs(call, target, gateway.timeouts.totalMs) },
      )
    } catch (error) {
      const failure = upload.failure()
      if (failure !== undefined) refusal = failure instanceof AppError ? failure : undefined
      else if (error instanceof AppError) refusal = error
      else return faultOf(error)
      return { class: 'caller', code: 'client_abort' }
    }
  }

  const own = () => form.fields.filter(({ name }) => name !== 'model')

  async function* parts(boundary: string, target: TranscriptionTarget): AsyncGenerator<Buffer> {
    yield fieldPart(boundary, { name: 'model', value: target.priced.model })
    const before = own()
    for (const field of before) yield fieldPart(boundary, field)
    yield filePartHead(boundary, form.file)
    yield* upload.read()
    yield CRLF
    await form.ended
    for (const field of own().slice(before.length)) yield fieldPart(boundary, field)
    yield formEnd(boundary)
  }

  function formLength(boundary: string, target: TranscriptionTarget): number {
    const fields = [{ name: 'model', value: target.priced.model }, ...own()].map((field) => fieldPart(boundary, field))
    const framing = [...fields, filePartHead(boundary, form.file), CRLF, formEnd(boundary)]
    return framing.reduce((sum, { length }) => sum + length, upload.total())
  }

  async function readText({ chunks }: SpeechHttpResponse, bytesMax: number): Promise<Buffer | 'too_large'> {
    const pieces: Buffer[] = []
    let bytes = 0
    try {
      for (let piece = await chunks.next(); piece !== undefined; piece = await chunks.next()) {
        bytes += piece.length
        if (bytes > bytesMax) return 'too_large'
        pieces.push(piece)
      }
    } finally {
      chunks.close()
    }
    return Buffer.concat(pieces)
  }

  async function statusFault(target: TranscriptionTarget, response: SpeechHttpResponse): Promise<UpstreamFault> {
    const body = await readText(response, ERROR_BYTES_MAX)
    const text = body === 'too_large' ? '' : body.toString('utf8')
    return withCredential(target, (key) => faultOfStatus(response.status, response.headers, text, key))
  }

  async function passWhole(index: number, target: TranscriptionTarget, response: SpeechHttpResponse) {
    response.chunks.idle(route.timeouts.idleMs)
    const body = await readText(response, gateway.limits.answerBytesMax)
    call.firstByteAt ??= performance.now()
    if (body === 'too_large') return fault('answer_too_large')
    const { format } = call.request
    const heard = readTranscription(format, body.toString('utf8'))
    if ('fault' in heard) return fault(heard.fault)
    call.dispatch.answered(target)
    const settled = await settle({
      outcome: gone ? 'client_abort' : 'complete',
      ...used(target, heard.usage, heard.text),
      target: index,
      ...upstreamName(response),
    })
    if (settled === undefined) {
      sink.release()
      throw withCallHeaders(call, new AppError('settlement_pending'))
    }
    const headers = {
      'content-type': typeOf(format, false),
      'x-content-type-options': 'nosniff',
      'content-length': String(body.length),
      'cache-control': 'no-store',
      ...callHeaders(call),
      'x-fluxgate-charged-nanousd': String(settled.charged ?? 0n),
    }
    if (!gone) await keepOutcome(gateway, call, { headers, body })
    sink.whole(headers, body)
    return 'ended' as const
  }

  async function passStream(index: number, target: TranscriptionTarget, response: SpeechHttpResponse) {
    const { chunks } = response
    chunks.idle(route.timeouts.idleMs)
    head = {
      'content-type': typeOf('', true),
      'x-content-type-options': 'nosniff',
      'cache-control': 'no-cache, no-transform',
      ...callHeaders(call),
    }
    let text = ''
    let usage: Usage | undefined
    let done = false
    let broken: UpstreamFault | undefined
    const splitter = createFrameSplitter(gateway.limits.frameBytesMax, (buffer, start, end) => {
      const data = frameData(buffer.toString('utf8', start, end))
      if (data === undefined) return
      const event = readTranscriptEvent(data)
      if (event.kind === 'delta') text += event.text
      else if (event.kind === 'error') broken ??= fault('error_in_stream')
      else if (event.kind === 'done') {
        done = true
        usage = event.usage
        text = event.text ?? text
      }
    })
    try {
      for (let piece = await chunks.next(); piece !== undefined; piece = await chunks.next()) {
        splitter.push(piece)
        if (broken !== undefined) break
        if (call.firstByteAt === undefined || !sink.started()) call.dispatch.answered(target)
        call.firstByteAt ??= performance.now()
        recorder.add(piece)
        await sink.write(piece)
        if (stopping.why() !== undefined) break
      }
    } catch (error) {
      broken = error instanceof Error && error.name === 'FrameTooLongError' ? fault('frame_too_long') : faultOf(error)
    } finally {
      chunks.close()
    }
    const why = stopping.why()
    if (why !== undefined) broken = faultOfStop(why)
    else if (!done) broken ??= fault('cut')
    if (broken !== undefined) return await endBroken(index, target, broken, text)
    const settled = await settle({
      outcome: gone ? 'client_abort' : 'complete',
      ...used(target, usage, text),
      target: index,
      ...upstreamName(response),
    })
    if (settled === undefined) {
      sink.endWith(errorFrame(new AppError('settlement_pending')))
      return 'ended' as const
    }
    const body = recorder.body()
    if (body !== undefined && !gone) await keepOutcome(gateway, call, { headers: head, body })
    sink.end()
    return 'ended' as const
  }

  /** A stream that ends early: before its first byte another target may serve. */
  async function endBroken(index: number, target: TranscriptionTarget, broken: UpstreamFault, text: string) {
    const why = stopping.why()
    if (!sink.started() && why === undefined && !draining) return broken
    if (why === 'client_abort') return await endGone(index, target, text)
    if (why === 'shutting_down' && !sink.started()) return SHUTTING_DOWN
    const found = used(target, undefined, text)
    if (why === 'shutting_down') {
      call.dispatch.report(target, 'aborted')
      endAttempt(call, why)
      await settle({ outcome: 'cut_off', ...found, reason: why, target: index })
      sink.endWith(errorFrame(new AppError(why)))
      return 'ended' as const
    }
    noteFault(gateway, call, index, broken)
    const free = gateway.policy.upstreamError === 'free' && !gone
    await settle({
      outcome: gone ? 'client_abort' : 'upstream_error',
      ...found,
      reason: broken.code,
      target: index,
      ...(free && { chargeMax: 0n }),
    })
    sink.endWith(errorFrame(errorOfFaults([{ ...broken, class: 'provider' }])))
    return 'ended' as const
  }

  /** The client left: a file that was sent as a whole is heard, and paid. */
  async function endGone(index: number, target: TranscriptionTarget, text: string | undefined) {
    call.dispatch.report(target, 'aborted')
    endAttempt(call, 'client_abort')
    await settle(
      upload.ended()
        ? { outcome: 'client_abort', ...used(target, undefined, text), target: index }
        : { outcome: 'void', reason: 'client_abort', usage: {}, usageSource: 'none', target: index },
    )
    return 'ended' as const
  }

  async function attemptOnce(index: number, target: TranscriptionTarget): Promise<UpstreamFault | 'ended'> {
    const response = await send(target)
    if ('class' in response) return response
    try {
      if (response.status < 200 || response.status >= 300) return await statusFault(target, response)
      const type = String(response.headers['content-type'] ?? '')
      return /^text\/event-stream\b/i.test(type)
        ? await passStream(index, target, response)
        : await passWhole(index, target, response)
    } catch (error) {
      if (error instanceof AppError) throw error
      return faultOf(error)
    }
  }

  return {
    /** Whether the call is over without anybody having served it. */
    unserved: () => unserved,
    /** What is wrong with the request, where that came out late. */
    refusal: () => refusal,
    release: () => sink.release(),

    async attempt(index: number, target: TranscriptionTarget): Promise<UpstreamFault | 'ended'> {
      if (gateway.openCalls.cutting) return SHUTTING_DOWN
      current = target
      beginAttempt(call, target)
      const result = await attemptOnce(index, target)
      if (result === 'ended' || call.settled) return 'ended'
      const why = stopping.why()
      if (why === 'client_abort') return await endGone(index, target, undefined)
      if (why === 'shutting_down') return SHUTTING_DOWN
      if (draining) {
        noteFault(gateway, call, index, result)
        await settle({ outcome: 'void', reason: result.code, usage: {}, usageSource: 'none', target: index })
        return 'ended'
      }
      if (upload.replayable()) return result
      // What was passed on cannot be sent again.
      noteFault(gateway, call, index, result)
      unserved = true
      return 'ended'
    },

    tick(nowMs: number): void {
      sink.tick(nowMs)
      if (nowMs - exchange.startedAt > route.timeouts.totalMs) stopping.stop('timeout_total')
    },

    cut(): void {
      stopping.stop('shutting_down')
    },
  }
}

function fault(code: string): UpstreamFault {
  return { class: 'provider', code }
}

function errorFrame(error: AppError): string {
  return `event: error\ndata: ${JSON.stringify({ type: 'error', ...errorBody(error) })}\n\n`
}

/** By what was asked for: a browser must not take a provider's answer for a page. */
function typeOf(format: string, stream: boolean): string {
  if (stream) return 'text/event-stream; charset=utf-8'
  if (format === 'vtt') return 'text/vtt; charset=utf-8'
  return format === 'text' || format === 'srt' ? 'text/plain; charset=utf-8' : 'application/json'
}

function upstreamName({ headers }: SpeechHttpResponse): { upstreamId?: string } {
  const id = headers['x-request-id']
  return typeof id === 'string' && /^[\x21-\x7e]{1,200}$/.test(id) ? { upstreamId: id } : {}
}
