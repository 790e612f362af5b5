import { webhookView } from '#domain/webhooks/views.ts'
import { type CliDeps, readArgs } from './command.ts'
import { printJson, printTable } from './print.ts'
import { withWebhooks } from './webhook-door.ts'

export const summary = 'List the webhooks that events are sent to.'
export const usage = 'usage: fluxgate webhook list [--json]'

export async function run(deps: CliDeps, args: string[]): Promise<number> {
  const { values } = readArgs(args, {})
  const all = await withWebhooks(deps, (webhooks) => webhooks.list())
  if (values.json) printJson(deps.out, { object: 'list', data: all.map(webhookView) })
  else {
    const rows = all.map((one) => [
      one.id,
      one.enabled ? 'enabled' : `disabled${one.disabledReason === null ? '' : `: ${one.disabledReason}`}`,
      one.eventTypes?.join(',') ?? 'all',
      one.url,
    ])
    printTable(deps.out, [['ID', 'STATE', 'EVENTS', 'URL'], ...rows])
  }
  return 0
}
