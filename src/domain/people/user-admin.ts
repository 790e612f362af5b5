import { type Db, type Tx, transaction } from '#db/pool.ts'
import { type Actor, recordAct } from '#domain/audit-trail.ts'
import type { ProjectRole } from '#domain/members/roles.ts'
import { REASON_CHARS_MAX, requirePlainText } from '#domain/plain-text.ts'
import { AppError } from '#src/errors.ts'
import { createUsers, type User, userColumns } from './users.ts'

/** What operators see of a person. */
export interface UserDetails extends User {
  /** Sessions that are not over. */
  sessions: number
  /** The personal one, where there is one yet, and shared ones; the first PROJECTS_MAX by id. */
  projects: { id: string; name: string; personal: boolean; role: ProjectRole }[]
}

export const USERS_PAGE_MAX = 100
const PROJECTS_MAX = 200

/**
 * People, as operators look for them and stop them. Every change is in the trail; why somebody was banned is not: it stands
 * with the account, and goes with it.
 */
export function createUserAdmin({ db }: { db: Db }) {
  return {
    /** The newest first, of those whose id is `query` or whose address begins with it. `next` is where the page after begins. */
    async list(filter: {
      query?: string
      after?: string
      limit: number
    }): Promise<{ users: User[]; next: string | null }> {
      const { query, after, limit } = filter
      const [at, id] = after === undefined ? [null, null] : readCursor(after)
      const { rows } = await db.query<User & { micros: bigint }>(
        `select ${userColumns}, (extract(epoch from created_at) * 1000000)::bigint as micros from auth_user
         where ($1::text is null or id = $1 or email like $2)
           and ($3::bigint is null or (created_at, id) < (timestamptz 'epoch' + $3 * interval '1 microsecond', $4))
         order by created_at desc, id desc limit $5`,
        [query ?? null, prefixPattern(query ?? ''), at, id, limit + 1],
      )
      const users = rows.slice(0, limit)
      const last = users.at(-1)
      return { users, next: rows.length > limit && last !== undefined ? `${last.micros}_${last.id}` : null }
    },

    /** Throws AppError not_found. */
    async get(id: string): Promise<UserDetails> {
      const user = await createUsers({ db }).get(id)
      const { rows: sessions } = await db.query<{ n: bigint }>(
        'select count(*) as n from auth_session where user_id = $1 and expires_at > now()',
        [id],
      )
      const { rows: projects } = await db.query<UserDetails['projects'][number]>(
        `select p.id, p.name, p.personal, coalesce(m.role, 'owner') as role
         from project p left join project_member m on m.project_id = p.id and m.user_id = $1
         where p.user_id = $1 or m.user_id is not null order by p.personal desc, p.id limit $2`,
        [id, PROJECTS_MAX],
      )
      return { ...user, sessions: Number(sessions[0]?.n ?? 0n), projects }
    },

    /**
     * Ends every session and refuses new ones, and the keys of the personal project, everywhere within a second. Repeating it
     * changes reason and end. Throws AppError: not_found, forbidden for oneself, body_invalid.
     */
    async ban(id: string, ban: { reason: string; expiresAt?: Date }, by: Actor): Promise<User> {
      requirePlainText(ban.reason, 'reason', REASON_CHARS_MAX)
      if (by.actor === id) throw new AppError('forbidden', { message: 'Nobody bans themselves.' })
      return change(id, by, 'user.ban', async (tx) => {
        const { rowCount } = await tx.query(
          `update auth_user set banned = true, ban_reason = $2, ban_expires_at = $3, updated_at = now()
           where id = $1 and coalesce($3 > clock_timestamp(), true)`,
          [id, ban.reason, ban.expiresAt ?? null],
        )
        if (rowCount === 0)
          throw new AppError('body_invalid', { message: "'expires_at' must be in the future.", param: 'expires_at' })
        await tx.query('delete from auth_session where user_id = $1', [id])
        return true
      })
    },

    /** Who is not banned stays so, and nothing is written down. Throws AppError not_found. */
    async unban(id: string, by: Actor): Promise<User> {
      return change(id, by, 'user.unban', async (tx) => {
        const { rowCount } = await tx.query(
          `update auth_user set banned = false, ban_reason = null, ban_expires_at = null, updated_at = now()
           where id = $1 and banned`,
          [id],
        )
        return rowCount === 1
      })
    },

    /** Ends every session, which is felt everywhere within a second; keys go on. Returns how many there were. Throws AppError not_found. */
    async signOut(id: string, by: Actor): Promise<number> {
      return transaction(db, async (tx) => {
        await lockUser(tx, id)
        const { rowCount } = await tx.query('delete from auth_session where user_id = $1', [id])
        const sessions = rowCount ?? 0
        if (sessions > 0)
          await recordAct(tx, {
            ...by,
            action: 'user.sign_out',
            subject: id,
            before: { sessions },
            after: { sessions: 0 },
          })
        return sessions
      })
    },
  }

  function change(id: string, by: Actor, action: string, work: (tx: Tx) => Promise<boolean>): Promise<User> {
    return transaction(db, async (tx) => {
      const before = await lockUser(tx, id)
      const changed = await work(tx)
      const after = await createUsers({ db: tx }).get(id)
      if (changed) await recordAct(tx, { ...by, action, subject: id, before: shown(before), after: shown(after) })
      return after
    })
  }
}

export type UserAdmin = ReturnType<typeof createUserAdmin>

/** Against changes alone: keys refer to people, and whoever makes one is not to wait. */
async function lockUser(tx: Tx, id: string): Promise<User> {
  await tx.query('select 1 from auth_user where id = $1 for no key update', [id])
  return createUsers({ db: tx }).get(id)
}

function shown({ banned, banExpiresAt }: User) {
  return { banned, ban_expires_at: banExpiresAt }
}

function prefixPattern(text: string): string {
  return `${text.toLowerCase().replaceAll(/[\\%_]/g, '\\$&')}%`
}

function readCursor(after: string): [at: bigint, id: string] {
  const [, at, id] = /^(\d{1,18})_([0-9A-Za-z_-]{1,64})$/.exec(after) ?? []
  if (at === undefined || id === undefined)
    throw new AppError('body_invalid', { message: "'after' must be the 'next_after' of a page.", param: 'after' })
  return [BigInt(at), id]
}
