import { randomBytes } from 'node:crypto'
import { sqlState } from '#db/failures.ts'
import { type Db, type Tx, transaction } from '#db/pool.ts'
import { type Actor, recordAct } from '#domain/audit-trail.ts'
import { assert } from '#lib/assert.ts'
import { randomText } from '#lib/ids.ts'
import { AppError } from '#src/errors.ts'
import type { ContentLevel } from './conversations/content-level.ts'
import { NAME_CHARS_MAX, requirePlainText } from './plain-text.ts'

/** A usage context (production, a client, a team, an application): it owns keys and charges one wallet. It holds no aliases. */
export interface Project {
  id: string
  name: string
  /** For people. */
  description: string | null
  /** What receipts call its wallet. */
  account: string
  walletId: bigint
  /** What is kept of conversations that its clients report. */
  contentLogging: ContentLevel
  contentRetentionDays: number
  /** Below this the operator's webhooks are told; null: never. */
  lowBalanceNanos: bigint | null
  createdAt: Date
}

export interface ProjectChanges {
  name?: string | undefined
  description?: string | null | undefined
  contentLogging?: ContentLevel | undefined
  contentRetentionDays?: number | undefined
  lowBalanceNanos?: bigint | null | undefined
}

export const PROJECTS_PAGE_MAX = 100
export const RETENTION_DAYS_MAX = 3_650
const DESCRIPTION_CHARS_MAX = 500

const UNIQUE_VIOLATION = '23505'

const columns = `p.id, p.name, p.description, w.account, p.wallet_id as "walletId", p.content_logging as "contentLogging",
  p.content_retention_days as "contentRetentionDays", p.low_balance_nanousd as "lowBalanceNanos", p.created_at as "createdAt"`
const tables = 'project p join wallet w on w.id = p.wallet_id'

export function createProjects(deps: { db: Db | Tx }) {
  const { db } = deps

  async function find(idOrName: string): Promise<Project | undefined> {
    const { rows } = await db.query<Project>(
      `select ${columns} from ${tables} where p.id = $1 or p.name = $1 order by p.id = $1 desc limit 1`,
      [idOrName],
    )
    return rows[0]
  }

  return {
    /** Opens a project with an empty wallet of its own. Throws AppError: name_taken, body_invalid. */
    create(input: { name: string; description?: string }, by?: Actor): Promise<Project> {
      if (by === undefined) return insertProject(db, input.name, input.description)
      return inTransaction(db, async (tx) => {
        const project = await insertProject(tx, input.name, input.description)
        await recordAct(tx, { ...by, action: 'project.create', subject: project.id, after: shown(project) })
        return project
      })
    },

    /** The project of this name, opened at the first call; safe when many processes start at once. */
    async ensure(name: string): Promise<Project> {
      const existing = await findByName(db, name)
      if (existing !== undefined) return existing
      try {
        return await insertProject(db, name)
      } catch (error) {
        const raced = error instanceof AppError && error.code === 'name_taken' ? await findByName(db, name) : undefined
        if (raced === undefined) throw error
        return raced
      }
    },

    /** By name, at most `limit` after the name `after`; with `ownerLost` those whose last owner has deleted the account. */
    async list(page: {
      after?: string
      limit: number
      ownerLost?: boolean
    }): Promise<{ projects: Project[]; hasMore: boolean }> {
      assert(page.limit >= 1 && page.limit <= PROJECTS_PAGE_MAX, 'a page has 1 to PROJECTS_PAGE_MAX projects')
      const { rows } = await db.query<Project>(
        `select ${columns} from ${tables} where ($1::text is null or p.name > $1) and (not $3 or p.owner_lost_at is not null) order by p.name limit $2`,
        [page.after ?? null, page.limit + 1, page.ownerLost ?? false],
      )
      return { projects: rows.slice(0, page.limit), hasMore: rows.length > page.limit }
    },

    /** Throws AppError not_found. */
    async get(id: string): Promise<Project> {
      const { rows } = await db.query<Project>(`select ${columns} from ${tables} where p.id = $1`, [id])
      const [project] = rows
      if (project === undefined) throw new AppError('not_found', { message: 'No project has this id.' })
      return project
    },

    /**
     * Changes what is given. Null takes the description away. The id, which receipts name, and the history stay; what is kept of
     * conversations changes for what comes. Throws AppError: not_found, name_taken, body_invalid.
     */
    update(id: string, changes: ProjectChanges, by: Actor): Promise<Project> {
      return inTransaction(db, async (tx) => {
        const { rows } = await tx.query<Project>(`select ${columns} from ${tables} where p.id = $1 for update of p`, [
          id,
        ])
        const project = await updateProject(tx, id, changes)
        const [before] = rows
        const act = { ...by, action: 'project.update', subject: id }
        await recordAct(tx, { ...act, before: before && shown(before), after: shown(project) })
        return project
      })
    },

    /** By id or, failing that, by name, as people type it. Throws AppError not_found. */
    async resolve(idOrName: string): Promise<Project> {
      const project = await find(idOrName)
      if (project === undefined) throw new AppError('not_found', { message: 'No project has this id or name.' })
      return project
    },
  }
}

