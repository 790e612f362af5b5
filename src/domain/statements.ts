import { setTimeout as delay } from 'node:timers/promises'
import { STATEMENT_VERSION, type Statement } from '#billing/statement.ts'
import type { Db, Tx } from '#db/pool.ts'
import { canonicalJson } from '#lib/canonical-json.ts'
import { uuidv7Hex } from '#lib/ids.ts'
import { type DocumentDraft, type DocumentSigner, documentPrefixes, signDocuments } from './signed-documents.ts'
import { readFigures, readWallets, type StatementDay } from './statement-figures.ts'

/** Statements that are signed in one commit. */
const WALLETS_AT_ONCE = 256
/** After the end of a day, by the clock of the database, its last settlements have come in. */
const GRACE = '10 minutes'
/** Days before the last statement that a process looks at again when it starts. */
const LOOK_BACK_DAYS = 7
const DAYS_PER_ROUND_MAX = 366
const WALLETS_PER_DAY_MAX = 1_000_000

interface MakerOptions {
  signer: DocumentSigner
  /** Origin of the log that documents name. */
  log: string
  /** A wallet whose books do not agree with themselves has no statement; the others have theirs. */
  onBroken: (broken: { walletId: bigint; day: string; error: unknown }) => void
  signal?: AbortSignal
}

/**
 * Makes every statement that is due, day by day, on a connection of its own. A day is due when it ended GRACE ago and no
 * transaction that began before its end still runs: then no posting of the day can appear any more. Safe to repeat and to run
 * in many processes: one of them does it. `from` is the day to begin with; returns the first day that is not yet done.
 */
export async function makeStatements(
  client: Tx,
  options: MakerOptions,
  from?: string,
): Promise<{ made: number; from: string | undefined }> {
  const lock = `hashtext('fluxgate statements')`
  const { rows } = await client.query<{ mine: boolean }>(`select pg_try_advisory_lock(${lock}) as mine`)
  if (!rows[0]?.mine) return { made: 0, from }
  try {
    return await makeAll(client, options, from)
  } finally {
    await client.query(`select pg_advisory_unlock(${lock})`)
  }
}

async function makeAll(client: Tx, options: MakerOptions, from: string | undefined) {
  const closed = await closedUntil(client)
  let made = 0
  let done = from ?? (await firstDay(client))
  let broken = false
  for (let count = 0; count < DAYS_PER_ROUND_MAX && done !== undefined && !options.signal?.aborted; count += 1) {
    const day = await nextActiveDay(client, done, closed)
    if (day === undefined) return { made, from: broken ? from : closed }
    const due = await dueWallets(client, day)
    for (let at = 0; at < due.length && !options.signal?.aborted; at += WALLETS_AT_ONCE) {
      const wallets = due.slice(at, at + WALLETS_AT_ONCE)
      const signed = await signStatements(client, options, day, wallets)
      broken ||= signed < wallets.length
      made += signed
    }
    done = day.end.slice(0, 10)
  }
  return { made, from: broken || options.signal?.aborted ? from : done }
}

/** The day that is not over yet, or whose last postings may still be on their way: all before it are closed. */
async function closedUntil(client: Tx): Promise<string> {
  const { rows } = await client.query<{ day: string }>(
    // Every posting is dated after the beginning of its transaction. What other roles run is not shown, and not ours.
    `select to_char(least(now() - interval '${GRACE}', min(xact_start)), 'YYYY-MM-DD') as day from pg_stat_activity
     where datname = current_database() and pid <> pg_backend_pid() and backend_type = 'client backend'`,
  )
  return rows[0]?.day ?? ''
}

async function firstDay(client: Tx): Promise<string | undefined> {
  const { rows } = await client.query<{ day: string | null }>(
    `select to_char(coalesce((select max(period)::timestamp - interval '${LOOK_BACK_DAYS} days' from signed_document where kind = 'statement'),
                             (select min(at) from transfer where code not in (10, 20))), 'YYYY-MM-DD') as day`,
  )
  return rows[0]?.day ?? undefined
}

