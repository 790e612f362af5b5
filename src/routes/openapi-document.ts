import type { FastifyDynamicSwaggerOptions } from '@fastify/swagger'
import { explainAnswer, explainRequest } from './explain.ts'
import { ErrorBody } from './schemas.ts'
import { speechDocument } from './speech-document.ts'
import { textDocument } from './text-document.ts'

const refused = (description: string) => ({ description, content: { 'application/json': { schema: ErrorBody } } })

const text = (description: string) => ({ description, schema: { type: 'string' as const } })

const answerHeaders = {
  'x-request-id': text('Names the call in logs.'),
  'x-fluxgate-receipt': text('The id of its receipt, known before the first byte of the answer.'),
  'x-fluxgate-model': text('The model that answered.'),
  'x-fluxgate-attempts': text('Upstreams tried.'),
  'x-upstream-request-id': text("The provider's own name of the call, where it gave one."),
  'x-fluxgate-charged-nanousd': text('What was charged; in a stream it stands in a comment before [DONE].'),
}

/** What every endpoint of the gateway can answer, before it looks at what is asked. */
const alwaysPossible = {
  401: refused('The key is not valid.'),
  403: refused('The key lacks the scope `inference`.'),
  405: refused('This address does not answer to this method; `allow` names those that it does.'),
  431: refused('The request has too many headers.'),
  500: refused('The gateway failed to handle this request.'),
}

const model = {
  type: 'object' as const,
  required: ['id', 'object', 'created', 'owned_by'],
  properties: {
    id: { type: 'string' as const, examples: ['sim/echo'] },
    object: { type: 'string' as const, enum: ['model'] },
    created: { type: 'integer' as const, description: 'Date of the price book, in Unix seconds.' },
    owned_by: { type: 'string' as const, description: 'The provider.' },
  },
}

const modelList = {
  type: 'object' as const,
  required: ['object', 'data'],
  properties: { object: { type: 'string' as const, enum: ['list'] }, data: { type: 'array' as const, items: model } },
}

/** The endpoints that the gateway serves beside this application. */
const gatewayPaths = {
  ...textDocument({ refused, answerHeaders }),
  '/v1/route:explain': {
    post: {
      tags: ['models'],
      summary: 'What a request would meet: who would be asked, who not and why, what would be held',
      description: 'A dry run: nothing is held, nobody is asked. A request that would be refused is refused alike.',
      security: [{ clientKey: [] }],
      requestBody: { required: true, content: { 'application/json': { schema: explainRequest } } },
      responses: {
        200: {
          description: 'The plan of the call.',
          content: { 'application/json': { schema: explainAnswer } },
        },
        400: refused('The body or the price of the model is not valid, or nobody can be asked for this.'),
        ...alwaysPossible,
        404: refused('No model has this name.'),
        413: refused('The body is too large.'),
        415: refused('The body is not application/json, or is compressed.'),
        503: refused('The key cannot be checked, no provider key opens, or the gateway is at its limit.'),
      },
    },
  },
  '/v1/models': {
    get: {
      tags: ['models'],
      summary: 'The models that can be called and have a price',
      security: [{ clientKey: [] }],
      responses: {
        200: {
          description: 'The list, in the shape of the OpenAI API.',
          content: { 'application/json': { schema: modelList } },
        },
        ...alwaysPossible,
        503: refused('The key cannot be checked.'),
      },
    },
  },
  '/v1/models/{id}': {
    get: {
      tags: ['models'],
      summary: 'One model that can be called and has a price',
      security: [{ clientKey: [] }],
      parameters: [
        {
          name: 'id',
          in: 'path' as const,
          required: true,
          description: 'Its name, `provider/model`; the slash may be escaped or not.',
          schema: { type: 'string' as const, examples: ['sim/echo'] },
        },
      ],
      responses: {
        200: {
          description: 'The model, in the shape of the OpenAI API.',
          content: { 'application/json': { schema: model } },
        },
        400: refused('The model has no price.'),
        ...alwaysPossible,
        404: refused('No model has this name.'),
        503: refused('The key cannot be checked.'),
      },
    },
  },
  ...speechDocument({ refused, alwaysPossible, answerHeaders }),
}

/** Methods of the paths that this application documents but does not serve. */
export const gatewayMethods = new Map<string, string[]>(
  Object.entries(gatewayPaths).map(([path, item]) => [
    path.replace('{id}', '*'),
    Object.keys(item).map((method) => method.toUpperCase()),
  ]),
)

type Paths = NonNullable<NonNullable<FastifyDynamicSwaggerOptions['openapi']>['paths']>

/** What the OpenAPI document says beyond the routes' own schemas. */
export function openapiOptions(version: string): FastifyDynamicSwaggerOptions {
  return {
    openapi: {
      openapi: '3.1.0',
      info: {
        title: 'Fluxgate',
        version,
        description:
          'A gateway for language models and speech that keeps books. Amounts are nano-dollars as decimal strings; times are UTC. ' +
          'Every response carries `x-request-id`; errors have the shape of the OpenAI API where nothing else is said, and `x-should-retry` says whether a retry can help.',
      },
      tags: [
        { name: 'models', description: 'Calling models, with a client key.' },
        { name: 'speech', description: 'Speaking and hearing, with a client key.' },
        { name: 'usage', description: 'Reporting and reading usage, as llmring’s clients do, with a client key.' },
        { name: 'person', description: "A person's own balance and what moved it, as AIRI's clients ask for it." },
        { name: 'account', description: "A project's own receipts and balance, with a client key." },
        { name: 'admin', description: 'Operating the gateway, with the admin key.' },
        { name: 'public', description: 'Open to everybody.' },
      ],
      components: {
        securitySchemes: {
          clientKey: { type: 'http', scheme: 'bearer', description: 'A key of a project; also accepted as X-API-Key.' },
          adminKey: { type: 'http', scheme: 'bearer', description: 'FLUXGATE_ADMIN_KEY; also accepted as X-API-Key.' },
        },
      },
      // A copy, because the routes' own paths are added to it.
      paths: structuredClone(gatewayPaths) as unknown as Paths,
    },
  }
}
