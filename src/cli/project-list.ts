import { createProjects, PROJECTS_PAGE_MAX, type Project } from '#domain/projects.ts'
import { projectView } from '#domain/views.ts'
import { withDatabase } from './books.ts'
import { type CliDeps, readArgs } from './command.ts'
import { printJson, printTable } from './print.ts'

export const summary = 'List all projects by name.'
export const usage = 'usage: fluxgate project list [--json]'

export async function run(deps: CliDeps, args: string[]): Promise<number> {
  const { values } = readArgs(args, {})
  const all: Project[] = []
  await withDatabase(deps, async (db) => {
    const projects = createProjects({ db })
    for (let more = true; more; ) {
      const after = all.at(-1)?.name
      const page = await projects.list({ ...(after !== undefined && { after }), limit: PROJECTS_PAGE_MAX })
      all.push(...page.projects)
      more = page.hasMore
    }
  })
  if (values.json) printJson(deps.out, { object: 'list', data: all.map(projectView) })
  else printTable(deps.out, [['ID', 'NAME', 'CREATED'], ...all.map((p) => [p.id, p.name, p.createdAt.toISOString()])])
  return 0
}
