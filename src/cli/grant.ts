import { createGrants } from '#domain/grants.ts'
import { createProjects } from '#domain/projects.ts'
import { grantView } from '#domain/views.ts'
import { amountOptions, formatUsd, readAmount } from './amount.ts'
import { withBooks } from './books.ts'
import { type CliDeps, need, readArgs, readTime } from './command.ts'
import { printJson } from './print.ts'

export const summary = "Credit a project's wallet, once per key."
export const usage = `usage: fluxgate grant --project P (--usd 5.25 | --nanousd N) --reason R --key K [--expires TIME] [--json]

P is the id or the name of a project. Running it again with the same K changes nothing; the same K with other values is
refused. TIME has a zone, as in 2026-12-31T23:59:59Z.`

export async function run(deps: CliDeps, args: string[]): Promise<number> {
  const { values } = readArgs(args, {
    ...amountOptions,
    project: { type: 'string' },
    reason: { type: 'string' },
    key: { type: 'string' },
    expires: { type: 'string' },
  })
  const idOrName = need(values.project, '--project')
  const input = {
    amountNanos: need(readAmount(values), '--usd or --nanousd'),
    reason: need(values.reason, '--reason'),
    idempotencyKey: need(values.key, '--key'),
    actor: 'cli',
    ...(values.expires !== undefined && { expiresAt: readTime(values.expires, '--expires') }),
  }
  const grant = await withBooks(deps, async ({ db, slot }) => {
    const project = await createProjects({ db }).resolve(idOrName)
    return createGrants({ db, slot }).grant({ ...input, projectId: project.id })
  })
  if (values.json) printJson(deps.out, { ...grantView(grant), replayed: grant.replayed })
  else
    deps.out.write(
      grant.replayed
        ? `${grant.id} was granted before; nothing changed\n`
        : `granted ${formatUsd(grant.amountNanos)} to ${grant.projectId} as ${grant.id}\n`,
    )
  return 0
}
