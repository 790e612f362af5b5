import { routerConfigView } from '#domain/router-views.ts'
import { type CliDeps, readArgs } from './command.ts'
import { printJson } from './print.ts'
import { printWarnings, withRouter } from './router-door.ts'
import { readVersion } from './router-version.ts'

export const summary = 'Show the router config that holds, or one of its versions, redacted.'
export const usage = `usage: fluxgate router show [VERSION] [--json]

Prints the config alone, to be edited and handed to 'fluxgate router apply': a ciphertext '<ciphertext: N chars>' keeps its key.
What is known of the version goes to standard error; with --json it is around the config.`

export async function run(deps: CliDeps, args: string[]): Promise<number> {
  const { values, words } = readArgs(args, {}, [], 1)
  const version = words[0] === undefined ? undefined : readVersion(words[0])
  const shown = await withRouter(deps, ({ router }) => router.show(version))
  if (values.json) {
    printJson(deps.out, routerConfigView(shown))
    return 0
  }
  const { version: written, etag } = shown
  deps.err.write(
    written === undefined
      ? 'nothing was ever written\n'
      : `version ${written.version} by ${written.author}, ${written.createdAt.toISOString()}: ${written.reason}\netag ${etag}\n`,
  )
  for (const { path, message } of shown.problems)
    deps.err.write(`warning: gateways of this release cannot use it: ${path || 'it'} ${message}\n`)
  printWarnings(deps.err, shown.warnings)
  deps.out.write(`${JSON.stringify(shown.config, null, 2)}\n`)
  return 0
}
