-- Usage by project and by every label that a call carries, and usage that clients report of calls that did not pass
-- through the gateway. The previous release keeps working: it settles through the old signature, which finds the project
-- of the key. Rewrites request_log and the roll-up once; on a large log that takes minutes, in which nothing is settled.

alter table request_log
  add column project_id text, -- the usage context that made the call: history is the project's, whatever becomes of its keys
  add column model_used text; -- of the target that served it, as its provider knows it; null where that was not kept
alter table request_log disable trigger append_only;
update request_log l set project_id = (select k.project_id from api_key k where k.id = l.key_id);
alter table request_log enable trigger append_only;
create index request_log_project on request_log (project_id, settled_at, request_id);

-- What roll-ups count apart: one row for each combination of labels that occurred. `source` 1 is the gateway's own record
-- of a call, 2 is usage that a client reported: never money.
create table usage_series (
  id         uuid     primary key, -- series_id() of the rest
  wallet_id  bigint   not null,
  project_id text,
  key_id     text     not null,
  source     smallint not null check (source in (1, 2)),
  provider   text     not null,
  model      text     not null, -- as it was asked for
  model_used text,
  alias_name text,
  profile    text,
  origin     text
);
create index usage_series_project on usage_series (project_id);

-- jsonb keeps the parts apart, whatever stands in them.
create function series_id(p_wallet bigint, p_project text, p_key text, p_source smallint, p_provider text, p_model text,
                          p_model_used text, p_alias text, p_profile text, p_origin text)
returns uuid language sql stable parallel safe as $$
  select encode(substring(sha256(convert_to(jsonb_build_array(p_wallet, p_project, p_key, p_source, p_provider, p_model,
                p_model_used, p_alias, p_profile, p_origin)::text, 'UTF8')) from 1 for 16), 'hex')::uuid
$$;

-- Fifteen-minute UTC buckets serve every civil time zone. Written in the commit of the record, so never behind.
drop table usage_15m;
create table usage_15m (
  wallet_id     bigint      not null,
  bucket        timestamptz not null,
  series        uuid        not null references usage_series,
  calls         bigint      not null,
  input_tokens  bigint      not null,
  output_tokens bigint      not null,
  charged       bigint      not null, -- nano-dollars; 0 for reported usage
  absorbed      bigint      not null,
  cost          bigint      not null, -- what the providers ask; for reported usage what the price book says
  unpriced      bigint      not null default 0, -- calls among them whose cost is not known
  primary key (wallet_id, bucket, series),
  -- A quarter of what a bigint holds: whatever clients report, four of them can be added to an hour.
  constraint usage_15m_addable check (greatest(input_tokens, output_tokens, cost) < 2305843009213693952)
) with (fillfactor = 70);
create index usage_15m_bucket on usage_15m (bucket);

insert into usage_series (id, wallet_id, project_id, key_id, source, provider, model, model_used, alias_name, profile, origin)
select distinct series_id(wallet_id, project_id, key_id, 1::smallint, provider, model, model_used, alias_name, profile, origin),
       wallet_id, project_id, key_id, 1, provider, model, model_used, alias_name, profile, origin
from request_log;
insert into usage_15m (wallet_id, bucket, series, calls, input_tokens, output_tokens, charged, absorbed, cost)
select wallet_id, date_bin('15 minutes', settled_at, '2000-01-01 00:00+00'),
       series_id(wallet_id, project_id, key_id, 1::smallint, provider, model, model_used, alias_name, profile, origin),
       count(*), sum(input_tokens), sum(output_tokens), sum(charged), sum(absorbed), sum(cost)
from request_log group by 1, 2, 3;

-- Settles a batch: capture, partial capture or void (charge 0), with receipts and roll-up, all or nothing. The receipts
-- were hashed into one signed root, so either every row is settled in this commit or nothing is written and the statuses
-- say which rows to drop: settled | already, no_hold, exceeds_hold, seq_differs, ready.
create function settle(p_slot smallint, p_batch uuid, p_key text, p_root bytea, p_sig bytea, p_leaves bytea,
                       p_request uuid[], p_wallet bigint[], p_seq bigint[], p_charge bigint[], p_absorbed bigint[], p_cost bigint[],
                       p_outcome smallint[], p_key_id text[], p_alias text[], p_profile text[], p_origin text[], p_provider text[],
                       p_model text[], p_source smallint[], p_in bigint[], p_out bigint[], p_attempts smallint[], p_receipt text[],
                       p_project text[], p_model_used text[])
