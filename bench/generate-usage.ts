import pg from 'pg'

const CHUNK = 250_000
const DAYS = 30
/** Leaves of a batch: as many calls as share a commit under load. */
const BATCH_CALLS = 64

/** Label combinations in use, of either kind of record: what the size of the roll-ups depends on. */
export const SERIES_PER_KIND = 12
/** The label that every ten-thousandth record has, for pages that must look for what they show. */
export const RARE_ALIAS = 'rare'

/**
 * Fills a database with so many records of the last 30 days, evenly spread: half of them calls with receipts of the usual
 * size, half of them reports, four fifths of both in the first project, and the roll-ups that belong to them. Written set
 * by set, without the ledger and without looking at foreign keys: nothing here is money.
 */
export async function generateUsage(databaseUrl: string, logs: number): Promise<{ seconds: number; cells: number }> {
  const client = new pg.Client({ connectionString: databaseUrl, options: '-c search_path=fluxgate -c timezone=UTC' })
  await client.connect()
  const startedAt = performance.now()
  try {
    await client.query("set session_replication_role = replica; set synchronous_commit = off; set work_mem = '64MB'")
    const half = Math.ceil(logs / 2)
    await client.query(`
      create temporary table owner as
        select row_number() over (order by created_at, id) - 1 as n, id as project_id, wallet_id from project order by created_at, id limit 2;
      create temporary table clock as select now() - interval '1 minute' as ends, interval '${DAYS} days' / ${half} as step`)
    for (let from = 0; from < half; from += CHUNK) {
      const to = Math.min(from + CHUNK, half) - 1
      await client.query(batchesSql(from, to))
      await client.query(callsSql(half, from, to))
      await client.query(reportsSql(half, from, to))
    }
    await client.query(rollUpSql)
    await client.query('select fold_usage(100000, 2000000000)')
    await client.query('vacuum analyze')
    const { rows } = await client.query<{ cells: string }>('select count(*) as cells from usage_15m')
    return { seconds: (performance.now() - startedAt) / 1_000, cells: Number(rows[0]?.cells ?? 0) }
  } finally {
    await client.end()
  }
}

const batchesSql = (from: number, to: number) => `
  insert into receipt_batch (batch_id, key_id, leaves, root, sig, settled_at)
  select lpad(to_hex(b), 32, '0')::uuid, 'bench', decode(repeat(md5(b::text), ${BATCH_CALLS * 2}), 'hex'),
         sha256(b::text::bytea), decode(repeat(md5(b::text), 4), 'hex'), now()
  from generate_series(${Math.ceil(from / BATCH_CALLS)}, ${Math.floor(to / BATCH_CALLS)}) b
  on conflict do nothing`

/** What the records of both kinds have in common: `i` counts them from the oldest, `k` names their labels. */
const numbered = (half: number, from: number, to: number) => `
  (select i, (i::bigint * 7919 / 5 % ${SERIES_PER_KIND})::int as k, (i % 5 = 0)::int as n, i % 10000 = 1 as is_rare,
          (select ends - step * (${half} - i) from clock) as at, 200 + i % 1900 as input, 100 + i % 700 as output, i % 150 as cached
   from generate_series(${from}, ${to}) i) r join owner o using (n)`

const label = {
  model: `(array['gpt-4o-mini', 'gpt-4o', 'claude-sonnet-4-5', 'gemini-2.5-flash'])[1 + k % 4]`,
  provider: `(array['openai', 'openai', 'anthropic', 'google'])[1 + k % 4]`,
  alias: `case when is_rare then '${RARE_ALIAS}' else (array['summarizer', 'chat', null])[1 + k % 3] end`,
  origin: `case when k % 2 = 0 then 'web' end`,
}

const id = (kind: string) =>
  `(lpad(to_hex((extract(epoch from at) * 1000)::bigint), 12, '0') || '7${kind}' || lpad(to_hex(i % 256), 2, '0') || '8' || lpad(to_hex(i), 15, '0'))::uuid`

