import { contentLevels } from '#domain/conversations/content-level.ts'
import { createProjects, RETENTION_DAYS_MAX } from '#domain/projects.ts'
import { projectView } from '#domain/views.ts'
import { withDatabase } from './books.ts'
import { CLI, type CliDeps, readArgs, UsageError } from './command.ts'
import { printJson } from './print.ts'

export const summary = 'Say what a project keeps of the conversations that its clients report.'
export const usage = `usage: fluxgate project set PROJECT [--content-logging LEVEL] [--retention-days N] [--json]

PROJECT is an id or a name. LEVEL is none, metadata or full; what was kept before goes when its days are over.`

export async function run(deps: CliDeps, args: string[]): Promise<number> {
  const options = { 'content-logging': { type: 'string' }, 'retention-days': { type: 'string' } } as const
  const { values, words } = readArgs(args, options, ['PROJECT'])
  const [name = ''] = words
  const changes = {
    contentLogging: readLevel(values['content-logging']),
    contentRetentionDays: readDays(values['retention-days']),
  }
  if (changes.contentLogging === undefined && changes.contentRetentionDays === undefined)
    throw new UsageError('nothing to set')
  const project = await withDatabase(deps, async (db) => {
    const projects = createProjects({ db })
    return projects.update((await projects.resolve(name)).id, changes, CLI)
  })
  if (values.json) printJson(deps.out, projectView(project))
  else {
    const kept = `${project.contentLogging}, ${project.contentRetentionDays} days`
    deps.out.write(`${project.id} ${project.name}: ${kept}\n`)
  }
  return 0
}

function readLevel(text: string | undefined) {
  const level = contentLevels.find((name) => name === text)
  if (text !== undefined && level === undefined)
    throw new UsageError(`--content-logging must be one of ${contentLevels.join(', ')}`)
  return level
}

function readDays(text: string | undefined): number | undefined {
  if (text === undefined) return undefined
  const days = /^\d{1,4}$/.test(text) ? Number(text) : 0
  if (days < 1 || days > RETENTION_DAYS_MAX)
    throw new UsageError(`--retention-days must be an integer from 1 to ${RETENTION_DAYS_MAX}`)
  return days
}
