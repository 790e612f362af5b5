import { createKeys } from '#domain/keys.ts'
import { keyView } from '#domain/views.ts'
import { withDatabase } from './books.ts'
import { CLI, type CliDeps, readArgs } from './command.ts'
import { printJson } from './print.ts'

export const summary = 'Revoke a key for good; running gateways obey within a second.'
export const usage = `usage: fluxgate key revoke KEY_ID [--json]

KEY_ID is the id, key_…, never the secret.`

export async function run(deps: CliDeps, args: string[]): Promise<number> {
  const { values, words } = readArgs(args, {}, ['KEY_ID'])
  const [id = ''] = words
  const key = await withDatabase(deps, (db) => createKeys({ db }).revoke(id, { by: CLI }))
  if (values.json) printJson(deps.out, keyView(key))
  else deps.out.write(`revoked ${key.id} ${key.name} at ${key.revokedAt?.toISOString()}\n`)
  return 0
}
