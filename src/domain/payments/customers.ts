import type { Db } from '#db/pool.ts'
import type { Users } from '#domain/people/users.ts'
import { assert } from '#lib/assert.ts'
import type { PaymentProvider } from './provider.ts'

/** Which customer of the provider a person is. */
export function createCustomers(deps: { db: Db; provider: PaymentProvider; users: Users }) {
  const { db, provider, users } = deps

  async function find(projectId: string): Promise<string | undefined> {
    const { rows } = await db.query<{ id: string }>('select id from stripe_customer where project_id = $1', [projectId])
    return rows[0]?.id
  }

  return {
    find,

    /** Makes one at the first purchase; two at once make one, by the key that is sent along. */
    async open(person: { userId: string; projectId: string }): Promise<string> {
      const known = await find(person.projectId)
      if (known !== undefined) return known
      const user = await users.find(person.userId)
      assert(user !== undefined, 'whoever is signed in has an account')
      const id = await provider.createCustomer({
        // The address is in the key, or a changed one would be refused as another request under the same key.
        key: `fluxgate customer ${person.projectId} ${user.email}`,
        email: user.email,
        metadata: { userId: person.userId, projectId: person.projectId },
      })
      await db.query('insert into stripe_customer (id, project_id) values ($1, $2) on conflict do nothing', [
        id,
        person.projectId,
      ])
      const opened = await find(person.projectId)
      assert(opened !== undefined, 'one of those who made it wrote it down')
      return opened
    },
  }
}

export type Customers = ReturnType<typeof createCustomers>
