import { createProjects } from '#domain/projects.ts'
import { projectView } from '#domain/views.ts'
import { withDatabase } from './books.ts'
import { CLI, type CliDeps, readArgs } from './command.ts'
import { printJson } from './print.ts'

export const summary = 'Rename a project; its id, keys and history stay.'
export const usage = `usage: fluxgate project rename P NAME [--description TEXT] [--json]

P is the id or the present name of a project. An empty TEXT takes the description away.`

export async function run(deps: CliDeps, args: string[]): Promise<number> {
  const { values, words } = readArgs(args, { description: { type: 'string' } }, ['P', 'NAME'])
  const [idOrName = '', name = ''] = words
  const project = await withDatabase(deps, async (db) => {
    const projects = createProjects({ db })
    const { id } = await projects.resolve(idOrName)
    const { description } = values
    return projects.update(id, { name, ...(description !== undefined && { description: description || null }) }, CLI)
  })
  if (values.json) printJson(deps.out, projectView(project))
  else deps.out.write(`${project.id} is now ${project.name}\n`)
  return 0
}
