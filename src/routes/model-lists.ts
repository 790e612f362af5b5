import type { IncomingHttpHeaders } from 'node:http'
import type { ListedModel } from '#gateway/routes.ts'

/** How a family of clients wants models told. `createdAt`: Unix seconds. */
interface ModelShape {
  list(models: readonly ListedModel[], createdAt: number): unknown
  one(model: ListedModel, createdAt: number): unknown
}

/** The shape that the caller's own headers ask for. */
export function modelShape(headers: IncomingHttpHeaders): ModelShape {
  if (headers['anthropic-version'] !== undefined) return anthropicModels
  if (headers['x-goog-api-key'] !== undefined) return geminiModels
  return openaiModels
}

const openaiModels: ModelShape = {
  list: (models, createdAt) => ({ object: 'list', data: models.map((model) => openaiModels.one(model, createdAt)) }),
  one: ({ id, ownedBy }, created) => ({ id, object: 'model', created, owned_by: ownedBy }),
}

/** Models of speech and embeddings are no messages models. */
const anthropicModels: ModelShape = {
  list(models, createdAt) {
    const data = models.filter(({ surface }) => surface === 'llm')
    return {
      data: data.map((model) => anthropicModels.one(model, createdAt)),
      has_more: false,
      first_id: data[0]?.id ?? null,
      last_id: data.at(-1)?.id ?? null,
    }
  },
  one: ({ id }, createdAt) => ({
    type: 'model',
    id,
    display_name: id,
    created_at: new Date(createdAt * 1000).toISOString(),
  }),
}

const geminiModels: ModelShape = {
  list: (models, createdAt) => ({
    models: models.filter(({ surface }) => surface === 'llm').map((model) => geminiModels.one(model, createdAt)),
  }),
  one: ({ id }) => ({ name: `models/${id}`, displayName: id, supportedGenerationMethods: ['generateContent'] }),
}
