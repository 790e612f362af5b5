import { createKeys } from '#domain/keys.ts'
import { createProjects } from '#domain/projects.ts'
import { defaultScopes, type Scope, scopes } from '#domain/scopes.ts'
import { keyView } from '#domain/views.ts'
import { withDatabase } from './books.ts'
import { CLI, type CliDeps, need, readArgs, readTime, UsageError } from './command.ts'
import { printJson } from './print.ts'

export const summary = 'Create a key for a project and show its secret, once.'
export const usage = `usage: fluxgate key create --project P --name N [--scopes LIST] [--expires TIME] [--json]

P is the id or the name of a project. LIST is of ${scopes.join(', ')}, separated by commas; ${defaultScopes.join(',')} unless
told otherwise. TIME has a zone, as in 2026-12-31T23:59:59Z.`

export async function run(deps: CliDeps, args: string[]): Promise<number> {
  const { values } = readArgs(args, {
    project: { type: 'string' },
    name: { type: 'string' },
    scopes: { type: 'string' },
    expires: { type: 'string' },
  })
  const idOrName = need(values.project, '--project')
  const name = need(values.name, '--name')
  const expiresAt = values.expires === undefined ? undefined : readTime(values.expires, '--expires')
  const given = values.scopes === undefined ? defaultScopes : readScopes(values.scopes)
  const { key, secret } = await withDatabase(deps, async (db) => {
    const project = await createProjects({ db }).resolve(idOrName)
    return createKeys({ db }).create({
      ...{ projectId: project.id, name, scopes: given },
      ...(expiresAt && { expiresAt }),
      by: CLI,
    })
  })
  if (values.json) printJson(deps.out, { ...keyView(key), secret })
  else deps.out.write(`created ${key.id} ${key.name}\n${secret}\nThis is the only time that the secret is shown.\n`)
  return 0
}

function readScopes(text: string): Scope[] {
  const names = text.split(',').map((name) => name.trim())
  const found = scopes.filter((scope) => names.includes(scope))
  if (found.length !== names.length) throw new UsageError(`--scopes must be of ${scopes.join(', ')}, each once`)
  return found
}
