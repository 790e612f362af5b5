import { type Db, type Tx, transaction } from '#db/pool.ts'
import { type Actor, recordAct } from '#domain/audit-trail.ts'
import type { AuthenticatedKey } from '#domain/keyring.ts'
import { createProjects } from '#domain/projects.ts'
import { scopeSet } from '#domain/scopes.ts'
import { AppError } from '#src/errors.ts'
import { joinProject } from './members.ts'
import { lockMemberships } from './membership-lock.ts'
import { type ProjectRole, scopesOfRole } from './roles.ts'

/** A project as somebody who belongs to it sees it. */
export interface MemberProject {
  id: string
  name: string
  description: string | null
  /** The person's own, which cannot be shared. */
  personal: boolean
  role: ProjectRole
  createdAt: Date
}

export const MEMBER_PROJECTS_PAGE_MAX = 100
/** Projects that one person may own and still make more. */
const OWNED_MAX = 20
/** What could be an id; nothing else is asked for. */
const PROJECT_ID = /^[0-9A-Za-z_]{1,100}$/
/** Names that the gateway gives itself: who took one would keep it from whom it is for. */
const RESERVED_NAME = /^(?:user|deleted):/i

const query = `
  select p.id, p.name, p.description, p.personal, coalesce(m.role, 'owner') as role, p.created_at as "createdAt"
  from project p left join project_member m on m.project_id = p.id and m.user_id = $1
  where (p.user_id = $1 or (m.user_id is not null and not p.personal))`

/** What a person sees of projects. */
export function createMemberProjects({ db }: { db: Db }) {
  return {
    /** The personal one and those that are shared with the person, by id. */
    async list(
      userId: string,
      page: { after?: string; limit: number },
    ): Promise<{ projects: MemberProject[]; hasMore: boolean }> {
      const { rows } = await db.query<MemberProject>(
        `${query} and ($2::text is null or p.id > $2) order by p.id limit $3`,
        [userId, page.after ?? null, page.limit + 1],
      )
      return { projects: rows.slice(0, page.limit), hasMore: rows.length > page.limit }
    },

    /** Undefined for who does not belong to it, as for a project that is not there. */
    async find(userId: string, projectId: string): Promise<MemberProject | undefined> {
      if (!PROJECT_ID.test(projectId)) return undefined
      const { rows } = await db.query<MemberProject>(`${query} and p.id = $2`, [userId, projectId])
      return rows[0]
    },

    /** A shared project with an empty wallet; who makes it owns it. Throws AppError: body_invalid, forbidden, name_taken, too_many_projects. */
    async create(userId: string, input: { name: string; description?: string }, by: Actor): Promise<MemberProject> {
      if (RESERVED_NAME.test(input.name))
        throw new AppError('body_invalid', { message: "'name' must not begin like this.", param: 'name' })
      return transaction(db, async (tx) => {
        await requireVerified(tx, userId)
        await lockMemberships(tx)
        const { rows } = await tx.query<{ full: boolean }>(
          `select count(*) >= $2 as full from project_member where user_id = $1 and role = 'owner'`,
          [userId, OWNED_MAX],
        )
        if (rows[0]?.full === true) throw new AppError('too_many_projects')
        const { id, name, description, createdAt } = await createProjects({ db: tx }).create(input)
        const after = { id, name, description }
        await recordAct(tx, { ...by, action: 'project.create', subject: id, after })
        await joinProject(tx, { projectId: id, userId, role: 'owner' }, { ...by, action: 'member.add' })
        return { id, name, description, personal: false, role: 'owner', createdAt }
      })
    },

    /** What a signed-in member is in place of a key of the project; undefined for who is none. Asked anew for each request. */
    async callerOf(
      person: AuthenticatedKey & { userId: string },
      projectId: string,
    ): Promise<(AuthenticatedKey & { role: ProjectRole }) | undefined> {
      if (!PROJECT_ID.test(projectId)) return undefined
      const { rows } = await db.query<{ role: ProjectRole; walletId: bigint; account: string }>(
        `select m.role, p.wallet_id as "walletId", w.account
         from project_member m join project p on p.id = m.project_id join wallet w on w.id = p.wallet_id
         where m.user_id = $1 and m.project_id = $2 and not p.personal`,
        [person.userId, projectId],
      )
      const [row] = rows
      if (row === undefined) return undefined
      const { keyId, userId } = person
      return {
        ...row,
        keyId,
        userId,
        signedIn: true,
        projectId,
        scopes: scopeSet(scopesOfRole[row.role]),
        personal: false,
      }
    },
  }
}

/** Locks the person, before the lock of memberships as everywhere. Throws AppError forbidden. */
async function requireVerified(tx: Tx, userId: string): Promise<void> {
  const { rows } = await tx.query('select 1 from auth_user where id = $1 and email_verified for key share', [userId])
  if (rows.length === 0) throw new AppError('forbidden', { message: 'Verify your address first.' })
}

export type MemberProjects = ReturnType<typeof createMemberProjects>
