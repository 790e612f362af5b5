import { VERSIONS_PAGE_MAX } from '#domain/router/router-store.ts'
import { routerVersionView } from '#domain/router-views.ts'
import { type CliDeps, readArgs, UsageError } from './command.ts'
import { printJson, printTable } from './print.ts'
import { withRouter } from './router-door.ts'
import { readVersion } from './router-version.ts'

const LIMIT = 20

export const summary = 'List the versions of the router config, newest first.'
export const usage = `usage: fluxgate router history [--limit N] [--before VERSION] [--json]

N is 1 to ${VERSIONS_PAGE_MAX}, ${LIMIT} when nothing is said.`

export async function run(deps: CliDeps, args: string[]): Promise<number> {
  const { values } = readArgs(args, { limit: { type: 'string' }, before: { type: 'string' } })
  const limit = Number(values.limit ?? LIMIT)
  if (!Number.isInteger(limit) || limit < 1 || limit > VERSIONS_PAGE_MAX)
    throw new UsageError(`--limit must be a number from 1 to ${VERSIONS_PAGE_MAX}`)
  const before = values.before === undefined ? undefined : readVersion(values.before)
  const page = await withRouter(deps, ({ router }) => router.list({ limit, ...(before !== undefined && { before }) }))
  const rows = page.versions.map(routerVersionView)
  if (values.json) {
    printJson(deps.out, {
      object: 'list',
      data: rows,
      has_more: page.hasMore,
      next_after: rows.at(-1)?.version ?? null,
    })
    return 0
  }
  printTable(deps.out, [
    ['VERSION', 'WRITTEN', 'AUTHOR', 'ETAG', 'REASON'],
    ...rows.map(({ version, created_at, author, etag, reason, rollback_of }) => [
      String(version),
      created_at,
      author,
      etag,
      rollback_of === null ? reason : `${reason} (again version ${rollback_of})`,
    ]),
  ])
  if (page.hasMore) deps.err.write(`there are older ones: --before ${rows.at(-1)?.version}\n`)
  return 0
}
