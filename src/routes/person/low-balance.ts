import { Type } from 'typebox'
import type { LowBalances } from '#domain/flux/low-balance.ts'
import { requireScope } from '#domain/scopes.ts'
import { person } from '#routes/credentials.ts'
import type { HttpInstance } from '#routes/http-instance.ts'
import { airiAnswers } from './airi-answers.ts'

const FLUX_MAX = 1_000_000_000

const Body = Type.Object(
  {
    thresholdFlux: Type.Union([Type.Integer({ minimum: 1, maximum: FLUX_MAX }), Type.Null()], {
      description: 'A mail is sent when the balance falls below it; null for no mail.',
    }),
  },
  { additionalProperties: false },
)

/** When a person wants a mail about a low balance. */
export function lowBalanceRoutes(app: HttpInstance, { lowBalances }: { lowBalances: LowBalances }) {
  app.get(
    '/api/v1/flux/alert',
    { schema: { summary: 'When you are told of a low balance', response: airiAnswers({ 200: Body }, 401, 403, 503) } },
    async (request) => ({ thresholdFlux: await lowBalances.threshold(person(request).projectId) }),
  )
  app.put(
    '/api/v1/flux/alert',
    {
      schema: {
        summary: 'Be told by mail of a low balance',
        body: Body,
        response: airiAnswers({ 200: Body }, 400, 401, 403, 503),
      },
    },
    async (request) => {
      const caller = person(request)
      requireScope(caller, 'admin')
      const { thresholdFlux } = request.body
      await lowBalances.setThreshold(caller.projectId, thresholdFlux)
      return { thresholdFlux }
    },
  )
}