returns table (status text, charged bigint) language plpgsql as $$
#variable_conflict use_column
declare
  v_now constant timestamptz := clock_timestamp();
  v_calls constant integer := cardinality(p_request);
  v_wallets bigint[]; v_charged bigint[]; v_released bigint[]; v_first integer[]; -- one element a wallet
  v_hold bigint[]; v_created timestamptz[]; v_body bytea[]; -- one element a call
  v_lots bigint[]; v_owner bigint[]; v_rest bigint[]; v_burnt bigint[]; -- one element a lot, in burn order by wallet
  v_ref uuid[] := '{}'; v_leg smallint[] := '{}'; v_debit bigint[] := '{}'; v_amount bigint[] := '{}'; -- one element a transfer
  v_revenue bigint; v_cost_account bigint; v_payable bigint; v_total bigint := 0; v_costs bigint := 0;
  w integer; l integer; v_left bigint; v_part bigint; v_legs smallint; v_booked integer;
begin
  select array_agg(id) into v_wallets
  from (select id from wallet where id = any (p_wallet) order by id for no key update) x;
  select array_agg(h.amount order by o.n), array_agg(h.created_at order by o.n), array_agg(h.body_hash order by o.n)
    into v_hold, v_created, v_body
  from unnest(p_request, p_wallet, p_seq, p_charge) with ordinality as o(rid, wid, seq, charge, n)
  join hold h on h.request_id = o.rid and h.wallet_id = o.wid and h.seq = o.seq and o.charge between 0 and h.amount;
  if coalesce(cardinality(v_hold), 0) <> v_calls or length(p_leaves) <> 32 * v_calls
     or (v_calls > 1 and (select count(distinct rid) from unnest(p_request) as o(rid)) <> v_calls) then
    return query
    select case when g.request_id is not null or o.nth > 1 then 'already'
                when h.request_id is null then 'no_hold'
                when o.charge < 0 or o.charge > h.amount then 'exceeds_hold'
                when o.seq <> h.seq then 'seq_differs'
                else 'ready' end,
           g.charged
    from (select *, row_number() over (partition by rid order by n) as nth
          from unnest(p_request, p_wallet, p_seq, p_charge) with ordinality as u(rid, wid, seq, charge, n)) o
    left join request_log g on g.request_id = o.rid
    left join hold h on h.request_id = o.rid and h.wallet_id = o.wid
    order by o.n;
    return;
  end if;

  -- The waterfall: each charge, in queue order, burns the lots of its wallet in their order.
  select array_agg(id), array_agg(wallet_id), array_agg(rest) into v_lots, v_owner, v_rest
  from (select id, wallet_id, credits - debits as rest from account
        where kind = 1 and open and wallet_id = any (v_wallets) and credits > debits
        order by wallet_id, priority, expires_at nulls last, id) x;
  v_charged := array_fill(0::bigint, array[cardinality(v_wallets)]);
  v_released := v_charged;
  v_first := array_fill(null::integer, array[cardinality(v_wallets)]);
  v_burnt := array_fill(0::bigint, array[coalesce(cardinality(v_lots), 0)]);
  for i in 1..v_calls loop
    w := array_position(v_wallets, p_wallet[i]);
    v_charged[w] := v_charged[w] + p_charge[i];
    v_released[w] := v_released[w] + v_hold[i];
    v_total := v_total + p_charge[i];
    v_costs := v_costs + p_cost[i];
    v_left := p_charge[i];
    v_legs := 0;
    l := coalesce(v_first[w], array_position(v_owner, p_wallet[i]));
    while v_left > 0 loop
      -- posted >= held >= charge, so the lots of the wallet cover it; running past them is a broken ledger.
      if v_owner[l] is distinct from p_wallet[i] then
        raise exception 'wallet %: its lots do not cover what it has posted', p_wallet[i] using errcode = 'integrity_constraint_violation';
      end if;
      v_part := least(v_left, v_rest[l]);
      if v_part > 0 then
        v_legs := v_legs + 1;
        v_ref := v_ref || p_request[i];
        v_leg := v_leg || v_legs;
        v_debit := v_debit || v_lots[l];
        v_amount := v_amount || v_part;
        v_rest[l] := v_rest[l] - v_part;
        v_burnt[l] := v_burnt[l] + v_part;
        v_left := v_left - v_part;
      end if;
      if v_left > 0 then l := l + 1; end if;
    end loop;
    v_first[w] := l;
  end loop;

  -- From here on nothing refuses.
  insert into receipt_batch (batch_id, key_id, leaves, root, sig, settled_at)
  values (p_batch, p_key, p_leaves, p_root, p_sig, v_now);
  insert into request_log (request_id, wallet_id, seq, outcome, charged, absorbed, cost, key_id, alias_name, profile, origin,
                           provider, model, usage_source, input_tokens, output_tokens, attempts, body_hash, started_at,
                           settled_at, batch_id, pos, receipt, project_id, model_used)
  select rid, wid, seq, outcome, charge, absorbed, cost, key_id, alias, profile, origin, provider, model, source, tin, tout,
         attempts, body, created, v_now, p_batch, n - 1, receipt, project, used
  from unnest(p_request, p_wallet, p_seq, p_outcome, p_charge, p_absorbed, p_cost, p_key_id, p_alias, p_profile, p_origin,
              p_provider, p_model, p_source, p_in, p_out, p_attempts, v_body, v_created, p_receipt, p_project, p_model_used)
       with ordinality as o(rid, wid, seq, outcome, charge, absorbed, cost, key_id, alias, profile, origin,
                            provider, model, source, tin, tout, attempts, body, created, receipt, project, used, n);
  delete from hold where request_id = any (p_request);
  update wallet x set posted = x.posted - d.charged, held = x.held - d.released, version = x.version + 1
  from unnest(v_wallets, v_charged, v_released) as d(id, charged, released) where x.id = d.id;
  with op as (
    select series_id(wid, project, key_id, 1::smallint, provider, model, used, alias, profile, origin) as series, *
    from unnest(p_wallet, p_project, p_key_id, p_provider, p_model, p_model_used, p_alias, p_profile, p_origin,
                p_in, p_out, p_charge, p_absorbed, p_cost)
         as o(wid, project, key_id, provider, model, used, alias, profile, origin, tin, tout, charge, absorbed, cost)
  ), named as (
    insert into usage_series (id, wallet_id, project_id, key_id, source, provider, model, model_used, alias_name, profile, origin)
    select distinct on (series) series, wid, project, key_id, 1, provider, model, used, alias, profile, origin
    from op order by series
    on conflict do nothing
  )
  insert into usage_15m as u (wallet_id, bucket, series, calls, input_tokens, output_tokens, charged, absorbed, cost)
  select wid, date_bin('15 minutes', v_now, '2000-01-01 00:00+00'), series, count(*), sum(tin), sum(tout), sum(charge),
         sum(absorbed), sum(cost)
  from op group by wid, series order by wid, series
  on conflict (wallet_id, bucket, series) do update set
    calls = u.calls + excluded.calls, input_tokens = u.input_tokens + excluded.input_tokens,
    output_tokens = u.output_tokens + excluded.output_tokens, charged = u.charged + excluded.charged,
    absorbed = u.absorbed + excluded.absorbed, cost = u.cost + excluded.cost;

  if v_total > 0 or v_costs > 0 then
    select max(id) filter (where kind = 2), max(id) filter (where kind = 6), max(id) filter (where kind = 7)
      into strict v_revenue, v_cost_account, v_payable
    from account where kind in (2, 6, 7) and asset = 1 and slot = p_slot and wallet_id is null;
    insert into transfer (ref, leg, code, debit, credit, asset, amount, at)
    select t.ref, t.leg, 10, t.debit, v_revenue, 1, t.amount, v_now
    from unnest(v_ref, v_leg, v_debit, v_amount) as t(ref, leg, debit, amount)
    -- What the providers ask is one pair per batch; a call's own share is in request_log.cost.
    union all select p_batch, 1, 20, v_cost_account, v_payable, 1, v_costs, v_now where v_costs > 0;
    update account a set debits = a.debits + d.burnt, version = a.version + 1, open = a.credits > a.debits + d.burnt
    from unnest(v_lots, v_burnt) as d(id, burnt) where a.id = d.id and d.burnt > 0;
    -- A refund of the same slot may be under way, so this may wait. Never with a UNION in its FROM: after a wait PostgreSQL
    -- looks such a row up again, does not find it, and leaves the account as it was without a word.
    update account a set debits = a.debits + d.debit, credits = a.credits + d.credit, version = a.version + 1
    from (values (v_revenue, 0, v_total), (v_cost_account, v_costs, 0), (v_payable, 0, v_costs)) as d(id, debit, credit)
    where a.id = d.id and (d.debit > 0 or d.credit > 0);
    get diagnostics v_booked = row_count;
    if v_booked <> (v_total > 0)::integer + 2 * (v_costs > 0)::integer then
      raise exception 'slot %: an account of its own was not found', p_slot using errcode = 'integrity_constraint_violation';
    end if;
  end if;
  return query select 'settled'::text, o.charge from unnest(p_charge) as o(charge);
