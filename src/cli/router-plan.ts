import { CONFIG_BYTES_MAX } from '#domain/router/parse-config.ts'
import { routerPlanView } from '#domain/router-views.ts'
import { type CliDeps, readArgs } from './command.ts'
import { printJson } from './print.ts'
import { readInput } from './read-input.ts'
import { printDiff, printWarnings, withRouter } from './router-door.ts'

export const summary = 'Check a router config and show what it would change. Writes nothing.'
export const usage = `usage: fluxgate router plan FILE|- [--json]

FILE is a config as 'fluxgate router show' prints it; - reads standard input. A new key stands there as "plaintextKey".`

export async function run(deps: CliDeps, args: string[]): Promise<number> {
  const { values, words } = readArgs(args, {}, ['FILE'])
  const config = await readInput(deps, words[0] ?? '', CONFIG_BYTES_MAX)
  const plan = await withRouter(deps, ({ router }) => router.plan(config))
  if (values.json) {
    printJson(deps.out, routerPlanView(plan))
    return 0
  }
  printWarnings(deps.err, plan.warnings)
  if (!plan.changed) deps.out.write(`nothing would change: version ${plan.base.version} says the same\n`)
  else {
    deps.out.write(`compared with version ${plan.base.version}, etag ${plan.base.etag}\n`)
    printDiff(deps.out, plan.diff)
  }
  return 0
}
