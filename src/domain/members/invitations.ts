import { type Db, type Tx, transaction } from '#db/pool.ts'
import { type Actor, recordAct } from '#domain/audit-trail.ts'
import { randomText } from '#lib/ids.ts'
import { isMailAddress } from '#lib/mail-address.ts'
import { AppError } from '#src/errors.ts'
import { joinProject } from './members.ts'
import { lockMemberships, requireMemberRoom, requireOwner, requireShared, roleIn } from './membership-lock.ts'
import type { ProjectRole } from './roles.ts'

/** An owner has asked whoever has the address to join. It says nothing about whether anybody has it. */
export interface Invitation {
  id: string
  projectId: string
  projectName: string
  email: string
  role: ProjectRole
  createdAt: Date
  expiresAt: Date
}

const DAYS = 14
const OWN_MAX = 200

const columns = `i.id, i.project_id as "projectId", p.name as "projectName", i.email, i.role,
  i.created_at as "createdAt", i.expires_at as "expiresAt"`
const tables = 'project_invitation i join project p on p.id = i.project_id'

/** How people come into a project: owners ask an address, whoever has verified it says yes. Asking answers alike for all. */
export function createInvitations(deps: {
  db: Db
  /** Somebody was asked. Must not throw or take time. */
  onAsked?: ((invitation: Invitation, invitedBy: string) => void) | undefined
}) {
  const { db, onAsked } = deps
  return {
    /**
     * Asks an address; asking again changes the role and begins the time anew. Throws AppError: body_invalid, forbidden,
     * personal_project, already_member, too_many_members.
     */
    async invite(
      projectId: string,
      input: { email: string; role: ProjectRole },
      options: { by: Actor; asOwner: string },
    ): Promise<Invitation> {
      const email = input.email.toLowerCase()
      if (!isMailAddress(email))
        throw new AppError('body_invalid', { message: "'email' must be one plain e-mail address.", param: 'email' })
      const invitation = await transaction(db, async (tx) => {
        await lockMemberships(tx)
        await requireShared(tx, projectId)
        await requireOwner(tx, projectId, options.asOwner)
        // The addresses of members are shown to owners anyway.
        const { rows: members } = await tx.query(
          'select 1 from project_member m join auth_user u on u.id = m.user_id where m.project_id = $1 and u.email = lower($2)',
          [projectId, email],
        )
        if (members.length > 0) throw new AppError('already_member')
        await tx.query('delete from project_invitation where project_id = $1 and email = lower($2)', [projectId, email])
        await requireMemberRoom(tx, projectId)
        const id = `inv_${randomText(20)}`
        await tx.query(
          `insert into project_invitation (id, project_id, email, role, invited_by, expires_at)
           values ($1, $2, lower($3), $4, $5, clock_timestamp() + make_interval(days => $6))`,
          [id, projectId, email, input.role, options.asOwner, DAYS],
        )
        const after = { invitation: id, role: input.role }
        await recordAct(tx, { ...options.by, action: 'member.invite', subject: projectId, after })
        return get(tx, id)
      })
      onAsked?.(invitation, options.asOwner)
      return invitation
    },

    /** Of a project, the newest first. */
    async ofProject(projectId: string): Promise<Invitation[]> {
      const { rows } = await db.query<Invitation>(
        `select ${columns} from ${tables} where i.project_id = $1 and i.expires_at > clock_timestamp()
         order by i.created_at desc, i.id`,
        [projectId],
      )
      return rows
    },

    /** Throws AppError: forbidden, not_found. */
    async withdraw(projectId: string, id: string, options: { by: Actor; asOwner: string }): Promise<void> {
      await transaction(db, async (tx) => {
        await lockMemberships(tx)
        await requireOwner(tx, projectId, options.asOwner)
        const { rows } = await tx.query<{ role: ProjectRole }>(
          'delete from project_invitation where id = $1 and project_id = $2 returning role',
          [id, projectId],
        )
        const [gone] = rows
        if (gone === undefined) throw noInvitation()
        const before = { invitation: id, role: gone.role }
        await recordAct(tx, { ...options.by, action: 'member.withdraw_invitation', subject: projectId, before })
      })
    },

    /** Those to the person's address, if it is verified; the newest first. */
    async ofPerson(userId: string): Promise<Invitation[]> {
      const { rows } = await db.query<Invitation>(
        `select ${columns} from ${tables} join auth_user u on u.email = i.email and u.email_verified
         where u.id = $1 and i.expires_at > clock_timestamp() order by i.created_at desc, i.id limit $2`,
        [userId, OWN_MAX],
      )
      return rows
    },

    /** Joins the project. Throws AppError not_found, also for what was sent to another address. */
    async accept(id: string, userId: string, by: Actor): Promise<{ projectId: string; role: ProjectRole }> {
      return transaction(db, async (tx) => {
        await lockPerson(tx, userId)
        await lockMemberships(tx)
        const { projectId, role } = await take(tx, id, userId)
        if ((await roleIn(tx, projectId, userId)) !== undefined) throw new AppError('already_member')
        await joinProject(tx, { projectId, userId, role }, { ...by, action: 'member.join' })
        return { projectId, role }
      })
    },

    /** Throws AppError not_found. */
    async decline(id: string, userId: string, by: Actor): Promise<void> {
      await transaction(db, async (tx) => {
        await lockPerson(tx, userId)
        await lockMemberships(tx)
        const { projectId, role } = await take(tx, id, userId)
        await recordAct(tx, { ...by, action: 'member.decline', subject: projectId, before: { invitation: id, role } })
      })
    },
  }
}

export type Invitations = ReturnType<typeof createInvitations>

/** Before the lock of memberships, as deleting an account does it. */
async function lockPerson(tx: Tx, userId: string): Promise<void> {
  await tx.query('select 1 from auth_user where id = $1 for key share', [userId])
}

/** Whose address it is sent to takes it away. */
async function take(tx: Tx, id: string, userId: string): Promise<{ projectId: string; role: ProjectRole }> {
  const { rows } = await tx.query<{ projectId: string; role: ProjectRole }>(
    `delete from project_invitation i using auth_user u
     where i.id = $1 and u.id = $2 and u.email_verified and i.email = u.email and i.expires_at > clock_timestamp()
     returning i.project_id as "projectId", i.role`,
    [id, userId],
  )
  const [taken] = rows
  if (taken === undefined) throw noInvitation()
  return taken
}

async function get(tx: Tx, id: string): Promise<Invitation> {
  const { rows } = await tx.query<Invitation>(`select ${columns} from ${tables} where i.id = $1`, [id])
  const [invitation] = rows
  if (invitation === undefined) throw noInvitation()
  return invitation
}

function noInvitation(): AppError {
  return new AppError('not_found', { message: 'There is no invitation with this id, or it is over.' })
}
