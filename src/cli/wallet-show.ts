import { createProjects } from '#domain/projects.ts'
import { projectView, walletView } from '#domain/views.ts'
import { createWallets } from '#domain/wallets.ts'
import { formatUsd } from './amount.ts'
import { withDatabase } from './books.ts'
import { type CliDeps, need, readArgs } from './command.ts'
import { printJson, printTable } from './print.ts'

export const summary = "Show a project's wallet: posted, held, available and its lots."
export const usage = `usage: fluxgate wallet show --project P [--json]

P is the id or the name of a project.`

export async function run(deps: CliDeps, args: string[]): Promise<number> {
  const { values } = readArgs(args, { project: { type: 'string' } })
  const idOrName = need(values.project, '--project')
  const { project, wallet } = await withDatabase(deps, async (db) => {
    const project = await createProjects({ db }).resolve(idOrName)
    return { project, wallet: await createWallets({ db }).ofProject(project.id) }
  })
  const view = walletView(wallet, deps.fluxNanousd)
  if (values.json) {
    printJson(deps.out, { ...projectView(project), wallet: view })
    return 0
  }
  deps.out.write(`${project.id} ${project.name}${wallet.frozen ? ' (frozen)' : ''}, ${wallet.seq} calls\n\n`)
  printTable(deps.out, [
    ['', 'USD', 'FLUX'],
    ['posted', formatUsd(wallet.postedNanos), view.posted_flux],
    ['held', formatUsd(wallet.heldNanos), view.held_flux],
    ['available', formatUsd(wallet.availableNanos), view.available_flux],
  ])
  if (wallet.lots.length === 0) return 0
  deps.out.write('\n')
  printTable(deps.out, [
    ['LOT', 'KIND', 'PRIORITY', 'LEFT', 'EXPIRES'],
    ...wallet.lots.map((lot) => [
      lot.id.toString(),
      lot.kind,
      String(lot.priority),
      formatUsd(lot.restNanos),
      lot.expiresAt?.toISOString() ?? 'never',
    ]),
  ])
  return 0
}
