import type { Reply } from '#test/support/gateway.ts'

export type ColumnName = 'characters' | 'airi' | 'tokens' | 'events'

/** How the scenarios of failover are put to one kind of speech, and how its clients see what comes back. */
interface Column {
  path: string
  /** What the upstreams are asked for: billed by characters, or by tokens that the last event tells. */
  model: 'speak' | 'gpt-sim-tts'
  body(model: string): object
  /** What an error is called. */
  errorOf(reply: Reply): string
  /** What is heard. */
  soundOf(reply: Reply): Buffer
}

export const VOICE = 'nova'
/** A vendor that counts ideographs twice counts more of it. */
export const TEXT = 'Who is it that speaks now, is it 云希 or the other one?'

const request = (model: string) => ({ model, input: TEXT, voice: VOICE, response_format: 'pcm' })

const openai = {
  path: '/v1/audio/speech',
  body: request,
  errorOf: ({ json }: Reply): string => json.error.code ?? json.error.type,
  soundOf: ({ body }: Reply): Buffer => body,
}

export const columns: Readonly<Record<ColumnName, Column>> = {
  characters: { ...openai, model: 'speak' },
  airi: { ...openai, model: 'speak', path: '/api/v1/audio/speech', errorOf: ({ json }) => json.error },
  /** The client hears plain sound, whatever it comes in. */
  tokens: { ...openai, model: 'gpt-sim-tts' },
  events: {
    ...openai,
    model: 'gpt-sim-tts',
    body: (model) => ({ ...request(model), stream_format: 'sse' }),
    soundOf: ({ text }) =>
      Buffer.concat(
        // The last byte is held back until the call is settled: an event that broke off is none.
        [...text.matchAll(/^data: (\{.*\})\n\n/gm)]
          .map(([, data = '']) => JSON.parse(data) as { type: string; audio?: string })
          .map(({ audio = '' }) => Buffer.from(audio, 'base64')),
      ),
  },
}
