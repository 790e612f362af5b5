import type { IncomingMessage } from 'node:http'
import { authenticate } from '#gateway/authenticate.ts'
import { type Exchange, exchangeHeaders } from '#gateway/call.ts'
import { handleLive } from '#gateway/speech/handle-live.ts'
import { handleSpeech } from '#gateway/speech/handle-speech.ts'
import { handleTranscription } from '#gateway/speech/handle-transcription.ts'
import type { SpeechGateway } from '#gateway/speech/speech.ts'
import { AppError } from '#src/errors.ts'
import { parseAiriSpeechRequest, parseSpeechRequest } from '#wire/speech-request.ts'
import { sendJson } from './send-json.ts'
import { airi, openai, type Surface } from './surfaces.ts'

type Handler = (req: IncomingMessage, exchange: Exchange) => Promise<void>

/** One address of speech. */
export interface SpeechPath {
  method: 'GET' | 'POST'
  surface: Surface
  handler: Handler
}

/** Models whose voices are listed together where none is named. */
const MODELS_MERGED_MAX = 20
const MODEL_CHARS_MAX = 255

/** The addresses of speech, by path. */
export function createSpeechPaths(gateway: SpeechGateway): ReadonlyMap<string, SpeechPath> {
  const { routes, voices, stream } = gateway.speech

  /** Counted among the open calls, so that a stop waits for it. */
  const counted =
    (handler: Handler): Handler =>
    async (req, exchange) => {
      gateway.openCalls.enter()
      try {
        await handler(req, exchange)
      } finally {
        gateway.openCalls.leave()
      }
    }

  const read =
    (answer: (query: URLSearchParams) => unknown): Handler =>
    async (req, exchange) => {
      await authenticate(gateway, req)
      const { searchParams } = new URL(req.url ?? '/', 'http://gateway')
      sendJson(exchange.res, 200, exchangeHeaders(exchange), await answer(searchParams))
    }

  async function voicesOf(model: string | undefined) {
    const route = routes.resolve(model)
    return { voices: await voices.list(route), recommended: route.voices.recommended }
  }

  /** Without a model: the default one's, or those of all that can serve. */
  async function anyVoices(query: URLSearchParams) {
    const model = query.get('model') ?? undefined
    if ((model !== undefined && model !== '') || routes.defaultModel() !== undefined)
      return await voicesOf(model || undefined)
    const lists = await Promise.all(
      routes
        .models()
        .slice(0, MODELS_MERGED_MAX)
        .map(({ id }) => servedVoices(id)),
    )
    const found = new Map(lists.flat().map((voice) => [voice.id, voice]))
    return { voices: [...found.values()], recommended: {} }
  }

  async function servedVoices(model: string) {
    try {
      return (await voicesOf(model)).voices
    } catch (error) {
      if (error instanceof AppError) return []
      throw error
    }
  }

  function models() {
    const listed = routes.models().map(({ id }) => ({ id, name: id }))
    const standard = routes.defaultModel()
    const auto = standard === undefined ? [] : [{ id: 'auto', name: 'Auto' }]
    return { models: [...auto, ...listed], ...(standard !== undefined && { default: standard }) }
  }

  async function streamingVoices(query: URLSearchParams) {
    const configured = stream.configured()
    const baseUrl = configured?.route.groups[0]?.upstreams[0]?.baseUrl
    if (configured === undefined || baseUrl === undefined) throw new AppError('streaming_speech_not_configured')
    const model = query.get('model') || configured.defaultModel
    if (model !== undefined && model.length > MODEL_CHARS_MAX)
      throw new AppError('body_invalid', { message: 'The model is no name of a model.', param: 'model' })
    return { voices: await gateway.speech.streamingVoices.list(baseUrl, model), recommended: {} }
  }

  function streamingModels() {
    const configured = stream.configured()
    return {
      available: configured !== undefined,
      models: configured?.models.map((model) => ({ name: model.id, ...model })) ?? [],
      default: configured?.defaultModel ?? null,
    }
  }

  return new Map<string, SpeechPath>([
    [
      '/v1/audio/speech',
      {
        method: 'POST',
        surface: openai,
        handler: counted((req, exchange) =>
          handleSpeech(gateway, req, exchange, { parse: parseSpeechRequest, airi: false }),
        ),
      },
    ],
    ...(['transcriptions', 'translations'] as const).map((protocol): [string, SpeechPath] => [
      `/v1/audio/${protocol}`,
      {
        method: 'POST',
        surface: openai,
        handler: counted((req, exchange) => handleTranscription(gateway, req, exchange, protocol)),
      },
    ]),
    [
      '/api/v1/audio/transcriptions/stream',
      { method: 'POST', surface: airi, handler: counted((req, exchange) => handleLive(gateway, req, exchange)) },
    ],
    ['/v1/audio/voices', { method: 'GET', surface: openai, handler: read(anyVoices) }],
    ['/v1/audio/models', { method: 'GET', surface: openai, handler: read(models) }],
    [
      '/api/v1/audio/speech',
      {
        method: 'POST',
        surface: airi,
        handler: counted((req, exchange) =>
          handleSpeech(gateway, req, exchange, { parse: parseAiriSpeechRequest, airi: true }),
        ),
      },
    ],
    [
      '/api/v1/audio/voices',
      {
        method: 'GET',
        surface: airi,
        handler: read((query) => {
          const model = query.get('model')
          if (model === null || model === '') throw new AppError('model_missing', { param: 'model' })
          return voicesOf(model)
        }),
      },
    ],
    ['/api/v1/audio/voices/streaming', { method: 'GET', surface: airi, handler: read(streamingVoices) }],
    ['/api/v1/audio/models/streaming', { method: 'GET', surface: airi, handler: read(streamingModels) }],
    [
      '/api/v1/audio/models',
      {
        method: 'GET',
        surface: airi,
        handler: read(() => ({ ...models(), models: [{ id: 'auto', name: 'Auto' }, ...namedModels()] })),
      },
    ],
  ])

  function namedModels() {
    return routes.models().map(({ id }) => ({ id, name: id }))
  }
}