export type Projects = ReturnType<typeof createProjects>

async function insertProject(db: Db | Tx, name: string, description?: string): Promise<Project> {
  requirePlainText(name, 'name', NAME_CHARS_MAX)
  if (description !== undefined) requirePlainText(description, 'description', DESCRIPTION_CHARS_MAX)
  const { rows } = await orNameTaken(
    db.query<Project>(
      `with w as (insert into wallet (account) values ($1) returning id, account),
            p as (insert into project (id, name, description, wallet_id) select $2, $3, $4, w.id from w returning *)
       select ${columns} from p join w on w.id = p.wallet_id`,
      [`acc_${randomBytes(16).toString('hex')}`, `prj_${randomText(20)}`, name, description ?? null],
    ),
  )
  const [project] = rows
  assert(project !== undefined, 'an insert returns its row')
  return project
}

async function updateProject(db: Tx, id: string, changes: ProjectChanges): Promise<Project> {
  const { name, description, contentLogging, contentRetentionDays, lowBalanceNanos } = changes
  if (name !== undefined) requirePlainText(name, 'name', NAME_CHARS_MAX)
  if (typeof description === 'string') requirePlainText(description, 'description', DESCRIPTION_CHARS_MAX)
  const { rows } = await orNameTaken(
    db.query<Project>(
      `with p as (update project set name = coalesce($2, name), description = case when $3 then $4 else description end,
                    content_logging = coalesce($5, content_logging),
                    content_retention_days = coalesce($6, content_retention_days),
                    low_balance_nanousd = case when $7 then $8 else low_balance_nanousd end,
                    low_since = case when $7 and $8::bigint is null then null else low_since end
                  where id = $1 returning *)
       select ${columns} from p join wallet w on w.id = p.wallet_id`,
      [
        id,
        name ?? null,
        description !== undefined,
        description ?? null,
        contentLogging ?? null,
        contentRetentionDays ?? null,
        lowBalanceNanos !== undefined,
        lowBalanceNanos ?? null,
      ],
    ),
  )
  const [project] = rows
  if (project === undefined) throw new AppError('not_found', { message: 'No project has this id.' })
  return project
}

/** The names that the outside knows; nothing of it names a person. */
function shown(project: Project) {
  const { id, name, description, contentLogging, contentRetentionDays, lowBalanceNanos } = project
  return {
    ...{ id, name, description, content_logging: contentLogging, content_retention_days: contentRetentionDays },
    low_balance_nanousd: lowBalanceNanos,
  }
}

/** In the caller's transaction, when it has one. */
function inTransaction<T>(db: Db | Tx, work: (tx: Tx) => Promise<T>): Promise<T> {
  return 'totalCount' in db ? transaction(db, work) : work(db)
}

async function orNameTaken<T>(writing: Promise<T>): Promise<T> {
  try {
    return await writing
  } catch (error) {
    if (sqlState(error) !== UNIQUE_VIOLATION) throw error
    throw new AppError('name_taken', { message: 'A project of this name exists already.', param: 'name', cause: error })
  }
}

async function findByName(db: Db | Tx, name: string): Promise<Project | undefined> {
  const { rows } = await db.query<Project>(`select ${columns} from ${tables} where p.name = $1`, [name])
  return rows[0]
}
