-- Hard budgets: what the calls of a wallet that match may hold and spend together in a day, a week, a month, or ever. They are
-- kept under the wallet's lock, in the same statements that hold and settle, so no number of processes passes them. What is
-- used is counted apart from what is allowed: an edit never resets it. The previous release goes on working, and keeps to
-- budgets, but for the words of a refusal.

alter table wallet add column budgeted boolean not null default false; -- it has or had a budget: only then are there any to look for

create table budget (
  id           bigint      generated always as identity primary key,
  wallet_id    bigint      not null references wallet,
  name         text        not null check (length(name) between 1 and 100),
  -- A call counts when all of these that are set are its own.
  key_id       text        check (length(key_id) between 1 and 100),
  user_id      text        check (length(user_id) between 1 and 64),
  model        text        check (length(model) between 1 and 255),
  alias_name   text        check (length(alias_name) between 1 and 255),
  tag          text        check (length(tag) between 1 and 64),
  limit_nanos  bigint      not null check (limit_nanos between 0 and 1000000000000000000),
  period       text        not null check (period in ('day', 'week', 'month', 'total')),
  time_zone    text        not null check (length(time_zone) between 1 and 64), -- where days begin
  warn_percent integer[]   not null check (cardinality(warn_percent) <= 10 and array_position(warn_percent, null) is null),
  active       boolean     not null default true,
  created_at   timestamptz not null default clock_timestamp(),
  updated_at   timestamptz not null default clock_timestamp(),
  unique (wallet_id, name)
);
create index budget_active on budget (wallet_id) where active;

-- One row for each period in which a call was held.
create table budget_usage (
  budget_id    bigint      not null references budget,
  period_start timestamptz not null, -- '-infinity' for all time
  opening      bigint      not null default 0 check (opening >= 0), -- spent in that period before the budget was made
  held         bigint      not null default 0 check (held >= 0),
  spent        bigint      not null default 0 check (spent >= opening), -- with the opening
  told         integer[]   not null default '{}', -- thresholds that were reported
  primary key (budget_id, period_start)
) with (fillfactor = 70);

-- What each call took of each budget: the same as it was charged.
create table budget_charge (
  request_id   uuid        not null, -- the audit looks for its record
  budget_id    bigint      not null,
  period_start timestamptz not null,
  charged      bigint      not null check (charged >= 0),
  primary key (request_id, budget_id),
  foreign key (budget_id, period_start) references budget_usage
);
create index budget_charge_usage on budget_charge (budget_id, period_start);
create trigger append_only before update or delete on budget_charge for each row execute function no_change();
create trigger no_truncate before truncate on budget_charge execute function no_change();

-- The budgets that a call is held under, and their periods as of then: what it spends counts there, whenever it ends.
alter table hold add column budgets bigint[], add column budget_periods timestamptz[];

create function budget_period(p_period text, p_zone text, p_at timestamptz) returns timestamptz language sql stable as $$
  select case when p_period = 'total' then '-infinity' else date_trunc(p_period, p_at at time zone p_zone) at time zone p_zone end
$$;

-- Holds for one call under every budget that it matches, as much as all of them have left: nothing when that is below the floor,
-- and then `over` is the budget with the least. The wallet is locked by who calls, so nobody else changes what is read here.
create function take_budget(p_wallet bigint, p_context text, p_amount bigint, p_floor bigint)
returns table (got bigint, over bigint, budgets bigint[], periods timestamptz[]) language plpgsql as $$
#variable_conflict use_variable
declare
  -- JSON can spell a NUL, which no text here holds; only an escape that is not itself escaped is one.
  v_call constant json := case when position('\u0000' in p_context) = 0 then p_context
    else regexp_replace(p_context, '(?<!\\)((?:\\\\)*)\\u0000', '\1\\ufffd', 'g') end;
  v_room bigint; v_least bigint;
