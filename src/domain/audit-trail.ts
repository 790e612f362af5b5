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

/** Writes an act down. Call it in the transaction that does what it says, so that neither exists without the other. */
export async function recordAct(tx: Tx | Db, act: AdministrativeAct): Promise<void> {
  await tx.query(
    'insert into audit_event (id, actor, action, subject, before, after, request_id) values ($1, $2, $3, $4, $5, $6, $7)',
    [uuidv7Hex(), act.actor, act.action, act.subject ?? null, json(act.before), json(act.after), act.requestId ?? null],
  )
}

function json(value: unknown): string | null {
  return value === undefined
    ? null
    : JSON.stringify(value, (_name, member) => (typeof member === 'bigint' ? member.toString() : member))
}
