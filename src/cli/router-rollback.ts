import { routerChangeView } from '#domain/router-views.ts'
import { type CliDeps, need, readArgs } from './command.ts'
import { printJson } from './print.ts'
import { AUTHOR, printDiff, printWarnings, withRouter } from './router-door.ts'
import { readVersion } from './router-version.ts'

export const summary = 'Make an old version of the router config hold again, as a new version.'
export const usage = `usage: fluxgate router rollback VERSION --reason TEXT [--if-match ETAG] [--json]

The keys are those of then; warnings name the ones that do not open any more.`

export async function run(deps: CliDeps, args: string[]): Promise<number> {
  const { values, words } = readArgs(args, { reason: { type: 'string' }, 'if-match': { type: 'string' } }, ['VERSION'])
  const to = readVersion(words[0] ?? '')
  const reason = need(values.reason, '--reason')
  const ifMatch = values['if-match']
  const change = await withRouter(deps, ({ router }) =>
    router.rollback({ to, reason, author: AUTHOR, ...(ifMatch !== undefined && { ifMatch }) }),
  )
  if (values.json) {
    printJson(deps.out, routerChangeView(change))
    return 0
  }
  printWarnings(deps.err, change.warnings)
  const { version } = change.version
  deps.out.write(
    change.status === 'applied'
      ? `version ${version} holds, with the content of version ${to}\n`
      : `version ${version} says what version ${to} says\n`,
  )
  printDiff(deps.out, change.diff)
  return 0
}
