import type { Db, Tx } from '#db/pool.ts'
import { uuidv7Hex } from '#lib/ids.ts'

/** One administrative act. Nothing of it can ever be erased, so it names people by their ids alone: no address, no secret. */
export interface AdministrativeAct {
  /** `admin` (the admin key), `cli`, `system`, or the id of a user. */
  actor: string
  /** `key.revoke`: what kind of thing, and the verb. */
  action: string
  /** The id of what was changed. */
  subject?: string
  /** As JSON; what was not there is absent. */
  before?: unknown
  after?: unknown
  /** The HTTP request, for whoever reads the logs. */
  requestId?: string
}

/** Who acts, and in which request. */
export interface Actor {
  actor: string
  requestId?: string
}

/** Writes an act down. Call it in the transaction that does what it says, so that neither exists without the other. */
export async function recordAct(tx: Tx | Db, act: AdministrativeAct): Promise<void> {
  await tx.query(
    'insert into audit_event (id, actor, action, subject, before, after, request_id) values ($1, $2, $3, $4, $5, $6, $7)',
    [uuidv7Hex(), act.actor, act.action, act.subject ?? null, json(act.before), json(act.after), act.requestId ?? null],
  )
}

const JSON_BYTES_MAX = 65_536

/** What is longer than anybody reads is left out: it stands where the act was done. */
function json(value: unknown): string | null {
  if (value === undefined) return null
  const text = JSON.stringify(value, (_name, member) => (typeof member === 'bigint' ? member.toString() : member))
  const bytes = Buffer.byteLength(text)
  return bytes <= JSON_BYTES_MAX ? text : JSON.stringify({ left_out_bytes: bytes })
}

/** An act as it was written down. */
export interface RecordedAct {
  /** A UUID with dashes; they sort by time. */
  id: string
  at: Date
  actor: string
  action: string
  subject: string | null
  /** JSON texts. */
  before: string | null
  after: string | null
  requestId: string | null
}

export interface ActFilter {
  actor?: string | undefined
  action?: string | undefined
  subject?: string | undefined
  from?: Date | undefined
  to?: Date | undefined
}

export const ACTS_PAGE_MAX = 200

/** The reading side of the trail. */
export function createAuditTrail({ db }: { db: Db }) {
  return {
    /** Newest first, at most `limit` older than the act `after`. */
    async list(
      filter: ActFilter,
      page: { after?: string; limit: number },
    ): Promise<{ acts: RecordedAct[]; hasMore: boolean }> {
      const { rows } = await db.query<RecordedAct>(
        `select id, at, actor, action, subject, before, after, request_id as "requestId" from audit_event
         where ($1::uuid is null or (at, id) < (select a.at, a.id from audit_event a where a.id = $1))
           and ($2::text is null or actor = $2) and ($3::text is null or action = $3) and ($4::text is null or subject = $4)
           and ($5::timestamptz is null or at >= $5) and ($6::timestamptz is null or at < $6)
         order by at desc, id desc limit $7`,
        [
          page.after ?? null,
          ...[filter.actor, filter.action, filter.subject, filter.from, filter.to].map((value) => value ?? null),
          page.limit + 1,
        ],
      )
      return { acts: rows.slice(0, page.limit), hasMore: rows.length > page.limit }
    },
  }
}

export type AuditTrail = ReturnType<typeof createAuditTrail>