begin
  select array_agg(b.id order by b.id), array_agg(s.start order by b.id), min(r.room), (array_agg(b.id order by r.room, b.id))[1]
    into budgets, periods, v_room, v_least
  from budget b
  cross join lateral (select budget_period(b.period, b.time_zone, now()) as start) s
  left join budget_usage u on u.budget_id = b.id and u.period_start = s.start
  cross join lateral (select b.limit_nanos - coalesce(u.spent + u.held, 0) as room) r
  where b.wallet_id = p_wallet and b.active
    and (b.key_id is null or b.key_id = v_call ->> 'keyId')
    and (b.user_id is null or b.user_id = v_call ->> 'userId')
    and (b.model is null or b.model = v_call ->> 'model')
    and (b.alias_name is null or b.alias_name = v_call ->> 'aliasName')
    and (b.tag is null or b.tag in (select json_array_elements_text(coalesce(v_call -> 'tags', '[]'))));
  got := least(p_amount, coalesce(v_room, p_amount));
  if got < p_floor then
    over := v_least;
  else
    insert into budget_usage as u (budget_id, period_start, held) select x.id, x.start, got from unnest(budgets, periods) as x(id, start)
    on conflict (budget_id, period_start) do update set held = u.held + excluded.held;
  end if;
  return next;
end $$;

drop function reserve(smallint, bigint, interval, uuid[], uuid[], bigint[], bigint[], bigint[], bytea[], text[]);
create function reserve(p_slot smallint, p_epoch bigint, p_ttl interval, p_request uuid[], p_attempt uuid[], p_wallet bigint[], p_amount bigint[], p_floor bigint[], p_body bytea[], p_context text[])
returns table (status text, seq bigint, granted bigint, free bigint, budget bigint)
language plpgsql
as $$
#variable_conflict use_column
declare
  v_calls constant integer := cardinality(p_request);
  v_wallets bigint[]; v_free bigint[]; v_seq bigint[]; v_frozen boolean[]; v_due boolean; -- one element a wallet
  v_held bigint[]; v_taken bigint[]; v_budgeted boolean[];
  v_prior uuid[]; -- requests that are known already: rarely any
  v_status text[]; v_number bigint[]; v_granted bigint[]; v_shown bigint[]; -- one element a call
  v_over bigint[]; v_budgets text[]; v_periods text[];
  w integer; v_got bigint; r record; b record;
begin
  -- The locks are a statement of their own: what follows sees every other table as it is after the wait.
  select array_agg(id), array_agg(posted - held), array_agg(x.seq), array_agg(frozen), array_agg(budgeted), bool_or(next_expiry <= now())
    into v_wallets, v_free, v_seq, v_frozen, v_budgeted, v_due
  from (select * from wallet where id = any (p_wallet) order by id for no key update) x;
  perform require_slot(p_slot, p_epoch);
  if v_due then
    perform expire_lots(p_slot, v_wallets);
    select array_agg(posted - held order by id) into v_free from wallet where id = any (v_wallets);
  end if;
  select array_agg(request_id) into v_prior
  from (select request_id from hold where request_id = any (p_request)
        union all select request_id from request_log where request_id = any (p_request)) x;

  v_status := array_fill('insufficient'::text, array[v_calls]);
  v_number := array_fill(null::bigint, array[v_calls]);
  v_granted := array_fill(0::bigint, array[v_calls]);
  v_shown := array_fill(null::bigint, array[v_calls]);
  v_over := v_shown;
  v_budgets := array_fill(null::text, array[v_calls]);
  v_periods := v_budgets;
  v_held := array_fill(0::bigint, array[coalesce(cardinality(v_wallets), 0)]);
  v_taken := v_held;
  for i in 1..v_calls loop
    w := array_position(v_wallets, p_wallet[i]);
    if w is null then
      v_status[i] := 'no_wallet';
      continue;
    end if;
    v_shown[i] := v_free[w] + v_held[w]; -- as it was before this batch
    if v_prior is not null and p_request[i] = any (v_prior) then
      select coalesce(h.body_hash, l.body_hash) <> p_body[i] as differs, h.attempt = p_attempt[i] as mine,
             h.request_id is not null as open, coalesce(h.seq, l.seq) as seq, coalesce(h.amount, 0) as amount into r
      from (select p_request[i] as id) x left join hold h on h.request_id = x.id left join request_log l on l.request_id = x.id;
      v_status[i] := case when r.mine then 'reserved' when r.differs then 'key_reused'
                          when r.open then 'in_flight' else 'done' end;
      v_number[i] := r.seq;
      v_granted[i] := r.amount;
      -- Its first try may have been committed under a lease that was lost since: then nobody could extend it.
      if r.mine then
        update hold set slot = p_slot, epoch = p_epoch
        where request_id = p_request[i] and (slot <> p_slot or epoch <> p_epoch);
      end if;
    elsif v_frozen[w] then
      v_status[i] := 'frozen';
    elsif p_floor[i] < 0 or p_amount[i] < p_floor[i] or p_amount[i] > 1000000000000 then
      v_status[i] := 'bad_amount';
    else
      v_got := least(p_amount[i], v_free[w]);
      continue when v_got < p_floor[i];
      if v_budgeted[w] then
        select * into b from take_budget(p_wallet[i], p_context[i], v_got, p_floor[i]);
        if b.over is not null then
          v_status[i] := 'over_budget';
          v_over[i] := b.over;
          continue;
        end if;
        v_got := b.got;
        v_budgets[i] := b.budgets::text;
        v_periods[i] := b.periods::text;
      end if;
      v_free[w] := v_free[w] - v_got;
      v_held[w] := v_held[w] + v_got;
      v_taken[w] := v_taken[w] + 1;
      v_status[i] := 'new';
      v_number[i] := v_seq[w] + v_taken[w];
      v_granted[i] := v_got;
    end if;
  end loop;

  -- A request that stands twice in the batch breaks the primary key here, and the whole batch with it.
  insert into hold (request_id, attempt, wallet_id, seq, amount, slot, epoch, body_hash, context, created_at, expires_at, budgets, budget_periods)
  select o.rid, o.attempt, o.wid, o.seq, o.amount, p_slot, p_epoch, o.body, o.context, now(), now() + p_ttl, o.budgets::bigint[], o.periods::timestamptz[]
  from unnest(p_request, p_attempt, p_wallet, v_number, v_granted, p_body, p_context, v_status, v_budgets, v_periods)
       as o(rid, attempt, wid, seq, amount, body, context, status, budgets, periods)
  where o.status = 'new';
  update wallet x set held = x.held + d.held, seq = x.seq + d.taken, version = x.version + 1
  from unnest(v_wallets, v_held, v_taken) as d(id, held, taken) where x.id = d.id and d.taken > 0;
  return query
  select case o.status when 'new' then 'reserved' else o.status end, o.seq, o.granted, o.free, o.over
  from unnest(v_status, v_number, v_granted, v_shown, v_over) as o(status, seq, granted, free, over);
