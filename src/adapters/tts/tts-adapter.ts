import { randomUUID } from 'node:crypto'
import type { GuardedFetch } from '#adapters/guarded-fetch.ts'
import { GuardError } from '#adapters/guarded-fetch.ts'
import type { Usage } from '#billing/usage.ts'
import type { SpeechCall, SpeechFormat, SpeechInput, SpeechRefusal, WholeAnswer } from '#wire/speech-format.ts'
import { type TtsAdapter, type TtsAnswer, type TtsContext, TtsFault } from './adapter.ts'
import { type AudioSource, eventSource, notAudio, openBody, readWhole, wholeSource } from './audio-body.ts'
import { emptyHanded, type FaultOfStatus, readErrorText, refusalFault, vendorFault } from './read-failure.ts'
import type { SpeechHttp, SpeechHttpResponse } from './speech-http.ts'

export interface TtsDeps {
  http: SpeechHttp
  /** For audio behind links that a vendor chose. */
  guarded: GuardedFetch
  faultOfStatus: FaultOfStatus
}

/** What a vendor's link may lead to, whatever the caller's own limit is. */
const LINKED_BYTES_MAX = 25 * 1024 * 1024
const ORDER_BYTES_MAX = 256 * 1024
const VOICE_LIST_BYTES_MAX = 8 * 1024 * 1024
const VOICES_MAX = 5_000

/** Speaks one vendor's format over HTTP. The format knows the words, this knows the wire. */
export function createTtsAdapter(format: SpeechFormat, deps: TtsDeps): TtsAdapter {
  const { http, guarded, faultOfStatus } = deps

  async function speak(input: SpeechInput, context: TtsContext): Promise<TtsAnswer> {
    const call = format.call(input, endpointOf(context))
    if ('refused' in call) throw refusalFault(call)
    const startedAt = performance.now()
    const { signal, limits, onSent } = context
    const response = await http.send(call, { signal, firstByteMs: limits.firstByteMs, onSent })
    if (response.status < 200 || response.status >= 300) throw await statusFault(response, context)
    const spoken = await open[call.answer]({ input, call, context, response, startedAt })
    return {
      contentType: contentTypeOf(input, call, spoken.contentType),
      body: spoken.body,
      discard: spoken.discard,
      usage: () => spoken.usage() ?? format.readHeaders?.(response.headers),
      upstreamRequestId: requestIdOf(response.headers),
      dropped: call.dropped,
    }
  }

  const open = { audio: openAudio, events: openEvents, json: openJson, linked_json: openLinked }

  async function openAudio({ context, response }: Opening): Promise<Spoken> {
    const { chunks, headers } = response
    const type = single(headers['content-type'])
    if (notAudio(type)) throw await errorIn200(response, context)
    const opened = await openBody(chunks, chunks, context.limits)
    return { ...opened, contentType: type, usage: () => undefined }
  }

  async function openEvents(opening: Opening): Promise<Spoken> {
    const { context, response, input } = opening
    const type = single(response.headers['content-type'])
    // Servers that do not know of events send the audio itself.
    if (type === undefined || !/^text\/event-stream\b/i.test(type)) {
      if (input.streamFormat !== 'sse') return await openAudio(opening)
      throw await errorIn200(response, context)
    }
    let usage: Usage | undefined
    const source = eventSource(response.chunks, {
      reader: format.createEventReader?.() ?? { push: () => ({ audio: [], done: false }) },
      raw: input.streamFormat === 'sse',
      onUsage: (reported) => {
        usage = reported
      },
      faultOfError: (error) =>
        new TtsFault({ class: error.class ?? 'provider', code: error.code ?? 'error_in_stream' }),
    })
    const opened = await openBody(source, response.chunks, context.limits)
    return { ...opened, contentType: undefined, usage: () => usage }
  }

  async function openJson({ context, response }: Opening): Promise<Spoken> {
    // Base64 is a third longer than what it holds.
    const text = await readWhole(response.chunks, Math.ceil(context.limits.audioBytesMax / 3) * 4 + ORDER_BYTES_MAX)
    const answer = await answerOf(text, response, context)
    if (!('audio' in answer)) throw new TtsFault({ class: 'provider', code: 'malformed', status: 200 })
    if (!/^[A-Za-z0-9+/\s]*={0,2}\s*$/.test(answer.audio))
      throw new TtsFault({ class: 'provider', code: 'malformed', status: 200 })
    const audio = Buffer.from(answer.audio, 'base64')
    const source = audio.length === 0 ? emptySource : wholeSource(audio)
    const opened = await openBody(source, undefined, context.limits)
    return { ...opened, contentType: undefined, usage: () => answer.usage }
  }

  async function openLinked({ context, response, startedAt }: Opening): Promise<Spoken> {
    const text = await readWhole(response.chunks, ORDER_BYTES_MAX)
    const answer = await answerOf(text, response, context)
    if (!('url' in answer)) throw new TtsFault({ class: 'provider', code: 'malformed', status: 200 })
    const { url, dispatcher } = routeOf(answer.url)
    const left = context.limits.firstByteMs - (performance.now() - startedAt)
    const audio = await http.send(
      { method: 'GET', url, headers: {}, body: undefined },
      { signal: context.signal, firstByteMs: Math.max(left, 1) },
      dispatcher,
    )
    // A redirect would lead where nothing has been checked.
    const type = single(audio.headers['content-type'])
    if (audio.status !== 200 || notAudio(type)) {
      audio.chunks.close()
      throw new TtsFault({ class: 'provider', code: audio.status === 200 ? 'error_in_200' : 'link_refused' })
    }
    const audioBytesMax = Math.min(context.limits.audioBytesMax, LINKED_BYTES_MAX)
    if (Number(single(audio.headers['content-length'])) > audioBytesMax) {
      audio.chunks.close()
      throw new TtsFault({ class: 'provider', code: 'answer_too_large' })
    }
    const opened = await openBody(audio.chunks, audio.chunks, { ...context.limits, audioBytesMax })
    return { ...opened, contentType: type, usage: () => answer.usage }
  }

  function routeOf(url: string) {
    try {
      return guarded.route(url)
    } catch (error) {
      if (error instanceof GuardError) throw new TtsFault({ class: 'provider', code: error.code })
      throw error
    }
  }

  /** A JSON answer that is one; what it says of a failure is thrown. */
  async function answerOf(text: string, response: SpeechHttpResponse, context: TtsContext) {
    let answer: WholeAnswer | undefined
    try {
      answer = format.readWhole?.(JSON.parse(text))
    } catch (cause) {
      throw new TtsFault({ class: 'provider', code: 'malformed', status: 200, cause })
    }
    if (answer === undefined) throw new TtsFault({ class: 'provider', code: 'malformed', status: 200 })
    if (!('error' in answer)) return answer
    const { error, status } = answer
    if (error.code === 'empty' || error.code === 'malformed')
      throw new TtsFault({ class: 'provider', code: error.code, status: 200 })
    const { headers } = response
    if (status === 200) throw emptyHanded(faultOfStatus, format, { headers, body: text, credential: context.key })
    throw vendorFault(faultOfStatus, { status, headers, error, credential: context.key, inBody: true })
  }

  async function statusFault(response: SpeechHttpResponse, context: TtsContext): Promise<TtsFault> {
    const { status, headers } = response
    const body = await readErrorText(response.chunks)
    context.signal.throwIfAborted()
    if (status < 400) return new TtsFault({ class: 'provider', code: 'redirect', status })
    return vendorFault(faultOfStatus, {
      status,
      headers,
      error: format.readError(status, body),
      credential: context.key,
    })
  }

  async function errorIn200(response: SpeechHttpResponse, context: TtsContext): Promise<TtsFault> {
    const body = await readErrorText(response.chunks)
    context.signal.throwIfAborted()
    return emptyHanded(faultOfStatus, format, { headers: response.headers, body, credential: context.key })
  }

  return {
    id: format.id,
    formats: format.formats,
    defaultVoice: format.defaultVoice,
    shippedVoices: format.shippedVoices,
    voicesTtlMs: format.voiceList?.ttlMs,

    check(input, params, baseUrl): SpeechRefusal | undefined {
      const call = format.call(input, { key: '', baseUrl, params, headers: {}, callId: '' })
      return 'refused' in call ? call : undefined
    },

    drops(input, params, baseUrl): readonly string[] {
      const call = format.call(input, { key: '', baseUrl, params, headers: {}, callId: '' })
      return 'refused' in call ? [] : call.dropped
    },

    count: (input, params) => format.count(input, params),
    speak,

    async voices(context) {
      const list = format.voiceList
      if (list === undefined) throw new TtsFault({ class: 'target', code: 'no_voice_list' })
      const call = list.call(endpointOf(context))
      if ('refused' in call) throw refusalFault(call)
      const response = await http.send(call, { signal: context.signal, firstByteMs: context.limits.firstByteMs })
      if (response.status !== 200) throw await statusFault(response, context)
      // The whole list has the first byte's time.
      const text = await readWhole(response.chunks, VOICE_LIST_BYTES_MAX)
      try {
        return list.read(JSON.parse(text)).slice(0, VOICES_MAX)
      } catch (cause) {
        throw new TtsFault({ class: 'provider', code: 'malformed', status: 200, cause })
      }
    },
  }
}

