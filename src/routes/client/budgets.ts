import { budgetView } from '#domain/budgets/budget-view.ts'
import type { Budget, Budgets } from '#domain/budgets/budgets.ts'
import type { AuthenticatedKey } from '#domain/keyring.ts'
import { BudgetListBody } from '#routes/admin/budgets.ts'
import { clientKey } from '#routes/credentials.ts'
import type { HttpInstance } from '#routes/http-instance.ts'
import { answers } from '#routes/schemas.ts'

export function clientBudgetRoutes(app: HttpInstance, deps: { budgets: Budgets }) {
  app.get(
    '/v1/budgets',
    {
      schema: {
        summary: 'The budgets that calls with your key may count under, with what is left of them',
        response: answers({ 200: BudgetListBody }, 401, 403, 503),
      },
    },
    async (request) => {
      const key = clientKey(request)
      const all = await deps.budgets.list(key.projectId)
      return { object: 'list' as const, data: all.filter((budget) => concerns(budget, key)).map(budgetView) }
    },
  )
}

/** Not those of another key or person of the project; a member who is signed in sees all of them. */
function concerns({ active, keyId, userId }: Budget, key: AuthenticatedKey): boolean {
  if (key.signedIn === true && !key.personal) return active
  return active && (keyId === null || keyId === key.keyId) && (userId === null || userId === key.userId)
}
