import { CONFIG_BYTES_MAX } from '#domain/router/parse-config.ts'
import { routerChangeView } from '#domain/router-views.ts'
import { type CliDeps, need, readArgs } from './command.ts'
import { printJson } from './print.ts'
import { readInput } from './read-input.ts'
import { AUTHOR, printDiff, printWarnings, withRouter } from './router-door.ts'

export const summary = 'Write a router config as a new version. Every gateway serves it within a second.'
export const usage = `usage: fluxgate router apply FILE|- --reason TEXT [--if-match ETAG] [--json]

FILE is a config as 'fluxgate router show' prints it; - reads standard input. A new key stands there as "plaintextKey" and is
sealed before it is stored. --if-match: the etag of what was read; refused when somebody has written since.`

export async function run(deps: CliDeps, args: string[]): Promise<number> {
  const { values, words } = readArgs(args, { reason: { type: 'string' }, 'if-match': { type: 'string' } }, ['FILE'])
  const reason = need(values.reason, '--reason')
  const ifMatch = values['if-match']
  const config = await readInput(deps, words[0] ?? '', CONFIG_BYTES_MAX)
  const change = await withRouter(deps, ({ router }) =>
    router.apply({ config, reason, author: AUTHOR, ...(ifMatch !== undefined && { ifMatch }) }),
  )
  if (values.json) {
    printJson(deps.out, routerChangeView(change))
    return 0
  }
  printWarnings(deps.err, change.warnings)
  const { version } = change.version
  deps.out.write(change.status === 'applied' ? `version ${version} holds\n` : `version ${version} says the same\n`)
  printDiff(deps.out, change.diff)
  return 0
}
