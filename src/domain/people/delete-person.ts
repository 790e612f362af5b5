import { setTimeout as delay } from 'node:timers/promises'
import { type Db, type Tx, transaction, within } from '#db/pool.ts'
import { recordAct } from '#domain/audit-trail.ts'
import { AppError } from '#src/errors.ts'
import type { DeletionPart } from './deletion.ts'
import { endAccess, eraseContent } from './deletion-parts.ts'

const WAIT_MS = 15_000
const ASK_EVERY_MS = 50
const PASS_MAX = 20
const QUERY_MS_MAX = 10_000
const STOP_MS_MAX = 2_000
const CODE_CHARS_MAX = 100

export interface PersonDeletionOptions {
  db: Db
  /** What goes beside access, content and the person: subscriptions, sign-ins. Priorities: docs/account-deletion.md. */
  parts: readonly DeletionPart[]
  /** How often unfinished deletions are looked for. */
  everyMs: number
  /** Whoever is at a deletion for longer is taken for dead. */
  leaseMs?: number
  /** Calls that were admitted before may write for so long after. */
  afterglowMs?: number
  onError: (error: unknown, userId?: string) => void
}

interface Claimed {
  userId: string
  projectId: string | null
  /** Null: the row of the person is gone. */
  email: string | null
  erased: boolean
}

interface Step {
  name: string
  priority: number
  run(of: Claimed): Promise<void>
}

/**
 * Deletes accounts, part by part, and finishes what a dead process began. Nothing of the books goes: the wallet stays, of
 * nobody, and can be used no more. Any number of gateways may sweep at once.
 */
export function createPersonDeletion(options: PersonDeletionOptions) {
  const { db, leaseMs = 300_000, afterglowMs = 3_600_000 } = options
  const closing = new AbortController()
  const steps: Step[] = [
    ...options.parts.map(({ name, priority, run }) => ({
      ...{ name, priority },
      run: async ({ userId, email }: Claimed) => (email === null ? undefined : run({ id: userId, email })),
    })),
    { name: 'access', priority: 20, run: (of: Claimed) => transaction(db, (tx) => endAccess(tx, of)) },
    {
      ...{ name: 'content', priority: 30 },
      run: async ({ projectId }: Claimed) => (projectId === null ? undefined : eraseContent(db, projectId)),
    },
  ].toSorted((a, b) => a.priority - b.priority)

  /** One try, unless somebody else is at it. Throws what the part threw. */
  async function attempt(userId: string): Promise<'done' | 'busy'> {
    const claimed = await claim(db, userId, leaseMs)
    if (claimed === undefined) return (await isErased(db, userId)) ? 'done' : 'busy'
    let at = 'start'
    try {
      if (!claimed.erased) {
        for (const { name, run } of steps) {
          at = name
          await run(claimed)
          await db.query('update account_deletion set parts = parts || $2 where user_id = $1', [userId, [name]])
        }
        at = 'person'
        await transaction(db, (tx) => erasePerson(tx, userId, afterglowMs))
        return 'done'
      }
      at = 'afterglow'
      if (claimed.projectId !== null) await eraseContent(db, claimed.projectId)
      await db.query(
        `update account_deletion set project_id = null, closed_at = clock_timestamp(), leased_until = null, error = null
         where user_id = $1`,
        [userId],
      )
      return 'done'
    } catch (error) {
      await putOff(db, userId, `${at}: ${codeOf(error)}`).catch(() => undefined)
      throw error
    }
  }

  /** Takes up what was begun and not finished. Returns how many deletions went on. */
  async function sweep(): Promise<number> {
    const { rows } = await db.query<{ id: string }>(
      within(QUERY_MS_MAX, {
        text: `select user_id as id from account_deletion
               where closed_at is null and next_at <= clock_timestamp()
                 and (leased_until is null or leased_until <= clock_timestamp())
               order by next_at limit $1`,
        values: [PASS_MAX],
      }),
    )
    let done = 0
    for (const { id } of rows) {
      if (closing.signal.aborted) break
      try {
        if ((await attempt(id)) === 'done') done += 1
      } catch (error) {
        if (!closing.signal.aborted) options.onError(error, id)
      }
    }
    return done
  }

  const sweeping = (async () => {
    while (!closing.signal.aborted) {
      await sweep().catch((error: unknown) => {
        if (!closing.signal.aborted) options.onError(error)
      })
      await delay(options.everyMs, undefined, { signal: closing.signal, ref: false }).catch(() => undefined)
    }
  })()

  return {
    /**
     * Deletes an account that the person has confirmed to be deleted: from here on it is finished, if need be by the
     * sweeper. Resolves once nothing personal is left; safe to repeat, also at once. Throws AppError deletion_pending.
     */
    async run(user: { id: string }): Promise<void> {
      await db.query(
        `insert into account_deletion (user_id, project_id)
         select u.id, p.id from auth_user u left join project p on p.user_id = u.id where u.id = $1
         on conflict (user_id) do nothing`,
        [user.id],
      )
      const lateAt = performance.now() + WAIT_MS
      while ((await tryNow(user.id)) === 'busy') {
        if (performance.now() >= lateAt) throw new AppError('deletion_pending')
        await delay(ASK_EVERY_MS)
      }
    },

    sweep,

    /** What is under way is not waited for long: another gateway finishes it. */
    async close(): Promise<void> {
      closing.abort()
      await Promise.race([sweeping, delay(STOP_MS_MAX, undefined, { ref: false })])
    },
  }

  async function tryNow(userId: string): Promise<'done' | 'busy'> {
    try {
      return await attempt(userId)
    } catch (error) {
      options.onError(error, userId)
      throw new AppError('deletion_pending', { cause: error })
    }
  }
}

