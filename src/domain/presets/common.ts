import type { UpstreamAuth, UpstreamProtocol } from './preset.ts'

export const bearer = { kind: 'headers', headers: { authorization: 'Bearer {KEY}' } } as const satisfies UpstreamAuth

/** For servers that may stand open. */
export const optionalBearer: UpstreamAuth = { ...bearer, optional: true }

export const apiKeyHeader = { kind: 'headers', headers: { 'x-api-key': '{KEY}' } } as const satisfies UpstreamAuth

export const openaiPaths = {
  chat: 'chat/completions',
  responses: 'responses',
  completions: 'completions',
  embeddings: 'embeddings',
  speech: 'audio/speech',
  transcriptions: 'audio/transcriptions',
  translations: 'audio/translations',
} satisfies Partial<Record<UpstreamProtocol, string>>

/** Paths as OpenAI has them, for those of its protocols that a provider speaks. */
export function paths(...spoken: (keyof typeof openaiPaths)[]): Partial<Record<UpstreamProtocol, string>> {
  return Object.fromEntries(spoken.map((protocol) => [protocol, openaiPaths[protocol]]))
}
