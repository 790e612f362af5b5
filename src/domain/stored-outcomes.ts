import { type Outcome, outcomeNumbers } from '#billing/outcome.ts'
import { type Db, within } from '#db/pool.ts'
import { openBytes, sealBytes } from '#lib/sealed-bytes.ts'

/** An answer as its client got it. */
export interface StoredOutcome {
  headers: Record<string, string>
  body: Buffer
}

const names = new Map(Object.entries(outcomeNumbers).map(([name, number]) => [number as number, name as Outcome]))
const KEPT_HOURS = 24
const EXPIRED_MAX = 500
const EXPIRE_MS_MAX = 5_000

/**
 * Answers of calls that were made under an idempotency key, for a day. They are sealed with a secret that only the caller
 * has, so that the same caller with the same request can be given the same answer and nobody else can read it.
 */
export function createStoredOutcomes({ db }: { db: Db }) {
  return {
    /** The first answer to a call stays. */
    async save(requestId: string, secret: string, { headers, body }: StoredOutcome): Promise<void> {
      const head = Buffer.from(`${JSON.stringify(headers)}\n`)
      const sealed = sealBytes(secret, requestId, Buffer.concat([head, body]))
      await db.query(
        `insert into stored_outcome (request_id, expires_at, sealed) values ($1, now() + make_interval(hours => $2), $3)
         on conflict (request_id) do nothing`,
        [requestId, KEPT_HOURS, sealed],
      )
    },

    /** Undefined: nothing is kept, or it was another caller's. */
    async find(requestId: string, secret: string): Promise<StoredOutcome | undefined> {
      const { rows } = await db.query<{ sealed: Buffer }>(
        'select sealed from stored_outcome where request_id = $1 and expires_at > now()',
        [requestId],
      )
      const plain = rows[0] && openBytes(secret, requestId, rows[0].sealed)
      if (plain === undefined) return undefined
      const end = plain.indexOf('\n')
      const headers = JSON.parse(plain.toString('utf8', 0, end)) as Record<string, string>
      return { headers, body: plain.subarray(end + 1) }
    },

    /** How a settled call ended. */
    async outcomeOf(requestId: string): Promise<Outcome | undefined> {
      const { rows } = await db.query<{ outcome: number }>('select outcome from request_log where request_id = $1', [
        requestId,
      ])
      return rows[0] && names.get(rows[0].outcome)
    },

    /** Removes some of what has expired. */
    async expire(): Promise<void> {
      await db.query(
        within(EXPIRE_MS_MAX, {
          text: `delete from stored_outcome where request_id in
             (select request_id from stored_outcome where expires_at <= now() order by expires_at limit $1)`,
          values: [EXPIRED_MAX],
        }),
      )
    },
  }
}

export type StoredOutcomes = ReturnType<typeof createStoredOutcomes>
