import { type Db, transaction } from '#db/pool.ts'
import { AppError } from '#src/errors.ts'
import { type Actor, recordAct } from './audit-trail.ts'

export const ALLOWED_MAX = 200

/** A name as clients ask for it, or how names begin, with a star at the end. */
type ModelPattern = string

/** Lists that a model must be in, each of them: of the project, of the key. None allows all. */
export interface ModelLimits {
  allowedModels?: readonly (readonly ModelPattern[])[]
}

/** Whether calls of this caller may use a model. */
export function mayUse({ allowedModels = [] }: ModelLimits, model: string): boolean {
  return allowedModels.every((patterns) => patterns.some((pattern) => fits(pattern, model)))
}

/** Throws AppError model_not_allowed. */
export function requireModel(caller: ModelLimits, model: string): void {
  if (mayUse(caller, model)) return
  throw new AppError('model_not_allowed', { message: `This key may not use the model '${model}'.`, param: 'model' })
}

function fits(pattern: ModelPattern, model: string): boolean {
  return pattern.endsWith('*') ? model.startsWith(pattern.slice(0, -1)) : pattern === model
}

/** As the columns of project and key tell it; nothing where neither limits. */
export function limitsOf(...lists: (readonly ModelPattern[] | null)[]): ModelLimits {
  const allowedModels = lists.filter((list) => list !== null)
  return allowedModels.length === 0 ? {} : { allowedModels }
}

const subjects = {
  project: { table: 'project', name: 'project' },
  key: { table: 'api_key', name: 'key' },
} as const

/** What a list is about. */
export interface ModelSubject {
  kind: keyof typeof subjects
  id: string
}

export function createAllowedModels({ db }: { db: Db }) {
  return {
    /** Null: all. Throws AppError not_found. */
    async get({ kind, id }: ModelSubject): Promise<string[] | null> {
      const { table, name } = subjects[kind]
      const { rows } = await db.query<{ models: string[] | null }>(
        `select allowed_models as models from ${table} where id = $1`,
        [id],
      )
      const [row] = rows
      if (row === undefined) throw new AppError('not_found', { message: `No ${name} has this id.` })
      return row.models
    },

    /** Holds everywhere within a second. Throws AppError not_found. */
    async set({ kind, id }: ModelSubject, models: readonly string[] | null, by: Actor): Promise<void> {
      const { table, name } = subjects[kind]
      await transaction(db, async (tx) => {
        // Changes of keys wait for each other before they lock anything, here as everywhere.
        await tx.query(`select pg_advisory_xact_lock(hashtextextended(current_schema() || '.key_change', 0))`)
        const { rows } = await tx.query<{ models: string[] | null }>(
          `select allowed_models as models from ${table} where id = $1 for update`,
          [id],
        )
        const [before] = rows
        if (before === undefined) throw new AppError('not_found', { message: `No ${name} has this id.` })
        await tx.query(`update ${table} set allowed_models = $2 where id = $1`, [id, models])
        await recordAct(tx, {
          ...{ ...by, action: `${name}.allow_models`, subject: id },
          before: { models: before.models },
          after: { models },
        })
      })
    },
  }
}

export type AllowedModels = ReturnType<typeof createAllowedModels>
