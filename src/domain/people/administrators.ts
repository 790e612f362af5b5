import type { Users } from './users.ts'

/** Who is an operator: people whose verified address is in the list, as both are now. */
export function createAdministrators(options: { users: Users; emails: ReadonlySet<string> }) {
  return async (userId: string): Promise<boolean> => {
    if (options.emails.size === 0) return false
    const user = await options.users.find(userId)
    return user?.emailVerified === true && !user.banned && options.emails.has(user.email)
  }
}
