import { Type } from 'typebox'
import type { LimitEditor, LimitOwner } from '#domain/limits/limit-editor.ts'
import { actorOf } from '#routes/credentials.ts'
import type { HttpInstance } from '#routes/http-instance.ts'
import { answers, PathId } from '#routes/schemas.ts'

const Count = (max: number, description: string) =>
  Type.Optional(Type.Integer({ minimum: 1, maximum: max, description }))
const Limits = Type.Union([
  Type.Object(
    {
      requestsPerMinute: Count(1_000_000_000, 'Calls that begin in one minute of the clock.'),
      tokensPerMinute: Count(1_000_000_000_000, 'Input and output of the calls that end in it.'),
      concurrentCalls: Count(1_000_000_000, 'Calls that run at once.'),
    },
    { additionalProperties: false, minProperties: 1 },
  ),
  Type.Null(),
])
const LimitsBody = Type.Object({ object: Type.Literal('rate_limits'), limits: Limits })

export function rateLimitRoutes(app: HttpInstance, deps: { limitEditor: LimitEditor }) {
  const { limitEditor } = deps
  for (const [path, kind, whose] of [
    ['/api/admin/projects/:id/rate-limits', 'project', 'a project'],
    ['/api/admin/keys/:id/rate-limits', 'key', 'a key'],
  ] as const) {
    const owner = (id: string): LimitOwner => ({ kind, id })
    app.get(
      path,
      {
        schema: {
          summary: `The rate limits of ${whose}; null for those of the settings`,
          params: PathId,
          response: answers({ 200: LimitsBody }, 401, 404, 503),
        },
      },
      async (request) => ({
        object: 'rate_limits' as const,
        limits: await limitEditor.get(owner(request.params.id)),
      }),
    )
    app.put(
      path,
      {
        schema: {
          summary: `Set the rate limits of ${whose}, everywhere within a second; null for those of the settings`,
          description:
            'A call must be within the limits of its key, of its person and of its project. What is left out is not limited.',
          params: PathId,
          body: Type.Object({ limits: Limits }, { additionalProperties: false }),
          response: answers({ 200: LimitsBody }, 400, 401, 404, 413, 415, 503),
        },
      },
      async (request) => {
        const { limits } = request.body
        await limitEditor.set(owner(request.params.id), limits, actorOf(request))
        return { object: 'rate_limits' as const, limits }
      },
    )
  }
}
