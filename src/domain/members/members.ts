import { type Db, type Tx, transaction } from '#db/pool.ts'
import { type Actor, recordAct } from '#domain/audit-trail.ts'
import { AppError } from '#src/errors.ts'
import { lockMemberships, requireMemberRoom, requireOwner, requireShared, roleIn } from './membership-lock.ts'
import type { ProjectRole } from './roles.ts'

/** A person in a shared project. */
export interface Member {
  userId: string
  name: string
  email: string
  role: ProjectRole
  createdAt: Date
}

const columns = `m.user_id as "userId", u.name, u.email, m.role, m.created_at as "createdAt"`

/**
 * Who belongs to a shared project, and as what. A project that has an owner keeps one: the last can neither go nor become less,
 * whoever asks. `asOwner` is the person who changes something by being an owner, which is looked at again under the lock.
 */
export function createMembers({ db }: { db: Db }) {
  return {
    /** Owners first. As many as a project can have. Throws AppError not_found, personal_project. */
    async list(projectId: string): Promise<Member[]> {
      await requireShared(db, projectId)
      const { rows } = await db.query<Member>(
        `select ${columns} from project_member m join auth_user u on u.id = m.user_id where m.project_id = $1
         order by array_position(array['owner', 'editor', 'viewer'], m.role), m.created_at, m.user_id`,
        [projectId],
      )
      return rows
    },

    /** Makes a person a member, or gives a member another role. Throws AppError: not_found, personal_project, last_owner, too_many_members. */
    async put(projectId: string, userId: string, role: ProjectRole, by: Actor): Promise<Member> {
      return transaction(db, async (tx) => {
        // Before the lock, as deleting an account does it.
        const { rows } = await tx.query('select 1 from auth_user where id = $1 and email_verified for key share', [
          userId,
        ])
        if (rows.length === 0)
          throw new AppError('not_found', { message: 'No user with a verified address has this id.' })
        await lockMemberships(tx)
        await requireShared(tx, projectId)
        const before = await roleIn(tx, projectId, userId)
        if (before === undefined) {
          await requireMemberRoom(tx, projectId)
          await joinProject(tx, { projectId, userId, role }, { ...by, action: 'member.add' })
        } else await changeRole(tx, { projectId, userId, role }, before, by)
        return getMember(tx, projectId, userId)
      })
    },

    /** Throws AppError: forbidden, not_found, last_owner. */
    async changeRole(
      projectId: string,
      userId: string,
      role: ProjectRole,
      options: { by: Actor; asOwner: string },
    ): Promise<Member> {
      return transaction(db, async (tx) => {
        await lockMemberships(tx)
        await requireShared(tx, projectId)
        await requireOwner(tx, projectId, options.asOwner)
        const before = await roleIn(tx, projectId, userId)
        if (before === undefined) throw noMember()
        await changeRole(tx, { projectId, userId, role }, before, options.by)
        return getMember(tx, projectId, userId)
      })
    },

    /** Ends a membership, from the next request on. Throws AppError: forbidden, not_found, last_owner. */
    async remove(projectId: string, userId: string, options: { by: Actor; asOwner?: string }): Promise<void> {
      await transaction(db, async (tx) => {
        await lockMemberships(tx)
        const { by, asOwner } = options
        await requireShared(tx, projectId)
        if (asOwner !== undefined && asOwner !== userId) await requireOwner(tx, projectId, asOwner)
        const role = await roleIn(tx, projectId, userId)
        if (role === undefined) throw noMember()
        if (role === 'owner') await requireOtherOwner(tx, projectId, userId)
        await tx.query('delete from project_member where project_id = $1 and user_id = $2', [projectId, userId])
        await withdrawInvitations(tx, projectId, userId)
        const action = by.actor === userId ? 'member.leave' : 'member.remove'
        await recordAct(tx, { ...by, action, subject: projectId, before: { user_id: userId, role } })
      })
    },
  }
}

