import { sqlState } from '#db/failures.ts'
import { type Db, type Tx, transaction } from '#db/pool.ts'
import { type Actor, recordAct } from '#domain/audit-trail.ts'
import { NAME_CHARS_MAX, requirePlainText } from '#domain/plain-text.ts'
import { AppError } from '#src/errors.ts'
import { budgetPeriodEnd } from './budget-period.ts'

export const budgetPeriods = ['day', 'week', 'month', 'total'] as const
type BudgetPeriod = (typeof budgetPeriods)[number]

/** Which calls count: those of the wallet that have all of what is set. */
interface BudgetScope {
  keyId: string | null
  userId: string | null
  model: string | null
  alias: string | null
  tag: string | null
}

/** Amounts are nano-dollars. */
export interface Budget extends BudgetScope {
  id: bigint
  name: string
  limitNanos: bigint
  period: BudgetPeriod
  timeZone: string
  warnPercent: number[]
  active: boolean
  createdAt: Date
  updatedAt: Date
  /** Of the period of now: what was charged, and what running calls hold. */
  spentNanos: bigint
  heldNanos: bigint
  /** Null for all time. */
  periodStart: Date | null
  periodEnd: Date | null
}

export interface BudgetInput extends Partial<BudgetScope> {
  name: string
  limitNanos: bigint
  period: BudgetPeriod
  timeZone?: string | undefined
  warnPercent?: readonly number[] | undefined
}

export interface BudgetChanges {
  name?: string | undefined
  limitNanos?: bigint | undefined
  warnPercent?: readonly number[] | undefined
  active?: boolean | undefined
}

const BUDGETS_MAX = 100
export const BUDGET_NANOS_MAX = 1_000_000_000n * 1_000_000_000n
const UNIQUE_VIOLATION = '23505'
const DEFAULT_WARNINGS = [80, 100]

const columns = `b.id, b.name, b.key_id as "keyId", b.user_id as "userId", b.model, b.alias_name as alias, b.tag,
  b.limit_nanos as "limitNanos", b.period, b.time_zone as "timeZone", b.warn_percent as "warnPercent", b.active,
  b.created_at as "createdAt", b.updated_at as "updatedAt", coalesce(u.spent, 0) as "spentNanos", coalesce(u.held, 0) as "heldNanos",
  nullif(s.start, '-infinity') as "periodStart", ${budgetPeriodEnd('b')} as "periodEnd"`
const usage = `cross join lateral (select budget_period(b.period, b.time_zone, now()) as start) s
  left join budget_usage u on u.budget_id = b.id and u.period_start = s.start`

