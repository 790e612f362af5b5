import { transaction } from '#db/pool.ts'
import { importLegacyKey } from '#domain/keys.ts'
import { requirePhase } from './import-run.ts'
import { type BackfillOptions, backfillLlmring } from './llmring-backfill.ts'
import type { LlmringContext } from './llmring-import.ts'

/**
 * Makes Fluxgate serve what the old server served: copies what came in since, then accepts the old keys. Running it again copies what
 * an old server wrote meanwhile; a key that was revoked here stays revoked.
 */
export async function switchLlmring(context: LlmringContext, options: BackfillOptions): Promise<void> {
  const { target, run, report } = context
  await requirePhase(target, run.name, 'switch', 'verify')
  await backfillLlmring(context, options)
  report.figure('keys that are accepted from now on', await enableKeys(context))
  await target.query(
    'update import_run set serving_since = coalesce(serving_since, clock_timestamp()) where name = $1',
    [run.name],
  )
  const { rows } = await target.query<{ prepared: bigint; there: bigint; reason: string | null }>(
    `select count(*) as prepared, count(k.id) as there from import_key i
     left join api_key k on k.hash = i.hash and k.project_id = i.project_id where i.import = $1 and i.refused is null`,
    [run.name],
  )
  report.check('keys', rows[0]?.prepared ?? 0n, rows[0]?.there ?? 0n)
  report.note(
    'Point the clients at Fluxgate, stop the old server, then run switch and verify once more for what it wrote until then.',
  )
}

/** A key that somebody has made another project's meanwhile stays that one's, and is told by the check. */
async function enableKeys({ target, run }: LlmringContext): Promise<number> {
  const { rows } = await target.query<{ hash: Buffer; projectId: string; id: string }>(
    `select i.hash, i.project_id as "projectId", i.key_id as id from import_key i
     where i.import = $1 and i.refused is null and not exists (select from api_key k where k.hash = i.hash) order by i.key_id`,
    [run.name],
  )
  for (const { hash, projectId, id } of rows) {
    const name = `imported from ${run.name}, ${hash.toString('hex').slice(0, 12)}`
    await transaction(target, (tx) => importLegacyKey(tx, { projectId, name, id, sha256: hash }))
  }
  return rows.length
}
