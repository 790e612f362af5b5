type Answer = Readonly<Record<string, unknown>>

const text = { type: 'string' as const }
const query = (name: string, description: string, required = false) => ({
  name,
  in: 'query' as const,
  required,
  description,
  schema: text,
})

const speechRequest = {
  type: 'object' as const,
  required: ['input'],
  additionalProperties: true,
  properties: {
    model: {
      type: 'string' as const,
      description: 'Without it, or as `auto`: the default model.',
      examples: ['sim/speak'],
    },
    input: { type: 'string' as const, minLength: 1, description: 'What is to be said.' },
    voice: { type: 'string' as const },
    response_format: { type: 'string' as const, enum: ['mp3', 'opus', 'aac', 'flac', 'wav', 'pcm'] },
    speed: { type: 'number' as const, minimum: 0.25, maximum: 4 },
    instructions: text,
    stream_format: { type: 'string' as const, enum: ['audio', 'sse'] },
    extra_body: { type: 'object' as const, additionalProperties: true },
  },
}

const form = {
  type: 'object' as const,
  required: ['file'],
  additionalProperties: true,
  properties: {
    file: { type: 'string' as const, format: 'binary' },
    model: { type: 'string' as const, description: 'Before the file, and the file is passed on as it comes.' },
    response_format: {
      type: 'string' as const,
      enum: ['json', 'text', 'srt', 'verbose_json', 'vtt', 'diarized_json'],
    },
    stream: { type: 'boolean' as const },
    prompt: text,
    language: text,
    temperature: { type: 'number' as const },
    'timestamp_granularities[]': { type: 'array' as const, items: text },
  },
}

const airiError = {
  type: 'object' as const,
  required: ['error', 'message'],
  properties: { error: text, message: text, details: { type: 'object' as const, additionalProperties: true } },
}
const airi = (description: string) => ({ description, content: { 'application/json': { schema: airiError } } })

const audio = { 'audio/*': { schema: { type: 'string' as const, format: 'binary' } } }
const anything = { 'application/json': { schema: { type: 'object' as const, additionalProperties: true } } }
const security = [{ clientKey: [] }]
const tags = ['speech']

