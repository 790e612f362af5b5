import type { IncomingHttpHeaders, IncomingMessage, ServerResponse } from 'node:http'
import { chat } from './chat.ts'
import { completions } from './completions.ts'
import { embeddings } from './embeddings.ts'
import { createFormBodyReader } from './form-reader.ts'
import { type BodyReader, createJsonReader } from './json-reader.ts'
import { countTokens, messages } from './messages.ts'
import type { Answer, CallRequest, Protocol } from './protocol.ts'
import type { Refusal } from './refusal.ts'
import { responses } from './responses.ts'
import type { createCalls } from './serve-call.ts'
import { speech } from './speech.ts'
import { transcriptions, translations } from './transcription.ts'
import type { Vendor } from './vendor.ts'

type ServeCall = ReturnType<typeof createCalls>

/** One address of the simulator and who answers there. */
export interface Route {
  vendor: Vendor
  createReader(headers: IncomingHttpHeaders): BodyReader
  serve(
    serveCall: ServeCall,
    request: IncomingMessage,
    response: ServerResponse,
    read: { body: unknown } | Refusal,
  ): void
}

const routes = new Map<string, Route>([
  ['/v1/chat/completions', jsonRoute(chat)],
  ['/v1/messages', jsonRoute(messages)],
  ['/v1/messages/count_tokens', jsonRoute(countTokens)],
  ['/v1/responses', jsonRoute(responses)],
  ['/v1/completions', jsonRoute(completions)],
  ['/v1/embeddings', jsonRoute(embeddings)],
  ['/v1/audio/speech', jsonRoute(speech)],
  ['/v1/audio/transcriptions', formRoute(transcriptions)],
  ['/v1/audio/translations', formRoute(translations)],
])

/** Who answers at this address. A query is ignored: some clients send one with every call. */
export function findRoute(url: string): Route | undefined {
  return routes.get(url) ?? routes.get(url.replace(/\?.*$/s, ''))
}

function jsonRoute<R extends CallRequest, A extends Answer>(protocol: Protocol<R, A>): Route {
  return { ...routeOf(protocol), createReader: createJsonReader }
}

function formRoute<R extends CallRequest, A extends Answer>(protocol: Protocol<R, A>): Route {
  return { ...routeOf(protocol), createReader: createFormBodyReader }
}

function routeOf<R extends CallRequest, A extends Answer>(protocol: Protocol<R, A>): Omit<Route, 'createReader'> {
  return {
    vendor: protocol.vendor,
    serve: (serveCall, request, response, read) => serveCall(protocol, request, response, read),
  }
}
