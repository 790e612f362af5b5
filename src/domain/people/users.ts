import type { Db, Tx } from '#db/pool.ts'
import { AppError } from '#src/errors.ts'

/** A person with an account. */
export interface User {
  id: string
  name: string
  /** Lower case, as every comparison of addresses is. */
  email: string
  emailVerified: boolean
  createdAt: Date
  /** A ban that is over is none. */
  banned: boolean
  banReason: string | null
  banExpiresAt: Date | null
}

export const userColumns = `id, name, email, email_verified as "emailVerified", created_at as "createdAt",
  banned and (ban_expires_at is null or ban_expires_at > clock_timestamp()) as banned,
  ban_reason as "banReason", ban_expires_at as "banExpiresAt"`

export function createUsers(deps: { db: Db | Tx }) {
  const { db } = deps
  async function find(id: string): Promise<User | undefined> {
    const { rows } = await db.query<User>(`select ${userColumns} from auth_user where id = $1`, [id])
    return rows[0]
  }

  return {
    find,

    /** Throws AppError not_found. */
    async get(id: string): Promise<User> {
      const user = await find(id)
      if (user === undefined) throw new AppError('not_found', { message: 'No user has this id.' })
      return user
    },

    /** Addresses are compared without regard to case. */
    async findByEmails(emails: readonly string[]): Promise<Map<string, User>> {
      const { rows } = await db.query<User>(`select ${userColumns} from auth_user where email = any ($1)`, [
        [...new Set(emails.map((email) => email.toLowerCase()))],
      ])
      return new Map(rows.map((user) => [user.email, user]))
    },
  }
}

export type Users = ReturnType<typeof createUsers>
