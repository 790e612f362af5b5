import { webhookView } from '#domain/webhooks/views.ts'
import { type CliDeps, readArgs } from './command.ts'
import { printJson } from './print.ts'
import { ACTOR, withWebhooks } from './webhook-door.ts'

export const summary = 'Have events sent to an address, signed with the secret that is printed.'
export const usage = `usage: fluxgate webhook add URL [--events TYPE,...] [--description TEXT] [--json]

URL is https. Without --events it is told of everything: docs/webhooks.md. The secret is shown once.`

export async function run(deps: CliDeps, args: string[]): Promise<number> {
  const { values, words } = readArgs(args, { events: { type: 'string' }, description: { type: 'string' } }, ['URL'])
  const [url = ''] = words
  const eventTypes = values.events?.split(',').map((type) => type.trim())
  const input = { url, description: values.description, eventTypes }
  const { endpoint, secret } = await withWebhooks(deps, (webhooks) => webhooks.create(input, ACTOR))
  if (values.json) printJson(deps.out, { ...webhookView(endpoint), secret })
  else deps.out.write(`added ${endpoint.id} ${endpoint.url}\n${secret}\n`)
  return 0
}
