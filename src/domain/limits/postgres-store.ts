import type { Db } from '#db/pool.ts'
import { assert } from '#lib/assert.ts'
import { LEASE_MS, type LimitedSubject, type LimitKind, type LimitStore } from './rate-limit.ts'

const KINDS: readonly LimitKind[] = ['requests', 'tokens', 'concurrent']
const PRUNED_MAX = 5_000

/** Counts of several gateways that share a database and no Redis. */
export function createPostgresLimits({ db }: { db: Db }): LimitStore & { prune(): Promise<void> } {
  return {
    async enter(id, subjects) {
      const { rows } = await db.query<{
        refused: number
        left: bigint
        requests: string[]
        tokens: string[]
        concurrent: string[]
      }>('select refused, left_ms as left, requests, tokens, concurrent from rate_enter($1, $2, $3, $4, $5, $6)', [
        ...[id, LEASE_MS, names(subjects), limitsOf(subjects, 'requestsPerMinute')],
        ...[limitsOf(subjects, 'tokensPerMinute'), limitsOf(subjects, 'concurrentCalls')],
      ])
      const [row] = rows
      assert(row !== undefined, 'rate_enter answers')
      const kind = KINDS[(row.refused % 10) - 1]
      return {
        refused: kind === undefined ? undefined : { index: Math.floor(row.refused / 10) - 1, kind },
        leftMs: Number(row.left),
        counts: subjects.map((_subject, index) => ({
          requests: Number(row.requests[index]),
          tokens: Number(row.tokens[index]),
          concurrent: Number(row.concurrent[index]),
        })),
      }
    },

    async leave(id, subjects, tokens) {
      await db.query('select rate_leave($1, $2, $3, $4)', [
        ...[id, names(subjects), limitsOf(subjects, 'tokensPerMinute'), tokens],
      ])
    },

    async refresh(calls) {
      const leases = calls.flatMap(({ id, subjects }) => subjects.map(({ name }) => ({ id, name })))
      await db.query(
        `update rate_lease l set expires_at = clock_timestamp() + $3 * interval '1 millisecond'
         from unnest($1::text[], $2::text[]) as o(id, subject) where l.id = o.id and l.subject = o.subject`,
        [leases.map(({ id }) => id), leases.map(({ name }) => name), LEASE_MS],
      )
    },

    /** Drops what nobody counts any more. */
    async prune() {
      await db.query(
        `delete from rate_window where subject in (
           select subject from rate_window where minute < extract(epoch from clock_timestamp()) / 60 - 60 limit $1)`,
        [PRUNED_MAX],
      )
      await db.query(
        `delete from rate_lease where ctid = any (array(
           select ctid from rate_lease where expires_at < clock_timestamp() limit $1))`,
        [PRUNED_MAX],
      )
    },
  }
}

function names(subjects: readonly LimitedSubject[]): string[] {
  return subjects.map(({ name }) => name)
}

/** Below zero is no limit. */
function limitsOf(subjects: readonly LimitedSubject[], member: keyof LimitedSubject['limit']): number[] {
  return subjects.map(({ limit }) => limit[member] ?? -1)
}
