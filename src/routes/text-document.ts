import type { textPaths } from './surfaces.ts'

type Answer = Readonly<Record<string, unknown>>

interface Shared {
  /** An error in OpenAI's shape. */
  refused(description: string): Answer
  answerHeaders: Answer
}

interface TextDocument {
  summary: string
  description: string
  /** Members that are read here; all others pass. */
  required: string[]
  properties: Record<string, object>
  example: object
  streams: boolean
  errors: 'openai' | 'anthropic' | 'airi'
}

const string = { type: 'string' as const }
const flag = { type: 'boolean' as const, default: false }
const count = { type: 'integer' as const, minimum: 1 }
const list = { type: 'array' as const, minItems: 1, items: { type: 'object' as const, additionalProperties: true } }
const model = { type: 'string' as const, examples: ['sim/echo'] }
const hello = [{ role: 'user', content: 'Hello' }]

const chat = {
  required: ['model', 'messages'],
  properties: { model, messages: list, stream: flag, max_completion_tokens: count },
  example: { model: 'sim/echo', messages: hello },
  streams: true,
}

const documents: Record<keyof typeof textPaths, TextDocument> = {
  '/v1/chat/completions': {
    ...chat,
    summary: 'Chat with a model, charged once',
    description: 'The request and the answer are those of the OpenAI API, streamed or not.',
    errors: 'openai',
  },
  '/v1/responses': {
    summary: 'A response of a model, charged once',
    description:
      'The request and the answer are those of the OpenAI API, without state: nothing is stored, and members that refer to stored things are refused.',
    required: ['model', 'input'],
    properties: { model, input: { type: ['string', 'array'] }, stream: flag, max_output_tokens: count },
    example: { model: 'sim/echo', input: 'Hello' },
    streams: true,
    errors: 'openai',
  },
  '/v1/messages': {
    summary: 'A message of a model, charged once',
    description: 'The request, the answer and the errors are those of the Anthropic API, streamed or not.',
    required: ['model', 'messages', 'max_tokens'],
    properties: { model, messages: list, max_tokens: { type: 'integer', minimum: 0 }, stream: flag },
    example: { model: 'sim/echo', max_tokens: 100, messages: hello },
    streams: true,
    errors: 'anthropic',
  },
  '/v1/completions': {
    summary: 'A legacy completion, charged once',
    description: 'The request and the answer are those of the OpenAI API. Passed on to upstreams that know it.',
    required: ['model', 'prompt'],
    properties: { model, prompt: { type: ['string', 'array'] }, stream: flag, max_tokens: count },
    example: { model: 'sim/echo', prompt: 'Hello' },
    streams: true,
    errors: 'openai',
  },
  '/v1/embeddings': {
    summary: 'Embeddings, charged once',
    description: 'The request and the answer are those of the OpenAI API.',
    required: ['model', 'input'],
    properties: {
      model: { type: 'string', examples: ['sim/embed'] },
      input: { type: ['string', 'array'] },
      encoding_format: { type: 'string', enum: ['float', 'base64'] },
      dimensions: count,
    },
    example: { model: 'sim/embed', input: 'Hello' },
    streams: false,
    errors: 'openai',
  },
  '/api/v1/openai/chat/completions': {
    ...chat,
    required: ['messages'],
    summary: 'Chat with a model, for AIRI',
    description:
      'As /v1/chat/completions, with errors in the shape of AIRI; without a model, or as `auto`, the default one.',
    errors: 'airi',
  },
  '/api/v1/openai/chat/completion': {
    ...chat,
    required: ['messages'],
    summary: 'The same under its older name',
    description: 'As /api/v1/openai/chat/completions.',
    errors: 'airi',
  },
}

const label = (name: string, description: string) => ({
  name,
  in: 'header' as const,
  description,
  schema: { ...string, maxLength: 255 },
})

const parameters = [
  label('Idempotency-Key', 'The same key with the same body is one call: charged once, answered alike for a day.'),
  label('x-fluxgate-alias', 'A label of your own, stored with the call; never resolved.'),
  label('x-fluxgate-profile', 'A label of your own.'),
  label('x-fluxgate-origin', 'A label of your own.'),
  label('x-fluxgate-lock-digest', 'The digest of your lockfile, for the receipt.'),
  {
    ...label('x-fluxgate-translation', '`strict` refuses what cannot be carried to an upstream of another protocol.'),
    schema: { ...string, enum: ['lax', 'strict'] },
  },
]

