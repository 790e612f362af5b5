import { transaction } from '#db/pool.ts'
import { KEY_CHANNEL } from '#domain/keys.ts'
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

async function enableKeys({ target, run }: LlmringContext): Promise<number> {
  return transaction(target, async (tx) => {
    const { rows } = await tx.query<{ hash: Buffer }>(
      `insert into api_key (id, project_id, name, hash, hint)
       select i.key_id, i.project_id, 'imported from ' || $1 || ', ' || left(encode(i.hash, 'hex'), 12), i.hash, i.hint
       from import_key i where i.import = $1 and i.refused is null order by i.key_id
       on conflict (hash) do nothing returning hash`,
      [run.name],
    )
    // Somebody may have tried the secret before it was accepted, and remembers that it is not.
    for (const { hash } of rows) await tx.query('select pg_notify($1, $2)', [KEY_CHANNEL, hash.toString('hex')])
    return rows.length
  })
}