export type Members = ReturnType<typeof createMembers>

/** In the caller's transaction, under the lock. */
export async function joinProject(
  tx: Tx,
  { projectId, userId, role }: { projectId: string; userId: string; role: ProjectRole },
  by: Actor & { action: 'member.add' | 'member.join' },
): Promise<void> {
  await tx.query('insert into project_member (project_id, user_id, role) values ($1, $2, $3)', [
    projectId,
    userId,
    role,
  ])
  await tx.query(
    'delete from project_invitation i using auth_user u where i.project_id = $1 and u.id = $2 and i.email = u.email',
    [projectId, userId],
  )
  if (role === 'owner') await foundOwner(tx, projectId)
  await recordAct(tx, { ...by, subject: projectId, after: { user_id: userId, role } })
}

/** Ends everything of a person who leaves for good. A project whose last owner that was stays, and operators find it. */
export async function endMemberships(tx: Tx, userId: string): Promise<void> {
  await lockMemberships(tx)
  const { rows } = await tx.query<{ projectId: string; role: ProjectRole }>(
    'delete from project_member where user_id = $1 returning project_id as "projectId", role',
    [userId],
  )
  await tx.query('delete from project_invitation where invited_by = $1', [userId])
  const owned = rows.filter(({ role }) => role === 'owner').map(({ projectId }) => projectId)
  if (owned.length === 0) return
  const { rows: lost } = await tx.query<{ id: string }>(
    `update project p set owner_lost_at = clock_timestamp()
     where p.id = any ($1) and not exists (select from project_member m where m.project_id = p.id and m.role = 'owner')
     returning p.id`,
    [owned],
  )
  for (const { id } of lost)
    await recordAct(tx, { actor: 'system', action: 'project.owner_lost', subject: id, before: { user_id: userId } })
}

async function changeRole(
  tx: Tx,
  { projectId, userId, role }: { projectId: string; userId: string; role: ProjectRole },
  before: ProjectRole,
  by: Actor,
): Promise<void> {
  if (role === before) return
  if (before === 'owner') await requireOtherOwner(tx, projectId, userId)
  await tx.query('update project_member set role = $3 where project_id = $1 and user_id = $2', [
    projectId,
    userId,
    role,
  ])
  if (before === 'owner') await withdrawInvitations(tx, projectId, userId)
  if (role === 'owner') await foundOwner(tx, projectId)
  await recordAct(tx, {
    ...by,
    ...{ action: 'member.change_role', subject: projectId },
    ...{ before: { user_id: userId, role: before }, after: { user_id: userId, role } },
  })
}

async function requireOtherOwner(tx: Tx, projectId: string, userId: string): Promise<void> {
  const { rows } = await tx.query(
    `select 1 from project_member where project_id = $1 and role = 'owner' and user_id <> $2 limit 1`,
    [projectId, userId],
  )
  if (rows.length === 0) throw new AppError('last_owner')
}

/** Nobody comes in on the word of who has no say any more: that could be their own second account. */
async function withdrawInvitations(tx: Tx, projectId: string, userId: string): Promise<void> {
  await tx.query('delete from project_invitation where project_id = $1 and invited_by = $2', [projectId, userId])
}

async function foundOwner(tx: Tx, projectId: string): Promise<void> {
  await tx.query('update project set owner_lost_at = null where id = $1 and owner_lost_at is not null', [projectId])
}

async function getMember(tx: Tx, projectId: string, userId: string): Promise<Member> {
  const { rows } = await tx.query<Member>(
    `select ${columns} from project_member m join auth_user u on u.id = m.user_id where m.project_id = $1 and m.user_id = $2`,
    [projectId, userId],
  )
  const [member] = rows
  if (member === undefined) throw noMember()
  return member
}

function noMember(): AppError {
  return new AppError('not_found', { message: 'No member of this project has this id.' })
}
