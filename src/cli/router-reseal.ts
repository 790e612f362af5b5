import { type CliDeps, readArgs } from './command.ts'
import { printJson } from './print.ts'
import { AUTHOR, withRouter } from './router-door.ts'

export const summary = 'Seal with the current master key what the previous one sealed.'
export const usage = `usage: fluxgate router reseal [--reason TEXT] [--dry-run] [--json]

Run it between setting LLM_ROUTER_MASTER_KEY_PREVIOUS and unsetting it: docs/credentials.md. Exit code 1 when a key opens with
neither master key; it is left as it is.`

export async function run(deps: CliDeps, args: string[]): Promise<number> {
  const { values } = readArgs(args, { reason: { type: 'string' }, 'dry-run': { type: 'boolean' } })
  const dryRun = values['dry-run'] ?? false
  const reason = values.reason ?? 'fluxgate router reseal'
  const done = await withRouter(deps, ({ router }) => router.reseal({ author: AUTHOR, reason, dryRun }))
  const code = done.closed.length === 0 ? 0 : 1
  if (values.json) {
    printJson(deps.out, { object: 'router_reseal', dry_run: dryRun, ...done })
    return code
  }
  for (const path of done.resealed) deps.out.write(`${dryRun ? 'would reseal' : 'resealed'} ${path}\n`)
  for (const { path, message } of done.closed) deps.err.write(`${path}: ${message}\n`)
  const { length: kept } = done.kept
  deps.out.write(
    `version ${done.version}: ${done.resealed.length} keys ${dryRun ? 'to be resealed' : 'resealed'}, ${kept} sealed with the current master key before, ${done.closed.length} closed\n`,
  )
  return code
}
