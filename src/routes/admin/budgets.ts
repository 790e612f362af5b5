import { Type } from 'typebox'
import { budgetView } from '#domain/budgets/budget-view.ts'
import { BUDGET_NANOS_MAX, type Budgets, budgetPeriods } from '#domain/budgets/budgets.ts'
import { actorOf } from '#routes/credentials.ts'
import type { HttpInstance } from '#routes/http-instance.ts'
import { answers, BudgetBody, Name, PathId } from '#routes/schemas.ts'
import { AppError } from '#src/errors.ts'

const BudgetPath = Type.Object({
  id: Type.String({ pattern: '^[0-9A-Za-z_]{1,100}$' }),
  budgetId: Type.String({ pattern: '^bud_[1-9][0-9]{0,17}$' }),
})
const Limit = Type.String({
  pattern: '^(0|[1-9][0-9]{0,17})$',
  description: 'Nano-dollars in a period, as a decimal string.',
})
const Warnings = Type.Array(Type.Integer({ minimum: 1, maximum: 1000 }), {
  maxItems: 10,
  uniqueItems: true,
  description: 'Percent of the limit at which operators are told, once each in a period. Default 80 and 100.',
})
const Label = Type.String({ minLength: 1, maxLength: 255 })
const NewBudget = Type.Object(
  {
    name: Name,
    limit_nanousd: Limit,
    period: Type.Enum(budgetPeriods),
    time_zone: Type.Optional(
      Type.String({ minLength: 1, maxLength: 64, description: 'Where days begin. Default UTC.' }),
    ),
    warn_percent: Type.Optional(Warnings),
    key_id: Type.Optional(Type.String({ minLength: 1, maxLength: 100 })),
    user_id: Type.Optional(Type.String({ minLength: 1, maxLength: 64 })),
    model: Type.Optional(Label),
    alias: Type.Optional(Label),
    tag: Type.Optional(Type.String({ minLength: 1, maxLength: 64 })),
  },
  { additionalProperties: false },
)
const Changes = Type.Object(
  {
    name: Type.Optional(Name),
    limit_nanousd: Type.Optional(Limit),
    warn_percent: Type.Optional(Warnings),
    active: Type.Optional(Type.Boolean()),
  },
  { additionalProperties: false, minProperties: 1 },
)
const ListBody = Type.Object({ object: Type.Literal('list'), data: Type.Array(BudgetBody) })

export function budgetRoutes(app: HttpInstance, deps: { budgets: Budgets }) {
  const { budgets } = deps

  app.get(
    '/api/admin/projects/:id/budgets',
    {
      schema: {
        summary: "A project's budgets, with what is used of them",
        params: PathId,
        response: answers({ 200: ListBody }, 401, 404, 503),
      },
    },
    async (request) => ({
      object: 'list' as const,
      data: (await budgets.list(request.params.id)).map(budgetView),
    }),
  )

  app.post(
    '/api/admin/projects/:id/budgets',
    {
      schema: {
        summary: 'Limit what calls of a project may spend in a period',
        description:
          'A call counts when everything that is set of `key_id`, `user_id`, `model`, `alias` and `tag` is its own.',
        params: PathId,
        body: NewBudget,
        response: answers({ 201: BudgetBody }, 400, 401, 404, 409, 413, 415, 503),
      },
    },
    async (request, reply) => {
      const { limit_nanousd, time_zone, warn_percent, key_id = null, user_id = null, ...rest } = request.body
      const input = {
        ...rest,
        limitNanos: readLimit(limit_nanousd),
        timeZone: time_zone,
        warnPercent: warn_percent,
        ...{ keyId: key_id, userId: user_id },
      }
      return reply.code(201).send(budgetView(await budgets.create(request.params.id, input, actorOf(request))))
    },
  )

  app.get(
    '/api/admin/projects/:id/budgets/:budgetId',
    {
      schema: {
        summary: 'A budget, with what is used of it',
        params: BudgetPath,
        response: answers({ 200: BudgetBody }, 401, 404, 503),
      },
    },
    async (request) => budgetView(await budgets.get(request.params.id, readId(request.params.budgetId))),
  )

  app.patch(
    '/api/admin/projects/:id/budgets/:budgetId',
    {
      schema: {
        summary: 'Change a budget; what was spent of it stays',
        description:
          'With `active` false it limits nothing and counts nothing; calls that run are counted to their end.',
        params: BudgetPath,
        body: Changes,
        response: answers({ 200: BudgetBody }, 400, 401, 404, 409, 413, 415, 503),
      },
    },
    async (request) => {
      const { limit_nanousd, warn_percent, name, active } = request.body
      const changes = {
        ...{ name, active, warnPercent: warn_percent },
        limitNanos: limit_nanousd === undefined ? undefined : readLimit(limit_nanousd),
      }
      const { id, budgetId } = request.params
      return budgetView(await budgets.update(id, readId(budgetId), changes, actorOf(request)))
    },
  )
}

/** What limits a client, for itself. */
export const BudgetListBody = ListBody

function readId(text: string): bigint {
  return BigInt(text.slice('bud_'.length))
}

function readLimit(text: string): bigint {
  const nanos = BigInt(text)
  if (nanos <= BUDGET_NANOS_MAX) return nanos
  throw new AppError('body_invalid', {
    message: "'limit_nanousd' must be at most a billion dollars.",
    param: 'limit_nanousd',
  })
}
