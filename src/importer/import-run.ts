import { type Db, type Tx, transaction } from '#db/pool.ts'
import { recordAct } from '#domain/audit-trail.ts'
import { assert } from '#lib/assert.ts'
import { ImportRefused, type Phase, type PhaseReport, phases } from './report.ts'

export interface ImportRun {
  /** What imported rows say in `imported_from`. */
  name: string
  system: 'llmring' | 'airi'
  /** What times without a zone are read as. */
  timeZone: string
  servingSince: Date | null
  contractedAt: Date | null
}

const columns = `name, system, source, time_zone as "timeZone", serving_since as "servingSince", contracted_at as "contractedAt"`

/**
 * The record of an import, made at its first phase. Throws ImportRefused when the name stands for another source or zone.
 * `source` identifies the database; `moved` takes it for the same one wherever it is now.
 */
export async function openRun(
  db: Db,
  wanted: { name: string; system: 'llmring' | 'airi'; source: string; timeZone: string; moved: boolean },
): Promise<ImportRun> {
  const { name, system, source, timeZone, moved } = wanted
  if (!/^[a-z][a-z0-9_-]{0,31}$/.test(name))
    throw new ImportRefused('--name must be 1 to 32 lower-case letters, digits, _ or -, and begin with a letter')
  await db.query(
    `insert into import_run (name, system, source, time_zone) values ($1, $2, $3, $4) on conflict (name) do nothing`,
    [name, system, source, timeZone],
  )
  const { rows } = await db.query<ImportRun & { source: string }>(`select ${columns} from import_run where name = $1`, [
    name,
  ])
  const [run] = rows
  assert(run !== undefined, 'the run was made above')
  if (run.system !== system)
    throw new ImportRefused(`the import '${name}' is one from ${run.system}: choose another --name`)
  if (run.timeZone !== timeZone)
    throw new ImportRefused(
      `the import '${name}' reads times without a zone as ${run.timeZone}, not ${timeZone}: rows that are copied already would disagree`,
    )
  if (run.source !== source) {
    if (!moved)
      throw new ImportRefused(
        `the import '${name}' was begun from another source, ${run.source}; this is ${source}. For a second system choose another --name; ` +
          'if this is the same one at another place, add --source-moved',
      )
    await db.query('update import_run set source = $2 where name = $1', [name, source])
  }
  return run
}

export async function recordPhase(db: Db, report: PhaseReport): Promise<void> {
  await transaction(db, async (tx) => {
    await savePhase(tx, report)
    if (lookingPhases.has(report.phase)) return
    const action = `import.${report.phase}`
    await recordAct(tx, { actor: 'cli', action, subject: report.import, after: { ok: report.ok } })
  })
}

/** They change nothing. */
const lookingPhases: ReadonlySet<Phase> = new Set(['plan', 'verify'])

async function savePhase(tx: Tx, report: PhaseReport): Promise<void> {
  await tx.query(
    `insert into import_phase (import, phase, ok, report) values ($1, $2, $3, $4)
     on conflict (import, phase) do update set ok = excluded.ok, report = excluded.report, finished_at = clock_timestamp()`,
    [report.import, report.phase, report.ok, JSON.stringify(report)],
  )
}

/** Throws ImportRefused unless the last run of `needed` ended well. */
export async function requirePhase(db: Db, name: string, phase: Phase, needed: Phase): Promise<PhaseReport> {
  assert(phases.indexOf(needed) < phases.indexOf(phase), 'a phase needs an earlier one')
  const { rows } = await db.query<{ ok: boolean; report: string }>(
    'select ok, report from import_phase where import = $1 and phase = $2',
    [name, needed],
  )
  const [found] = rows
  if (found?.ok !== true)
    throw new ImportRefused(
      `${phase} needs ${needed}, which ${found === undefined ? 'has not been run' : 'did not end well'}: run it first`,
    )
  return JSON.parse(found.report) as PhaseReport
}

export interface Progress {
  pass: number
  /** Key of the last row of the last batch. */
  last: string | null
  copied: bigint
  /** JSON: name to number of rows. */
  counts: string
}

export async function readProgress(db: Db | Tx, name: string, relation: string): Promise<Progress> {
  const { rows } = await db.query<Progress>(
    'select pass, last, copied, counts from import_progress where import = $1 and relation = $2',
    [name, relation],
  )
  return rows[0] ?? { pass: 0, last: null, copied: 0n, counts: '{}' }
}

/** In the transaction of the rows. Refuses to overwrite what somebody else has moved. */
export async function writeProgress(
  tx: Tx,
  place: { name: string; relation: string; from: Progress; to: Progress },
): Promise<void> {
  const { name, relation, from, to } = place
  const { rowCount } = await tx.query(
    `insert into import_progress as p (import, relation, pass, last, copied, counts) values ($1, $2, $3, $4, $5, $6)
     on conflict (import, relation) do update
       set pass = excluded.pass, last = excluded.last, copied = excluded.copied, counts = excluded.counts
     where p.pass = $7 and p.last is not distinct from $8 and p.copied = $9`,
    [name, relation, to.pass, to.last, to.copied, to.counts, from.pass, from.last, from.copied],
  )
  assert(rowCount === 1, `only one process copies ${relation}`)
}

/** Runs `work` while no other import runs on this database. The lock ends with its session, however that ends. */
export async function withImportLock<T>(db: Db, work: () => Promise<T>): Promise<T> {
  const holder = await db.connect()
  let lost: Error | undefined
  const onError = (error: Error) => {
    lost = error
  }
  holder.on('error', onError)
  try {
    const { rows } = await holder.query<{ got: boolean }>(
      `select pg_try_advisory_lock(hashtext('fluxgate import')) as got`,
    )
    if (rows[0]?.got !== true) throw new ImportRefused('another import is running on this database: wait for its end')
    try {
      return await work()
    } finally {
      // Also after a failure: a session that is only closed keeps its lock until the server has noticed.
      await holder.query(`select pg_advisory_unlock(hashtext('fluxgate import'))`).catch(onError)
    }
  } finally {
    holder.off('error', onError)
    // A connection whose lock is in doubt is closed, which frees it.
    holder.release(lost)
  }
}

/** Runs `work` on one snapshot, with time for tables of any size. */
export async function onSnapshot<T>(db: Db, work: (tx: Tx) => Promise<T>): Promise<T> {
  return transaction(db, async (tx) => {
    await tx.query('set transaction isolation level repeatable read read only')
    await tx.query(`set local statement_timeout = '60min'`)
    await tx.query(`set local idle_in_transaction_session_timeout = '30min'`)
    return work(tx)
  })
}
