import { type CliDeps, readArgs } from './command.ts'
import { printJson } from './print.ts'
import { ACTOR, withWebhooks } from './webhook-door.ts'

export const summary = 'Remove a webhook and its deliveries.'
export const usage = 'usage: fluxgate webhook remove ID [--json]'

export async function run(deps: CliDeps, args: string[]): Promise<number> {
  const { values, words } = readArgs(args, {}, ['ID'])
  const [id = ''] = words
  await withWebhooks(deps, (webhooks) => webhooks.remove(id, ACTOR))
  if (values.json) printJson(deps.out, { object: 'webhook', id, removed: true })
  else deps.out.write(`removed ${id}\n`)
  return 0
}
