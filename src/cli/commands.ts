import type { Command } from './command.ts'

const api: Command = {
  summary: 'Run the gateway until it is stopped.',
  usage: 'usage: fluxgate api\n\nIts settings come from the environment: docs/configuration.md.',
  run: (deps) => deps.serve(),
}

/** Everything that `fluxgate` can do, in the order of its help. Loaded when asked for: most runs need one of them. */
export const commands: Readonly<Record<string, () => Promise<Command>>> = {
  api: async () => api,
  migrate: () => import('./migrate.ts'),
  'project create': () => import('./project-create.ts'),
  'project set': () => import('./project-set.ts'),
  'project list': () => import('./project-list.ts'),
  'key create': () => import('./key-create.ts'),
  'key list': () => import('./key-list.ts'),
  'key revoke': () => import('./key-revoke.ts'),
  grant: () => import('./grant.ts'),
  refund: () => import('./refund.ts'),
  'wallet show': () => import('./wallet-show.ts'),
  'ledger audit': () => import('./ledger-audit.ts'),
  'router show': () => import('./router-show.ts'),
  'router plan': () => import('./router-plan.ts'),
  'router apply': () => import('./router-apply.ts'),
  'router history': () => import('./router-history.ts'),
  'router rollback': () => import('./router-rollback.ts'),
  'router reseal': () => import('./router-reseal.ts'),
  'router seed': () => import('./router-seed.ts'),
  'settings list': () => import('./settings-list.ts'),
  'settings get': () => import('./settings-get.ts'),
  'settings set': () => import('./settings-set.ts'),
  'receipt-key list': () => import('./receipt-key-list.ts'),
  'receipt-key rotate': () => import('./receipt-key-rotate.ts'),
  'receipt-key revoke': () => import('./receipt-key-revoke.ts'),
  'receipt-key manifest': () => import('./receipt-key-manifest.ts'),
  'receipt verify': () => import('./receipt-verify.ts'),
  'receipt page': () => import('./receipt-page.ts'),
  simulator: () => import('./simulator.ts'),
}
