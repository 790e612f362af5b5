import type { Db } from '#db/pool.ts'
import { createBudgetWatch } from '#domain/budgets/budget-watch.ts'
import { type Budgets, createBudgets } from '#domain/budgets/budgets.ts'
import type { SendMail } from '#domain/people/mail.ts'
import type { Parts } from './parts.ts'

const LOOK_MS = 15_000

/** Budgets, and whoever tells that they run out. */
export function openBudgets({ config, log, opened }: Parts, db: Db, sendMail: SendMail): Budgets {
  const watch = createBudgetWatch({
    ...{ db, sendMail, everyMs: LOOK_MS, fluxNanousd: BigInt(config.FLUX_NANOUSD) },
    onError: (error) => log.warn({ err: error }, 'budgets could not be looked at'),
  })
  opened.defer(() => watch.close())
  return createBudgets({ db })
}