/** The first day from `from` on, before `until`, on which anything was settled or moved. */
async function nextActiveDay(client: Tx, from: string, until: string): Promise<StatementDay | undefined> {
  const { rows } = await client.query<{ day: string | null; start: string; end: string }>(
    `select to_char(d, 'YYYY-MM-DD') as day, to_char(d, 'YYYY-MM-DD') || ' 00:00+00' as start,
            to_char(d + interval '1 day', 'YYYY-MM-DD') || ' 00:00+00' as end
     from (select date_trunc('day', least(
       (select u.bucket from usage_15m u where u.bucket >= $1 and u.bucket < $2
          and exists (select from usage_series s where s.id = u.series and s.source = 1) order by u.bucket limit 1),
       (select t.at from transfer t where t.code not in (10, 20) and t.at >= $1 and t.at < $2 order by t.at limit 1))) as d) x`,
    [`${from} 00:00+00`, `${until} 00:00+00`],
  )
  const [found] = rows
  return found === undefined || found.day === null ? undefined : { ...found, day: found.day }
}

async function dueWallets(client: Tx, day: StatementDay): Promise<bigint[]> {
  const { rows } = await client.query<{ id: bigint }>(
    `select id from (
       select u.wallet_id as id from usage_15m u join usage_series s on s.id = u.series
       where s.source = 1 and u.bucket >= $1 and u.bucket < $2
       union
       select a.wallet_id from transfer t join account a on a.id in (t.debit, t.credit) and a.kind = 1
       where t.code not in (10, 20) and t.at >= $1 and t.at < $2) x
     where not exists (select from signed_document d where d.kind = 'statement' and d.wallet_id = x.id and d.period = $3)
     order by id limit $4`,
    [day.start, day.end, day.day, WALLETS_PER_DAY_MAX],
  )
  return rows.map(({ id }) => id)
}

/** Returns how many of the wallets have their statement now. */
async function signStatements(
  client: Tx,
  options: MakerOptions,
  day: StatementDay,
  walletIds: readonly bigint[],
): Promise<number> {
  await client.query('begin isolation level repeatable read')
  try {
    const drafts: DocumentDraft[] = []
    for (const wallet of await readWallets(client, day, walletIds)) {
      await client.query('savepoint wallet')
      try {
        const { walletId, ...figures } = await readFigures(client, day, wallet)
        drafts.push(await draftStatement(client, options, walletId, figures))
      } catch (error) {
        await client.query('rollback to savepoint wallet')
        options.onBroken({ walletId: wallet.walletId, day: day.day, error })
      }
    }
    await signDocuments(client, options.signer, drafts)
    await client.query('commit')
    return drafts.length
  } catch (error) {
    await client.query('rollback').catch(() => undefined)
    throw error
  }
}

async function draftStatement(
  client: Tx,
  { log }: MakerOptions,
  walletId: bigint,
  figures: Omit<Statement, 'v' | 'log' | 'document_id' | 'issued_at'>,
): Promise<DocumentDraft> {
  const { rows } = await client.query<{ at: Date }>('select clock_timestamp() as at')
  const issuedAt = new Date(rows[0]?.at ?? 0)
  const id = `${documentPrefixes.statement}${uuidv7Hex()}`
  const statement: Statement = {
    v: STATEMENT_VERSION,
    log,
    document_id: id,
    issued_at: issuedAt.toISOString(),
    ...figures,
  }
  return {
    id,
    kind: 'statement',
    walletId,
    projectId: null,
    period: figures.day,
    issuedAt,
    document: canonicalJson(statement),
  }
}

interface StatementsOptions extends MakerOptions {
  db: Db
  everyMs: number
  onMade: (made: number) => void
  onError: (error: unknown) => void
}

/** Makes statements in the background for as long as the process lives. */
export function createStatements({ db, everyMs, onMade, onError, ...options }: StatementsOptions) {
  const closing = new AbortController()
  const { signal } = closing
  let from: string | undefined

  async function round(): Promise<void> {
    const client = await db.connect()
    let failed: Error | undefined
    const onBreak = (error: Error) => {
      failed = error
    }
    client.on('error', onBreak)
    try {
      const result = await makeStatements(client, { ...options, signal }, from)
      from = result.from
      if (result.made > 0) onMade(result.made)
    } catch (error) {
      // A connection whose lock may not have been given back is not used again.
      failed = error instanceof Error ? error : new Error(String(error))
      throw error
    } finally {
      client.off('error', onBreak)
      client.release(failed)
    }
  }

  const working = (async () => {
    while (!signal.aborted) {
      await round().catch((error: unknown) => {
        if (!signal.aborted) onError(error)
      })
      await delay(everyMs, undefined, { signal, ref: false }).catch(() => undefined)
    }
  })()

  return {
    async close(): Promise<void> {
      closing.abort()
      await working
    },
  }
}
