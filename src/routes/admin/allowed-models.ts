import { Type } from 'typebox'
import { ALLOWED_MAX, type AllowedModels, type ModelSubject } from '#domain/allowed-models.ts'
import { actorOf } from '#routes/credentials.ts'
import type { HttpInstance } from '#routes/http-instance.ts'
import { answers, PathId } from '#routes/schemas.ts'

const Models = Type.Union([
  Type.Array(Type.String({ minLength: 1, maxLength: 255, pattern: '^[^\\u0000-\\u001f]*$' }), {
    minItems: 1,
    maxItems: ALLOWED_MAX,
    description: 'Names as clients ask for them; one that ends with a star stands for all that begin so.',
  }),
  Type.Null(),
])
const ListBody = Type.Object({ object: Type.Literal('allowed_models'), models: Models })

export function allowedModelRoutes(app: HttpInstance, deps: { allowedModels: AllowedModels }) {
  const { allowedModels } = deps
  for (const [path, kind, whose] of [
    ['/api/admin/projects/:id/allowed-models', 'project', 'the keys of a project'],
    ['/api/admin/keys/:id/allowed-models', 'key', 'a key'],
  ] as const) {
    const subject = (id: string): ModelSubject => ({ kind, id })
    app.get(
      path,
      {
        schema: {
          summary: `The models that ${whose} may use; null for all`,
          params: PathId,
          response: answers({ 200: ListBody }, 401, 404, 503),
        },
      },
      async (request) => ({
        object: 'allowed_models' as const,
        models: await allowedModels.get(subject(request.params.id)),
      }),
    )
    app.put(
      path,
      {
        schema: {
          summary: `Say which models ${whose} may use, everywhere within a second; null allows all`,
          description: 'A call must be allowed by the list of its project and by that of its key.',
          params: PathId,
          body: Type.Object({ models: Models }, { additionalProperties: false }),
          response: answers({ 200: ListBody }, 400, 401, 404, 413, 415, 503),
        },
      },
      async (request) => {
        const { models } = request.body
        await allowedModels.set(subject(request.params.id), models, actorOf(request))
        return { object: 'allowed_models' as const, models }
      },
    )
  }
}
