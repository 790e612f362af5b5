import { setTimeout as delay } from 'node:timers/promises'
import { type Db, transaction, within } from '#db/pool.ts'
import { emitOperatorEvent } from '#domain/operator-events.ts'
import type { SendMail } from '#domain/people/mail.ts'
import { formatRatio } from '#lib/decimal.ts'

const QUERY_MS_MAX = 10_000
const ROWS_MAX = 1_000

interface Crossing {
  budgetId: bigint
  name: string
  account: string
  projectId: string
  percent: number
  spent: bigint
  limit: bigint
  periodStart: string
  /** Owners of the project, or the person whose it is. */
  addresses: string[]
}

export interface BudgetWatchOptions {
  db: Db
  everyMs: number
  fluxNanousd: bigint
  sendMail: SendMail
  onError: (error: unknown) => void
}

/**
 * Tells operators, and owners by mail, when what was spent reaches a threshold of a budget: once for each budget, period and
 * threshold, whichever gateway sees it first.
 */
export function createBudgetWatch(options: BudgetWatchOptions) {
  const { db, everyMs, onError } = options
  const closing = new AbortController()
  const { signal } = closing

  /** Returns how many crossings were new. */
  async function look(): Promise<number> {
    const crossings = await transaction(db, async (tx) => {
      const { rows } = await tx.query<Crossing>(within(QUERY_MS_MAX, { text: crossingQuery, values: [ROWS_MAX] }))
      for (const crossing of rows) await emitOperatorEvent(tx, eventOf(crossing))
      return rows
    })
    for (const crossing of crossings) for (const address of crossing.addresses) await mail(address, crossing)
    return crossings.length
  }

  /** Best effort: the event is what counts. */
  async function mail(address: string, { name, percent, spent, limit }: Crossing): Promise<void> {
    const flux = (nanos: bigint) => formatRatio(nanos, options.fluxNanousd)
    await options
      .sendMail(address, 'budget_threshold', { budget: name, percent, spentFlux: flux(spent), limitFlux: flux(limit) })
      .catch(() => undefined)
  }

  const watching = (async () => {
    while (!signal.aborted) {
      await delay(everyMs, undefined, { signal, ref: false }).catch(() => undefined)
      if (!signal.aborted) await look().catch(onError)
    }
  })()

  return {
    look,

    async close(): Promise<void> {
      closing.abort()
      await watching
    },
  }
}

function eventOf(crossing: Crossing) {
  return {
    type: crossing.percent >= 100 ? ('budget.exhausted' as const) : ('budget.threshold_reached' as const),
    once: [String(crossing.budgetId), crossing.periodStart, String(crossing.percent)],
    data: {
      budget_id: String(crossing.budgetId),
      project_id: crossing.projectId,
      account: crossing.account,
      threshold_percent: crossing.percent,
      spent_nanousd: String(crossing.spent),
      limit_nanousd: String(crossing.limit),
      period_start: crossing.periodStart,
    },
  }
}

// Whoever writes a threshold down as told tells it.
const crossingQuery = `
  with crossed as (
    select b.id, u.period_start, array_agg(t.percent order by t.percent) as percents
    from budget b join budget_usage u on u.budget_id = b.id and u.period_start = budget_period(b.period, b.time_zone, now())
    cross join lateral unnest(b.warn_percent) as t(percent)
    where b.active and b.limit_nanos > 0 and u.spent::numeric * 100 >= b.limit_nanos::numeric * t.percent and t.percent <> all (u.told)
    group by b.id, u.period_start order by b.id limit $1
  ), told as (
    update budget_usage u set told = u.told || c.percents from crossed c
    where u.budget_id = c.id and u.period_start = c.period_start and not u.told && c.percents
    returning u.budget_id, u.period_start, u.spent, c.percents
  )
  select b.id as "budgetId", b.name, w.account, p.id as "projectId", t.percent, u.spent, b.limit_nanos as limit,
         u.period_start::text as "periodStart",
         array(select a.email from auth_user a left join project_member m on m.user_id = a.id and m.project_id = p.id
               where a.id = p.user_id or m.role = 'owner') as addresses
  from told u join budget b on b.id = u.budget_id cross join lateral unnest(u.percents) as t(percent)
  join wallet w on w.id = b.wallet_id join project p on p.wallet_id = w.id
  order by b.id, t.percent`