/** The addresses of speech, as the OpenAPI document has them. `parts`: what every address can answer. */
export function speechDocument(parts: {
  refused: (description: string) => Answer
  alwaysPossible: Readonly<Record<string, Answer>>
  answerHeaders: Answer
}) {
  const { refused, alwaysPossible, answerHeaders } = parts
  const charged = {
    400: refused('The request cannot be served, or the model has no price.'),
    ...alwaysPossible,
    402: refused('The wallet does not cover the call.'),
    404: refused('No model has this name.'),
    409: refused('The idempotency key is in use or was used.'),
    413: refused('The body is too large.'),
    415: refused('The body is not of the media type that this address takes, or is compressed.'),
    429: refused('The provider limits the rate.'),
    '4XX': refused('The provider finds the request at fault: its own status, type, code and words.'),
    502: refused('Every upstream failed.'),
    503: refused('No default model, the ledger cannot be reached, or the gateway is at its limit.'),
    504: refused('The provider did not answer in time.'),
  }
  const listed = (description: string) => ({
    200: { description, content: anything },
    ...alwaysPossible,
    404: refused('No model has this name.'),
    503: refused('The key cannot be checked, or there is no default model.'),
  })
  const airiAlways = {
    401: airi('The key is not valid.'),
    403: airi('The key lacks the scope `inference`.'),
    500: airi('The gateway failed to handle this request.'),
    503: airi('A setting is missing, or the key cannot be checked.'),
  }
  const airiListed = (description: string) => ({ 200: { description, content: anything }, ...airiAlways })
  const hear = (summary: string) => ({
    post: {
      tags,
      summary,
      security,
      requestBody: { required: true, content: { 'multipart/form-data': { schema: form } } },
      responses: {
        200: {
          description: 'The text in the format that was asked for, or its events.',
          headers: answerHeaders,
          content: {
            ...anything,
            'text/plain': { schema: text },
            'text/vtt': { schema: text },
            'text/event-stream': { schema: text },
          },
        },
        ...charged,
      },
    },
  })
  return {
    '/v1/audio/speech': {
      post: {
        tags,
        summary: 'Speak a text, charged once',
        description:
          'The request is that of the OpenAI API. `x-fluxgate-voice` names the voice where another one spoke.',
        security,
        requestBody: { required: true, content: { 'application/json': { schema: speechRequest } } },
        responses: {
          200: { description: 'Audio as it is made, or speech events.', headers: answerHeaders, content: audio },
          ...charged,
        },
      },
    },
    '/v1/audio/transcriptions': hear('Write down what is said, charged once'),
    '/v1/audio/translations': hear('Write down in English what is said, charged once'),
    '/v1/audio/voices': {
      get: {
        tags,
        summary: 'The voices of a model',
        security,
        parameters: [query('model', 'Without it: the default model, or all that can serve.')],
        responses: listed('`voices`, and `recommended` by locale.'),
      },
    },
    '/v1/audio/models': {
      get: { tags, summary: 'The models that speak', security, responses: listed('`models`, and the `default` one.') },
    },
    '/api/v1/audio/speech': {
      post: {
        tags,
        summary: 'Speak a text, for AIRI',
        security,
        requestBody: { required: true, content: { 'application/json': { schema: speechRequest } } },
        responses: {
          200: { description: 'Audio as it is made.', headers: answerHeaders, content: audio },
          204: { description: 'The wallet is empty, and nobody asked to hear it.' },
          400: airi('The request cannot be served.'),
          402: airi('The wallet does not cover the call.'),
          502: airi('Every upstream failed.'),
          504: airi('The provider did not answer in time.'),
          ...airiAlways,
        },
      },
    },
    '/api/v1/audio/voices': {
      get: {
        tags,
        summary: 'The voices of a model, for AIRI',
        security,
        parameters: [query('model', '`auto` is the default model.', true)],
        responses: {
          ...airiListed('`voices`, and `recommended` by locale.'),
          400: airi('The model is missing or unknown.'),
        },
      },
    },
    '/api/v1/audio/models': {
      get: { tags, summary: 'The models that speak, for AIRI', security, responses: airiListed('`models`.') },
    },
    '/api/v1/audio/voices/streaming': {
      get: {
        tags,
        summary: 'The voices of streaming speech',
        security,
        parameters: [query('model', 'Without it: the default model.')],
        responses: { ...airiListed('`voices`.'), 502: airi('The vendor cannot be asked.') },
      },
    },
    '/api/v1/audio/models/streaming': {
      get: {
        tags,
        summary: 'The models of streaming speech',
        security,
        responses: airiListed('`available`, `models`, `default`.'),
      },
    },
    '/api/v1/audio/transcriptions/stream': {
      post: {
        tags,
        summary: 'Write down what is said while it is said, for AIRI',
        security,
        parameters: [query('model', 'Without it, or as `auto`: the default model.')],
        requestBody: {
          required: true,
          content: { 'audio/*': { schema: { type: 'string' as const, format: 'binary' } } },
        },
        responses: {
          200: { description: 'Events.', headers: answerHeaders, content: { 'text/event-stream': { schema: text } } },
          400: airi('The model cannot hear like this, or has no price.'),
          402: airi('The wallet does not cover a second.'),
          415: airi('The body is no audio.'),
          502: airi('Every upstream failed.'),
          504: airi('The provider did not answer in time.'),
          ...airiAlways,
        },
      },
    },
    '/api/v1/audio/speech/ws': {
      get: {
        tags,
        summary: 'Streaming speech over WebSocket',
        description: 'An upgrade. The frames and the codes that it closes with are in docs/speech.md.',
        security,
        parameters: [query('token', 'A client key; it may be shown in the first frame or a subprotocol instead.')],
        responses: { 101: { description: 'The connection is a WebSocket now.' } },
      },
    },
  }
}