interface Opening {
  input: SpeechInput
  call: SpeechCall
  context: TtsContext
  response: SpeechHttpResponse
  startedAt: number
}

interface Spoken {
  body: AsyncIterable<Buffer>
  discard: () => void
  contentType: string | undefined
  usage: () => Usage | undefined
}

const emptySource: AudioSource = { next: async () => undefined, close: () => undefined }

function endpointOf({ key, baseUrl, params, headers }: TtsContext) {
  return { key, baseUrl, params, headers, callId: randomUUID() }
}

/** The vendor's own word for it, where that can be passed on. */
function contentTypeOf(input: SpeechInput, call: SpeechCall, reported: string | undefined): string {
  if (input.streamFormat === 'sse') return 'text/event-stream'
  return reported !== undefined && audioType.test(reported) ? reported : call.contentType
}

const audioType = /^audio\/[a-z0-9.+-]{1,60}(?:; ?[a-z]{1,20}=[a-z0-9.]{1,20}){0,3}$/i

const requestIdHeaders = ['x-request-id', 'request-id', 'x-requestid', 'x-tt-logid', 'x-trace-id']

function requestIdOf(headers: SpeechHttpResponse['headers']): string | undefined {
  for (const name of requestIdHeaders) {
    const value = single(headers[name])
    if (value !== undefined && /^[\x21-\x7e]{1,200}$/.test(value)) return value
  }
  return undefined
}

function single(value: string | string[] | undefined): string | undefined {
  return Array.isArray(value) ? value[0] : value
}
