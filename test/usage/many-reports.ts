import type { Db } from '#db/pool.ts'
import type { UsageProject } from './usage-history.ts'

/** So many reports at once, one a second back from noon of 2026-11-22, with their roll-ups. */
export async function insertManyReports(db: Db, project: Pick<UsageProject, 'id' | 'walletId'>, count: number) {
  await db.query(
    `with l as (
       insert into reported_log (id, wallet_id, project_id, key_id, body_hash, occurred_at, provider, model, alias_name,
                                 input_tokens, output_tokens, usage, cost, cost_status)
       select gen_random_uuid(), $1, $2, 'key_a', '', '2026-11-22 12:00Z'::timestamptz - n * interval '1 second', 'openai',
              'gpt-' || n % 3, 'alias ' || n % 5, 1000, n, '{}', n, 'priced'
       from generate_series(1, $3::int) n
       returning *, series_id(wallet_id, project_id, key_id, 2::smallint, provider, model, model, alias_name, profile, origin) as series
     ), s as (
       insert into usage_series (id, wallet_id, project_id, key_id, source, provider, model, model_used, alias_name, profile, origin)
       select distinct series, wallet_id, project_id, key_id, 2, provider, model, model, alias_name, profile, origin from l
     )
     insert into usage_15m
     select wallet_id, date_bin('15 minutes', occurred_at, '2000-01-01 00:00+00'), series, count(*), sum(input_tokens),
            sum(output_tokens), 0, 0, sum(cost), 0
     from l group by 1, 2, 3`,
    [project.walletId, project.id, count],
  )
}
