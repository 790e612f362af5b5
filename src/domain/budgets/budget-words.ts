import { type Db, within } from '#db/pool.ts'
import { createBoundedCache } from '#lib/bounded-cache.ts'
import { budgetPeriodEnd } from './budget-period.ts'

const KNOWN_MS = 2_000
const QUERY_MS_MAX = 1_000
const ENTRIES_MAX = 1_000

interface Words {
  name: string
  endsAt: Date | null
}

/** The words of a refusal. Many may be refused in a second, so what was read is kept for two. */
export function createBudgetWords({ db }: { db: Db }) {
  const known = createBoundedCache<Words>({ entriesMax: ENTRIES_MAX })
  return {
    /** Never rejects: without an answer the refusal has its general message. */
    async describe(id: bigint, floor: bigint): Promise<{ message?: string }> {
      let words = known.get(String(id))
      if (words === undefined) {
        const query = {
          text: `select name, ${budgetPeriodEnd('b')} as "endsAt" from budget b where id = $1`,
          values: [id],
        }
        const rows = await db.query<Words>(within(QUERY_MS_MAX, query)).then(
          (result) => result.rows,
          () => [],
        )
        words = rows[0]
        if (words === undefined) return {}
        known.set(String(id), words, KNOWN_MS)
      }
      const until = words.endsAt === null ? '' : ` Its period ends at ${words.endsAt.toISOString()}.`
      return {
        message: `The budget '${words.name}' does not allow this request, which needs at least ${floor} nano-dollars.${until}`,
      }
    },
  }
}
