import type { Db, Tx } from '#db/pool.ts'
import { AppError } from '#src/errors.ts'
import type { ProjectRole } from './roles.ts'

/**
 * Changes of memberships commit one after the other, so that what is checked still holds when it is written. The order of
 * locks: people, this one, projects, keys, wallets.
 */
export async function lockMemberships(tx: Tx): Promise<void> {
  await tx.query(`select pg_advisory_xact_lock(hashtextextended(current_schema() || '.project_member', 0))`)
}

/** The role as of now; undefined for who is no member. */
export async function roleIn(tx: Tx, projectId: string, userId: string): Promise<ProjectRole | undefined> {
  const { rows } = await tx.query<{ role: ProjectRole }>(
    'select role from project_member where project_id = $1 and user_id = $2',
    [projectId, userId],
  )
  return rows[0]?.role
}

/** Whoever was an owner a moment ago must still be one under the lock. Throws AppError forbidden. */
export async function requireOwner(tx: Tx, projectId: string, userId: string): Promise<void> {
  if ((await roleIn(tx, projectId, userId)) !== 'owner')
    throw new AppError('forbidden', { message: 'This needs an owner of the project.' })
}

/** Throws AppError: not_found, personal_project. */
export async function requireShared(tx: Tx | Db, projectId: string): Promise<void> {
  const { rows } = await tx.query<{ personal: boolean }>('select personal from project where id = $1', [projectId])
  const [project] = rows
  if (project === undefined) throw new AppError('not_found', { message: 'No project has this id.' })
  if (project.personal) throw new AppError('personal_project')
}

/** Members and people who were asked to be. */
const MEMBERS_MAX = 200

/** Throws AppError too_many_members. */
export async function requireMemberRoom(tx: Tx, projectId: string): Promise<void> {
  const { rows } = await tx.query<{ full: boolean }>(
    `select (select count(*) from project_member where project_id = $1)
          + (select count(*) from project_invitation where project_id = $1 and expires_at > clock_timestamp()) >= $2 as full`,
    [projectId, MEMBERS_MAX],
  )
  if (rows[0]?.full === true) throw new AppError('too_many_members')
}