const callsSql = (half: number, from: number, to: number) => `
  insert into request_log (request_id, wallet_id, seq, outcome, charged, absorbed, cost, key_id, alias_name, profile, origin, provider,
                           model, usage_source, input_tokens, output_tokens, attempts, body_hash, started_at, settled_at, batch_id,
                           pos, receipt, project_id, model_used)
  select ${id('a')}, wallet_id, case n when 1 then i / 5 + 1 else i - i / 5 end, 1, charge, 0, charge, 'key_of_' || n, alias, 'prod', origin,
         provider, provider || '/' || model, 1, input, output, 1, '', at - interval '900 ms', at, lpad(to_hex(i / ${BATCH_CALLS}), 32, '0')::uuid, i % ${BATCH_CALLS},
         format('{"absorbed_nanousd":"0","account":"acc_%s","alias_name":"%s","attempt_list":[{"key":"9f86d081","model":"%s","ms":880,"protocol":"chat","provider":"%s","result":"ok","upstream":"%s-1"}],"attempts":1,"charged_nanousd":"%s","config_version":12,"issued_at":"%s","key_id":"key_of_%s","log":"receipts.example.com/1","model":"%s","model_used":"%s","origin":"web","outcome":"complete","price":{"book":"sha256:%s","lines":{"cache_read":"75000","input":"150000","output":"600000"}},"profile":"prod","project_key":"%s","provider":"%s","receipt_id":"rcp_%s","request_commit":"hmac-sha256:%s","response_commit":"hmac-sha256:%s","seq":%s,"stream":true,"upstream_id":"chatcmpl-%s","usage":{"cache_read":%s,"input":%s,"output":%s},"usage_source":"provider","v":"fluxgate-receipt/2"}',
                md5(n::text), alias, model, provider, provider, charge, at, n, model, model, h, project_id, provider, h, h, h, i, h, cached, input - cached, output),
         project_id, model
  from (select r.*, o.project_id, o.wallet_id, ${label.model} as model, ${label.provider} as provider, ${label.alias} as alias,
               ${label.origin} as origin, input * 150 + output * 600 as charge, md5(i::text) as h
        from ${numbered(half, from, to)}) x`

const reportsSql = (half: number, from: number, to: number) => `
  insert into reported_log (id, wallet_id, project_id, key_id, body_hash, occurred_at, received_at, provider, model, alias_name, origin,
                            input_tokens, output_tokens, cached_input_tokens, usage, cost, cost_status, reported_cost, metadata)
  select ${id('b')}, wallet_id, project_id, 'key_of_' || n, '', at, at, provider, model, alias, origin, input, output, cached,
         format('{"cache_read":%s,"input":%s,"output":%s}', cached, input - cached, output), case when k > 0 then input * 150 + output * 600 end,
         case when k > 0 then 'priced' else 'model_unknown' end, 0.00031, '{"finish_reason":"stop","model_alias":"openai:gpt-4o-mini"}'
  from (select r.*, o.project_id, o.wallet_id, ${label.model} as model, ${label.provider} as provider, ${label.alias} as alias, ${label.origin} as origin
        from ${numbered(half, from, to)}) x`

/** By quarter hour and labels first: naming a series is dear. */
const rollUpSql = `
  create temporary table cell as
    select date_bin('15 minutes', settled_at, '2000-01-01 00:00+00') as bucket, wallet_id, project_id, key_id, 1::smallint as source, provider,
           model, model_used, alias_name, profile, origin, count(*) as calls, sum(input_tokens)::bigint as tin, sum(output_tokens)::bigint as tout,
           sum(charged)::bigint as charged, sum(cost)::bigint as cost, 0::bigint as unpriced
    from request_log group by 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11
    union all
    select date_bin('15 minutes', occurred_at, '2000-01-01 00:00+00'), wallet_id, project_id, key_id, 2::smallint, provider, model, model, alias_name, profile,
           origin, count(*), sum(input_tokens)::bigint, sum(output_tokens)::bigint, 0, coalesce(sum(cost), 0)::bigint, count(*) filter (where cost is null)
    from reported_log group by 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11;
  create temporary table named as
    select *, series_id(wallet_id, project_id, key_id, source, provider, model, model_used, alias_name, profile, origin) as series
    from (select distinct wallet_id, project_id, key_id, source, provider, model, model_used, alias_name, profile, origin from cell) d;
  insert into usage_series (id, wallet_id, project_id, key_id, source, provider, model, model_used, alias_name, profile, origin)
    select series, wallet_id, project_id, key_id, source, provider, model, model_used, alias_name, profile, origin from named;
  insert into usage_15m (wallet_id, bucket, series, calls, input_tokens, output_tokens, charged, absorbed, cost, unpriced)
    select c.wallet_id, bucket, n.series, calls, tin, tout, charged, 0, cost, unpriced
    from cell c join named n on
      (n.wallet_id, n.key_id, n.source, n.provider, n.model) = (c.wallet_id, c.key_id, c.source, c.provider, c.model)
      and (n.model_used, n.alias_name, n.profile, n.origin) is not distinct from (c.model_used, c.alias_name, c.profile, c.origin)
    order by 1, 2, 3`
