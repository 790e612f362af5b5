import { CERTIFIED_ENTRIES_MAX, type CertificateSelection } from '#billing/certificate.ts'
import type { Db, Tx } from '#db/pool.ts'
import { AppError } from '#src/errors.ts'

/** Which logs of a project are meant. */
export type LogSelection =
  | { mode: 'conversation'; conversationId: string }
  /** `start` ≤ time < `end`. */
  | { mode: 'range'; start: Date; end: Date }
  /** Lower-case UUIDs with dashes, each once. */
  | { mode: 'log_ids'; ids: readonly string[] }
  | { mode: 'since_last_receipt' }

export interface SelectedLogs {
  ids: string[]
  /** What the certificate says of how they were chosen. */
  selection: CertificateSelection
}

const IDS_NAMED_MAX = 5

/** Reported and not on any certificate. */
const uncertified = 'not exists (select 1 from certified_log c where c.log_id = r.id)'

/**
 * The logs that a certificate would be about; none where nothing matches. Throws AppError: logs_not_found for ids of which some
 * are unknown, selection_too_large, log_already_certified, log_has_receipt.
 */
export async function selectLogs(
  db: Db | Tx,
  owner: { projectId: string; walletId: bigint },
  selection: LogSelection,
): Promise<SelectedLogs> {
  const selected = await select(db, owner, selection)
  if (selected.ids.length > CERTIFIED_ENTRIES_MAX) throw new AppError('selection_too_large')
  return selected
}

async function select(
  db: Db | Tx,
  { projectId, walletId }: { projectId: string; walletId: bigint },
  selection: LogSelection,
): Promise<SelectedLogs> {
  switch (selection.mode) {
    case 'conversation': {
      const where = 'r.project_id = $1 and r.conversation_id = $2'
      const { ids, certifiedBefore } = await selectWhere(db, where, [projectId, selection.conversationId])
      return {
        ids,
        selection: {
          mode: 'conversation',
          conversation_id: selection.conversationId,
          certified_before: certifiedBefore,
        },
      }
    }
    case 'range': {
      const where = 'r.project_id = $1 and r.occurred_at >= $2 and r.occurred_at < $3'
      const { start, end } = selection
      const { ids, certifiedBefore } = await selectWhere(db, where, [projectId, start, end])
      return {
        ids,
        selection: {
          mode: 'range',
          start: start.toISOString(),
          end: end.toISOString(),
          certified_before: certifiedBefore,
        },
      }
    }
    case 'log_ids':
      return { ids: await selectByIds(db, projectId, selection.ids), selection: { mode: 'log_ids' } }
    case 'since_last_receipt': {
      const ids = await newestUncertified(db, { projectId, walletId }, { limit: CERTIFIED_ENTRIES_MAX + 1, offset: 0 })
      const more = ids.length > CERTIFIED_ENTRIES_MAX
      return { ids: ids.slice(0, CERTIFIED_ENTRIES_MAX), selection: { mode: 'since_last_receipt', more } }
    }
  }
}

async function selectWhere(
  db: Db | Tx,
  where: string,
  values: unknown[],
): Promise<{ ids: string[]; certifiedBefore: boolean }> {
  const { rows } = await db.query<{ ids: string[]; before: boolean }>(
    `select coalesce((select array_agg(id) from (
              select r.id from reported_log r where ${where} and ${uncertified} order by r.occurred_at, r.id limit ${CERTIFIED_ENTRIES_MAX + 1}) x),
              '{}') as ids,
            exists (select 1 from reported_log r join certified_log c on c.log_id = r.id where ${where}) as before`,
    values,
  )
  return { ids: rows[0]?.ids ?? [], certifiedBefore: rows[0]?.before ?? false }
}

async function selectByIds(db: Db | Tx, projectId: string, ids: readonly string[]): Promise<string[]> {
  const { rows } = await db.query<{ id: string; reported: boolean; certificate: string | null; called: boolean }>(
    `select x.id, r.id is not null as reported, c.document_id as certificate, l.request_id is not null as called
     from unnest($2::uuid[]) with ordinality as x(id, n)
     left join reported_log r on r.id = x.id and r.project_id = $1
     left join certified_log c on c.log_id = r.id
     left join request_log l on l.request_id = x.id and l.project_id = $1
     order by x.n`,
    [projectId, ids],
  )
  const found = rows.filter((row) => row.reported || row.called)
  if (found.length === 0) return []
  const unknown = rows.filter((row) => !row.reported && !row.called)
  if (unknown.length > 0)
    throw new AppError('logs_not_found', { message: `No such log: ${named(unknown.map(({ id }) => id))}` })
  const called = rows.filter((row) => row.called)
  if (called.length > 0) {
    const pairs = called.map(({ id }) => `${id} by rcp_${id.replaceAll('-', '')}`)
    throw new AppError('log_has_receipt', { message: `A call through the gateway has its receipt: ${named(pairs)}` })
  }
  const certified = rows.filter((row) => row.certificate !== null)
  if (certified.length > 0) {
    const pairs = certified.map(({ id, certificate }) => `${id} by ${certificate}`)
    throw new AppError('log_already_certified', { message: `A log is certified once: ${named(pairs)}` })
  }
  return rows.map(({ id }) => id)
}

function named(texts: readonly string[]): string {
  const beyond = texts.length - IDS_NAMED_MAX
  return texts.slice(0, IDS_NAMED_MAX).join(', ') + (beyond > 0 ? ` and ${beyond} more` : '')
}

/**
 * How many logs of a project are on no certificate: what was reported by the roll-up, less what certificates say. `$1` is the
 * project, `$2` its wallet.
 */
const uncertifiedCount = `
  coalesce((select sum(u.calls) from usage_15m u join usage_series s on s.id = u.series
            where u.wallet_id = $2 and s.project_id = $1 and s.source = 2), 0)::bigint
  - coalesce((select sum(entries) from certificate where project_id = $1), 0)::bigint`

export async function countUncertified(
  db: Db | Tx,
  { projectId, walletId }: { projectId: string; walletId: bigint },
): Promise<number> {
  const { rows } = await db.query<{ n: bigint }>(`select ${uncertifiedCount} as n`, [projectId, walletId])
  return Number(rows[0]?.n ?? 0)
}

/**
 * Ids of uncertified logs, the newest first. The search ends with the last one that there is: what is left since the last
 * certificate is mostly new, however much was certified before.
 */
export async function newestUncertified(
  db: Db | Tx,
  { projectId, walletId }: { projectId: string; walletId: bigint },
  { limit, offset }: { limit: number; offset: number },
): Promise<string[]> {
  const { rows } = await db.query<{ id: string }>(
    `select r.id from reported_log r where r.project_id = $1 and ${uncertified}
     order by r.occurred_at desc, r.id desc
     limit (select greatest(0, least($3::bigint, ${uncertifiedCount} - $4::bigint))) offset $4`,
    [projectId, walletId, limit, offset],
  )
  return rows.map(({ id }) => id)
}
