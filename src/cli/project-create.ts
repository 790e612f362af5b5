import { createProjects } from '#domain/projects.ts'
import { projectView } from '#domain/views.ts'
import { withDatabase } from './books.ts'
import { CLI, type CliDeps, readArgs } from './command.ts'
import { printJson } from './print.ts'

export const summary = 'Create a project with an empty wallet.'
export const usage = 'usage: fluxgate project create NAME [--json]'

export async function run(deps: CliDeps, args: string[]): Promise<number> {
  const { values, words } = readArgs(args, {}, ['NAME'])
  const [name = ''] = words
  const project = await withDatabase(deps, (db) => createProjects({ db }).create({ name }, CLI))
  if (values.json) printJson(deps.out, projectView(project))
  else deps.out.write(`created ${project.id} ${project.name}\n`)
  return 0
}
