import { type ApiKey, createKeys, KEYS_PAGE_MAX } from '#domain/keys.ts'
import { createProjects } from '#domain/projects.ts'
import { keyView } from '#domain/views.ts'
import { withDatabase } from './books.ts'
import { type CliDeps, need, readArgs } from './command.ts'
import { printJson, printTable } from './print.ts'

export const summary = 'List the keys of a project, oldest first.'
export const usage = `usage: fluxgate key list --project P [--json]

P is the id or the name of a project.`

export async function run(deps: CliDeps, args: string[]): Promise<number> {
  const { values } = readArgs(args, { project: { type: 'string' } })
  const idOrName = need(values.project, '--project')
  const all: ApiKey[] = []
  await withDatabase(deps, async (db) => {
    const project = await createProjects({ db }).resolve(idOrName)
    const keys = createKeys({ db })
    for (let more = true; more; ) {
      const after = all.at(-1)?.id
      const page = await keys.list(project.id, { ...(after !== undefined && { after }), limit: KEYS_PAGE_MAX })
      all.push(...page.keys)
      more = page.hasMore
    }
  })
  if (values.json) printJson(deps.out, { object: 'list', data: all.map(keyView) })
  else printTable(deps.out, [['ID', 'NAME', 'SECRET', 'SCOPES', 'CREATED', 'LAST USED', 'STATE'], ...all.map(row)])
  return 0
}

function row(key: ApiKey): string[] {
  const used = key.lastUsedAt?.toISOString() ?? 'never'
  return [key.id, key.name, `…${key.hint}`, key.scopes.join(), key.createdAt.toISOString(), used, stateOf(key)]
}

function stateOf(key: ApiKey): string {
  if (key.revokedAt !== null) return `revoked ${key.revokedAt.toISOString()}`
  const state = key.expiresAt === null ? 'active' : `until ${key.expiresAt.toISOString()}`
  return key.rotatedTo === null ? state : `${state}, replaced by ${key.rotatedTo}`
}