end $$;

create or replace function extend(p_slot smallint, p_epoch bigint, p_ttl interval, p_request uuid[], p_wallet bigint[], p_number bigint[], p_add bigint[], p_accrued bigint[], p_usage text[])
returns table(granted bigint)
language plpgsql
as $$
#variable_conflict use_column
declare
  v_add bigint[] := p_add; v_taken bigint[]; v_got bigint[]; -- one element a call
  v_room bigint; r record;
begin
  perform 1 from wallet where id = any (p_wallet) order by id for no key update;
  perform require_slot(p_slot, p_epoch);
  -- What budgets have left is taken first, call by call; what the wallet then does not grant is given back.
  if exists (select from hold h where h.request_id = any (p_request) and h.budgets is not null) then
    v_taken := array_fill(null::bigint, array[cardinality(p_request)]);
    for i in 1..cardinality(p_request) loop
      select h.budgets, h.budget_periods, h.extension into r from hold h
      where h.request_id = p_request[i] and h.wallet_id = p_wallet[i] and h.slot = p_slot and h.epoch = p_epoch;
      continue when r.budgets is null or p_number[i] <= r.extension or p_add[i] < 0 or array_position(p_request, p_request[i]) < i;
      select greatest(0, least(p_add[i], min(b.limit_nanos - u.spent - u.held))) into v_room
      from unnest(r.budgets, r.budget_periods) as x(id, start)
      join budget b on b.id = x.id join budget_usage u on u.budget_id = x.id and u.period_start = x.start;
      v_add[i] := v_room;
      update budget_usage u set held = u.held + v_room
      from unnest(r.budgets, r.budget_periods) as x(id, start) where u.budget_id = x.id and u.period_start = x.start;
      v_taken[i] := v_room;
    end loop;
  end if;

  with op as materialized (
    select o.rid, o.wid, o.number, least(o.add, 1000000000000 - h.amount) as add, o.accrued, o.usage, o.n,
           w.posted - w.held as free0, h.extension, h.extended, row_number() over (partition by o.rid order by o.n) as nth
    from unnest(p_request, p_wallet, p_number, v_add, p_accrued, p_usage) with ordinality
         as o(rid, wid, number, add, accrued, usage, n)
    join wallet w on w.id = o.wid and not w.frozen
    join hold h on h.request_id = o.rid and h.wallet_id = o.wid and h.slot = p_slot and h.epoch = p_epoch
    where o.add >= 0 and o.accrued >= 0
  ), fresh as (
    select *, (sum(add) over (partition by wid order by n))::bigint as hi from op where number > extension and nth = 1
  ), g as materialized (
    select *, least(hi, free0) - least(hi - add, free0) as got from fresh
  ), holds as (
    update hold h set amount = h.amount + g.got, extension = g.number, extended = g.got,
           accrued = greatest(h.accrued, least(g.accrued, h.amount + g.got)),
           accrued_usage = case when g.accrued > h.accrued then g.usage else h.accrued_usage end,
           expires_at = now() + p_ttl
    from g where h.request_id = g.rid
  ), wallets as (
    update wallet w set held = w.held + s.got, version = w.version + 1
    from (select wid, sum(got)::bigint as got from g group by wid) s where w.id = s.wid
  )
  select array_agg(case when op.n is null then -1 when g.n is not null then g.got
                        when op.number = op.extension then op.extended else 0 end order by o.n) into v_got
  from unnest(p_request) with ordinality as o(rid, n) left join op on op.n = o.n left join g on g.n = o.n;

  if v_taken is not null then
    for i in 1..cardinality(p_request) loop
      continue when v_taken[i] is null or v_taken[i] = greatest(v_got[i], 0);
      update budget_usage u set held = u.held - (v_taken[i] - greatest(v_got[i], 0))
      from hold h cross join unnest(h.budgets, h.budget_periods) as x(id, start)
      where h.request_id = p_request[i] and u.budget_id = x.id and u.period_start = x.start;
    end loop;
  end if;
  return query select o.got from unnest(v_got) with ordinality as o(got, n) order by o.n;
