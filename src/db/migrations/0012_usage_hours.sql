-- Hours of usage that is past, so that a month of it is read in a quarter of the rows. Only adds: the previous release keeps
-- working, and its records are folded like all others. Nothing is folded here, so this takes no time on a large database.

create table usage_1h (
  wallet_id     bigint      not null,
  hour          timestamptz not null,
  series        uuid        not null references usage_series,
  calls         bigint      not null,
  input_tokens  bigint      not null,
  output_tokens bigint      not null,
  charged       bigint      not null,
  cost          bigint      not null,
  unpriced      bigint      not null,
  primary key (wallet_id, hour, series)
);
create index usage_1h_hour on usage_1h (hour);

-- Up to when usage_15m has been folded into usage_1h. It only moves on: what was read of it stays true.
create table usage_fold (
  single boolean     primary key default true check (single),
  until  timestamptz not null
);
insert into usage_fold (until) values ('2000-01-01 00:00+00');

-- Folds at most so many hours of what happened two hours ago or earlier, and of them as many as have so many rows, but always one:
-- clients choose their labels, so an hour may have a row for each call. Returns up to when all is folded.
create function fold_usage(p_hours integer, p_rows integer) returns timestamptz language plpgsql as $$
declare
  v_from timestamptz; v_first timestamptz; v_full timestamptz; v_to timestamptz;
  v_end constant timestamptz := date_bin('1 hour', now() - interval '2 hours', '2000-01-01 00:00+00');
begin
  -- Waits for late records that are being written, which hold it in share; the statements below then see them.
  select until into strict v_from from usage_fold for update;
  select date_bin('1 hour', min(bucket), '2000-01-01 00:00+00') into v_first from usage_15m where bucket >= v_from;
  v_to := least(v_end, greatest(v_from, v_first) + p_hours * interval '1 hour');
  if v_first is null then v_to := v_end; end if;
  select date_bin('1 hour', bucket, '2000-01-01 00:00+00') into v_full from usage_15m where bucket >= v_from
    order by bucket offset p_rows limit 1;
  if v_full is not null then v_to := least(v_to, greatest(v_full, v_first + interval '1 hour')); end if;
  if v_to <= v_from then return v_from; end if;
  insert into usage_1h (wallet_id, hour, series, calls, input_tokens, output_tokens, charged, cost, unpriced)
  select wallet_id, date_bin('1 hour', bucket, '2000-01-01 00:00+00'), series, sum(calls), sum(input_tokens), sum(output_tokens),
         sum(charged), sum(cost), sum(unpriced)
  from usage_15m where bucket >= v_from and bucket < v_to
  group by 1, 2, 3;
  update usage_fold set until = v_to;
  return v_to;
end $$;

-- What is recorded of an hour that was folded is added to it. Calls of the gateway end now, so for them no more is done than
-- to look at the clock. No transaction lasts the half hour between this condition and what fold_usage takes for past.
create function fold_late_usage() returns trigger language plpgsql as $$
declare v_until timestamptz;
begin
  select until into strict v_until from usage_fold for share;
  if new.bucket >= v_until then return null; end if;
  -- Quarters of one hour in another order: two writers of a wallet would wait for each other.
  perform pg_advisory_xact_lock(hashtext('usage_1h'), (new.wallet_id % 2147483647)::integer);
  insert into usage_1h as u (wallet_id, hour, series, calls, input_tokens, output_tokens, charged, cost, unpriced)
  values (new.wallet_id, date_bin('1 hour', new.bucket, '2000-01-01 00:00+00'), new.series,
          new.calls - coalesce(old.calls, 0), new.input_tokens - coalesce(old.input_tokens, 0),
          new.output_tokens - coalesce(old.output_tokens, 0), new.charged - coalesce(old.charged, 0),
          new.cost - coalesce(old.cost, 0), new.unpriced - coalesce(old.unpriced, 0))
  on conflict (wallet_id, hour, series) do update set
    calls = u.calls + excluded.calls, input_tokens = u.input_tokens + excluded.input_tokens,
    output_tokens = u.output_tokens + excluded.output_tokens, charged = u.charged + excluded.charged,
    cost = u.cost + excluded.cost, unpriced = u.unpriced + excluded.unpriced;
  return null;
end $$;
create trigger fold_late after insert or update on usage_15m for each row
  when (new.bucket < now() - interval '90 minutes') execute function fold_late_usage();