export function createBudgets(deps: { db: Db }) {
  const { db } = deps

  async function find(on: Db | Tx, projectId: string, id: bigint): Promise<Budget> {
    const { rows } = await on.query<Budget>(
      `select ${columns} from budget b ${usage} join project p on p.wallet_id = b.wallet_id where p.id = $1 and b.id = $2`,
      [projectId, id],
    )
    const [budget] = rows
    if (budget === undefined) throw new AppError('not_found', { message: 'No budget of this project has this id.' })
    return budget
  }

  return {
    /** By name. Throws AppError not_found without the project. */
    async list(projectId: string): Promise<Budget[]> {
      const { rows: projects } = await db.query('select 1 from project where id = $1', [projectId])
      if (projects.length === 0) throw new AppError('not_found', { message: 'No project has this id.' })
      const { rows } = await db.query<Budget>(
        `select ${columns} from budget b ${usage} join project p on p.wallet_id = b.wallet_id where p.id = $1 order by b.name`,
        [projectId],
      )
      return rows
    },

    /** Throws AppError not_found. */
    get: (projectId: string, id: bigint): Promise<Budget> => find(db, projectId, id),

    /**
     * Holds from this moment on. What matching calls have already been charged in the running period counts, as far as
     * records tell: a budget for a tag begins with nothing. Throws AppError: not_found, name_taken, body_invalid,
     * too_many_budgets.
     */
    async create(projectId: string, input: BudgetInput, author: Actor): Promise<Budget> {
      requirePlainText(input.name, 'name', NAME_CHARS_MAX)
      const { timeZone = 'UTC', warnPercent = DEFAULT_WARNINGS } = input
      const scope = [input.keyId, input.userId, input.model, input.alias, input.tag].map((value) => value ?? null)
      return transaction(db, async (tx) => {
        await requireTimeZone(tx, timeZone)
        // Under the lock nothing is held or settled, so what was charged is complete and every later call is counted.
        const { rows: wallets } = await tx.query<{ id: bigint }>(
          'select w.id from wallet w join project p on p.wallet_id = w.id where p.id = $1 for no key update of w',
          [projectId],
        )
        const [wallet] = wallets
        if (wallet === undefined) throw new AppError('not_found', { message: 'No project has this id.' })
        const { rows: counts } = await tx.query<{ n: bigint }>(
          'select count(*) as n from budget where wallet_id = $1',
          [wallet.id],
        )
        if (Number(counts[0]?.n) >= BUDGETS_MAX) throw new AppError('too_many_budgets')
        await tx.query('update wallet set budgeted = true, version = version + 1 where id = $1 and not budgeted', [
          wallet.id,
        ])
        const { rows } = await orNameTaken(
          tx.query<{ id: bigint }>(
            `insert into budget (wallet_id, name, key_id, user_id, model, alias_name, tag, limit_nanos, period, time_zone, warn_percent)
             values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11) returning id`,
            [wallet.id, input.name, ...scope, input.limitNanos, input.period, timeZone, warnPercent],
          ),
        )
        const id = rows[0]?.id ?? 0n
        await tx.query(openingQuery, [id, projectId])
        const budget = await find(tx, projectId, id)
        await recordAct(tx, { ...author, action: 'budget.create', subject: String(id), after: shown(budget) })
        return budget
      })
    },

    /** What was spent stays whatever changes. Throws AppError: not_found, name_taken, body_invalid. */
    async update(projectId: string, id: bigint, changes: BudgetChanges, author: Actor): Promise<Budget> {
      if (changes.name !== undefined) requirePlainText(changes.name, 'name', NAME_CHARS_MAX)
      return transaction(db, async (tx) => {
        const before = await lock(tx, projectId, id)
        await orNameTaken(
          tx.query(
            `update budget set name = coalesce($2, name), limit_nanos = coalesce($3, limit_nanos),
                    warn_percent = coalesce($4, warn_percent), active = coalesce($5, active), updated_at = clock_timestamp()
             where id = $1`,
            [id, changes.name ?? null, changes.limitNanos ?? null, changes.warnPercent ?? null, changes.active ?? null],
          ),
        )
        const budget = await find(tx, projectId, id)
        const act = { ...author, action: 'budget.update', subject: String(id) }
        await recordAct(tx, { ...act, before: shown(before), after: shown(budget) })
        return budget
      })
    },
  }

  /** With its wallet, so that no call is admitted in between. */
  async function lock(tx: Tx, projectId: string, id: bigint): Promise<Budget> {
    await tx.query(
      'select 1 from wallet w join project p on p.wallet_id = w.id where p.id = $1 for no key update of w',
      [projectId],
    )
    return find(tx, projectId, id)
  }
}

export type Budgets = ReturnType<typeof createBudgets>

function shown({ createdAt: _createdAt, updatedAt: _updatedAt, ...budget }: Budget) {
  return budget
}

async function requireTimeZone(tx: Tx, timeZone: string): Promise<void> {
  const { rows } = await tx.query('select 1 from pg_timezone_names where name = $1', [timeZone])
  if (rows.length === 0)
    throw new AppError('body_invalid', { message: `'time_zone' must be a name as Europe/Berlin.`, param: 'time_zone' })
}

async function orNameTaken<T>(writing: Promise<T>): Promise<T> {
  try {
    return await writing
  } catch (error) {
    if (sqlState(error) !== UNIQUE_VIOLATION) throw error
    throw new AppError('name_taken', { message: 'A budget of this name exists already.', param: 'name', cause: error })
  }
}

// Calls of a session are the person's whose project it is; tags stand on no record.
const openingQuery = `
  insert into budget_usage (budget_id, period_start, opening, spent)
  select b.id, s.start, c.charged, c.charged
  from budget b
  cross join lateral (select budget_period(b.period, b.time_zone, now()) as start) s
  cross join lateral (
    select coalesce(sum(l.charged), 0)::bigint as charged
    from request_log l left join api_key k on k.id = l.key_id left join project p on p.id = l.project_id
    where l.project_id = $2 and l.wallet_id = b.wallet_id and l.settled_at >= s.start and b.tag is null
      and (b.key_id is null or b.key_id = l.key_id) and (b.model is null or b.model = l.model)
      and (b.alias_name is null or b.alias_name = l.alias_name)
      and (b.user_id is null or b.user_id = coalesce(p.user_id, k.user_id))
  ) c
  where b.id = $1`
