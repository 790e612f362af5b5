import { settingView } from '#domain/router-views.ts'
import { type CliDeps, readArgs } from './command.ts'
import { printJson } from './print.ts'
import { withRouter } from './router-door.ts'

export const summary = 'Show one setting, redacted.'
export const usage = `usage: fluxgate settings get NAME [--json]

Prints its value, or its default, as JSON. Exit code 1 when it has neither.`

export async function run(deps: CliDeps, args: string[]): Promise<number> {
  const { values, words } = readArgs(args, {}, ['NAME'])
  const shown = await withRouter(deps, ({ settings }) => settings.get(words[0] ?? ''))
  const { key, value } = shown
  if (values.json) printJson(deps.out, settingView(shown))
  else if (value === undefined) deps.err.write(`${key} is not set and has no default\n`)
  else printJson(deps.out, value)
  return value === undefined ? 1 : 0
}