const anthropicError = {
  type: 'object' as const,
  required: ['type', 'error', 'request_id'],
  properties: {
    type: { ...string, enum: ['error'] },
    error: {
      type: 'object' as const,
      required: ['type', 'message'],
      properties: { type: string, message: string, details: { type: 'object' as const, additionalProperties: true } },
    },
    request_id: { type: ['string', 'null'] },
  },
}
const airiError = {
  type: 'object' as const,
  required: ['error', 'message'],
  properties: { error: string, message: string, details: { type: 'object' as const, additionalProperties: true } },
}
const object = { type: 'object' as const, additionalProperties: true }

/** The routes for text, as the OpenAPI document shows them. */
export function textDocument(shared: Shared): Record<string, { post: object }> {
  const shapes = {
    openai: shared.refused,
    anthropic: (description: string): Answer => json(description, anthropicError),
    airi: (description: string): Answer => json(description, airiError),
  }
  const paths = Object.entries(documents).map(([path, document]) => {
    const refused = shapes[document.errors]
    return [path, { post: operation(document, refused, shared) }]
  })
  return { ...Object.fromEntries(paths), '/v1/messages/count_tokens': { post: counting(shapes.anthropic) } }
}

function json(description: string, schema: object): Answer {
  return { description, content: { 'application/json': { schema } } }
}

function operation(document: TextDocument, refused: (description: string) => Answer, shared: Shared) {
  const { summary, description, required, properties, example, streams } = document
  return {
    tags: ['models'],
    summary,
    description: `${description} Fields not named here pass through, or are carried to another protocol where the upstream speaks one.`,
    security: [{ clientKey: [] }],
    parameters,
    requestBody: body({ type: 'object', required, additionalProperties: true, properties, examples: [example] }),
    responses: {
      200: {
        description: streams ? 'The answer, or its events as server-sent events.' : 'The answer.',
        headers: shared.answerHeaders,
        content: {
          'application/json': { schema: object },
          ...(streams && { 'text/event-stream': { schema: string } }),
        },
      },
      400: refused('The body, a label or the price of the model is not valid, or no upstream can be asked for this.'),
      401: refused('The key is not valid.'),
      402: refused('The wallet does not cover the call.'),
      403: refused('The key lacks the scope `inference`.'),
      404: refused('No model has this name.'),
      405: refused('This address answers to POST.'),
      409: refused('The idempotency key is in use or was used.'),
      413: refused('The body is too large.'),
      415: refused('The body is not application/json, or is compressed.'),
      429: refused('The provider limits the rate.'),
      431: refused('The request has too many headers.'),
      '4XX': refused('The provider finds the request at fault: its own status, type, code and words.'),
      500: refused('The gateway failed to handle this request.'),
      502: refused('Every upstream failed.'),
      503: refused('The ledger cannot be reached, no provider key opens, or the gateway is at its limit.'),
      504: refused('The provider did not answer in time.'),
    },
  }
}

function counting(refused: (description: string) => Answer) {
  return {
    tags: ['models'],
    summary: 'How many tokens a message has; free of charge',
    description: 'Counted by the provider where it counts, else by us: `x-fluxgate-usage-source` says which.',
    security: [{ clientKey: [] }],
    requestBody: body({
      type: 'object',
      required: ['model', 'messages'],
      additionalProperties: true,
      properties: { model, messages: list },
      examples: [{ model: 'sim/echo', messages: hello }],
    }),
    responses: {
      200: json('The count.', {
        type: 'object',
        required: ['input_tokens'],
        properties: { input_tokens: { type: 'integer', minimum: 0 } },
      }),
      400: refused('The body is not valid.'),
      401: refused('The key is not valid.'),
      403: refused('The key lacks the scope `inference`.'),
      404: refused('No model has this name.'),
      405: refused('This address answers to POST.'),
      413: refused('The body is too large.'),
      415: refused('The body is not application/json, or is compressed.'),
      431: refused('The request has too many headers.'),
      500: refused('The gateway failed to handle this request.'),
      502: refused('The provider failed.'),
      503: refused('The key cannot be checked, or the gateway is at its limit.'),
      504: refused('The provider did not answer in time.'),
    },
  }
}

function body(schema: object) {
  return { required: true, content: { 'application/json': { schema } } }
}
