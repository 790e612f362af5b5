import type { FastifyReply, FastifyRequest } from 'fastify'
import { Type } from 'typebox'
import type { ModelRegistry } from '#domain/registry/registry.ts'
import type { RegistryDocument } from '#domain/registry/registry-document.ts'
import type { HttpInstance } from '#routes/http-instance.ts'
import { AppError } from '#src/errors.ts'
import { llmringAnswers } from './schemas.ts'

const NOW = 'public, max-age=3600'
const FOR_EVER = 'public, max-age=31536000, immutable'
const LIST_CHARS_MAX = 1_000

export interface RegistryDeps {
  registry: ModelRegistry
}

const Version = Type.String({ pattern: '^[1-9][0-9]{0,9}$', description: 'A number that a registry had.' })
const Provider = Type.String({ pattern: '^[a-z0-9][a-z0-9-]{0,99}$' })

/** What this gateway charges for each model, for everybody to read: as llmring-server serves it and as its registry publishes it. */
export function registryRoutes(app: HttpInstance, { registry }: RegistryDeps) {
  const same = Type.Null({ description: 'It is the one that you have.' })
  for (const path of ['/registry', '/registry.json']) {
    app.get(
      path,
      {
        schema: {
          summary: 'The models and what this gateway charges for them; no key is needed',
          querystring: Type.Object({
            providers: Type.Optional(list('Only these providers.')),
            capabilities: Type.Optional(
              list('Only models with all of these: vision, function_calling, or any other member that is true.'),
            ),
            version: Type.Optional(Type.String({ maxLength: LIST_CHARS_MAX, description: 'Ignored.' })),
          }),
          response: llmringAnswers({ 200: Registry, 304: same }, 422),
        },
      },
      (request, reply) => {
        const { providers, capabilities } = request.query
        const document = registry.whole({
          ...(providers !== undefined && { providers: namesOf(providers) }),
          ...(capabilities !== undefined && { capabilities: namesOf(capabilities) }),
        })
        return send(request, reply, document, NOW)
      },
    )
  }

  app.get(
    '/registry/v/:version/registry.json',
    {
      schema: {
        summary: 'The registry as it was under this number, for ever',
        params: Type.Object({ version: Version }),
        response: llmringAnswers({ 200: Registry, 304: same }, 404, 503),
      },
    },
    async (request, reply) => send(request, reply, await registry.archived(Number(request.params.version)), FOR_EVER),
  )

  app.get(
    '/registry/manifest.json',
    {
      schema: {
        summary: 'The versions of the providers’ files',
        response: llmringAnswers({ 200: Manifest, 304: same }),
      },
    },
    (request, reply) => send(request, reply, registry.manifest(), NOW),
  )

  app.get(
    '/registry/:provider/models.json',
    {
      schema: {
        summary: 'The models of one provider, as llmring’s registry publishes them',
        description: 'So that llmring’s clients can take this gateway for their registry.',
        params: Type.Object({ provider: Provider }),
        response: llmringAnswers({ 200: ProviderFile, 304: same }, 404),
      },
    },
    (request, reply) => send(request, reply, registry.provider(request.params.provider), NOW),
  )

  app.get(
    '/registry/:provider/v/:version/models.json',
    {
      schema: {
        summary: 'The models of one provider as they were under this number, for ever',
        params: Type.Object({ provider: Provider, version: Version }),
        response: llmringAnswers({ 200: ProviderFile, 304: same }, 404, 503),
      },
    },
    async (request, reply) => {
      const { provider, version } = request.params
      return send(request, reply, await registry.archived(Number(version), provider), FOR_EVER)
    },
  )
}

const Models = Type.Record(
  Type.String(),
  Type.Object(
    {
      provider: Type.String(),
      model_name: Type.String(),
      display_name: Type.String(),
      price_source: Type.Union([Type.Literal('price_book'), Type.Literal('published')], {
        description: '`published`: somebody else’s registry has this model, and this gateway has no price for it.',
      }),
      picousd_per_unit: Type.Optional(
        Type.Record(Type.String(), Type.String(), {
          description: 'Exact prices by kind of usage, in pico-dollars: "3000000" a token is $3 per million tokens.',
        }),
      ),
    },
    { additionalProperties: true, description: 'With the members of llmring’s registry: docs/registry.md.' },
  ),
  { description: 'By `provider:name`.' },
)

const Registry = Type.Object({
  version: Type.String({ description: 'A number: /registry/v/{version}/registry.json has this content for ever.' }),
  generated_at: Type.String({ format: 'date-time' }),
  models: Models,
  providers: Type.Record(Type.String(), Type.Object({ name: Type.String() }, { additionalProperties: true })),
  sources: Type.Object({}, { additionalProperties: true }),
})

const ProviderFile = Type.Object({
  provider: Type.String(),
  version: Type.Integer({ minimum: 1 }),
  updated_at: Type.String({ format: 'date-time' }),
  models: Models,
  sources: Type.Object({}, { additionalProperties: true }),
  content_sha256_jcs: Type.String({ description: 'SHA-256 of the canonical JSON of all other members.' }),
})

const Manifest = Type.Object({
  version: Type.String(),
  updated_at: Type.String({ format: 'date-time' }),
  schema_version: Type.String(),
  providers: Type.Record(Type.String(), Type.Object({}, { additionalProperties: true })),
})

function list(description: string) {
  return Type.String({ maxLength: LIST_CHARS_MAX, description: `${description} Separated by commas.` })
}

function namesOf(text: string): string[] {
  return text
    .split(',')
    .map((name) => name.trim())
    .filter((name) => name !== '')
}

/** Public data: any page may read it, any cache may keep it. */
function send(
  request: FastifyRequest,
  reply: FastifyReply,
  document: RegistryDocument | undefined,
  cacheControl: string,
): FastifyReply {
  if (document === undefined) throw new AppError('not_found', { message: 'The registry has no such file.' })
  reply.headers({
    'access-control-allow-origin': '*',
    'access-control-expose-headers': 'etag',
    'cache-control': cacheControl,
    etag: document.etag,
  })
  if (matches(request.headers['if-none-match'], document.etag)) return reply.code(304).send()
  return reply.type('application/json; charset=utf-8').send(document.body)
}

/** Whether a client has what is asked for. A proxy that compresses makes a tag weak. */
function matches(header: string | undefined, etag: string): boolean {
  if (header === undefined) return false
  return header.split(',').some((tag) => tag.trim() === '*' || tag.trim().replace(/^W\//, '') === etag)
}

/** Whether an address is of the registry, which pages of all origins may read. */
export function isRegistryPath(path: string): boolean {
  return /^\/registry(?:\.json)?(?:\/.*)?$/.test(path)
}