end $$;

create or replace function settle(p_slot smallint, p_batch uuid, p_key text, p_root bytea, p_sig bytea, p_leaves bytea, p_request uuid[], p_wallet bigint[], p_seq bigint[], p_charge bigint[], p_absorbed bigint[], p_cost bigint[], p_outcome smallint[], p_key_id text[], p_alias text[], p_profile text[], p_origin text[], p_provider text[], p_model text[], p_source smallint[], p_in bigint[], p_out bigint[], p_attempts smallint[], p_receipt text[], p_project text[], p_model_used text[])
returns table(status text, charged bigint)
language plpgsql
as $$
#variable_conflict use_column
declare
  v_now constant timestamptz := clock_timestamp();
  v_calls constant integer := cardinality(p_request);
  v_wallets bigint[]; v_charged bigint[]; v_released bigint[]; v_first integer[]; -- one element a wallet
  v_hold bigint[]; v_created timestamptz[]; v_body bytea[]; v_budgeted boolean; -- one element a call
  v_lots bigint[]; v_owner bigint[]; v_rest bigint[]; v_burnt bigint[]; -- one element a lot, in burn order by wallet
  v_ref uuid[] := '{}'; v_leg smallint[] := '{}'; v_debit bigint[] := '{}'; v_amount bigint[] := '{}'; -- one element a transfer
  v_revenue bigint; v_cost_account bigint; v_payable bigint; v_total bigint := 0; v_costs bigint := 0;
  w integer; l integer; v_left bigint; v_part bigint; v_legs smallint; v_booked integer;
begin
  select array_agg(id) into v_wallets
  from (select id from wallet where id = any (p_wallet) order by id for no key update) x;
  select array_agg(h.amount order by o.n), array_agg(h.created_at order by o.n), array_agg(h.body_hash order by o.n),
         bool_or(h.budgets is not null)
    into v_hold, v_created, v_body, v_budgeted
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
  if v_budgeted then
    insert into budget_charge (request_id, budget_id, period_start, charged)
    select h.request_id, x.id, x.start, o.charge
    from unnest(p_request, p_charge) as o(rid, charge) join hold h on h.request_id = o.rid
    cross join unnest(h.budgets, h.budget_periods) as x(id, start);
    update budget_usage u set held = u.held - s.held, spent = u.spent + s.charge
    from (select x.id, x.start, sum(h.amount)::bigint as held, sum(o.charge)::bigint as charge
          from unnest(p_request, p_charge) as o(rid, charge) join hold h on h.request_id = o.rid
          cross join unnest(h.budgets, h.budget_periods) as x(id, start) group by x.id, x.start) s
    where u.budget_id = s.id and u.period_start = s.start;
  end if;
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
