import { createWebhookDeliveries } from '#domain/webhooks/deliveries.ts'
import { deliveryView } from '#domain/webhooks/views.ts'
import { withDatabase } from './books.ts'
import { type CliDeps, readArgs } from './command.ts'
import { printJson } from './print.ts'
import { ACTOR } from './webhook-door.ts'

export const summary = 'Send an event to a webhook again, under the id that it had.'
export const usage = `usage: fluxgate webhook resend DELIVERY [--json]

DELIVERY is an id as GET /api/admin/webhooks/ID/deliveries lists them. A running gateway sends it.`

export async function run(deps: CliDeps, args: string[]): Promise<number> {
  const { values, words } = readArgs(args, {}, ['DELIVERY'])
  const [id = ''] = words
  const delivery = await withDatabase(deps, async (db) =>
    deliveryView(await createWebhookDeliveries({ db }).resend(id, ACTOR)),
  )
  if (values.json) printJson(deps.out, delivery)
  else deps.out.write(`queued ${delivery.id} ${delivery.event_id}\n`)
  return 0
}
