import { settingView } from '#domain/router-views.ts'
import { type CliDeps, readArgs } from './command.ts'
import { printJson, printTable } from './print.ts'
import { withRouter } from './router-door.ts'

export const summary = 'List the hot settings with their values or defaults, redacted.'
export const usage = 'usage: fluxgate settings list [--json]'

export async function run(deps: CliDeps, args: string[]): Promise<number> {
  const { values } = readArgs(args, {})
  const rows = (await withRouter(deps, ({ settings }) => settings.list())).map(settingView)
  if (values.json) printJson(deps.out, { object: 'list', data: rows })
  else
    printTable(deps.out, [
      ['SETTING', 'VALUE', 'SET BY'],
      ...rows.map(({ key, value, author, updated_at }) => [
        key,
        value === null ? '–' : JSON.stringify(value),
        author === null ? 'default' : `${author}, ${updated_at}`,
      ]),
    ])
  return 0
}