export type PersonDeletion = ReturnType<typeof createPersonDeletion>

/** Undefined: somebody else is at it, or there is nothing to do. */
async function claim(db: Db, userId: string, leaseMs: number): Promise<Claimed | undefined> {
  const { rows } = await db.query<Claimed>(
    `update account_deletion d set leased_until = clock_timestamp() + $2 * interval '1 millisecond', tries = tries + 1,
            parts = case when erased_at is null then '{}' else parts end,
            project_id = coalesce(d.project_id, (select p.id from project p where p.user_id = d.user_id))
     where user_id = $1 and closed_at is null and (leased_until is null or leased_until <= clock_timestamp())
       and (erased_at is null or next_at <= clock_timestamp())
     returning user_id as "userId", erased_at is not null as erased, project_id as "projectId",
               (select u.email from auth_user u where u.id = user_id) as email`,
    [userId, leaseMs],
  )
  return rows[0]
}

/** Also of an account that never was, or that went without us: nothing is left to be done. */
async function isErased(db: Db, userId: string): Promise<boolean> {
  const { rows } = await db.query<{ erased: boolean }>(
    'select erased_at is not null as erased from account_deletion where user_id = $1',
    [userId],
  )
  return rows[0]?.erased ?? true
}

/** The end, in one commit: the person goes with all that refers to them, and what stays is of nobody. */
async function erasePerson(tx: Tx, userId: string, afterglowMs: number): Promise<void> {
  // Opening a wallet waits for this lock, so the one that is found here is theirs and the last.
  await tx.query('select 1 from auth_user where id = $1 for update', [userId])
  const { rows } = await tx.query<{ projectId: string | null }>(
    `update account_deletion d set project_id = coalesce(d.project_id, (select p.id from project p where p.user_id = d.user_id))
     where user_id = $1 returning project_id as "projectId"`,
    [userId],
  )
  const projectId = rows[0]?.projectId ?? null
  // Whatever was made since the part before: after this commit no key can be added.
  await endAccess(tx, { userId, projectId })
  await tx.query(
    `update project set name = 'deleted:' || id, description = null, content_logging = 'none', user_id = null
     where id = $1`,
    [projectId],
  )
  // Links that were sent and not opened yet, one of which could bring the account back, and what apps have not fetched.
  await tx.query(
    `delete from auth_verification v using auth_user u
     where u.id = $1 and (v.value = u.id or position('"' || u.id || '"' in v.value) > 0
       or position('"' || u.email || '"' in lower(v.value)) > 0)`,
    [userId],
  )
  await tx.query('delete from project_invitation i using auth_user u where u.id = $1 and i.email = u.email', [userId])
  const { rowCount } = await tx.query('delete from auth_user where id = $1', [userId])
  await tx.query(
    `update account_deletion set erased_at = coalesce(erased_at, clock_timestamp()), error = null, leased_until = null,
            next_at = clock_timestamp() + $2 * interval '1 millisecond' where user_id = $1`,
    [userId, afterglowMs],
  )
  if (rowCount === 1) await recordAct(tx, { actor: userId, action: 'account.delete', subject: userId })
}

/** The next try comes later with each that failed: after ten seconds at first, after an hour at last. */
async function putOff(db: Db, userId: string, error: string): Promise<void> {
  await db.query(
    `update account_deletion set error = $2, leased_until = null,
            next_at = clock_timestamp() + least(3600, 10 * power(2, least(tries, 10) - 1)) * interval '1 second'
     where user_id = $1`,
    [userId, error],
  )
}

/** Short words of our own and of the database alone: a message may repeat an address. */
function codeOf(error: unknown): string {
  const code = (error as { code?: unknown } | null)?.code
  const name = error instanceof Error ? error.name : 'thrown'
  return (typeof code === 'string' && /^[\w-]+$/.test(code) ? code : name).slice(0, CODE_CHARS_MAX)
}
