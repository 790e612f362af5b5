import { createWebhookDeliveries } from '#domain/webhooks/deliveries.ts'
import { deliveryView } from '#domain/webhooks/views.ts'
import { type CliDeps, readArgs } from './command.ts'
import { printJson } from './print.ts'
import { ACTOR, withWebhooks } from './webhook-door.ts'

export const summary = 'Queue a test event for a webhook; a running gateway sends it.'
export const usage = 'usage: fluxgate webhook test ID [--json]'

export async function run(deps: CliDeps, args: string[]): Promise<number> {
  const { values, words } = readArgs(args, {}, ['ID'])
  const [id = ''] = words
  const delivery = await withWebhooks(deps, async (webhooks, db) => {
    const queued = await webhooks.test(id, ACTOR)
    return deliveryView(await createWebhookDeliveries({ db }).get(queued.deliveryId))
  })
  if (values.json) printJson(deps.out, delivery)
  else deps.out.write(`queued ${delivery.id} ${delivery.event_id}\n`)
  return 0
}