end $$;

-- As the previous release calls it, for as long as gateways of that release run beside this one.
create or replace function settle(p_slot smallint, p_batch uuid, p_key text, p_root bytea, p_sig bytea, p_leaves bytea,
                       p_request uuid[], p_wallet bigint[], p_seq bigint[], p_charge bigint[], p_absorbed bigint[], p_cost bigint[],
                       p_outcome smallint[], p_key_id text[], p_alias text[], p_profile text[], p_origin text[], p_provider text[],
                       p_model text[], p_source smallint[], p_in bigint[], p_out bigint[], p_attempts smallint[], p_receipt text[])
returns table (status text, charged bigint) language sql as $$
  select * from settle(
    p_slot, p_batch, p_key, p_root, p_sig, p_leaves, p_request, p_wallet, p_seq, p_charge, p_absorbed, p_cost, p_outcome, p_key_id,
    p_alias, p_profile, p_origin, p_provider, p_model, p_source, p_in, p_out, p_attempts, p_receipt,
    (select array_agg(k.project_id order by o.n) from unnest(p_key_id) with ordinality as o(id, n) left join api_key k on k.id = o.id),
    array_fill(null::text, array[cardinality(p_request)]))
$$;

-- Usage of calls that did not pass through the gateway, as clients report it. Nothing here is ever charged.
create table reported_log (
  id                  uuid        primary key, -- of the client's idempotency key, else time-ordered
  wallet_id           bigint      not null references wallet, -- of the project: where the row lives when tables are spread
  project_id          text        not null references project,
  key_id              text        not null,
  body_hash           bytea       not null check (length(body_hash) in (0, 32)), -- empty without an idempotency key
  occurred_at         timestamptz not null, -- by the client's clock where it told, else received_at
  received_at         timestamptz not null default clock_timestamp(),
  provider            text        not null check (length(provider) between 1 and 255),
  model               text        not null check (length(model) between 1 and 255),
  alias_name          text        check (length(alias_name) between 1 and 255), -- a label: never resolved, refers to nothing
  profile             text        not null default 'default' check (length(profile) between 1 and 255),
  origin              text        check (length(origin) between 1 and 255),
  id_at_origin        text        check (length(id_at_origin) between 1 and 255),
  input_tokens        bigint      not null check (input_tokens >= 0), -- cache reads and writes included
  output_tokens       bigint      not null check (output_tokens >= 0), -- reasoning included
  cached_input_tokens bigint      not null default 0 check (cached_input_tokens between 0 and input_tokens),
  usage               text        not null check (octet_length(usage) <= 1024), -- the disjoint vector, as JSON
  latency_ms          bigint      check (latency_ms >= 0),
  cost                bigint      check (cost >= 0), -- nano-dollars by the price book; null is not known
  cost_status         text        not null check (cost_status ~ '^[a-z][a-z_]{1,63}$'),
  price_book          text,       -- its digest, where it set the cost
  reported_cost       numeric     check (reported_cost >= 0), -- dollars, as the client reckoned
  metadata            text        not null default '{}' check (octet_length(metadata) <= 65536), -- JSON
  conversation_id     uuid,
  imported_from       text,       -- the system that it was imported from
  check ((cost is null) = (cost_status not in ('priced', 'imported')))
);
create index reported_log_project on reported_log (project_id, occurred_at, id);
create trigger append_only before update or delete on reported_log for each row execute function no_change();
create trigger no_truncate before truncate on reported_log execute function no_change();
