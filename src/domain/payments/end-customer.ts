import { type Db, transaction } from '#db/pool.ts'
import type { DeletionPart } from '#domain/people/deletion.ts'
import type { PaymentProvider } from './provider.ts'

/**
 * Ends what somebody who leaves has at Stripe: subscriptions, saved payment methods, the customer. What was paid stays in the books,
 * and names nobody. Without Stripe's key nothing can be ended there: the deletion waits where a subscription would go on.
 */
export function stripeDeletionPart(deps: { db: Db; provider: PaymentProvider | undefined }): DeletionPart {
  const { db, provider } = deps
  return {
    name: 'stripe',
    priority: 10,
    async run({ id }) {
      const { rows } = await db.query<{ projectId: string; customerId: string | null; subscribed: boolean }>(
        `select p.id as "projectId", c.id as "customerId",
                exists (select 1 from stripe_subscription s where s.project_id = p.id
                        and s.status not in ('canceled', 'incomplete_expired')) as subscribed
         from project p left join stripe_customer c on c.project_id = p.id where p.user_id = $1`,
        [id],
      )
      const [leaver] = rows
      if (leaver === undefined) return
      const { projectId, customerId } = leaver
      // Before Stripe is asked: nothing more is bought from here on.
      await db.query('update auto_top_up set enabled = false where project_id = $1', [projectId])
      if (provider === undefined && leaver.subscribed)
        throw new Error('STRIPE_SECRET_KEY is needed to cancel the subscription')
      if (customerId !== null) await provider?.deleteCustomer(customerId)
      await transaction(db, async (tx) => {
        await tx.query('delete from stripe_customer where project_id = $1', [projectId])
        await tx.query('delete from auto_top_up where project_id = $1', [projectId])
        await tx.query('update stripe_invoice set hosted_url = null, pdf_url = null where project_id = $1', [projectId])
        await tx.query('update stripe_event set customer_id = null where customer_id = $1', [customerId])
      })
    },
  }
}
